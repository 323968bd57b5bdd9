//! When a server that ended may be started again. Pure.

use std::time::{Duration, Instant};

/// The pause after the second short life in a row, none after the first; each
/// later one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// A life this long starts the pauses anew.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// The lives of one server.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// Ends in a row, each after a short life.
    pub(super) deaths: u32,
    next: Option<Instant>,
}

impl Lives {
    /// Notes a life that began and ended then, not because we wanted it to.
    pub(super) fn note(&mut self, began: Instant, ended: Instant) {
        let is_long = ended.saturating_duration_since(began) >= LONG_LIFE;
        self.deaths = if is_long { 1 } else { self.deaths + 1 };
        let pause = match self.deaths {
            1 => Duration::ZERO,
            many => (FIRST * 2u32.pow((many - 2).min(16))).min(LONGEST),
        };
        self.next = Some(ended + pause);
    }

    /// How long to wait, from `now`, until it may be started.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        self.next
            .map_or(Duration::ZERO, |next| next.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_start_anew_after_a_long_life() {
        let mut now = Instant::now();
        let mut lives = Lives::default();
        assert_eq!(lives.pause(now), Duration::ZERO);
        let mut pauses = Vec::new();
        for life in [0, 10, 59, 1, 60, 1, 1, 1, 1, 1, 1, 1] {
            let began = now;
            now += Duration::from_secs(life);
            lives.note(began, now);
            let pause = lives.pause(now);
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(lives.pause(now), Duration::ZERO);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 0, 1, 2, 4, 8, 16, 30, 30]);
    }
}

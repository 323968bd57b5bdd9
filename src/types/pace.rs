//! The pauses between streams that a client opens again and again. Pure.

use std::time::Duration;

/// A stream that lasts this long was well.
const WELL: Duration = Duration::from_secs(10);
/// The longest pause that a server may ask for: nothing is heard meanwhile.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double while streams are short, whatever came in them.
#[derive(Debug, Clone)]
pub struct Pace {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Pace {
    /// Pauses from `first` to `last`.
    #[must_use]
    pub fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// The pause after a stream that `lived` so long, or could not be opened.
    /// `retry` is what the server asks for: the least, and no reason to hurry.
    pub fn pause(&mut self, lived: Option<Duration>, retry: Duration) -> Duration {
        if lived.is_some_and(|lived| lived >= WELL) {
            self.next = self.first;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.last);
        pause.max(retry.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_while_streams_are_short() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(ms(25), ms(5000));
        for (lived, retry, pause) in [
            (Some(0), 0, 25),
            (Some(9_999), 10, 50),
            (None, 10, 100),
            (Some(1), 150, 200),
            (Some(1), 1000, 1000),
            (None, 0, 800),
            (None, 3_600_000, 30_000),
            (None, 0, 3200),
            (None, 0, 5000),
            (Some(9_999), 0, 5000),
            (Some(10_000), 0, 25),
            (Some(60_000), 7000, 7000),
            (Some(1), 0, 50),
        ] {
            assert_eq!(
                pace.pause(lived.map(ms), ms(retry)),
                ms(pause),
                "{lived:?} {retry}"
            );
        }
    }
}

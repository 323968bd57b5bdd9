//! When to look at the hub again, and what to tell it of our work. Pure: time
//! comes in.
//!
//! agentchattr forgets that we are busy after 8 s, and us after 15 s.

use std::time::{Duration, Instant};

/// Between two heartbeats: a third of the 15 s after which hubs give us up.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The same while the agent works.
const BUSY: Duration = Duration::from_secs(3);

/// How often the pause is doubled at most for a hub that forgets us between
/// any two heartbeats: to register each time does not help, and is work for all
/// sessions on it. Whoever waits for us is served at once all the same.
const DOUBLINGS: u32 = 2;

/// Between two tries while the hub does not answer or will not have us.
const RETRY: Duration = Duration::from_secs(1);

/// The same while a call waits for a hub of this machine, which is back soon
/// when it restarts; and how long that is believed.
const HURRY: Duration = Duration::from_millis(25);
const HURRIED: Duration = Duration::from_secs(15);

/// What a heartbeat came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// We are registered.
    Well,
    /// We were not, and have registered again.
    Again,
    /// Nothing answers.
    Away,
    Refused,
}

/// What the pause before the next heartbeat depends on.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Since when somebody waits for us.
    awaited: Option<Instant>,
    /// Heartbeats in a row that nobody asked for, and that found us forgotten.
    forgotten: u32,
    /// The hub believes that the agent works.
    told_busy: bool,
}

impl Pace {
    /// Somebody waits until we are registered.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.awaited = Some(now);
    }

    /// What the next heartbeat says of our work: that it goes on, that it has
    /// ended, or nothing.
    pub(super) fn report(&self, busy: bool) -> Option<bool> {
        (busy || self.told_busy).then_some(busy)
    }

    /// The hub has taken this report.
    pub(super) fn reported(&mut self, report: Option<bool>) {
        self.told_busy = report.unwrap_or(false);
    }

    /// The pause before the next heartbeat.
    pub(super) fn pause(
        &mut self,
        beat: Beat,
        busy: bool,
        is_local: bool,
        now: Instant,
    ) -> Duration {
        let is_asked = self.awaited.is_some();
        if beat.is_registered() {
            self.awaited = None;
        }
        self.forgotten = match beat {
            Beat::Well => 0,
            Beat::Again if is_asked => 0,
            Beat::Again => self.forgotten + 1,
            Beat::Away | Beat::Refused => self.forgotten,
        };
        let is_hurried = self
            .awaited
            .is_some_and(|at| now.duration_since(at) < HURRIED);
        let doubled = 1 << self.forgotten.saturating_sub(1).min(DOUBLINGS);
        match beat {
            Beat::Well | Beat::Again if busy => BUSY * doubled,
            Beat::Well | Beat::Again => HEARTBEAT * doubled,
            Beat::Away if is_hurried && is_local => HURRY,
            Beat::Away | Beat::Refused => RETRY,
        }
    }
}

impl Beat {
    /// True if the hub has us.
    pub(super) fn is_registered(self) -> bool {
        matches!(self, Self::Well | Self::Again)
    }
}

impl Default for Beat {
    /// As a session begins: it has just been registered.
    fn default() -> Self {
        Self::Well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_asked_as_often_as_it_matters() {
        let start = Instant::now();
        let late = start + HURRIED;
        for (beat, awaited, busy, is_local, now, pause) in [
            (Beat::Well, false, false, true, start, HEARTBEAT),
            (Beat::Well, true, true, true, start, BUSY),
            (Beat::Away, false, true, true, start, RETRY),
            (Beat::Away, true, false, true, start, HURRY),
            (Beat::Away, true, false, true, late, RETRY),
            (Beat::Away, true, false, false, start, RETRY),
            (Beat::Refused, true, false, true, start, RETRY),
        ] {
            let mut pace = Pace::default();
            if awaited {
                pace.hurry(start);
            }
            let got = pace.pause(beat, busy, is_local, now);
            assert_eq!(got, pause, "{beat:?} {awaited} {busy} {is_local}");
        }
    }

    #[test]
    fn a_hub_that_forgets_us_at_every_heartbeat_is_asked_less_often() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for (beat, is_asked, doublings) in [
            (Beat::Well, false, 0),
            // It was restarted.
            (Beat::Again, false, 0),
            (Beat::Again, false, 1),
            (Beat::Again, false, 2),
            (Beat::Again, false, 2),
            (Beat::Well, false, 0),
            (Beat::Again, false, 0),
            (Beat::Again, false, 1),
            (Beat::Again, true, 0),
        ] {
            if is_asked {
                pace.hurry(start);
            }
            let pause = pace.pause(beat, false, true, start);
            assert_eq!(pause, HEARTBEAT * (1 << doublings), "{beat:?} {is_asked}");
        }
        pace.pause(Beat::Again, false, true, start);
        pace.pause(Beat::Again, false, true, start);
        assert_eq!(pace.pause(Beat::Away, false, true, start), RETRY);
    }

    #[test]
    fn who_was_answered_waits_no_more() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.hurry(start);
        pace.pause(Beat::Well, false, true, start);
        assert_eq!(pace.pause(Beat::Away, false, true, start), RETRY);
    }

    #[test]
    fn the_end_of_work_is_told_once() {
        let mut pace = Pace::default();
        for (busy, is_taken, report) in [
            (false, true, None),
            (true, true, Some(true)),
            (true, true, Some(true)),
            // The hub was away.
            (false, false, Some(false)),
            (false, true, Some(false)),
            (false, true, None),
        ] {
            assert_eq!(pace.report(busy), report);
            if is_taken {
                pace.reported(report);
            }
        }
    }
}

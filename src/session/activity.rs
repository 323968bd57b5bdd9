//! Whether the agent works, told when it changes. Pure.
//!
//! The screen is looked at when output comes, at most every [`STILL`], and once
//! after it falls silent: while nothing is written, nothing is done. While the
//! agent starts a shorter silence is enough, as somebody waits for that.

use std::time::{Duration, Instant};

use super::handle::State;

/// After so much silence an agent is idle, as far as its output tells.
pub(super) const STILL: Duration = Duration::from_millis(1500);

/// The silence after which the screen of an agent that starts is looked at.
const EARLY: Duration = Duration::from_millis(100);

/// What is known of one life of the agent.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// It has been seen to do something else than start.
    has_started: bool,
    /// When the screen is to be looked at, if no output comes before.
    due: Option<Instant>,
    looked: Option<Instant>,
    /// A prompt was submitted then: the agent works, whatever it shows.
    submitted: Option<Instant>,
}

impl Activity {
    /// Output came. True if the screen is to be looked at.
    pub(super) fn output(&mut self, now: Instant) -> bool {
        self.due = Some(now + if self.has_started { STILL } else { EARLY });
        let look = self.looked.is_none_or(|looked| now >= looked + STILL);
        if look {
            self.looked = Some(now);
        }
        look
    }

    /// The agent has started.
    pub(super) fn started(&mut self) {
        self.has_started = true;
    }

    /// A prompt was submitted.
    pub(super) fn submitted(&mut self, now: Instant) {
        self.submitted = Some(now);
        self.due = Some(now + STILL);
    }

    /// The screen is to be looked at then, if not before.
    pub(super) fn look_at(&mut self, at: Instant) {
        self.due.get_or_insert(at);
    }

    /// When the silence has lasted.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.due
    }

    /// True, once, if it has: the screen is to be looked at.
    pub(super) fn is_silent(&mut self, now: Instant) -> bool {
        let silent = self.due.is_some_and(|due| now >= due);
        if silent {
            self.due = None;
            self.looked = None;
        }
        silent
    }

    /// Whether an agent works that was seen to do this.
    pub(super) fn works(&self, now: Instant, state: State) -> bool {
        let just = |submitted| now < submitted + STILL;
        state == State::Busy || self.submitted.is_some_and(just)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_at_now_and_then_and_once_after_the_last_output() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut activity = Activity::default();
        activity.started();
        assert_eq!(activity.wake(), None);
        for (ms, look) in [
            (0, true),
            (10, false),
            (1499, false),
            (1500, true),
            (1600, false),
        ] {
            assert_eq!(activity.output(at(ms)), look, "{ms}");
        }
        assert_eq!(activity.wake(), Some(at(3100)));
        assert!(!activity.is_silent(at(3099)));
        assert!(activity.is_silent(at(3100)));
        assert!(!activity.is_silent(at(9999)), "once");
        assert_eq!(activity.wake(), None);
        assert!(activity.output(at(3200)), "the first after a silence");
    }

    #[test]
    fn an_agent_that_starts_is_looked_at_after_a_short_silence() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut activity = Activity::default();
        assert!(activity.output(at(0)));
        assert!(!activity.output(at(50)), "a flood is not followed");
        assert!(!activity.is_silent(at(149)));
        assert!(activity.is_silent(at(150)));
        activity.output(at(300));
        activity.started();
        activity.output(at(500));
        assert_eq!(activity.wake(), Some(at(2000)));
    }

    #[test]
    fn an_agent_with_a_new_prompt_works() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut activity = Activity::default();
        assert!(!activity.works(at(0), State::Idle));
        assert!(activity.works(at(0), State::Busy));
        activity.submitted(at(0));
        assert!(activity.works(at(1499), State::Idle));
        assert_eq!(activity.wake(), Some(at(1500)));
        assert!(!activity.works(at(1500), State::Idle));
        assert!(!activity.works(at(1500), State::Blocked));
    }
}

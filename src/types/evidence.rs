//! What has been seen of a server in a session. Pure.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// The steps from a server that is wished for to one that is used, in order.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The session has it.
    #[default]
    Configured,
    /// A running agent was told of it.
    Delivered,
    /// The agent opened an MCP session with it.
    Initialized,
    /// The agent asked for its tools and got them.
    Listed,
    /// The agent called one of its tools and got an answer.
    Called,
}

/// The furthest step, when it was taken first, and how often what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    pub step: Step,
    pub at: SystemTime,
    pub initialized: u64,
    pub listed: u64,
    pub called: u64,
}

impl Evidence {
    #[must_use]
    pub fn new(at: SystemTime) -> Self {
        Self {
            step: Step::Configured,
            at,
            initialized: 0,
            listed: 0,
            called: 0,
        }
    }

    /// Notes that `step` was taken `at` that time.
    pub fn note(&mut self, step: Step, at: SystemTime) {
        if step > self.step {
            (self.step, self.at) = (step, at);
        }
        match step {
            Step::Configured | Step::Delivered => {}
            Step::Initialized => self.initialized += 1,
            Step::Listed => self.listed += 1,
            Step::Called => self.called += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_furthest_step_stays() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let mut evidence = Evidence::new(at(0));
        for (step, now, furthest, since) in [
            (Step::Delivered, 1, Step::Delivered, 1),
            (Step::Called, 2, Step::Called, 2),
            (Step::Initialized, 3, Step::Called, 2),
            (Step::Called, 4, Step::Called, 2),
            (Step::Listed, 5, Step::Called, 2),
        ] {
            evidence.note(step, at(now));
            assert_eq!((evidence.step, evidence.at), (furthest, at(since)));
        }
        let counts = (evidence.initialized, evidence.listed, evidence.called);
        assert_eq!(counts, (1, 1, 2));
    }
}

//! What a hub calls us that is not our name, and when to ask it again. Pure:
//! time comes in.
//!
//! agentchattr answers a heartbeat with the end of a chain of renames, which
//! it follows past names that others bear: the answer may be another
//! instance. It counts that instance as heard of, as well.

use std::time::{Duration, Instant};

use crate::types::identity::InstanceName;

/// How long an answer that was found wrong is not asked about again.
const SETTLED: Duration = Duration::from_secs(30);

/// How long heartbeats are left out that would keep another instance online:
/// longer than agentchattr's patience, so that a dead one is given up.
const MUTED: Duration = Duration::from_secs(25);

/// The wrong answer of the hub's heartbeats, if it gives one.
#[derive(Debug, Default)]
pub(super) struct Doubt(Option<Answer>);

#[derive(Debug)]
struct Answer {
    name: InstanceName,
    since: Instant,
    asked: Instant,
}

impl Doubt {
    /// A heartbeat was answered with `name`, which is not ours. True if the
    /// hub is to be asked whose name that is.
    pub(super) fn hear(&mut self, name: &InstanceName, now: Instant) -> bool {
        match &mut self.0 {
            Some(answer) if answer.name == *name => {
                let is_due = now.duration_since(answer.asked) >= SETTLED;
                if is_due {
                    answer.asked = now;
                }
                is_due
            }
            answer => {
                *answer = Some(Answer {
                    name: name.clone(),
                    since: now,
                    asked: now,
                });
                true
            }
        }
    }

    /// A heartbeat was answered with our name, or we took the other one.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Whom our next heartbeat would keep online besides us. None after a
    /// while: an instance that is still there then lives by itself.
    pub(super) fn muted_for(&self, now: Instant) -> Option<&InstanceName> {
        let answer = self.0.as_ref()?;
        (now.duration_since(answer.since) < MUTED).then_some(&answer.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_is_asked_about_once_and_again_after_a_while() {
        let (mut doubt, start) = (Doubt::default(), Instant::now());
        let (one, two) = (
            "claude-1".parse().expect("a name"),
            "claude-3".parse().expect("a name"),
        );
        assert_eq!(doubt.muted_for(start), None);
        assert!(doubt.hear(&one, start));
        assert!(!doubt.hear(&one, start + SETTLED / 2));
        assert_eq!(doubt.muted_for(start + MUTED / 2), Some(&one));
        assert!(doubt.hear(&one, start + SETTLED));
        assert_eq!(doubt.muted_for(start + MUTED), None);
        assert!(doubt.hear(&two, start + SETTLED));
        doubt.clear();
        assert!(doubt.hear(&two, start + SETTLED));
    }
}

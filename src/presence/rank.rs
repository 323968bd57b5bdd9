//! Who registers first when a hub has forgotten a whole family. Pure.
//!
//! agentchattr gives the lowest slot that is free, and two instances whose
//! names were exchanged cannot be exchanged back: they have to register in
//! the order of their slots, each after its elders. A name that the human has
//! given says nothing of a slot, and any slot will do: those go last, the
//! eldest first.

use crate::types::identity::{AgentName, InstanceName, slot};

/// A session's place in the order of its family; the lesser goes first. No
/// two sessions have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    slot: u32,
    started_at: String,
    id: String,
}

impl Rank {
    /// The place of the session `id` of this name, which began at
    /// `started_at` (RFC 3339, UTC, as all of them spell it).
    #[must_use]
    pub fn new(base: &AgentName, name: &str, started_at: &str, id: &str) -> Self {
        Self {
            slot: slot(base.as_str(), name).unwrap_or(u32::MAX),
            started_at: started_at.to_owned(),
            id: id.to_owned(),
        }
    }
}

/// The names that a newcomer called `name` would rather have, the best first:
/// of the slots below its own those that none of the living `held` means. A
/// hub gives a higher one while the name of who has just left is reserved.
pub(super) fn better(base: &AgentName, name: &InstanceName, held: &[String]) -> Vec<InstanceName> {
    let Some(own) = slot(base.as_str(), name.as_str()) else {
        return Vec::new();
    };
    let held: Vec<u32> = held
        .iter()
        .filter_map(|name| slot(base.as_str(), name))
        .collect();
    (1..own)
        .filter(|slot| !held.contains(slot))
        .filter_map(|slot| match slot {
            1 => base.as_str().parse().ok(),
            _ => format!("{base}-{slot}").parse().ok(),
        })
        .take(MOST_WISHES)
        .collect()
}

/// Slots that a newcomer asks for: more have hardly been left in half a minute.
const MOST_WISHES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> AgentName {
        "claude".parse().expect("a name")
    }

    #[test]
    fn a_family_has_one_order() {
        let in_order = [
            ("claude", "2026-01-09T00:00:00.000Z", "f"),
            ("claude-2", "2026-01-03T00:00:00.000Z", "e"),
            ("claude-10", "2026-01-01T00:00:00.000Z", "a"),
            ("bob", "2026-01-01T00:00:00.000Z", "b"),
            ("bob", "2026-01-01T00:00:00.000Z", "c"),
            ("adam", "2026-01-02T00:00:00.000Z", "a"),
        ];
        let ranks = in_order.map(|(name, started_at, id)| Rank::new(&base(), name, started_at, id));
        for pair in ranks.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
    }

    #[test]
    fn a_newcomer_wants_the_lowest_slot_of_nobody() {
        for (name, held, wishes) in [
            ("claude", &[][..], &[][..]),
            ("claude-2", &[], &["claude"]),
            ("claude-2", &["claude"], &[]),
            ("claude-2", &["claude-1", "codex"], &[]),
            ("claude-4", &["claude-2", "bob"], &["claude", "claude-3"]),
            ("bob", &[], &[]),
        ] {
            let held: Vec<String> = held.iter().map(|name| (*name).to_owned()).collect();
            let better = better(&base(), &name.parse().expect("a name"), &held);
            let better: Vec<&str> = better.iter().map(InstanceName::as_str).collect();
            assert_eq!(better, wishes, "{name} {held:?}");
        }
        let late = "claude-64".parse().expect("a name");
        assert_eq!(better(&base(), &late, &[]).len(), MOST_WISHES);
    }
}

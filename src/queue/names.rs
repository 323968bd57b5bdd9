//! Whose a spool is: a wrapper and the names that its instance has had. Pure.

use serde::{Deserialize, Serialize};

use crate::types::identity::{AgentName, InstanceName};

/// How many names are remembered.
const MOST: usize = 64;

/// What a wrapper says about itself in its spool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) base: AgentName,
    pub(super) name: InstanceName,
    /// When it got that name: microseconds of the Unix time.
    pub(super) since: u64,
    /// The names before, oldest first.
    former: Vec<InstanceName>,
}

impl Owner {
    pub(super) fn new(base: AgentName, name: InstanceName, since: u64) -> Self {
        let former = Vec::new();
        Self {
            base,
            name,
            since,
            former,
        }
    }

    /// Takes on another name.
    pub(super) fn rename(&mut self, name: InstanceName, since: u64) {
        self.former.retain(|old| *old != name && *old != self.name);
        let old = std::mem::replace(&mut self.name, name);
        self.since = since;
        self.former.push(old);
        let surplus = self.former.len().saturating_sub(MOST);
        self.former.drain(..surplus);
    }

    /// True if `other`, which is dead, leaves its mentions to us: it ran the
    /// same agent, and had the name that we have.
    pub(super) fn inherits(&self, other: &Self) -> bool {
        let is_ours = |name: &InstanceName| *name == self.name;
        self.base == other.base && (is_ours(&other.name) || other.former.iter().any(is_ours))
    }

    /// True if a name that somebody got at `since` has been ours from later
    /// on: names are reused, and who lost one hears of it last.
    pub(super) fn supersedes(&self, name: &InstanceName, since: u64) -> bool {
        self.name == *name && self.since > since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(base: &str, names: &[&str]) -> Owner {
        let name = |text: &str| text.parse().expect("a name");
        let base = base.parse().expect("an agent");
        let mut owner = Owner::new(base, name(names[0]), 1);
        for (next, since) in names[1..].iter().zip(2..) {
            owner.rename(name(next), since);
        }
        owner
    }

    #[test]
    fn a_name_finds_its_heir_among_agents_of_one_kind() {
        for (base, names, inherits) in [
            ("claude", &["claude"][..], true),
            ("claude", &["claude", "claude-1"], true),
            ("claude", &["claude-2"], false),
            ("codex", &["claude"], false),
        ] {
            let dead = owner(base, names);
            assert_eq!(owner("claude", &["claude"]).inherits(&dead), inherits);
            // What we were called once is nobody's inheritance.
            let renamed = owner("claude", &["claude", "claude-9"]);
            assert!(!renamed.inherits(&dead), "{names:?}");
        }
    }

    #[test]
    fn the_last_to_get_a_name_has_it() {
        let second = owner("claude", &["claude-2", "claude-1"]);
        let name = |text: &str| text.parse().expect("a name");
        assert!(second.supersedes(&name("claude-1"), 1));
        assert!(!second.supersedes(&name("claude-1"), 3));
        assert!(!second.supersedes(&name("claude-2"), 0));
    }

    #[test]
    fn names_are_remembered_once_and_not_without_end() {
        assert_eq!(owner("a", &["x", "y", "x", "y"]).former.len(), 1);
        let many: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let owner = owner("a", &many);
        assert_eq!(owner.former.len(), MOST);
        assert_eq!(owner.former[MOST - 1].as_str(), "n98");
    }
}

//! Whom a message wakes. Pure.

use crate::registry::Registry;
use crate::settings::Unaddressed;

/// Messages from agent to agent in one channel since a human spoke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hops {
    count: u32,
    pub(crate) paused: bool,
}

/// What follows from a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routed {
    /// Instances, and bases of which there is none.
    pub(crate) targets: Vec<String>,
    /// The loop guard stopped the channel with this message.
    pub(crate) stopped: bool,
}

pub(crate) fn route(
    sender: &str,
    text: &str,
    registry: &Registry,
    unaddressed: &Unaddressed,
    hops: &mut Hops,
    max_hops: u32,
) -> Routed {
    let everybody = || registry.live().iter().map(|one| one.name.clone());
    let mut targets = Vec::new();
    for name in mentions(text, registry) {
        match name.as_str() {
            "all" | "both" => targets.extend(everybody()),
            _ => targets.extend(resolve(&name, registry)),
        }
    }
    let mut routed = Routed::default();
    if registry.is_family(sender) {
        targets.retain(|target| target != sender);
        if !targets.is_empty() && !hops.paused {
            hops.count += 1;
            hops.paused = hops.count > max_hops;
            routed.stopped = hops.paused;
        }
        if hops.paused {
            targets.clear();
        }
    } else {
        *hops = Hops::default();
        if targets.is_empty() {
            match unaddressed {
                Unaddressed::Nobody => {}
                Unaddressed::Everybody => targets.extend(everybody()),
                Unaddressed::One(name) => targets.extend(resolve(name, registry)),
            }
        }
    }
    for target in targets {
        if !routed.targets.contains(&target) {
            routed.targets.push(target);
        }
    }
    routed
}

/// A base that nobody is called stands for all of its family.
pub(crate) fn resolve(name: &str, registry: &Registry) -> Vec<String> {
    let family: Vec<String> = registry
        .live()
        .iter()
        .filter(|one| one.base == name && !registry.is_registered(name))
        .map(|one| one.name.clone())
        .collect();
    if family.is_empty() {
        vec![name.to_owned()]
    } else {
        family
    }
}

/// The known names after each `@`, the longest that fits, in lower case.
fn mentions(text: &str, registry: &Registry) -> Vec<String> {
    let mut known: Vec<String> = registry
        .bases()
        .chain(registry.live().iter().map(|one| &one.name))
        .map(|name| name.to_lowercase())
        .chain(["all".into(), "both".into()])
        .collect();
    known.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let text = text.to_lowercase();
    let ends = |rest: &str| {
        let next = rest.chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.split('@')
        .skip(1)
        .filter_map(|word| {
            let fits = |name: &&String| word.strip_prefix(name.as_str()).is_some_and(ends);
            known.iter().find(fits).cloned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::settings::{Base, Rules};

    fn registry() -> Registry {
        let base = |name: &str| {
            let (label, color) = (name.to_owned(), String::new());
            (name.to_owned(), Base { label, color })
        };
        let rules = Rules {
            bases: ["claude", "codex"].map(base).into(),
            unaddressed: Unaddressed::Nobody,
            max_hops: 4,
            grace: 30.0,
            crash_timeout: 15.0,
            keeps_registry: false,
            keeps_renames: false,
        };
        let mut registry = Registry::new(&rules, Vec::new());
        for token in ["1", "2"] {
            registry.register("claude", &Value::Null, token.into(), String::new(), 0.0);
        }
        registry
    }

    #[test]
    fn mentions_wake_whom_they_name() {
        let all = &["claude-1", "claude-2"][..];
        for (text, woken) in [
            ("hello", &[][..]),
            ("@claude hi", all),
            ("@CLAUDE-2.", &["claude-2"]),
            ("@claude-22 @claudette @claude_", &[]),
            ("@claude-2 @claude-1 @claude-2", &["claude-2", "claude-1"]),
            ("bob@claude.ai", all),
            ("@all", all),
            ("@codex", &["codex"]),
        ] {
            let mut hops = Hops::default();
            let routed = route(
                "user",
                text,
                &registry(),
                &Unaddressed::Nobody,
                &mut hops,
                4,
            );
            assert_eq!(routed.targets, woken, "{text}");
        }
    }

    #[test]
    fn agents_among_themselves_are_stopped_until_a_human_speaks() {
        let (registry, mut hops) = (registry(), Hops::default());
        let mut say = |sender: &str| {
            let text = "@claude go on";
            route(sender, text, &registry, &Unaddressed::Nobody, &mut hops, 2)
        };
        let woken = |names: &[&str], stopped| Routed {
            targets: names.iter().map(|name| (*name).to_owned()).collect(),
            stopped,
        };
        assert_eq!(say("claude-1"), woken(&["claude-2"], false));
        assert_eq!(say("claude-2"), woken(&["claude-1"], false));
        assert_eq!(say("claude-1"), woken(&[], true));
        assert_eq!(say("claude-1"), woken(&[], false));
        assert_eq!(say("user"), woken(&["claude-1", "claude-2"], false));
        assert_eq!(say("claude-1"), woken(&["claude-2"], false));
    }
}

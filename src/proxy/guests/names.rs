//! The names under which the tools of guests stand beside the hub's:
//! `server__tool`. Pure.
//!
//! *Invariant*: a name is of one tool of one server as long as it is known,
//! and no server gets a name that does not begin with its own.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::types::identity::ServerName;

/// The longest that models take, with what agents put in front of it.
const LONGEST: usize = 64;
/// How claude, codex and qwen spell a tool of the hub: `mcp__<hub>__tool`.
const AROUND: usize = 7;
/// What is left of a name at least, however long the hub's is.
const LEAST: usize = 32;
/// Hex digits that tell apart what would look alike.
const MARK: usize = 8;
/// The most names that are kept.
const MOST: usize = 4096;

/// A tool of a guest, by its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) struct Tool {
    pub(in crate::proxy) server: ServerName,
    pub(in crate::proxy) name: String,
}

/// What the agent was told, and what it means.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Tool>);

impl Names {
    /// The name of a tool on the entry of `hub`.
    pub(super) fn give(&mut self, hub: &ServerName, server: &ServerName, tool: &str) -> String {
        let longest = LONGEST.saturating_sub(AROUND + hub.as_str().len());
        let mut twist = 0;
        loop {
            let name = spell(server.as_str(), tool, longest.max(LEAST), twist);
            match self.0.get(&name) {
                Some(known) if (&known.server, known.name.as_str()) != (server, tool) => twist += 1,
                Some(_) => return name,
                None => {
                    let (server, name_there) = (server.clone(), tool.to_owned());
                    let tool = Tool {
                        server,
                        name: name_there,
                    };
                    self.0.insert(name.clone(), tool);
                    return name;
                }
            }
        }
    }

    /// The tool that a name means. One that was never given may come from an
    /// earlier conversation: it means what it says, if `is_guest` knows the
    /// server.
    pub(super) fn find(&self, name: &str, is_guest: impl Fn(&ServerName) -> bool) -> Option<Tool> {
        if let Some(known) = self.0.get(name) {
            return Some(known.clone());
        }
        let (server, tool) = name.split_once("__")?;
        let server: ServerName = server.parse().ok()?;
        let name = tool.to_owned();
        is_guest(&server).then_some(Tool { server, name })
    }

    /// Keeps the table small: servers that are not `there` any more go first.
    pub(super) fn tidy(&mut self, there: impl Fn(&ServerName) -> bool) {
        if self.0.len() >= MOST {
            self.0.retain(|_, tool| there(&tool.server));
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A name for a tool. It is plain if it says at its first `__` where the
/// server ends and holds nothing that models do not take; else it ends with a
/// mark of the two.
fn spell(server: &str, tool: &str, longest: usize, twist: u32) -> String {
    let takes = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let is_clear = !server.contains("__") && !server.ends_with('_');
    let is_plain = server.chars().all(takes) && tool.chars().all(takes) && !tool.is_empty();
    let plain = format!("{server}__{tool}");
    if is_clear && is_plain && plain.len() <= longest && twist == 0 {
        return plain;
    }
    let clean = |c: char| if takes(c) { c } else { '_' };
    let start: String = plain.chars().map(clean).take(longest - MARK - 1).collect();
    let digest = Sha256::new()
        .chain_update(twist.to_be_bytes())
        .chain_update(server)
        .chain_update([0])
        .chain_update(tool)
        .finalize();
    let mark = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    format!("{start}_{mark:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    #[test]
    fn plain_names_are_plain_and_others_are_marked() {
        for (server, tool, plain) in [
            ("docs", "search", Some("docs__search")),
            ("docs", "_private__x", Some("docs___private__x")),
            ("my-docs", "a", Some("my-docs__a")),
            ("my docs", "search", None),
            ("a__b", "c", None),
            ("docs_", "a", None),
            ("docs", "a.b", None),
            ("docs", "é", None),
            ("docs", "", None),
            ("docs", &"x".repeat(41), None),
        ] {
            let mut names = Names::default();
            let given = names.give(&name("agentchattr"), &name(server), tool);
            let takes = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            assert!(given.len() <= 46 && given.bytes().all(takes), "{given}");
            assert_eq!(Some(given.as_str()) == plain, plain.is_some(), "{given}");
            assert_eq!(given, names.give(&name("agentchattr"), &name(server), tool));
            assert_eq!(names.0.len(), 1);
            let found = names.find(&given, |_| false).expect("known");
            assert_eq!((found.server.as_str(), found.name.as_str()), (server, tool));
        }
    }

    #[test]
    fn a_name_of_an_earlier_conversation_means_what_it_says() {
        let names = Names::default();
        let is_guest = |server: &ServerName| server.as_str() == "docs";
        for (text, tool) in [
            ("docs__search", Some("search")),
            ("docs__a__b", Some("a__b")),
            ("other__search", None),
            ("docs_search", None),
            ("chat_send", None),
            ("__search", None),
        ] {
            let found = names.find(text, is_guest);
            assert_eq!(found.map(|found| found.name).as_deref(), tool, "{text}");
        }
    }

    #[test]
    fn no_two_tools_share_a_name() {
        let parts = [
            "a",
            "_",
            "__",
            "b",
            ".",
            "é",
            "_a1b2c3d4",
            "-",
            "aaaaaaaaaaaaaaaa",
        ];
        let hub = name("hub");
        let mut dice = Dice::new(3);
        let mut names = Names::default();
        let mut given: BTreeMap<(String, String), String> = BTreeMap::new();
        for _ in 0..5000 {
            let mut text = |most| -> String {
                (0..=dice.below(most))
                    .map(|_| parts[dice.below(parts.len())])
                    .collect()
            };
            let (server, tool) = (format!("s{}", text(3)), text(5));
            let name = names.give(&hub, &name(&server), &tool);
            let before = given.insert((server, tool), name.clone());
            assert!(before.is_none_or(|before| before == name), "{name}");
        }
        let all: std::collections::BTreeSet<&String> = given.values().collect();
        assert_eq!(all.len(), given.len());
        for ((server, tool), given) in &given {
            let found = names.find(given, |_| false).expect("known");
            assert_eq!(
                (found.server.as_str(), &found.name),
                (server.as_str(), tool)
            );
        }
    }

    #[test]
    fn what_looks_like_another_name_gets_its_own() {
        let (hub, long) = (name("hub"), "x".repeat(80));
        let mut names = Names::default();
        let marked = names.give(&hub, &name("a"), &long);
        let mut other = Names::default();
        let forged = marked.strip_prefix("a__").expect("of `a`");
        assert_eq!(other.give(&hub, &name("a"), forged), marked);
        let second = other.give(&hub, &name("a"), &long);
        assert_ne!(second, marked);
        assert_eq!(other.find(&second, |_| false).expect("known").name, long);
    }

    #[test]
    fn the_table_stays_small() {
        let (hub, mut names) = (name("hub"), Names::default());
        for i in 0..MOST {
            names.tidy(|_| true);
            names.give(&hub, &name(["a", "b"][i % 2]), &i.to_string());
        }
        names.tidy(|server| server.as_str() == "b");
        assert_eq!(names.0.len(), MOST / 2);
        for i in 0..MOST {
            names.give(&hub, &name("b"), &i.to_string());
        }
        names.tidy(|_| true);
        assert!(names.is_empty());
    }
}

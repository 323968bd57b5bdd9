//! The rules by which one agent's screens are judged, as TOML. Pure.

use std::path::Path;

use serde::Deserialize;

use super::View;
use super::input::{Filling, InputLine, Signs};
use super::region::Cut;
use super::rule::Rule;
use super::verdict::{Held, Verdict};
use crate::session::habits::Habits;

/// The rules for every agent, and the marks of an agent without one.
const EVERYONE: &str = include_str!("../manifests/everyone.toml");

/// The agents that have a manifest here, by their commands.
const AGENTS: [(&str, &str); 9] = [
    ("claude", include_str!("../manifests/claude.toml")),
    ("codex", include_str!("../manifests/codex.toml")),
    ("gemini", include_str!("../manifests/gemini.toml")),
    ("qwen", include_str!("../manifests/qwen.toml")),
    ("copilot", include_str!("../manifests/copilot.toml")),
    ("opencode", include_str!("../manifests/opencode.toml")),
    ("kilo", include_str!("../manifests/kilo.toml")),
    ("pi", include_str!("../manifests/pi.toml")),
    ("cline", include_str!("../manifests/cline.toml")),
];

/// The rules by which one agent's screens are judged.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    signs: Signs,
    /// The first that holds decides.
    rules: Vec<Rule>,
    queues: bool,
    stash: Option<Key>,
    habits: Habits,
    is_own: bool,
}

/// A manifest as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelled {
    #[serde(default)]
    input: Signs,
    /// The agent keeps what is typed while it works, and takes it afterwards.
    #[serde(default)]
    queues: bool,
    /// The key that puts a draft aside, which the agent gives back by itself
    /// after the next prompt.
    stash: Option<Key>,
    /// How the agent takes a text that is pasted.
    #[serde(default)]
    paste: Habits,
    #[serde(default)]
    rule: Vec<Rule>,
}

/// A key with Control.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Key([u8; 1]);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("ctrl-").map(str::as_bytes) {
            Some([letter @ b'a'..=b'z']) => Ok(Self([letter & 0x1f])),
            _ => Err(format!("`{text}` is no key like `ctrl-s`")),
        }
    }
}

impl Manifest {
    /// The built-in manifest of a command, by the stem of its file name, with
    /// the rules for every agent.
    #[must_use]
    pub fn of(command: &str) -> Self {
        let stem = Path::new(command).file_stem();
        let own = AGENTS.iter().find(|(name, _)| stem == Some(name.as_ref()));
        let built_in =
            |text| Self::parse(text).expect("manifests are part of the program, and tested");
        own.map_or_else(Self::everyone, |(_, text)| built_in(text))
    }

    /// Reads an agent's own manifest, and adds the rules for every agent but
    /// those of which it has its own, by name.
    ///
    /// # Errors
    /// If it is no manifest; says where and why.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let own: Spelled = toml::from_str(text)?;
        let mut all = Self::everyone();
        let is_replaced = |rule: &Rule| own.rule.iter().any(|own| own.name == rule.name);
        all.rules.retain(|rule| !is_replaced(rule));
        all.rules.splice(0..0, own.rule);
        // Of the same priority the own ones come first.
        all.rules
            .sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        Ok(Self {
            signs: own.input,
            rules: all.rules,
            queues: own.queues,
            stash: own.stash,
            habits: own.paste,
            is_own: true,
        })
    }

    /// Judges a screen.
    #[must_use]
    pub fn judge(&self, view: &View) -> Verdict {
        let input = self.signs.find(view);
        let cut = Cut::new(view, input.as_ref());
        let held = self.rules.iter().filter_map(|rule| {
            Some(Held {
                rows: rule.holds(&cut, input.as_ref())?,
                state: rule.state,
                rule: rule.name.clone(),
                priority: rule.priority,
                region: rule.region(),
            })
        });
        let is_blank = view.rows.iter().all(String::is_empty);
        Verdict::new(held.collect(), self.is_own, self.queues, is_blank)
    }

    /// The input line up to the row of the cursor; None where none is seen. An
    /// echo is here, not in the history above.
    #[must_use]
    pub fn line(&self, view: &View) -> Option<InputLine> {
        let input = self.signs.find(view)?;
        Some(InputLine {
            text: input.text(view),
            is_filled: input.filling == Filling::Filled,
        })
    }

    /// How the agent takes a text that is pasted.
    #[must_use]
    pub fn habits(&self) -> &Habits {
        &self.habits
    }

    /// The key that puts a draft aside, for an agent that gives it back by
    /// itself after the next prompt.
    #[must_use]
    pub fn stash(&self) -> Option<&[u8]> {
        Some(&self.stash.as_ref()?.0)
    }

    fn everyone() -> Self {
        let spelled: Spelled =
            toml::from_str(EVERYONE).expect("manifests are part of the program, and tested");
        let mut rules = spelled.rule;
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
        Self {
            signs: spelled.input,
            rules,
            queues: spelled.queues,
            stash: spelled.stash,
            habits: spelled.paste,
            is_own: false,
        }
    }
}

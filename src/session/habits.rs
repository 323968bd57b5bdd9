//! How an agent takes a text that is pasted into its input line. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::types::text::{as_written, one_line};

/// What a manifest says of it, under `[paste]`. By default nothing is known: a
/// text goes in as one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Habits {
    /// Line ends and tabs in a paste stay what they are.
    lines: bool,
    /// First characters that switch to another mode, and what prevents that.
    first: BTreeMap<char, Guard>,
    /// A last word with one of these opens a list of completions, whose entry
    /// Enter would take. A blank behind the word closes the list.
    completes: String,
}

/// What keeps a first character from switching the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Guard {
    /// A blank before it.
    Blank,
    /// Nothing that is known: such a text is refused.
    Refuse,
}

/// A text as it is pasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) text: String,
    /// Its line ends and tabs became blanks.
    pub(super) joined: bool,
}

impl Habits {
    /// The text as it is to be pasted.
    ///
    /// # Errors
    /// The first character, if the agent would not read the text as a prompt.
    pub(super) fn write(&self, text: &str) -> Result<Written, char> {
        let text = as_written(text);
        let joined = !self.lines && text.contains(['\n', '\t']);
        let mut text = if joined {
            one_line(&text, usize::MAX)
        } else {
            text
        };
        match self.guard(&text) {
            Some((first, Guard::Refuse)) => return Err(first),
            Some((first, Guard::Blank)) if text.starts_with(first) => text.insert(0, ' '),
            Some(_) | None => {}
        }
        let last = text.rsplit(char::is_whitespace).next();
        if last.is_some_and(|word| word.contains(|c| self.completes.contains(c))) {
            text.push(' ');
        }
        Ok(Written { text, joined })
    }

    /// What a text begins with, if that switches the mode. A path is no command.
    fn guard(&self, text: &str) -> Option<(char, Guard)> {
        let first = text.split_whitespace().next()?;
        let c = first.chars().next()?;
        let is_path = c == '/' && first.matches('/').count() > 1;
        let guard = self.first.get(&c).filter(|_| !is_path)?;
        Some((c, *guard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn habits(text: &str) -> Habits {
        toml::from_str(text).expect("habits")
    }

    #[test]
    fn a_text_is_pasted_as_the_agent_takes_it_or_refused() {
        let known = habits(
            r#"
            lines = true
            first = { "!" = "blank", "/" = "refuse" }
            completes = "@$"
            "#,
        );
        for (text, written) in [
            ("a\tb\r\n  c", Ok("a\tb\n  c")),
            ("!echo hi", Ok(" !echo hi")),
            (" !echo hi", Ok(" !echo hi")),
            ("wow!", Ok("wow!")),
            ("/help me", Err('/')),
            ("\n /help", Err('/')),
            ("/usr/bin/x is gone", Ok("/usr/bin/x is gone")),
            ("explain @README.md", Ok("explain @README.md ")),
            ("explain\n(@README.md)", Ok("explain\n(@README.md) ")),
            ("explain @README.md now", Ok("explain @README.md now")),
        ] {
            let got = known.write(text).map(|written| written.text);
            assert_eq!(got.as_deref(), written.as_ref().copied(), "{text:?}");
        }
        let unknown = Habits::default();
        let joined = |text| unknown.write(text).map(|one| (one.text, one.joined));
        assert_eq!(joined("a\n\tb  c"), Ok(("a b c".into(), true)));
        assert_eq!(joined("!a  b @c\n"), Ok(("!a  b @c".into(), false)));
    }
}

//! What is looked for in a row of a screen. Pure.
//!
//! Capitals count as small letters. `^` at the start: the row begins with it;
//! `$` at the end: it ends with it. `*`: anything may stand there, or nothing.
//! `\*`, `\^` and `\$` are the characters.

use std::iter::Peekable;
use std::str::Chars;

use serde::Deserialize;

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    at_start: bool,
    at_end: bool,
    /// They stand in the row in this order.
    parts: Vec<String>,
}

impl Pattern {
    /// True if `row`, in small letters, has it.
    pub(super) fn is_in(&self, row: &str) -> bool {
        let mut rest = row;
        let last = self.parts.len() - 1;
        for (at, part) in self.parts.iter().enumerate() {
            let part = part.as_str();
            let found = match (at == 0 && self.at_start, at == last && self.at_end) {
                (true, true) => (rest == part).then_some(0),
                (true, false) => rest.starts_with(part).then_some(0),
                (false, true) => rest.strip_suffix(part).map(str::len),
                (false, false) => rest.find(part),
            };
            match found {
                Some(found) => rest = &rest[found + part.len()..],
                None => return false,
            }
        }
        true
    }
}

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut chars = text.chars().peekable();
        let at_start = chars.next_if_eq(&'^').is_some();
        let (parts, at_end) = parts(&mut chars);
        if parts.iter().all(String::is_empty) {
            return Err("a pattern that everything has");
        }
        Ok(Self {
            at_start,
            at_end,
            parts,
        })
    }
}

/// What stands between the gaps, and whether the row ends with it.
fn parts(chars: &mut Peekable<Chars>) -> (Vec<String>, bool) {
    let mut parts = vec![String::new()];
    while let Some(c) = chars.next() {
        let c = match c {
            '*' => {
                parts.push(String::new());
                continue;
            }
            '$' if chars.peek().is_none() => return (parts, true),
            '\\' => chars.next_if(|c| matches!(c, '*' | '^' | '$')).unwrap_or(c),
            c => c,
        };
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
    }
    (parts, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_text_with_a_start_and_gaps() {
        for (pattern, row, is_in) in [
            ("esc to cancel", "press esc to cancel it", true),
            ("Esc To Cancel", "esc to cancel", true),
            ("^esc", "press esc", false),
            ("^esc", "esc", true),
            ("^✻ *…", "✻ thinking… (3s)", true),
            ("^✻ *…", "✻ cooked for 9s", false),
            ("^✻ *…", "● ✻ thinking…", false),
            ("a*b*c", "xaxbxc", true),
            ("a*b*c", "acb", false),
            ("aa*a", "aa", false),
            (r"^\* *…", "* thinking…", true),
            (r"^\* *…", "thinking…", false),
            (r"\^c", "press ^c", true),
            (r"a\b", r"a\b", true),
            ("^*x", "a x", true),
            ("  esc$", "select  esc", true),
            ("  esc$", "select  esc back", false),
            ("^esc$", "esc", true),
            ("^esc$", "esc esc", false),
            ("a*c$", "abcd, abc", true),
            (r"5\$", "5$ or more", true),
            ("$5", "$5", true),
        ] {
            let parsed = Pattern::try_from(pattern.to_owned()).expect("a pattern");
            assert_eq!(parsed.is_in(row), is_in, "`{pattern}` in `{row}`");
        }
        for nothing in ["", "^", "*", "^**", "^$", "*$"] {
            assert!(Pattern::try_from(nothing.to_owned()).is_err(), "{nothing}");
        }
    }
}

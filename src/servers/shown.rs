//! A server as the question of trust shows it. Pure.

use std::fmt;

use serde_json::{Map, Value};

use super::spelling::keys::URLS;
use crate::types::identity::ServerName;
use crate::types::text::is_control;

/// What would run or be spoken to, as the file has it: variables stand, values
/// of the environment and of headers do not, and nothing in it acts on a
/// terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    /// A command line or a URL.
    pub what: String,
    /// The directory it runs in, if the file says.
    pub cwd: Option<String>,
    /// Names of variables and headers that are set.
    pub sets: Vec<String>,
}

impl Shown {
    pub(super) fn of(name: &ServerName, entry: &Value) -> Self {
        let texts = |key: &str| match entry.get(key) {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => vec![text.as_str()],
            _ => Vec::new(),
        };
        let words = [texts("command"), texts("args")].concat();
        let what = if entry.get("command").is_some() {
            shell_words::join(words)
        } else {
            let urls = URLS.iter().flat_map(|key| texts(key));
            urls.collect::<Vec<_>>().join(" ")
        };
        let names = |key: &&str| entry.get(*key).and_then(Value::as_object).map(Map::keys);
        Self {
            name: clean(name.as_str()),
            what: clean(&what),
            cwd: entry.get("cwd").and_then(Value::as_str).map(clean),
            sets: ["env", "environment", "headers", "http_headers"]
                .iter()
                .filter_map(names)
                .flatten()
                .map(|name| clean(name))
                .collect(),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)?;
        if let Some(cwd) = &self.cwd {
            write!(f, "  in {cwd}")?;
        }
        if !self.sets.is_empty() {
            write!(f, "  with {}", self.sets.join(", "))?;
        }
        Ok(())
    }
}

/// The text without what acts on a terminal; a line end becomes a blank.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c == '\n' { ' ' } else { c })
        .filter(|c| !is_control(*c))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_value_and_fools_no_terminal() {
        let shown = |entry: &str| {
            let name = "a\u{202e}b".parse().expect("a name");
            let entry = serde_json::from_str(entry).expect("JSON");
            Shown::of(&name, &entry).to_string()
        };
        for (entry, wanted) in [
            (
                r#"{"command": "npx", "args": ["-y", "a b", "${X}"], "env": {"K": "v"}}"#,
                "ab: npx -y 'a b' '${X}'  with K",
            ),
            (
                r#"{"command": ["sh", "-c", "a\nrm\r\u001b[2K x\u202e"], "cwd": "/\u001btmp"}"#,
                "ab: sh -c 'a rm[2K x'  in /tmp",
            ),
            (
                r#"{"url": "https://${H}/", "headers": {"X-\u001bA": "v"}}"#,
                "ab: https://${H}/  with X-A",
            ),
            (r#"{"command": 7}"#, "ab: "),
            ("[]", "ab: "),
        ] {
            assert_eq!(shown(entry), wanted, "{entry}");
        }
    }
}

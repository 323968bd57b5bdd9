//! A server as the question of trust shows it. Pure.

use std::fmt;

use serde_json::Value;

use super::spelling::keys::URLS;
use crate::types::identity::ServerName;
use crate::types::secret;
use crate::types::text::{is_control, one_line};

/// Characters of a variable's value that are shown.
const LONGEST: usize = 80;

/// What would run or be spoken to, as the file has it: variables stand, what may
/// be a credential does not, and nothing in it acts on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    /// A command line or a URL.
    pub what: String,
    /// The directory it runs in, if the file says.
    pub cwd: Option<String>,
    /// Variables that are set, which can change what a command does, and the
    /// names of headers.
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
        let members = |keys: &'static [&str]| {
            let objects = keys.iter().filter_map(|key| entry.get(*key)?.as_object());
            objects.flatten()
        };
        let variables = members(&["env", "environment"]).map(|(name, value)| {
            let value = value.as_str().unwrap_or_default();
            let value = if secret::is_likely(name, value) {
                "****".into()
            } else {
                one_line(value, LONGEST)
            };
            format!("{}={value}", clean(name))
        });
        let headers = members(&["headers", "http_headers"]).map(|(name, _)| clean(name));
        Self {
            name: clean(name.as_str()),
            what: clean(&what),
            cwd: entry.get("cwd").and_then(Value::as_str).map(clean),
            sets: variables.chain(headers).collect(),
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
    fn what_is_shown_has_no_credential_and_fools_no_terminal() {
        let shown = |entry: &str| {
            let name = "a\u{202e}b".parse().expect("a name");
            let entry = serde_json::from_str(entry).expect("JSON");
            Shown::of(&name, &entry).to_string()
        };
        for (entry, wanted) in [
            (
                r#"{"command": "npx", "args": ["-y", "a b", "${X}"], "env": {"K_KEY": "v", "NODE_OPTIONS": "--require\u001b ./x"}}"#,
                "ab: npx -y 'a b' '${X}'  with K_KEY=****, NODE_OPTIONS=--require ./x",
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

//! One server entry, in whatever agent's spelling, becomes one type. Pure.
//!
//! *Invariant*: no error repeats a value, which may be a credential; it names
//! the key.

mod auth;
mod form;
pub(super) mod keys;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use self::form::{Form, form, style, url_key};
use self::keys::{KNOWN, LEFT_OUT, OTHERS, REFUSED, URLS};
use crate::paths::{self, Env};
use crate::types::agent::Transport;
use crate::types::identity::Token;
use crate::types::secret;
use crate::types::server::{Command, Headers, Kind, Remote};
use crate::types::source::{is_header_name, is_header_value, is_variable};
use crate::types::text::one_line;
use crate::types::variables::{self, Style, Unset, Variables};

/// What is wrong with an entry, and under which of its keys: `env.KEY`,
/// `args[1]`, or nothing for the entry itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub key: String,
    pub what: Wrong,
}

impl Mistake {
    /// A key comes from outside, and is made fit for a terminal.
    fn new(key: &str, what: Wrong) -> Self {
        let key = one_line(key, LONG);
        Self { key, what }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The caller's environment lacks it, not the entry.
    #[error(transparent)]
    Unset(#[from] Unset),
    /// The agent whose spelling it is understands it, and no other could be told.
    #[error("{0}")]
    Native(&'static str),
    #[error("{0}")]
    Entry(String),
}

/// An entry that is understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Keys that nobody here has heard of: they are left out.
    pub unknown: Vec<String>,
}

/// What an entry is read with.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// What its variables are replaced from.
    pub env: &'a Env,
    /// Where its relative `cwd` starts.
    pub dir: &'a Path,
    pub by: Author,
}

/// Who wrote an entry: what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// A project, whose word for `auth` would run a command that nobody was
    /// shown.
    Project,
    /// The user, for the launch of an agent. `auth` and `hosted` count.
    Launch,
    /// The user, for an agent that runs: a command is run by us unless the
    /// entry says `hosted = false`.
    Live,
}

/// Characters of a key that are shown.
const LONG: usize = 120;

/// True if an agent that reads the entry by itself, in claude's spelling, would
/// take it for another: it has variables or keys of other agents.
#[must_use]
pub fn is_unusual(entry: &Value) -> bool {
    let Value::Object(map) = entry else {
        return false;
    };
    let is_other = |key: &String| OTHERS.contains(&key.as_str());
    let kind = map.get("type").and_then(Value::as_str);
    let is_typed = if map.contains_key("url") {
        matches!(kind, Some("http" | "sse" | "streamable-http"))
    } else {
        matches!(kind, None | Some("stdio"))
    };
    !is_typed
        || map.get("command").is_some_and(Value::is_array)
        || map.keys().any(is_other)
        || has_unusual(entry, style(map))
}

/// True if a text of the entry has a variable that claude does not know.
#[must_use]
pub fn has_unusual_variable(entry: &Value) -> bool {
    let style = entry.as_object().map_or(Style::Shell, style);
    has_unusual(entry, style)
}

fn has_unusual(value: &Value, of_command: Style) -> bool {
    match value {
        Value::String(text) => variables::has_unusual(text, of_command),
        Value::Array(items) => items.iter().any(|item| has_unusual(item, of_command)),
        Value::Object(members) => members.iter().any(|(key, value)| {
            let is_sent = URLS.contains(&key.as_str()) || key == "headers";
            let style = if is_sent { Style::Opencode } else { of_command };
            has_unusual(value, style)
        }),
        _ => false,
    }
}

/// The first variable of an entry that has no value, wherever it stands.
#[must_use]
pub fn unset(value: &Value, env: &Env) -> Option<Unset> {
    match value {
        Value::String(text) => Variables { env, root: None }
            .replace(text, Style::Shell)
            .err(),
        Value::Array(items) => items.iter().find_map(|item| unset(item, env)),
        Value::Object(members) => members.values().find_map(|value| unset(value, env)),
        _ => None,
    }
}

/// Reads an entry; none if it is switched off.
///
/// # Errors
/// What has no place where it stands, what could not be handed on, and a
/// variable that is not set.
pub fn parse(entry: &Value, around: Around<'_>) -> Result<Option<Entry>, Mistake> {
    let Value::Object(map) = entry else {
        return Err(wrong("", format!("expected an object, not {}", a(entry))));
    };
    // `null` is a key that is not there.
    let absent = map.values().any(Value::is_null);
    let present = absent.then(|| {
        let set = map.iter().filter(|(_, value)| !value.is_null());
        set.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    });
    let map: &Map<String, Value> = present.as_ref().unwrap_or(map);
    let off = flag(map, "enabled")? == Some(false) || flag(map, "disabled")? == Some(true);
    if off {
        return Ok(None);
    }
    let is_project = around.by == Author::Project;
    let refused = |key: &&&str| {
        !matches!(map.get(**key), None | Some(Value::Bool(false)))
            && (is_project || **key != "auth")
    };
    if let Some(key) = REFUSED.iter().find(refused) {
        let what = Wrong::Native("it cannot be handed on to the agent");
        return Err(Mistake::new(key, what));
    }
    let reader = Reader {
        map,
        around,
        style: style(map),
    };
    let kind = match (form(map)?, url_key(map)?) {
        (Form::Command, None) if map.get("auth").is_some_and(Value::is_object) => {
            return Err(wrong("auth", "a command has none"));
        }
        (Form::Command, None) => Kind::Command(reader.command()?),
        (Form::Command, Some(key)) => return Err(wrong(key, "a command has no URL")),
        (Form::Remote(_), _) if map.contains_key("command") => {
            return Err(wrong("command", "a remote server has none"));
        }
        (Form::Remote(_), _) if !is_project && map.contains_key("hosted") => {
            return Err(wrong("hosted", "a remote server runs elsewhere"));
        }
        (Form::Remote(transport), Some(key)) => Kind::Remote(reader.remote(key, transport)?),
        (Form::Remote(_), None) => return Err(wrong("url", "it is missing")),
    };
    let known = |key: &str| {
        [KNOWN, URLS, LEFT_OUT, REFUSED]
            .iter()
            .any(|keys| keys.contains(&key))
            || key == "hosted" && !is_project
    };
    let unknown = map.keys().filter(|key| !known(key));
    let unknown = unknown.map(|key| one_line(key, LONG)).collect();
    Ok(Some(Entry { kind, unknown }))
}

struct Reader<'a> {
    map: &'a Map<String, Value>,
    around: Around<'a>,
    style: Style,
}

impl Reader<'_> {
    fn variables(&self) -> Variables<'_> {
        Variables {
            env: self.around.env,
            root: None,
        }
    }

    fn remote(&self, key: &str, transport: Transport) -> Result<Remote, Mistake> {
        let url = self.sent(key, &self.map[key])?;
        let endpoint = url
            .parse()
            .map_err(|error| wrong(key, format!("{error}")))?;
        let headers = self.headers()?;
        Ok(Remote {
            endpoint,
            transport,
            auth: match self.around.by {
                Author::Project => None,
                Author::Launch | Author::Live => self.auth(&headers)?,
            },
            headers,
        })
    }

    fn headers(&self) -> Result<Headers, Mistake> {
        let mut headers = Headers::new();
        for key in ["headers", "http_headers"] {
            for (name, value) in self.object(key)? {
                let at = format!("{key}.{name}");
                headers.push((name.clone(), Token::new(self.sent(&at, value)?)));
            }
        }
        // codex names variables in place of values.
        for (name, value) in self.object("env_http_headers")? {
            let value = self.variable(&format!("env_http_headers.{name}"), value)?;
            headers.push((name.clone(), Token::new(value)));
        }
        let key = "bearer_token_env_var";
        if let Some(value) = self.map.get(key) {
            let value = format!("Bearer {}", self.variable(key, value)?);
            headers.push(("Authorization".to_owned(), Token::new(value)));
        }
        for (name, value) in &headers {
            if !is_header_name(name) {
                let name = secret::name_of(name);
                return Err(wrong("headers", format!("{name:?} is no header's name")));
            }
            if !is_header_value(value.expose()) {
                let what = "the value has a control character";
                return Err(wrong(&format!("headers.{name}"), what));
            }
        }
        Ok(headers)
    }

    fn command(&self) -> Result<Command, Mistake> {
        let mut words = match self.map.get("command") {
            None => return Err(wrong("command", "it is missing")),
            Some(Value::Array(words)) => self.texts("command", words)?,
            Some(word) => vec![self.text("command", word)?],
        };
        match self.map.get("args") {
            None => {}
            Some(Value::Array(args)) => words.extend(self.texts("args", args)?),
            Some(other) => {
                let what = format!("expected an array of strings, not {}", a(other));
                return Err(wrong("args", what));
            }
        }
        let is_private = words.iter().any(|(_, replaced)| *replaced);
        let mut words = words.into_iter().map(|(word, _)| word);
        let program = words.next().filter(|word| !word.trim().is_empty());
        Ok(Command {
            program: program.ok_or_else(|| wrong("command", "it is empty"))?,
            args: words.collect(),
            env: self.env()?,
            cwd: match self.map.get("cwd") {
                None => None,
                Some(cwd) => {
                    let (cwd, _) = self.text("cwd", cwd)?;
                    let cwd = paths::expand(self.around.env, &cwd);
                    Some(self.around.dir.join(cwd))
                }
            },
            is_private,
            is_hosted: match self.around.by {
                Author::Project => false,
                Author::Launch => flag(self.map, "hosted")?.unwrap_or(false),
                Author::Live => flag(self.map, "hosted")?.unwrap_or(true),
            },
        })
    }

    fn env(&self) -> Result<BTreeMap<String, Token>, Mistake> {
        let mut env = BTreeMap::new();
        for key in ["env", "environment"] {
            for (name, value) in self.object(key)? {
                if !is_variable(name) {
                    return Err(wrong(key, format!("{name:?} is no variable's name")));
                }
                let at = format!("{key}.{name}");
                env.insert(name.clone(), Token::new(self.text(&at, value)?.0));
            }
        }
        // codex names variables that it hands on.
        if let Some(names) = self.map.get("env_vars") {
            let Value::Array(names) = names else {
                let what = format!("expected an array of strings, not {}", a(names));
                return Err(wrong("env_vars", what));
            };
            for (index, name) in names.iter().enumerate() {
                let at = format!("env_vars[{index}]");
                let value = self.variable(&at, name)?;
                if let Some(name) = name.as_str() {
                    env.insert(name.to_owned(), Token::new(value));
                }
            }
        }
        Ok(env)
    }

    fn object(&self, key: &str) -> Result<impl Iterator<Item = (&String, &Value)>, Mistake> {
        match self.map.get(key) {
            None => Ok(None.into_iter().flatten()),
            Some(Value::Object(map)) => {
                let set = map.iter().filter(|(_, value)| !value.is_null());
                Ok(Some(set).into_iter().flatten())
            }
            Some(other) => Err(wrong(key, format!("expected an object, not {}", a(other)))),
        }
    }

    fn texts(&self, key: &str, values: &[Value]) -> Result<Vec<(String, bool)>, Mistake> {
        let texts = values.iter().enumerate();
        texts
            .map(|(index, value)| self.text(&format!("{key}[{index}]"), value))
            .collect()
    }

    /// A string with its variables replaced, and whether it had any.
    fn text(&self, key: &str, value: &Value) -> Result<(String, bool), Mistake> {
        self.styled(key, value, self.style)
    }

    /// The same for a URL or a header, which is no script: `{env:NAME}` is a
    /// variable there in every entry.
    fn sent(&self, key: &str, value: &Value) -> Result<String, Mistake> {
        Ok(self.styled(key, value, Style::Opencode)?.0)
    }

    fn styled(&self, key: &str, value: &Value, style: Style) -> Result<(String, bool), Mistake> {
        let Value::String(text) = value else {
            return Err(not_text(key, value));
        };
        let (text, replaced) = self
            .variables()
            .replace(text, style)
            .map_err(|unset| Mistake::new(key, unset.into()))?;
        if text.contains('\0') {
            return Err(wrong(key, "it has a null character"));
        }
        Ok((text, replaced))
    }

    /// The value of the variable that a string names.
    fn variable(&self, key: &str, value: &Value) -> Result<String, Mistake> {
        let Value::String(name) = value else {
            return Err(not_text(key, value));
        };
        let named = format!("${{{name}}}");
        match self.variables().replace(&named, Style::Shell) {
            Ok((value, true)) => Ok(value),
            Ok((_, false)) => Err(wrong(key, "that is no variable's name")),
            Err(unset) => Err(Mistake::new(key, unset.into())),
        }
    }
}

fn flag(map: &Map<String, Value>, key: &str) -> Result<Option<bool>, Mistake> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::Bool(on)) => Ok(Some(*on)),
        Some(other) => Err(wrong(
            key,
            format!("expected true or false, not {}", a(other)),
        )),
    }
}

fn wrong(key: &str, what: impl Into<String>) -> Mistake {
    Mistake::new(key, Wrong::Entry(what.into()))
}

fn not_text(key: &str, value: &Value) -> Mistake {
    wrong(key, format!("expected a string, not {}", a(value)))
}

fn a(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;

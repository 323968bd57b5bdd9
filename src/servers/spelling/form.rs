//! What an entry is, by its words: a command or a remote server, and in whose
//! spelling. Pure.

use serde_json::{Map, Value};

use super::keys::URLS;
use super::{Mistake, Wrong, not_text, wrong};
use crate::types::agent::Transport;
use crate::types::variables::Style;

/// What kind of server the words of an entry speak of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Command,
    Remote(Transport),
}

/// The form by `type` and its synonyms; without them, by what is there. A URL
/// alone is streamable HTTP, also under gemini's `url`, where it was SSE once:
/// its servers have moved on, and say `type` if they have not.
pub(super) fn form(map: &Map<String, Value>) -> Result<Form, Mistake> {
    let mut said = None;
    for key in ["type", "transport", "transportType"] {
        let Some(word) = map.get(key) else { continue };
        let word = word.as_str().ok_or_else(|| not_text(key, word))?;
        // `remote` leaves the transport open.
        let (form, is_exact) = match word.to_ascii_lowercase().as_str() {
            "stdio" | "local" => (Form::Command, true),
            "sse" => (Form::Remote(Transport::Sse), true),
            "http" | "streamable-http" | "streamable_http" | "streamablehttp" | "http-stream" => {
                (Form::Remote(Transport::Http), true)
            }
            "remote" => (Form::Remote(Transport::Http), false),
            "ws" | "websocket" => {
                let what = Wrong::Native("no agent could be told of a WebSocket");
                return Err(Mistake::new(key, what));
            }
            "sdk" => {
                let what = Wrong::Native("an `sdk` server lives inside one agent");
                return Err(Mistake::new(key, what));
            }
            _ => {
                let what = "it is none of http, streamable-http, sse, stdio, remote and local";
                return Err(wrong(key, what));
            }
        };
        said = match said {
            None => Some((form, is_exact)),
            Some((known, _)) if known == form => Some((form, true)),
            Some((Form::Remote(_), false)) if form != Form::Command => Some((form, is_exact)),
            Some((known @ Form::Remote(_), true)) if !is_exact => Some((known, true)),
            Some(_) => return Err(wrong(key, "it contradicts `type`")),
        };
    }
    let has_command = map.contains_key("command");
    match said {
        Some((form, _)) => Ok(form),
        None if has_command => Ok(Form::Command),
        None if url_key(map)?.is_some() => Ok(Form::Remote(Transport::Http)),
        None => Err(wrong("", "it has neither `command` nor `url`")),
    }
}

/// The one key that has the URL.
pub(super) fn url_key(map: &Map<String, Value>) -> Result<Option<&'static str>, Mistake> {
    let mut keys = URLS.iter().filter(|key| map.contains_key(**key));
    match (keys.next(), keys.next()) {
        (Some(key), Some(second)) => Err(wrong(second, format!("there is `{key}` already"))),
        (key, _) => Ok(key.copied()),
    }
}

/// opencode's entries are known by words that no other agent has.
pub(super) fn style(map: &Map<String, Value>) -> Style {
    let kind = map.get("type").and_then(Value::as_str);
    let opencode = matches!(kind, Some("local" | "remote"))
        || map.contains_key("environment")
        || map.get("command").is_some_and(Value::is_array);
    if opencode {
        Style::Opencode
    } else {
        Style::Shell
    }
}

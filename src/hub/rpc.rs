//! What MCP asks of us, and the JSON of what we answer, whatever transport
//! carries it. Pure.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::tools;

/// The revisions that we speak, newest first. They differ in nothing that we
/// use.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const INSTRUCTIONS: &str = "A chat shared by a human and several coding agents. \
Read with chat_read and answer with chat_send in the channel that you were asked in. \
Mention @name to wake an agent; a message without a mention wakes nobody. \
You are woken when somebody mentions you: do not poll.";

/// Requests in one batch.
const MAX_BATCH: usize = 64;

/// What a method leads to.
pub(super) enum Step {
    Done(Outcome),
    Call {
        tool: String,
        arguments: Map<String, Value>,
    },
}

pub(super) enum Outcome {
    Result(Value),
    Listing(&'static RawValue),
    Error(Error),
}

/// What a request gets in place of a result.
#[derive(Debug, Serialize)]
pub(super) struct Error {
    code: i32,
    message: Cow<'static, str>,
}

impl Error {
    const PARSE: Self = Self::new(-32700, "Parse error");
    pub(super) const INVALID: Self = Self::new(-32600, "Invalid Request");

    const fn new(code: i32, message: &'static str) -> Self {
        Self {
            code,
            message: Cow::Borrowed(message),
        }
    }

    /// Something of ours is broken.
    pub(super) fn internal(what: &impl ToString) -> Self {
        Self {
            code: -32603,
            message: what.to_string().into(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Request<'a> {
    /// As it was sent, to be echoed.
    #[serde(borrow, default)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) result: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) error: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) params: Option<Value>,
}

/// A body: a message, or the several of a batch.
pub(super) enum Incoming<'a> {
    One(&'a str),
    Batch(Vec<&'a str>),
}

/// Takes a body apart, unread.
///
/// # Errors
/// If it is no JSON, or no batch that we take.
pub(super) fn split(body: &[u8]) -> Result<Incoming<'_>, Error> {
    let whole: &RawValue = serde_json::from_slice(body).map_err(|_| Error::PARSE)?;
    if !whole.get().starts_with('[') {
        return Ok(Incoming::One(whole.get()));
    }
    let parts: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(|_| Error::PARSE)?;
    if parts.is_empty() || parts.len() > MAX_BATCH {
        return Err(Error::INVALID);
    }
    Ok(Incoming::Batch(
        parts.into_iter().map(RawValue::get).collect(),
    ))
}

/// Answers what needs no tool.
pub(super) fn dispatch(method: &str, params: Option<Value>) -> Step {
    Step::Done(Outcome::Result(match method {
        "initialize" => initialize(params.as_ref()),
        "ping" => json!({}),
        // There are none; agentchattr's server says so as well.
        "prompts/list" => json!({"prompts": []}),
        "resources/list" => json!({"resources": []}),
        "resources/templates/list" => json!({"resourceTemplates": []}),
        "tools/list" => return Step::Done(Outcome::Listing(tools::listing())),
        "tools/call" => return call(params),
        _ => {
            return Step::Done(Outcome::Error(Error::new(-32601, "Method not found")));
        }
    }))
}

fn initialize(params: Option<&Value>) -> Value {
    let asked = params.and_then(|params| params.get("protocolVersion")?.as_str());
    let version = VERSIONS
        .into_iter()
        .find(|version| asked == Some(version))
        .unwrap_or(VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {"listChanged": false}},
        "serverInfo": {"name": super::api::HUB_NAME, "version": env!("CARGO_PKG_VERSION")},
        "instructions": INSTRUCTIONS,
    })
}

fn call(params: Option<Value>) -> Step {
    let bad = |message| Step::Done(Outcome::Error(Error::new(-32602, message)));
    let Some(Value::Object(mut params)) = params else {
        return bad("params must be an object");
    };
    let Some(Value::String(tool)) = params.remove("name") else {
        return bad("name must be a string");
    };
    match params.remove("arguments") {
        Some(Value::Object(arguments)) => Step::Call { tool, arguments },
        None | Some(Value::Null) => Step::Call {
            tool,
            arguments: Map::new(),
        },
        Some(_) => bad("arguments must be an object"),
    }
}

/// The JSON text of one answer.
pub(super) fn write(id: Option<&RawValue>, outcome: &Outcome) -> String {
    let id = id.map_or("null", RawValue::get);
    let (key, value) = match outcome {
        Outcome::Result(value) => ("result", value.to_string()),
        Outcome::Listing(raw) => ("result", raw.get().to_owned()),
        Outcome::Error(error) => ("error", json!(error).to_string()),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},"{key}":{value}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(method: &str, params: Value) -> Value {
        let Step::Done(outcome) = dispatch(method, Some(params)) else {
            panic!("{method} is a call");
        };
        let id = RawValue::from_string("7".into()).expect("json");
        serde_json::from_str(&write(Some(&id), &outcome)).expect("json")
    }

    #[test]
    fn a_client_is_answered_in_its_own_revision_if_we_speak_it() {
        for (asked, answered) in [
            ("2024-11-05", "2024-11-05"),
            ("2025-03-26", "2025-03-26"),
            ("2025-06-18", "2025-06-18"),
            ("2025-11-25", "2025-11-25"),
            ("2026-07-28", "2025-11-25"),
            ("", "2025-11-25"),
        ] {
            let answer = done("initialize", json!({"protocolVersion": asked}));
            assert_eq!(answer["result"]["protocolVersion"], answered, "{asked}");
        }
        let answer = done("initialize", json!(null));
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    }

    #[test]
    fn unknown_methods_are_said_to_be_so() {
        for method in ["server/discover", "resources/read", "prompts/get", "x", ""] {
            assert_eq!(done(method, json!({}))["error"]["code"], -32601, "{method}");
        }
        assert_eq!(done("ping", json!({}))["result"], json!({}));
        for (method, key) in [
            ("prompts/list", "prompts"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            assert_eq!(done(method, json!({}))["result"], json!({key: []}));
        }
    }

    #[test]
    fn calls_are_taken_apart() {
        for params in [
            json!([]),
            json!({}),
            json!({"name": 1}),
            json!({"name": "a", "arguments": []}),
        ] {
            assert_eq!(
                done("tools/call", params.clone())["error"]["code"],
                -32602,
                "{params}"
            );
        }
        let params = json!({"name": "chat_read", "arguments": {"limit": 3}});
        let Step::Call { tool, arguments } = dispatch("tools/call", Some(params)) else {
            panic!("no call");
        };
        assert_eq!(
            (tool.as_str(), &arguments["limit"]),
            ("chat_read", &json!(3))
        );
    }

    #[test]
    fn bodies_are_one_message_or_several() {
        for (body, parts) in [
            (&b"{}"[..], Ok(1)),
            (b" [{}, {}] ", Ok(2)),
            (b"[]", Err(-32600)),
            (b"{", Err(-32700)),
            (b"", Err(-32700)),
            (b"\xff", Err(-32700)),
        ] {
            let count = match split(body) {
                Ok(Incoming::One(_)) => Ok(1),
                Ok(Incoming::Batch(parts)) => Ok(parts.len()),
                Err(error) => Err(error.code),
            };
            assert_eq!(count, parts, "{body:?}");
        }
    }

    #[test]
    fn ids_are_echoed_as_they_came() {
        for id in [
            "1",
            "\"a\"",
            "1.50",
            "123456789012345678901234567890",
            "[1]",
        ] {
            let raw = RawValue::from_string(id.into()).expect("json");
            let text = write(Some(&raw), &Outcome::Result(json!({})));
            assert!(text.contains(&format!("\"id\":{id},")), "{text}");
        }
    }
}

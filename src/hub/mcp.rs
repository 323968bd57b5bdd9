//! MCP over streamable HTTP: one JSON answer to each POST.
//!
//! *Invariant*: there is no MCP session. None is issued and any is accepted,
//! so a restart of the hub takes nothing from an agent (gemini, told `404
//! Session not found`, stays without tools for good). The handshake says
//! nothing that `/api/health` does not, and so takes no token; every tool
//! call takes one.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::server::{Hub, Shared};
use super::{gate, tools};
use crate::types::identity::Token;

/// The revisions that we speak, newest first. They differ in nothing that we
/// use.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const INSTRUCTIONS: &str = "A chat shared by a human and several coding agents. \
Read with chat_read and answer with chat_send in the channel that you were asked in. \
Mention @name to wake an agent; a message without a mention wakes nobody. \
You are woken when somebody mentions you: do not poll.";

/// Requests in one batch.
const MAX_BATCH: usize = 64;

pub(super) fn routes() -> Router<Shared> {
    let mcp = || post(receive).get(no_stream).delete(async || StatusCode::OK);
    Router::new()
        .route("/mcp", mcp())
        .route("/mcp/", mcp())
        .fallback(async || StatusCode::NOT_FOUND)
}

/// The hub pushes nothing.
async fn no_stream() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST, DELETE")]).into_response()
}

async fn receive(State(hub): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let token = gate::token(&headers);
    let answered = match split(&body) {
        Ok(Incoming::One(text)) => answer(&hub, token.as_ref(), text).await,
        Ok(Incoming::Batch(texts)) => {
            let mut answers = Vec::new();
            for text in texts {
                answers.extend(answer(&hub, token.as_ref(), text).await);
            }
            (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
        }
        Err(error) => {
            let body = write(None, &Outcome::Error(error));
            return (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, JSON)], body).into_response();
        }
    };
    match answered {
        Some(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    }
}

const JSON: &str = "application/json";

/// Answers one request; None for a notification, or an answer.
async fn answer(hub: &Hub, token: Option<&Token>, text: &str) -> Option<String> {
    let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
        return Some(write(None, &Outcome::Error(Error::INVALID)));
    };
    let Some(method) = request.method else {
        // An answer, to a question that we never ask.
        let is_answer = request.result.is_some() || request.error.is_some();
        return (!is_answer).then(|| write(request.id, &Outcome::Error(Error::INVALID)));
    };
    let id = request.id?;
    let outcome = match dispatch(&method, request.params) {
        Step::Done(outcome) => outcome,
        Step::Call { tool, arguments } => {
            let token = token.cloned();
            let done = hub
                .desk
                .ask(move |chat, now| tools::call(chat, token.as_ref(), &tool, &arguments, now))
                .await;
            match done {
                Ok(said) => Outcome::Result(json!({
                    "content": [{"type": "text", "text": said.text}],
                    "structuredContent": {"result": said.text},
                    "isError": said.is_error,
                })),
                Err(closed) => Outcome::Error(Error {
                    code: -32603,
                    message: closed.to_string(),
                }),
            }
        }
    };
    Some(write(Some(id), &outcome))
}

/// What a method leads to.
enum Step {
    Done(Outcome),
    Call {
        tool: String,
        arguments: Map<String, Value>,
    },
}

enum Outcome {
    Result(Value),
    Listing(&'static RawValue),
    Error(Error),
}

#[derive(Debug, Serialize)]
struct Error {
    code: i32,
    message: String,
}

impl Error {
    const PARSE: Self = Self::new(-32700);
    const INVALID: Self = Self::new(-32600);

    const fn new(code: i32) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }

    /// The message, or what the code means.
    fn text(&self) -> &str {
        match self.code {
            _ if !self.message.is_empty() => &self.message,
            -32700 => "Parse error",
            -32600 => "Invalid Request",
            _ => "Error",
        }
    }
}

#[derive(Deserialize)]
struct Request<'a> {
    /// As it was sent, to be echoed.
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default)]
    params: Option<Value>,
}

enum Incoming<'a> {
    One(&'a str),
    Batch(Vec<&'a str>),
}

/// One message, or several.
fn split(body: &[u8]) -> Result<Incoming<'_>, Error> {
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

fn dispatch(method: &str, params: Option<Value>) -> Step {
    Step::Done(Outcome::Result(match method {
        "initialize" => initialize(params.as_ref()),
        "ping" => json!({}),
        "tools/list" => return Step::Done(Outcome::Listing(tools::listing())),
        "tools/call" => return call(params),
        _ => {
            return Step::Done(Outcome::Error(Error {
                code: -32601,
                message: "Method not found".into(),
            }));
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
    let bad = |message: &str| {
        Step::Done(Outcome::Error(Error {
            code: -32602,
            message: message.into(),
        }))
    };
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
fn write(id: Option<&RawValue>, outcome: &Outcome) -> String {
    let id = id.map_or("null", RawValue::get);
    let (key, value) = match outcome {
        Outcome::Result(value) => ("result", value.to_string()),
        Outcome::Listing(raw) => ("result", raw.get().to_owned()),
        Outcome::Error(error) => (
            "error",
            json!({"code": error.code, "message": error.text()}).to_string(),
        ),
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
        for method in ["server/discover", "resources/list", "prompts/list", "x", ""] {
            assert_eq!(done(method, json!({}))["error"]["code"], -32601, "{method}");
        }
        assert_eq!(done("ping", json!({}))["result"], json!({}));
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

//! MCP over streamable HTTP, with sessions that the server forgets when it
//! ends.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::gate::agent_token;
use crate::rest::Shared;
use crate::rpc;
use crate::server::{Server, hex};
use crate::sse::Events;

const SESSION: &str = "mcp-session-id";

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/mcp", post(receive).get(listen).delete(end))
        .route(
            "/mcp/",
            any(async || (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, "/mcp")])),
        )
}

/// What the SDK's guard against foreign pages says.
pub(crate) fn foreign(headers: &HeaderMap) -> Option<Response> {
    let is_ours = |value: &str| {
        let host = value.rsplit_once(':').map_or(value, |(host, _)| host);
        ["127.0.0.1", "localhost", "[::1]"].contains(&host)
    };
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !text(HOST).is_some_and(is_ours) {
        return Some((StatusCode::MISDIRECTED_REQUEST, "Invalid Host header").into_response());
    }
    let origin = text(ORIGIN)?;
    let is_ours = origin.strip_prefix("http://").is_some_and(is_ours);
    (!is_ours).then(|| (StatusCode::FORBIDDEN, "Invalid Origin header").into_response())
}

fn refusal(status: StatusCode, message: &str) -> Response {
    let error = json!({"code": -32600, "message": message});
    let body = json!({"jsonrpc": "2.0", "id": "server-error", "error": error});
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// A session that the server does not know, or has forgotten.
struct Unknown;

fn unknown() -> Response {
    refusal(StatusCode::NOT_FOUND, "Session not found")
}

/// The session of a request: known, none, or one that nobody knows.
fn session(server: &Server, headers: &HeaderMap) -> Result<Option<String>, Unknown> {
    let Some(id) = headers.get(SESSION) else {
        return Ok(None);
    };
    let id = id.to_str().unwrap_or_default();
    if server.sessions.borrow().contains(id) {
        Ok(Some(id.to_owned()))
    } else {
        Err(Unknown)
    }
}

/// True if what the client accepts has all of these.
fn accepts(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let accepted = accepted.unwrap_or_default();
    kinds.iter().all(|kind| accepted.contains(kind))
}

async fn receive(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refusal) = foreign(&headers) {
        return refusal;
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
        return (StatusCode::BAD_REQUEST, "Invalid Content-Type header").into_response();
    }
    let known = match session(&server, &headers) {
        Ok(known) => known,
        Err(Unknown) => return unknown(),
    };
    let is_new = known.is_none();
    let id = known.unwrap_or_else(hex);
    let mut answer = answered(&server, &headers, &body, is_new, &id);
    if let Ok(id) = id.parse() {
        answer.headers_mut().insert(SESSION, id);
    }
    answer
}

fn answered(server: &Server, headers: &HeaderMap, body: &[u8], is_new: bool, id: &str) -> Response {
    if !accepts(headers, &["application/json", "text/event-stream"]) {
        return refusal(
            StatusCode::NOT_ACCEPTABLE,
            "Not Acceptable: Client must accept both application/json and text/event-stream",
        );
    }
    let bad = |message| refusal(StatusCode::BAD_REQUEST, message);
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return bad("Parse error: no JSON");
    };
    if !message.is_object() {
        return bad("Validation error: no JSON-RPC message");
    }
    match (is_new, message["method"] == "initialize") {
        (true, false) => return bad("Bad Request: Missing session ID"),
        (true, true) => server.sessions.send_modify(|sessions| {
            sessions.insert(id.to_owned());
        }),
        (false, _) => {}
    }
    match rpc::answer(server, agent_token(headers).as_deref(), &message) {
        Some(answer) => {
            let (out, events) = mpsc::unbounded_channel();
            let sent = out.send(format!("event: message\r\ndata: {answer}\r\n\r\n").into());
            debug_assert!(sent.is_ok(), "the stream is new");
            (EVENTS, Body::new(Events(events))).into_response()
        }
        None => (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")]).into_response(),
    }
}

const EVENTS: [(axum::http::HeaderName, &str); 2] = [
    (CONTENT_TYPE, "text/event-stream"),
    (CACHE_CONTROL, "no-cache, no-transform"),
];

/// The stream of what the server has to say, which is nothing; it ends with
/// the session.
async fn listen(State(server): Shared, headers: HeaderMap) -> Response {
    if let Some(refusal) = foreign(&headers) {
        return refusal;
    }
    let id = match session(&server, &headers) {
        Ok(Some(id)) => id,
        Ok(None) => {
            return refusal(StatusCode::BAD_REQUEST, "Bad Request: Missing session ID");
        }
        Err(Unknown) => return unknown(),
    };
    if !accepts(&headers, &["text/event-stream"]) {
        return refusal(
            StatusCode::NOT_ACCEPTABLE,
            "Not Acceptable: Client must accept text/event-stream",
        );
    }
    let (out, events) = mpsc::unbounded_channel();
    let mut sessions = server.sessions.subscribe();
    tokio::spawn(async move {
        tokio::select! {
            _ = sessions.wait_for(|sessions| !sessions.contains(&id)) => {}
            () = out.closed() => {}
        }
    });
    (EVENTS, Body::new(Events(events))).into_response()
}

async fn end(State(server): Shared, headers: HeaderMap) -> Response {
    if let Some(refusal) = foreign(&headers) {
        return refusal;
    }
    match session(&server, &headers) {
        Ok(Some(id)) => {
            server.sessions.send_modify(|sessions| {
                sessions.remove(&id);
            });
            ([
                (CONTENT_TYPE, "application/json"),
                (SESSION.parse().expect("a name"), id.as_str()),
            ])
            .into_response()
        }
        Ok(None) => refusal(StatusCode::BAD_REQUEST, "Bad Request: Missing session ID"),
        Err(Unknown) => unknown(),
    }
}

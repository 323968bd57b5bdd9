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
use serde_json::json;

use super::rpc::{self, Error, Incoming, Outcome, Request, Step};
use super::server::{Hub, Shared};
use super::{gate, tools};
use crate::types::identity::Token;

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
    let answered = match rpc::split(&body) {
        Ok(Incoming::One(text)) => answer(&hub, token.as_ref(), text).await,
        Ok(Incoming::Batch(texts)) => {
            let mut answers = Vec::new();
            for text in texts {
                answers.extend(answer(&hub, token.as_ref(), text).await);
            }
            (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
        }
        Err(error) => return malformed(error),
    };
    match answered {
        Some(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
        None => StatusCode::ACCEPTED.into_response(),
    }
}

const JSON: &str = "application/json";

/// Of a body that is no message at all.
pub(super) fn malformed(error: Error) -> Response {
    let body = rpc::write(None, &Outcome::Error(error));
    (StatusCode::BAD_REQUEST, [(CONTENT_TYPE, JSON)], body).into_response()
}

/// Answers one request; None for a notification, or an answer.
pub(super) async fn answer(hub: &Hub, token: Option<&Token>, text: &str) -> Option<String> {
    let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
        return Some(rpc::write(None, &Outcome::Error(Error::INVALID)));
    };
    let Some(method) = request.method else {
        // An answer, to a question that we never ask.
        let is_answer = request.result.is_some() || request.error.is_some();
        return (!is_answer).then(|| rpc::write(request.id, &Outcome::Error(Error::INVALID)));
    };
    let id = request.id?;
    let outcome = match rpc::dispatch(&method, request.params) {
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
                Err(closed) => Outcome::Error(Error::internal(&closed)),
            }
        }
    };
    Some(rpc::write(Some(id), &outcome))
}

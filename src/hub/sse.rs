//! MCP over HTTP with SSE, the transport of revision 2024-11-05: a stream says
//! where messages are to be posted, and brings their answers.
//!
//! *Invariant*: a stream is of one instance. What is posted for it takes a
//! token of that instance as it is at that moment, so a rotated token costs a
//! client nothing but the next one; the session ends with the stream, and the
//! stream with the instance. Unlike [`super::mcp`] nothing is free: an open
//! stream is ours to keep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{broadcast, mpsc};

use super::chat::{Caller, News};
use super::rest::{self, Refusal};
use super::rpc::{self, Incoming};
use super::server::{Hub, Shared};
use super::{gate, mcp, streams};
use crate::types::identity::Token;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/sse", get(open))
        .route("/sse/", get(open))
        .route("/messages", post(receive))
        .route("/messages/", post(receive))
        .fallback(async || rest::refusal(404, "not found"))
}

/// The streams that are open, by the session id that each was given.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

#[derive(Debug, Clone)]
struct Session {
    instance: i64,
    out: mpsc::Sender<Bytes>,
}

impl Sessions {
    /// The session with this id, if it is this instance's.
    fn find(&self, id: &str, instance: i64) -> Option<Session> {
        let found = self.lock().get(id).cloned();
        found.filter(|session| session.instance == instance)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session that ends when it is dropped.
struct Opened {
    hub: Shared,
    id: String,
}

impl Opened {
    fn new(hub: &Shared, id: String, session: Session) -> Self {
        hub.sessions.lock().insert(id.clone(), session);
        Self {
            hub: Arc::clone(hub),
            id,
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.hub.sessions.lock().remove(&self.id);
    }
}

/// `GET /sse`: where to post, then the answers.
async fn open(State(hub): State<Shared>, headers: HeaderMap) -> Result<Response, Refusal> {
    // Before the question, so that no end of the instance is missed.
    let news = hub.news.subscribe();
    let (_, instance) = caller(&hub, &headers).await?;
    let id = Token::random().expose().to_owned();
    let opening = format!("event: endpoint\ndata: /messages/?session_id={id}\n\n");
    Ok(streams::stream(&hub, opening.into(), |out| {
        // At once: the client may post as soon as it has read the opening.
        let opened = Opened::new(&hub, id, Session { instance, out });
        async move { outlive(&opened.hub, instance, news).await }
    }))
}

/// Returns when the instance is no longer registered.
async fn outlive(hub: &Hub, instance: i64, mut news: broadcast::Receiver<News>) {
    while streams::wait(&mut news, |news| news == News::Ended(instance)).await {
        // Its token may have been rotated only.
        let there = hub
            .desk
            .ask(move |chat, _| chat.registry.get(instance).is_some());
        if !matches!(there.await, Ok(true)) {
            return;
        }
    }
}

/// `POST /messages/?session_id=`: takes a message; its answer goes to the
/// stream. Nothing is done that the stream has no room to tell of.
async fn receive(
    State(hub): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let gone = || Refusal::new(404, "no such session: open a stream at `/sse`");
    let (token, instance) = caller(&hub, &headers).await?;
    let id = query.get("session_id").ok_or_else(gone)?;
    let session = hub.sessions.find(id, instance).ok_or_else(gone)?;
    let messages = match rpc::split(&body) {
        Ok(Incoming::One(message)) => vec![message],
        Ok(Incoming::Batch(messages)) => messages,
        Err(error) => return Ok(mcp::malformed(error)),
    };
    for message in messages {
        let room = hub.stop.run_until_cancelled(session.out.reserve()).await;
        let room = room.and_then(Result::ok).ok_or_else(gone)?;
        if let Some(answer) = mcp::answer(&hub, Some(&token), message).await {
            room.send(event(&answer));
        }
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// The instance whose token a request carries, and the token.
async fn caller(hub: &Hub, headers: &HeaderMap) -> Result<(Token, i64), Refusal> {
    let token = gate::token(headers).ok_or_else(Refusal::no_token)?;
    let asker = token.clone();
    match hub
        .desk
        .ask(move |chat, now| chat.caller(&asker, now))
        .await?
    {
        Some(Caller::Agent(id)) => Ok((token, id)),
        _ => Err(Refusal::no_token()),
    }
}

/// A message as an event. JSON has line breaks between its parts alone, where
/// a blank does as well.
fn event(json: &str) -> Bytes {
    let line = json.replace(['\n', '\r'], " ");
    format!("event: message\ndata: {line}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_the_json() {
        for (json, line) in [
            (r#"{"id":1}"#, r#"{"id":1}"#),
            ("{\n \"id\":\r\n[\r1]}", "{  \"id\":  [ 1]}"),
            (r#"{"text":"a\nb"}"#, r#"{"text":"a\nb"}"#),
        ] {
            let whole = format!("event: message\ndata: {line}\n\n");
            assert_eq!(event(json), whole, "{json:?}");
        }
    }
}

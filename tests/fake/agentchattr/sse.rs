//! MCP over HTTP with SSE: a stream says where to post, and brings the answers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::gate::agent_token;
use crate::rest::Shared;
use crate::rpc;
use crate::server::{Server, hex};
use crate::streamable::foreign;

/// The streams that are open, by their session.
#[derive(Default)]
pub(crate) struct Streams(Mutex<BTreeMap<String, mpsc::UnboundedSender<Bytes>>>);

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/sse", get(open))
        .route("/messages/", post(receive))
}

async fn open(State(server): Shared, headers: HeaderMap) -> Response {
    if let Some(refusal) = foreign(&headers) {
        return refusal;
    }
    let id = hex();
    let (out, events) = mpsc::unbounded_channel();
    let opening = format!("event: endpoint\r\ndata: /messages/?session_id={id}\r\n\r\n");
    let sent = out.send(opening.into());
    debug_assert!(sent.is_ok(), "the stream is new");
    let mut streams = server
        .streams
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    streams.retain(|_, stream| !stream.is_closed());
    streams.insert(id, out);
    let head = [
        (CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (head, Body::new(Events(events))).into_response()
}

async fn receive(
    State(server): Shared,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = foreign(&headers) {
        return refusal;
    }
    let bad = |text: &'static str| (StatusCode::BAD_REQUEST, text).into_response();
    let Some(id) = query.get("session_id") else {
        return bad("session_id is required");
    };
    let streams = server
        .streams
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let Some(stream) = streams.get(id).cloned() else {
        return (StatusCode::NOT_FOUND, "Could not find session").into_response();
    };
    drop(streams);
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return bad("Could not parse message");
    };
    if let Some(answer) = rpc::answer(&server, agent_token(&headers).as_deref(), &message) {
        // The reader may have gone; its answer goes with it.
        let _ = stream.send(format!("event: message\r\ndata: {answer}\r\n\r\n").into());
    }
    (StatusCode::ACCEPTED, "Accepted").into_response()
}

/// A body that is what comes.
pub(crate) struct Events(pub(crate) mpsc::UnboundedReceiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(context);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

//! An MCP server that does all that streamable HTTP allows: sessions, streams
//! that break and go on, requests to its client, cancellations, long answers.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::soon;

/// Bytes of the text that `big` returns.
pub(crate) const BIG: usize = 24 << 20;

/// A running server; it ends when it is dropped.
pub(crate) struct Mcp {
    pub(crate) port: u16,
    state: Shared,
    served: AbortHandle,
}

#[derive(Default)]
struct Seen {
    /// Every message that came.
    messages: Vec<Value>,
    /// Every GET and DELETE, with the event after which it goes on; and `left`
    /// for a call that nobody waits for any more.
    others: Vec<String>,
    /// What the open GET stream is to say.
    unasked: Option<mpsc::Sender<String>>,
}

struct Server {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

type Shared = Arc<Server>;

impl Drop for Mcp {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Mcp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Server {
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let routes = Router::new()
            .route("/mcp", any(serve))
            .with_state(Arc::clone(&state));
        let served = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("served");
        });
        Self {
            port,
            state,
            served: served.abort_handle(),
        }
    }

    /// Waits for a message that came, or comes.
    pub(crate) async fn got(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.state
            .wait(what, |seen| {
                seen.messages.iter().find(|m| wanted(m)).cloned()
            })
            .await
    }

    /// Waits for a GET, a DELETE, or the end of a call.
    pub(crate) async fn asked(&self, what: &str) {
        self.state
            .wait(what, |seen| {
                seen.others.iter().any(|one| one == what).then_some(())
            })
            .await;
    }

    /// Says something on the open GET stream.
    pub(crate) async fn say(&self, event: &str) {
        let unasked = self.state.wait("a stream", |seen| seen.unasked.clone());
        let unasked = unasked.await;
        unasked.send(event.to_owned()).await.expect("it listens");
    }

    /// Breaks the open GET stream.
    pub(crate) async fn hang_up(&self) {
        self.state
            .wait("a stream", |seen| seen.unasked.take().map(drop))
            .await;
    }
}

impl Server {
    async fn wait<T>(&self, what: &str, probe: impl Fn(&mut Seen) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        soon(what, async {
            loop {
                if let Some(found) = probe(&mut self.seen.lock().expect("no panic")) {
                    return found;
                }
                changed.changed().await.expect("it runs");
            }
        })
        .await
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("no panic"));
        self.changed.send_replace(());
    }
}

async fn serve(
    State(server): State<Shared>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().expect("text"));
    let message = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    if message["method"] != "initialize" {
        let known = (header("mcp-session-id"), header("mcp-protocol-version"));
        if known != (Some("s-1"), Some("2025-06-18")) {
            let error = json!({"code": -32000, "message": format!("not in a session: {known:?}")});
            let error = json!({"jsonrpc": "2.0", "id": null, "error": error});
            return (StatusCode::BAD_REQUEST, JSON, error.to_string()).into_response();
        }
    }
    if method == Method::POST {
        return post(&server, message).await;
    }
    let after = header("last-event-id").unwrap_or_default();
    let asked = format!("{method} {after}");
    let (say, events) = mpsc::channel(16);
    let resumed = after == "broken-1";
    if resumed {
        let id = server.wait("the call", |seen| {
            let call = seen
                .messages
                .iter()
                .rfind(|m| m["params"]["name"] == "breaks");
            call.map(|call| call["id"].clone())
        });
        let event = data(&text_result(&id.await, "whole again"));
        say.send(event).await.expect("it listens");
    }
    server.note(|seen| {
        if method == Method::GET && !resumed {
            seen.unasked = Some(say);
        }
        seen.others.push(asked.trim().to_owned());
    });
    if method == Method::GET {
        stream(events)
    } else {
        StatusCode::OK.into_response()
    }
}

pub(crate) const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn post(server: &Shared, message: Value) -> Response {
    server.note(|seen| seen.messages.push(message.clone()));
    let id = &message["id"];
    match message["method"].as_str() {
        Some("initialize") => {
            let result = json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "mcp", "version": "1"},
            });
            let text = pretty(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
            ([JSON[0], ("mcp-session-id", "s-1")], text).into_response()
        }
        Some("tools/list") => {
            let tools = json!([{"name": "slow", "inputSchema": {"type": "object"}}]);
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"tools": tools}});
            (JSON, pretty(&answer)).into_response()
        }
        Some("tools/call") => call(server, &message).await,
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn call(server: &Shared, message: &Value) -> Response {
    let id = &message["id"];
    let (say, events) = mpsc::channel(16);
    let progress = json!({
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": 1, "progress": 1},
    });
    match message["params"]["name"].as_str().unwrap_or_default() {
        // Never answers, and tells when nobody waits for it any more.
        "slow" => {
            let _call = Waiting(Arc::clone(server));
            std::future::pending().await
        }
        "streams" => {
            let rest = format!("{}{}", data(&progress), data(&text_result(id, "done")));
            say.send(rest).await.expect("room");
            stream(events)
        }
        "asks" => {
            let question = json!({"jsonrpc": "2.0", "id": "q-1", "method": "roots/list"});
            say.send(data(&question)).await.expect("room");
            let (server, id) = (Arc::clone(server), id.clone());
            tokio::spawn(async move {
                let answer = server.wait("an answer", |seen| {
                    seen.messages.iter().find(|m| m["id"] == "q-1").cloned()
                });
                let text = answer.await["result"].to_string();
                let event = data(&text_result(&id, &text));
                // The client may have gone already.
                let _ = say.send(event).await;
            });
            stream(events)
        }
        "breaks" => {
            let event = format!("id: broken-1\nretry: 1\ndata:\n\n{}", data(&progress));
            say.send(event).await.expect("room");
            stream(events)
        }
        "cut" => {
            say.send(data(&progress)).await.expect("room");
            stream(events)
        }
        "big" => (
            JSON,
            pretty(&text_result(id, &"0123456789abcde\n".repeat(BIG / 16))),
        )
            .into_response(),
        "fails" => (StatusCode::INTERNAL_SERVER_ERROR, "the disk\nis full").into_response(),
        "rambles" => (JSON, "<html>").into_response(),
        _ => (JSON, pretty(&text_result(id, "done"))).into_response(),
    }
}

struct Waiting(Shared);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.note(|seen| seen.others.push("left".into()));
    }
}

/// JSON over many lines.
pub(crate) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("json")
}

pub(crate) fn data(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

pub(crate) fn text_result(id: &Value, text: &str) -> Value {
    let content = json!([{"type": "text", "text": text}]);
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": content, "isError": false}})
}

pub(crate) fn stream(events: mpsc::Receiver<String>) -> Response {
    let events = Body::new(Events(events));
    ([("content-type", "text/event-stream")], events).into_response()
}

/// A body that ends when nobody can say more.
struct Events(mpsc::Receiver<String>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let event = self.0.poll_recv(cx);
        event.map(|event| event.map(|event| Ok(Frame::data(event.into()))))
    }
}

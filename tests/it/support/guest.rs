//! An MCP server with sessions that it can be told to forget.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::mcp::{JSON, data, pretty, stream, text_result};
use super::soon;

/// A running server; it ends when it is dropped.
pub(crate) struct Guest {
    pub(crate) port: u16,
    state: Shared,
    served: AbortHandle,
}

type Shared = Arc<Server>;

#[derive(Default)]
struct Server {
    seen: watch::Sender<Seen>,
    known: Mutex<BTreeSet<String>>,
    may_go_on: watch::Sender<bool>,
}

#[derive(Default)]
struct Seen {
    /// Every request: its header lines, and its message.
    requests: Vec<(String, Value)>,
    /// Methods of messages, and of requests without one.
    methods: Vec<String>,
    sessions: usize,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.served.abort();
    }
}

impl Guest {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("an option");
        let listener = TcpListener::from_std(listener).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let state = Shared::default();
        let routes = Router::new()
            .route("/mcp", any(serve))
            .with_state(Arc::clone(&state));
        let served = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("served");
        });
        let served = served.abort_handle();
        Self {
            port,
            state,
            served,
        }
    }

    /// Forgets all sessions.
    pub(crate) fn forget(&self) {
        self.state.known.lock().expect("no panic").clear();
    }

    /// Lets the answers that stream end.
    pub(crate) fn go_on(&self) {
        self.state.may_go_on.send_replace(true);
    }

    /// How many sessions were opened.
    pub(crate) fn sessions(&self) -> usize {
        self.state.seen.borrow().sessions
    }

    /// The calls that were executed.
    pub(crate) fn calls(&self) -> Vec<Value> {
        let seen = self.state.seen.borrow();
        let messages = seen.requests.iter().map(|(_, message)| message);
        let calls = messages.filter(|message| message["method"] == "tools/call");
        calls.cloned().collect()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        let seen = self.state.seen.borrow();
        seen.requests.iter().map(|(head, _)| head.clone()).collect()
    }

    /// Waits for a message of this method, or a request without one.
    pub(crate) async fn saw(&self, method: &str) {
        let mut seen = self.state.seen.subscribe();
        let came = seen.wait_for(|seen| seen.methods.iter().any(|one| one == method));
        drop(soon(method, came).await.expect("it runs"));
    }
}

async fn serve(
    State(server): State<Shared>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message = serde_json::from_slice::<Value>(&body).unwrap_or_default();
    let kind = message["method"]
        .as_str()
        .unwrap_or(method.as_str())
        .to_owned();
    let session = headers
        .get("mcp-session-id")
        .map(|id| id.to_str().expect("text").to_owned());
    if kind == "initialize" {
        return initialize(&server, &message);
    }
    let is_known = |id: &String| server.known.lock().expect("no panic").contains(id);
    if !session.as_ref().is_some_and(is_known) {
        return (StatusCode::NOT_FOUND, "Session not found").into_response();
    }
    let mut head = String::new();
    for (name, value) in &headers {
        write!(head, "{name}: {}\r\n", value.to_str().expect("text")).expect("room");
    }
    server.seen.send_modify(|seen| {
        seen.requests.push((head, message.clone()));
        seen.methods.push(kind.clone());
    });
    let session = session.unwrap_or_default();
    let response = match kind.as_str() {
        "tools/list" => {
            let tool = |name| json!({"name": name, "inputSchema": {"type": "object"}});
            let tools = json!([tool("echo"), tool("hold"), tool("stream")]);
            let id = &message["id"];
            (
                JSON,
                pretty(&json!({"jsonrpc": "2.0", "id": id, "result": {"tools": tools}})),
            )
                .into_response()
        }
        "tools/call" => call(&server, &message).await,
        _ => StatusCode::ACCEPTED.into_response(),
    };
    // As some servers do with every answer.
    ([("mcp-session-id", session)], response).into_response()
}

fn initialize(server: &Server, message: &Value) -> Response {
    let mut id = String::new();
    server.seen.send_modify(|seen| {
        seen.sessions += 1;
        id = format!("guest-{}", seen.sessions);
    });
    server.known.lock().expect("no panic").insert(id.clone());
    let result = json!({
        "protocolVersion": "2025-03-26",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "guest", "version": "1"},
    });
    let text = json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string();
    ([JSON[0], ("mcp-session-id", &id)], text).into_response()
}

async fn call(server: &Shared, message: &Value) -> Response {
    let id = message["id"].clone();
    let tool = message["params"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    match tool.as_str() {
        "hold" => {
            let mut seen = server.seen.subscribe();
            let is_cancelled = |seen: &Seen| {
                let mut messages = seen.requests.iter().map(|(_, message)| message);
                messages.any(|message| message["params"]["requestId"] == id)
            };
            drop(seen.wait_for(is_cancelled).await.expect("it runs"));
            (JSON, pretty(&text_result(&id, "cancelled"))).into_response()
        }
        "stream" => {
            let (say, events) = mpsc::channel(16);
            let progress = json!({
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": 1, "progress": 1},
            });
            say.send(data(&progress)).await.expect("room");
            let mut may_go_on = server.may_go_on.subscribe();
            let is_patient = message["params"]["arguments"]["sender"] == "me";
            tokio::spawn(async move {
                if is_patient {
                    drop(may_go_on.wait_for(|go| *go).await.expect("it runs"));
                }
                // The client may have gone already.
                let _ = say.send(data(&text_result(&id, "stream"))).await;
            });
            stream(events)
        }
        _ => (JSON, pretty(&text_result(&id, &tool))).into_response(),
    }
}

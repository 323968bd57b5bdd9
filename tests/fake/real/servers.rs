//! MCP servers over HTTP, each below its name and with one tool, `word`; what
//! they were asked, and with what headers, can be looked up. They have MCP
//! sessions, which they can be told to forget, and streams, which they can be
//! told to end.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wrapper::types::identity::SessionId;

const SESSION: &str = "mcp-session-id";

pub(crate) struct Servers {
    port: u16,
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    /// Nobody else knows it.
    word: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    asked: Vec<Asked>,
    /// The MCP sessions, each with its server.
    sessions: BTreeSet<(String, String)>,
    /// How many each server ever had.
    minted: BTreeMap<String, usize>,
    /// How often each server has forgotten any.
    forgotten: BTreeMap<String, usize>,
    /// The streams that are open, each with its server.
    streams: Vec<(String, mpsc::Sender<Bytes>)>,
}

/// A request that came.
#[derive(Clone)]
pub(crate) struct Asked {
    server: String,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    /// Null if there was none.
    pub(crate) message: Value,
    /// Its session was not known any more.
    is_refused: bool,
}

impl Servers {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Shared {
            word: SessionId::random().to_string(),
            known: Mutex::default(),
        });
        let app = Router::new()
            .route("/{server}/mcp", any(answer))
            .with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                wrapper::report::warning(format_args!("the MCP servers ended: {error}"));
            }
        });
        Ok(Self {
            port,
            state,
            serving,
        })
    }

    pub(crate) fn url(&self, server: &str) -> String {
        format!("http://127.0.0.1:{}/{server}/mcp", self.port)
    }

    /// What the tool of `server` says.
    pub(crate) fn word(&self, server: &str) -> String {
        word(server, &self.state)
    }

    /// The messages of this method that came to `server`, and were answered.
    pub(crate) fn asked(&self, server: &str, method: &str) -> Vec<Asked> {
        let mut asked = self.requests(server);
        asked.retain(|asked| asked.message["method"] == method && !asked.is_refused);
        asked
    }

    /// Every request that came to `server`.
    pub(crate) fn requests(&self, server: &str) -> Vec<Asked> {
        let known = self.state.known();
        let asked = known.asked.iter().filter(|asked| asked.server == server);
        asked.cloned().collect()
    }

    /// As after a restart: no session is known, and no stream open.
    pub(crate) fn forget(&self, server: &str) {
        let mut known = self.state.known();
        let before = known.sessions.len();
        known.sessions.retain(|(of, _)| of != server);
        known.streams.retain(|(of, _)| of != server);
        if known.sessions.len() < before {
            *known.forgotten.entry(server.to_owned()).or_default() += 1;
        }
    }

    /// How often `server` was connected, but for the times when it had
    /// forgotten that.
    pub(crate) fn connections(&self, server: &str) -> usize {
        let all = self.asked(server, "initialize").len();
        let again = self.state.known().forgotten.get(server).copied();
        all.saturating_sub(again.unwrap_or_default())
    }

    /// Ends the open streams of `server`; how many there were.
    pub(crate) fn end_streams(&self, server: &str) -> usize {
        let mut known = self.state.known();
        let before = known.streams.len();
        known
            .streams
            .retain(|(of, out)| of != server && !out.is_closed());
        before - known.streams.len()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn word(server: &str, state: &Shared) -> String {
    format!("{server} says {}", state.word)
}

async fn answer(
    State(state): State<Arc<Shared>>,
    Path(server): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let message = if body.is_empty() {
        Value::Null
    } else if let Ok(message) = serde_json::from_slice(&body) {
        message
    } else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let session = headers.get(SESSION).and_then(|id| id.to_str().ok());
    let session = session.map(|id| (server.clone(), id.to_owned()));
    let mut known = state.known();
    let is_known = session.as_ref().map(|one| known.sessions.contains(one));
    known.asked.push(Asked {
        server: server.clone(),
        method: method.clone(),
        headers,
        message: message.clone(),
        is_refused: is_known == Some(false),
    });
    match (&method, is_known) {
        (_, Some(false)) => {
            let error = json!({"code": -32600, "message": "Session not found"});
            let answer = json!({"jsonrpc": "2.0", "id": "server-error", "error": error});
            return (StatusCode::NOT_FOUND, axum::Json(answer)).into_response();
        }
        (&Method::POST, _) => {}
        (&Method::GET, Some(true)) => {
            let (out, events) = mpsc::channel(1);
            known.streams.push((server, out));
            let kind = [("content-type", "text/event-stream")];
            return (kind, Body::new(Held(events))).into_response();
        }
        (&Method::DELETE, Some(true)) => {
            known.sessions.retain(|one| Some(one) != session.as_ref());
            return StatusCode::OK.into_response();
        }
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    if message["id"].is_null() || message["method"].is_null() {
        return StatusCode::ACCEPTED.into_response();
    }
    let (member, value) = reply(&server, &message, &state);
    let answer = axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], member: value}));
    if message["method"] != "initialize" {
        return answer.into_response();
    }
    let minted = known.minted.entry(server.clone()).or_default();
    *minted += 1;
    let id = format!("session-{minted}");
    known.sessions.insert((server, id.clone()));
    ([(SESSION, id)], answer).into_response()
}

/// The member of the answer to a request, and its value.
fn reply(server: &str, message: &Value, state: &Shared) -> (&'static str, Value) {
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": server, "version": "1"},
        }),
        Some("tools/list") => json!({"tools": [{
            "name": "word",
            "description": format!("Says the word of {server}"),
            "inputSchema": {"type": "object", "properties": {}},
            // Some agents ask before they use a tool that may do harm.
            "annotations": {
                "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false,
            },
        }]}),
        Some("tools/call") => json!({"content": [{"type": "text", "text": word(server, state)}]}),
        Some("ping") => json!({}),
        _ => {
            let error = json!({"code": -32601, "message": "method not found"});
            return ("error", error);
        }
    };
    ("result", result)
}

/// A stream on which nothing comes until its sender is dropped.
struct Held(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Held {
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

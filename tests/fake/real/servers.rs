//! MCP servers over HTTP, each below its name and with one tool, `word`; what
//! they were asked, and with what headers, can be looked up.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wrapper::types::identity::SessionId;

pub(crate) struct Servers {
    port: u16,
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    /// Nobody else knows it.
    word: String,
    asked: Mutex<Vec<Asked>>,
}

/// A message that came.
#[derive(Clone)]
pub(crate) struct Asked {
    server: String,
    pub(crate) headers: HeaderMap,
    pub(crate) message: Value,
}

impl Servers {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Shared {
            word: SessionId::random().to_string(),
            asked: Mutex::default(),
        });
        let app = Router::new()
            // What else comes, such as a GET for a stream, is not allowed.
            .route("/{server}/mcp", post(answer).delete(|| async {}))
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

    /// The messages of this method that came to `server`.
    pub(crate) fn asked(&self, server: &str, method: &str) -> Vec<Asked> {
        let asked = self.state.asked();
        let of_it = asked
            .iter()
            .filter(|asked| asked.server == server && asked.message["method"] == method);
        of_it.cloned().collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn asked(&self) -> std::sync::MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn word(server: &str, state: &Shared) -> String {
    format!("{server} says {}", state.word)
}

async fn answer(
    State(state): State<Arc<Shared>>,
    Path(server): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    state.asked().push(Asked {
        server: server.clone(),
        headers,
        message: message.clone(),
    });
    let (id, method) = (&message["id"], message["method"].as_str());
    let (false, Some(method)) = (id.is_null(), method) else {
        return StatusCode::ACCEPTED.into_response();
    };
    let result = match method {
        "initialize" => json!({
            "protocolVersion": message["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": server, "version": "1"},
        }),
        "tools/list" => json!({"tools": [{
            "name": "word",
            "description": format!("Says the word of {server}"),
            "inputSchema": {"type": "object", "properties": {}},
            // Some agents ask before they use a tool that may do harm.
            "annotations": {
                "readOnlyHint": true, "destructiveHint": false, "openWorldHint": false,
            },
        }]}),
        "tools/call" => json!({"content": [{"type": "text", "text": word(&server, &state)}]}),
        "ping" => json!({}),
        _ => {
            let error = json!({"code": -32601, "message": "method not found"});
            let answer = json!({"jsonrpc": "2.0", "id": id, "error": error});
            return axum::Json(answer).into_response();
        }
    };
    let session = [("Mcp-Session-Id", format!("{server}-session"))];
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
    (session, axum::Json(answer)).into_response()
}

//! A door in front of the hub that refuses stale tokens in its own way: as one
//! HTTP status or another, where the hub itself says so in a tool's result.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the hub says that a token is stale.
const STALE: &str = "stale or unknown authenticated agent session";

/// The longest answer that is looked into, in bytes.
const LONGEST: usize = 1 << 20;

pub(crate) struct Front {
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    client: Client<HttpConnector, Body>,
    /// The front's own port for MCP.
    mcp: u16,
    status: Mutex<Option<StatusCode>>,
    /// A stale token has still to be refused: nobody registers before.
    wanted: watch::Sender<bool>,
}

/// One of the hub's ports.
#[derive(Clone)]
struct Behind {
    port: u16,
    shared: Arc<Shared>,
}

impl Front {
    /// Listens on the ports `[rest, mcp]`; the hub is at `behind`.
    pub(crate) async fn start([rest, mcp]: [u16; 2], behind: [u16; 2]) -> Result<Self> {
        let shared = Arc::new(Shared {
            client: Client::builder(TokioExecutor::new()).build_http(),
            mcp,
            status: Mutex::default(),
            wanted: watch::Sender::new(false),
        });
        let mut serving = JoinSet::new();
        for (port, behind) in [rest, mcp].into_iter().zip(behind) {
            let listener = TcpListener::bind(("127.0.0.1", port))
                .await
                .with_context(|| format!("cannot listen on {port}"))?;
            let behind = Behind {
                port: behind,
                shared: Arc::clone(&shared),
            };
            let app = Router::new().fallback(carry).with_state(behind);
            serving.spawn(async move {
                if let Err(error) = axum::serve(listener, app).await {
                    wrapper::report::warning(format_args!("the front ended: {error}"));
                }
            });
        }
        Ok(Self {
            shared,
            _serving: serving,
        })
    }

    /// Refuses stale tokens like this from now on; none: as the hub does. Until
    /// one was refused nobody gets another: the first to learn of it is a call.
    pub(crate) fn refuse_by(&self, status: Option<StatusCode>) {
        *lock(&self.shared.status) = status;
        self.shared.wanted.send_replace(true);
    }

    /// True if a stale token has been refused since.
    pub(crate) fn has_refused(&self) -> bool {
        !*self.shared.wanted.borrow()
    }
}

async fn carry(State(behind): State<Behind>, mut request: Request) -> Response {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let (is_call, is_registration) = (path.starts_with("/mcp"), path == "/api/register");
    let is_post = request.method() == hyper::Method::POST;
    let uri = format!("http://127.0.0.1:{}{path}", behind.port);
    *request.uri_mut() = match Uri::try_from(uri) {
        Ok(uri) => uri,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    };
    if is_registration {
        let mut wanted = behind.shared.wanted.subscribe();
        // It lives as long as we do.
        let _ = wanted.wait_for(|wanted| !wanted).await;
    }
    // The hub goes by its own name.
    request.headers_mut().remove(hyper::header::HOST);
    let answer = match behind.shared.client.request(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(_) => return StatusCode::BAD_GATEWAY.into_response(),
    };
    if is_post && (is_call || is_registration) {
        alter(&behind.shared, answer, is_call).await
    } else {
        answer.into_response()
    }
}

/// The answer to a tool's call, or to a registration, which names our port.
async fn alter(shared: &Shared, answer: Response, is_call: bool) -> Response {
    let (mut head, body) = answer.into_parts();
    let Ok(body) = to_bytes(body, LONGEST).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if is_call {
        if memchr::memmem::find(&body, STALE.as_bytes()).is_none() {
            return Response::from_parts(head, body.into());
        }
        shared.wanted.send_replace(false);
        return match *lock(&shared.status) {
            Some(status) => (status, "the token is stale").into_response(),
            None => Response::from_parts(head, body.into()),
        };
    }
    let Ok(mut registered) = serde_json::from_slice::<Value>(&body) else {
        return Response::from_parts(head, body.into());
    };
    if registered.get("mcp_port").is_some() {
        registered["mcp_port"] = shared.mcp.into();
    }
    head.headers.remove(hyper::header::CONTENT_LENGTH);
    Response::from_parts(head, registered.to_string().into())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The session's end of the control socket: who is let in, and what they are
//! told.
//!
//! One request a connection, so that none stays open; whoever is slow to say
//! what they want is hung up on. Nothing runs while nobody asks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{self, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::unistd::Uid;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::attach;
use super::events::{self, Events};
use super::explain;
use super::hub::{self, Standing};
use super::life;
use super::prompts;
use super::protocol::{Failed, Local, Reach, Refusal};
use super::servers;
use super::socket;
use crate::catalog::Catalog;
use crate::session;
use crate::types::context::SessionContext;
use crate::types::identity::{ServerName, Token};
use crate::types::server::Command;
use crate::types::text::one_line;
use crate::types::upstream::{Endpoint, Live};

/// The most connections at a time, more have to wait: as many as prompts may be
/// waited for, and some for others.
const MOST_CONNECTIONS: usize = 256 + 64;
/// How long a caller may take for the head of a request, and for its body.
const SLOW: Duration = Duration::from_secs(5);
/// Bytes of a body, and of one that holds a prompt, however it is escaped.
const MAX_BODY: usize = 64 * 1024;
const MAX_PROMPT: usize = 512 * 1024;
/// The route of prompts.
const PROMPTS: &str = "/v1/prompts";
/// How long answers may hold the end of the session.
const DRAIN: Duration = Duration::from_secs(1);
/// Characters of a reason that reach the log.
const LONGEST_REASON: usize = 500;

/// What a session can tell of itself.
#[derive(Debug)]
pub struct Desk {
    pub context: SessionContext,
    /// Where the agent runs.
    pub cwd: PathBuf,
    /// The port and the key of the session's proxy, if it has one.
    pub proxy: Option<(u16, Token)>,
    /// Who we are at this moment, and what the proxy forwards to.
    pub live: watch::Receiver<Live>,
    /// The session's servers.
    pub catalog: Arc<Catalog>,
    /// Further spellings of the session's variables.
    pub prefixes: Vec<String>,
    pub session: session::Session,
    /// How we stand with the hub, unless we do without.
    pub hub: Option<Standing>,
    pub started_at: SystemTime,
    /// The session has a terminal of its own, which shows it.
    pub is_attached: bool,
    pub log: PathBuf,
    /// [`super::protocol::Session::team`].
    pub team: Option<String>,
}

/// Opens the control socket in the session's directory, for this user alone.
///
/// # Errors
/// If it cannot be opened there: the path is too long for a system without
/// `/proc`, or the file system takes no sockets.
pub fn bind(dir: &Path) -> Result<UnixListener> {
    let path = dir.join(socket::NAME);
    let tried = || format!("cannot open the control socket {}", path.display());
    let way = socket::way(&path).with_context(tried)?;
    let listener = UnixListener::bind(&way.path).with_context(tried)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(tried)?;
    Ok(listener)
}

/// Answers on `listener` until `stop`.
pub async fn serve(listener: UnixListener, desk: Desk, stop: CancellationToken) {
    let (desk, events) = (Arc::new(desk), Arc::new(Events::new()));
    let mut tasks = JoinSet::new();
    let (followed, until) = (Arc::clone(&events), stop.clone());
    let of = Arc::clone(&desk);
    tasks.spawn(async move { followed.follow(of, until).await });
    let routes = routes(desk, events);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept(), if tasks.len() < MOST_CONNECTIONS => accepted,
        };
        match accepted {
            Ok((io, _)) if is_ours(&io) => {
                tasks.spawn(converse(io, routes.clone()));
            }
            Ok(_) => warn!("refused a caller on the control socket: another user's"),
            Err(error) => {
                // Out of descriptors, most likely: others have to end first.
                warn!(%error, "cannot accept a connection on the control socket");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if timeout(DRAIN, drained).await.is_err() {
        debug!("a caller on the control socket was cut off");
    }
}

/// True if this user's process is at the other end, as the kernel knows it.
fn is_ours(io: &UnixStream) -> bool {
    io.peer_cred()
        .is_ok_and(|peer| peer.uid() == Uid::effective().as_raw())
}

/// Answers a caller, and attends to it if it attaches.
async fn converse(io: UnixStream, routes: Router) {
    let (hand, mut guests) = mpsc::channel(1);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(attach::Hand(hand.clone()));
        routes.call(request)
    });
    let served = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(SLOW)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "a caller on the control socket broke off");
    }
    if let Ok(guest) = guests.try_recv() {
        guest.attend().await;
    }
}

fn routes(desk: Arc<Desk>, events: Arc<Events>) -> Router {
    let followed = (Arc::clone(&desk), events);
    Router::new()
        .route("/v1/session", get(life::show))
        .route("/v1/attach", get(attach::attach))
        .route("/v1/explain", get(explain::explain))
        .route("/v1/restart", post(life::restart))
        .route("/v1/stop", post(life::stop))
        .route(PROMPTS, post(prompts::send))
        .route("/v1/prompts/{id}", get(prompts::receipt))
        .route("/v1/screen", get(prompts::screen))
        .route("/v1/hub/check", post(hub::check))
        .route("/v1/mcp", get(servers::list))
        .route(
            "/v1/mcp/{server}",
            get(servers::get).put(servers::set).delete(servers::remove),
        )
        .route("/v1/mcp/{server}/token", put(servers::token))
        .route("/v1/bridge/{server}", post(reach))
        .route("/v1/bridge/{server}/failed", post(failed))
        .fallback(async || refusal(StatusCode::NOT_FOUND, "there is no such route"))
        .method_not_allowed_fallback(async || {
            refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "this route takes another method",
            )
        })
        .with_state(desk)
        .route("/v1/events", get(events::events).with_state(followed))
        .layer(middleware::from_fn(in_time))
}

/// Reads the body before anybody looks at it, as long and as far as it may.
async fn in_time(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let longest = match head.uri.path() {
        PROMPTS => MAX_PROMPT,
        _ => MAX_BODY,
    };
    match timeout(SLOW, axum::body::to_bytes(body, longest)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        Err(_) => refusal(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    }
}

async fn reach(
    State(desk): State<Arc<Desk>>,
    extract::Path(server): extract::Path<String>,
) -> Response {
    match server.parse().ok().and_then(|server| desk.reach(&server)) {
        Some(reach) => Json(reach).into_response(),
        None => no_server(&server),
    }
}

async fn failed(
    State(desk): State<Arc<Desk>>,
    extract::Path(server): extract::Path<String>,
    body: Bytes,
) -> Response {
    let known: Option<ServerName> = server.parse().ok();
    let Some(server) = known.filter(|server| desk.catalog.command(server).is_some()) else {
        return no_server(&server);
    };
    let Ok(Failed { reason }) = serde_json::from_slice(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no `{\"reason\"}`");
    };
    let reason = one_line(&reason, LONGEST_REASON);
    warn!(%server, reason, "a server did not start");
    desk.catalog.failed(&server, &reason);
    StatusCode::NO_CONTENT.into_response()
}

impl Desk {
    /// The instance's name at this moment.
    pub(super) fn name(&self) -> String {
        let identity = self.live.borrow().identity.clone();
        identity.map_or_else(
            || self.context.name.clone(),
            |identity| identity.name.to_string(),
        )
    }

    /// How to reach a server of this session.
    fn reach(&self, server: &ServerName) -> Option<Reach> {
        if let Some(command) = self.catalog.command(server) {
            return Some(Reach::Local(self.local(&command)));
        }
        let (port, key) = self.proxy.as_ref()?;
        self.live.borrow().upstreams.get(server)?;
        let path = format!("/{}/mcp", server.segment());
        Some(Reach::Remote {
            url: Endpoint::loopback(*port, &path).href(),
            key: key.clone(),
        })
    }

    fn local(&self, command: &Command) -> Local {
        let mut env = command.env.clone();
        let variables = self.context.variables(&self.prefixes);
        env.extend(
            variables
                .into_iter()
                .map(|(name, value)| (name, Token::new(value))),
        );
        let cwd = command.cwd.as_ref().unwrap_or(&self.cwd);
        Local {
            command: command.program.clone(),
            args: command.args.clone(),
            env,
            cwd: cwd.to_str().map(ToOwned::to_owned),
            private: command.is_private,
        }
    }
}

pub(super) fn no_server(server: &str) -> Response {
    let server = one_line(server, LONGEST_REASON);
    let error = format!("this session has no server `{server}`");
    refusal(StatusCode::NOT_FOUND, &error)
}

pub(super) fn refusal(status: StatusCode, error: &str) -> Response {
    let error = error.to_owned();
    (status, Json(Refusal { error })).into_response()
}

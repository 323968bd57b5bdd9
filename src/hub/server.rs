//! The hub as a server: its ports, one chat, and a clean end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::accept::{self, Connection, Strangers};
use super::chat::{Chat, News};
use super::desk::Desk;
use super::gate::{self, Barred};
use super::ports::{Bound, Port};
use super::store::Store;
use super::{files, mcp, rest, sse};
use crate::types::identity::Token;

/// Bytes of a request body: a message, however much of it JSON escapes.
const MAX_BODY: usize = 1024 * 1024;

/// How long requests in flight may hold the end of the hub.
const DRAIN: Duration = Duration::from_secs(5);

/// News that a slow stream may miss before it has to look for itself.
const NEWS: usize = 64;

/// How a hub runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Made with mode 0700; two hubs never share one.
    pub data_dir: PathBuf,
    /// Messages from agent to agent in one channel until a human must speak.
    pub max_hops: u32,
    /// Ends the hub after this long without a request and an open stream (so
    /// also without an instance online); None: never.
    pub idle_exit: Option<Duration>,
}

/// What every request may use.
pub(super) struct Hub {
    pub(super) desk: Desk,
    pub(super) news: broadcast::Sender<News>,
    pub(super) stop: CancellationToken,
    /// One task for each open stream.
    pub(super) streams: TaskTracker,
    pub(super) sessions: sse::Sessions,
    pub(super) rest_port: u16,
    pub(super) mcp_port: u16,
    pub(super) sse_port: Option<u16>,
    last_request: Mutex<Instant>,
}

pub(super) type Shared = Arc<Hub>;

/// A hub whose data directory is claimed and whose store is open.
pub struct Open {
    bound: Bound,
    idle_exit: Option<Duration>,
    desk: Desk,
    thread: JoinHandle<()>,
    news: broadcast::Sender<News>,
}

/// Claims the data directory and opens the store: what can fail has failed
/// then, and the human's token is there to be read.
///
/// # Errors
/// If the data directory cannot be used, or another hub uses it.
pub fn open(bound: Bound, settings: &Settings) -> Result<Open> {
    let lock = files::claim(&settings.data_dir)?;
    let human = files::make_human_token(&settings.data_dir)?;
    let path = files::store(&settings.data_dir)?;
    let (news, _) = broadcast::channel(NEWS);
    let chat = store(&path)
        .and_then(|store| {
            let (hops, now) = (settings.max_hops, Instant::now());
            let mut chat = Chat::open(store, human, hops, news.clone(), now)?;
            chat.renew_old()?;
            Ok(chat)
        })
        .with_context(|| format!("cannot open the hub's store {}", path.display()))?;
    let (desk, thread) = Desk::open(chat, lock).context("cannot start the hub's thread")?;
    Ok(Open {
        bound,
        idle_exit: settings.idle_exit,
        desk,
        thread,
        news,
    })
}

/// Opens the store. What is no store any more is set aside, and a new one begun:
/// the chat goes on without what was said.
fn store(path: &Path) -> Result<Store> {
    let error = match Store::open(path) {
        Err(error) if is_garbage(&error) => error,
        opened => return opened,
    };
    let at = chrono::Utc::now().format("%Y%m%dT%H%M%S");
    let aside = path.with_extension(format!("db.broken-{at}"));
    std::fs::rename(path, &aside)
        .with_context(|| format!("{error}; cannot move it to {}", aside.display()))?;
    // They are of the broken one.
    for journal in ["db-wal", "db-shm"] {
        let journal = path.with_extension(journal);
        if let Err(error) = std::fs::remove_file(&journal)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("cannot remove {}", journal.display()));
        }
    }
    if let Some(dir) = path.parent() {
        files::store(dir)?;
    }
    tracing::warn!(
        "the hub's store {} was broken ({error}): it is kept as {}, and the chat begins again",
        path.display(),
        aside.display()
    );
    Store::open(path)
}

fn is_garbage(error: &anyhow::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let error = error.downcast_ref::<rusqlite::Error>();
    let code = error.and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(NotADatabase | DatabaseCorrupt))
}

/// Serves until stopped, or until idle for as long as the settings allow.
///
/// # Errors
/// If a listener fails.
pub async fn serve(open: Open, stop: CancellationToken) -> Result<()> {
    let Open {
        bound,
        idle_exit,
        desk,
        thread,
        news,
    } = open;
    let stop = stop.child_token();
    let hub = Arc::new(Hub {
        desk,
        news,
        stop: stop.clone(),
        streams: TaskTracker::new(),
        sessions: sse::Sessions::default(),
        rest_port: bound.rest_port(),
        mcp_port: bound.mcp_port(),
        sse_port: bound.sse_port(),
        last_request: Mutex::new(Instant::now()),
    });
    info!(
        rest = hub.rest_port,
        mcp = hub.mcp_port,
        sse = hub.sse_port,
        "the hub is up"
    );

    let strangers = Arc::new(Strangers::new());
    let listen = |port: Port, routes| {
        let routes = gated(routes, port.number, &hub);
        accept::serve(port.tcp, routes, Arc::clone(&strangers), stop.clone())
    };
    let rest = listen(bound.rest, rest::routes());
    let mcp = listen(bound.mcp, mcp::routes());
    let sse = bound.sse.map(|port| listen(port, sse::routes()));
    let sse = async {
        if let Some(served) = sse {
            served.await;
        }
    };
    let served = async { tokio::join!(rest, mcp, sse) };
    tokio::pin!(served);
    let has_ended = tokio::select! {
        _ = &mut served => true,
        () = idle(&hub, idle_exit) => {
            info!("nobody is here: the hub ends");
            stop.cancel();
            false
        }
        () = stop.cancelled() => false,
    };
    if !has_ended && timeout(DRAIN, served).await.is_err() {
        warn!("a connection did not end");
    }
    hub.streams.close();
    if timeout(DRAIN, hub.streams.wait()).await.is_err() {
        warn!("a stream did not end");
    }
    drop(hub);
    // The last handle is gone unless a request hangs, which must not hang us.
    let closed = tokio::task::spawn_blocking(move || thread.join());
    match timeout(DRAIN, closed).await {
        Ok(Ok(Ok(()))) => {}
        Ok(_) => anyhow::bail!("the hub's store ended with a panic"),
        Err(_) => warn!("a request did not end: the store was not closed"),
    }
    Ok(())
}

/// Returns when nothing was asked for `patience`, and no stream is open.
async fn idle(hub: &Hub, patience: Option<Duration>) {
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    loop {
        let (last, now) = (*lock(&hub.last_request), Instant::now());
        match idle_for(last, hub.streams.is_empty(), patience, now) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return,
        }
    }
}

/// How long until it is worth looking again; None: the hub is idle.
fn idle_for(last: Instant, no_stream: bool, patience: Duration, now: Instant) -> Option<Duration> {
    let passed = now.saturating_duration_since(last);
    match patience.checked_sub(passed) {
        Some(rest) if !rest.is_zero() => Some(rest),
        _ if no_stream => None,
        _ => Some(patience),
    }
}

impl Hub {
    /// Has a connection stay that shows a good token. The request need not
    /// wait for that.
    fn look_at(&self, connection: &Connection, token: Token) {
        if connection.is_known() {
            return;
        }
        let connection = connection.clone();
        let told = self.desk.tell(move |chat, _| {
            if chat.is_good(&token) {
                connection.know();
            }
        });
        if told.is_err() {
            debug!("a request came when the store was closed");
        }
    }

    /// Something was asked, or a stream has ended.
    pub(super) fn touch(&self) {
        *lock(&self.last_request) = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Routes behind the gate of the port they are served on.
fn gated(routes: Router<Shared>, port: u16, hub: &Shared) -> Router {
    let state = (Arc::clone(hub), port);
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(state, pass))
        .with_state(Arc::clone(hub))
}

async fn pass(State((hub, port)): State<(Shared, u16)>, request: Request, next: Next) -> Response {
    match gate::check(request.headers(), port) {
        Ok(()) => {
            hub.touch();
            if let Some(connection) = request.extensions().get()
                && let Some(token) = gate::token(request.headers())
            {
                hub.look_at(connection, token);
            }
            next.run(request).await
        }
        Err(Barred::Host) => rest::refusal(403, "forbidden: host not allowed"),
        Err(Barred::Origin) => rest::refusal(403, "forbidden: origin not allowed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_idle_after_its_patience_without_a_stream() {
        let (patience, start) = (Duration::from_secs(600), Instant::now());
        for (passed, no_stream, wait) in [
            (0, true, Some(600)),
            (599, true, Some(1)),
            (600, true, None),
            (900, true, None),
            (599, false, Some(1)),
            (900, false, Some(600)),
        ] {
            let now = start + Duration::from_secs(passed);
            let answer = idle_for(start, no_stream, patience, now);
            assert_eq!(
                answer,
                wait.map(Duration::from_secs),
                "{passed} {no_stream}"
            );
        }
    }
}

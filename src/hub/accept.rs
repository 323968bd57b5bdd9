//! The hub's connections: who is let in, how many at once, and how they end.
//!
//! *Invariant*: connections that have shown no good token can neither use up
//! the hub's descriptors nor stay: beyond a number the eldest goes, and each
//! goes in time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use tracing::{debug, warn};

use crate::loopback;

/// The most connections that have shown no good token, on all ports; half of
/// the files that we may open, where these are few.
const MOST_STRANGERS: usize = 512;

/// Files that a hub may want to open.
const FILES: u64 = 4096;

/// How long one may stay that has not: for the head of its request, above all.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, as its requests know it.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// The caller's end.
    far: SocketAddr,
    near: SocketAddr,
    is_known: Arc<AtomicBool>,
}

impl Connection {
    /// True if the caller is a process of our own user.
    pub(super) fn is_ours(&self) -> bool {
        loopback::is_ours(self.far, self.near)
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    /// Its caller has shown a good token.
    pub(super) fn know(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }
}

/// The connections of all ports that have shown no good token, the eldest
/// first.
#[derive(Debug)]
pub(super) struct Strangers {
    all: Mutex<VecDeque<Stranger>>,
    most: usize,
}

#[derive(Debug)]
struct Stranger {
    is_known: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Strangers {
    /// Nobody yet. Has the system let us open as many files as it may.
    pub(super) fn new() -> Self {
        let files = open_files().unwrap_or_else(|error| {
            debug!(%error, "the limit of open files stays as it is");
            256
        });
        let half = usize::try_from(files / 2).unwrap_or(MOST_STRANGERS);
        Self {
            all: Mutex::default(),
            most: half.min(MOST_STRANGERS),
        }
    }

    /// Makes room for one more.
    fn make_room(&self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < self.most {
            return;
        }
        all.retain(|one| !one.is_known.load(Ordering::Relaxed) && !one.task.is_finished());
        if all.len() >= self.most
            && let Some(eldest) = all.pop_front()
        {
            eldest.task.abort();
        }
    }

    fn add(&self, stranger: Stranger) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(stranger);
    }
}

/// Raises the limit of open files as far as is of use; what it is then.
fn open_files() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = hard.min(FILES);
    if soft >= wanted {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    Ok(wanted)
}

/// Serves `routes` on a port until `stop`; then requests in flight finish.
pub(super) async fn serve(
    tcp: TcpListener,
    routes: Router,
    strangers: Arc<Strangers>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = tcp.accept() => accepted,
        };
        let io = match accepted {
            Ok((io, _)) => io,
            Err(error) => {
                // Out of descriptors, most likely: others have to end first.
                warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (far, near) = match ends(&io) {
            Ok(ends) => ends,
            Err(error) => {
                debug!(%error, "a connection ended at once");
                continue;
            }
        };
        let connection = Connection {
            far,
            near,
            is_known: Arc::default(),
        };
        strangers.make_room();
        let is_known = Arc::clone(&connection.is_known);
        let task = connections.spawn(attend(io, connection, routes.clone(), stop.clone()));
        strangers.add(Stranger {
            is_known,
            task: task.abort_handle(),
        });
    }
    drop(tcp);
    connections.close();
    connections.wait().await;
}

fn ends(io: &TcpStream) -> io::Result<(SocketAddr, SocketAddr)> {
    io.set_nodelay(true)?;
    Ok((io.peer_addr()?, io.local_addr()?))
}

/// Serves a connection to its end.
async fn attend(io: TcpStream, connection: Connection, routes: Router, stop: CancellationToken) {
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        routes.clone().call(request)
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    let mut served = pin!(served);
    let mut patience = pin!(sleep(PATIENCE));
    let (mut is_waiting, mut is_stopping) = (true, false);
    let ended = loop {
        tokio::select! {
            ended = &mut served => break ended,
            () = &mut patience, if is_waiting => {
                if !connection.is_known() {
                    debug!("a caller has shown no token in time");
                    return;
                }
                is_waiting = false;
            }
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}

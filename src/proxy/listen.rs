//! The listener: who is let in, how many at once, and how it ends.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::credential::Keepers;
use crate::hosting::Hosting;
use crate::paths::Env;
use crate::types::context::SessionContext;
use crate::types::identity::{ServerName, Token};
use crate::types::upstream::{Live, Upstream};

use super::ask::Party;
use super::connection;
use super::context::Telling;
use super::exchange::Lost;
use super::excuse::Failed;
use super::gate::Gate;
use super::guests::Guests;
use super::ledger::Ledger;
use super::legacy::Mailboxes;
use super::pool::Pool;
use super::remembered::Remembered;
use super::sessions::Sessions;
use super::talk::{self, Seen};

/// What the proxy is told by the launch.
#[derive(Debug)]
pub struct Settings {
    /// The key that opens the proxy.
    pub key: Token,
    /// Where requests go and as whom, read at each of them.
    pub live: watch::Receiver<Live>,
    /// Woken when the hub does not know the identity's token any more: once
    /// for a token, however many calls wait for the next.
    pub stale: Arc<Notify>,
    pub patience: Patience,
    /// What servers other than the hub may be told of the session.
    pub context: SessionContext,
    /// The credentials of servers that have one that lives.
    pub keepers: Arc<Keepers>,
    /// Where what is seen of the servers is noted.
    pub ledger: Ledger,
    /// The servers that are commands of ours.
    pub hosting: Arc<Hosting>,
    /// The agent's environment: it names the proxies that lead elsewhere.
    pub env: Env,
}

/// How long the proxy waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For an upstream that takes no connection.
    pub away: Duration,
    /// For a new token.
    pub renewal: Duration,
    /// For the answer to a request of our own.
    pub answer: Duration,
    /// For the whole head of a request, once it has begun; for the first head
    /// of a connection, from the start.
    pub head: Duration,
    /// For requests in flight, when the proxy stops.
    pub drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            away: Duration::from_secs(15),
            renewal: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            head: Duration::from_secs(10),
            drain: Duration::from_secs(1),
        }
    }
}

/// The most connections that have shown our key: with as many to upstreams
/// they stay below the usual limit of 1024 open files.
const MOST_CONNECTIONS: usize = 256;
/// The most that have not. One more ends the one that has waited longest, so
/// that they cannot keep the agent out.
const MOST_STRANGERS: usize = 128;
const BACKLOG: u32 = 1024;

/// What the connections of one proxy share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) gate: Gate,
    pub(super) live: watch::Receiver<Live>,
    pub(super) pool: Pool,
    pub(super) remembered: Remembered,
    pub(super) mailboxes: Mailboxes,
    pub(super) sessions: Sessions,
    pub(super) telling: Telling,
    pub(super) keepers: Arc<Keepers>,
    pub(super) ledger: Ledger,
    pub(super) guests: Guests,
    pub(super) patience: Patience,
    pub(super) places: Semaphore,
    pub(super) stop: CancellationToken,
    /// The log says that the agent does not know the key.
    pub(super) has_warned: AtomicBool,
    stale: Arc<Notify>,
    nudged: Mutex<Option<(Option<Token>, Instant)>>,
}

/// A connection that has not shown our key yet.
struct Stranger {
    is_known: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Opens a port of the system's choice on loopback; [`serve`] serves it.
///
/// # Errors
/// If the system has no port for us.
pub fn bind() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(BACKLOG)
}

/// The proxy of one session; a handle to it.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Shared>);

impl Proxy {
    /// A proxy that is to be called at `port`. It begins with [`Proxy::serve`].
    #[must_use]
    pub fn new(settings: Settings, port: u16) -> Self {
        Self(Arc::new(Shared {
            gate: Gate::new(settings.key, port),
            live: settings.live,
            pool: Pool::new(settings.hosting, &settings.env),
            remembered: Remembered::default(),
            mailboxes: Mailboxes::default(),
            sessions: Sessions::default(),
            telling: Telling::new(&settings.context),
            keepers: settings.keepers,
            ledger: settings.ledger,
            guests: Guests::default(),
            patience: settings.patience,
            places: Semaphore::new(MOST_CONNECTIONS),
            stop: CancellationToken::new(),
            has_warned: AtomicBool::new(false),
            stale: settings.stale,
            nudged: Mutex::new(None),
        }))
    }

    /// Serves `listener` until `stop`; then lets requests in flight finish for
    /// a moment, and ends streams.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let shared = &self.0;
        let mut tasks = JoinSet::new();
        let mut strangers = VecDeque::new();
        let mut live = shared.live.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = live.changed() => shared.pool.prune(&live.borrow_and_update()),
                Some(_) = tasks.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((io, _)) => admit(shared, io, &mut tasks, &mut strangers),
                    Err(error) => {
                        // Out of descriptors, most likely: others have to end first.
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
        drop(listener);
        shared.stop.cancel();
        let drained = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(shared.patience.drain, drained).await;
        tasks.shutdown().await;
    }

    /// Tries a server that the session need not have yet, as its agent would:
    /// opens an MCP session, asks for its tools, ends it. Takes `patience` at
    /// most.
    ///
    /// # Errors
    /// What is wrong with it, and what to do, in words.
    pub async fn try_out(
        &self,
        server: &ServerName,
        upstream: &Arc<Upstream>,
        patience: Duration,
    ) -> Result<Seen, String> {
        let party = Party {
            shared: &self.0,
            server,
            instead: Some(upstream),
            patience,
        };
        let seen = timeout(patience, talk::look(party)).await;
        let seen = seen.unwrap_or(Err(Failed::Lost(Lost::Late)));
        seen.map_err(|failed| failed.trouble(server, Some(&upstream.endpoint)))
    }
}

/// Serves `listener` with a proxy of its own, as [`Proxy::serve`] does.
///
/// # Errors
/// If the listener is none of loopback's.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    stop: CancellationToken,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    Proxy::new(settings, port).serve(listener, stop).await;
    Ok(())
}

fn admit(
    shared: &Arc<Shared>,
    io: TcpStream,
    tasks: &mut JoinSet<()>,
    strangers: &mut VecDeque<Stranger>,
) {
    if let Err(error) = io.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended at once");
        return;
    }
    strangers.retain(|stranger| {
        !stranger.is_known.load(Ordering::Relaxed) && !stranger.task.is_finished()
    });
    if strangers.len() >= MOST_STRANGERS
        && let Some(eldest) = strangers.pop_front()
    {
        eldest.task.abort();
    }
    let is_known = Arc::new(AtomicBool::new(false));
    let connection = connection::serve(Arc::clone(shared), io, Arc::clone(&is_known));
    let task = tasks.spawn(connection);
    strangers.push_back(Stranger { is_known, task });
}

impl Shared {
    /// Has the session registered again, and waits until its token is another
    /// than `used`. False if that takes too long.
    pub(super) async fn renewed(&self, used: Option<&Token>) -> bool {
        let mut live = self.live.clone();
        let is_new = |live: &Live| {
            let identity = live.identity.as_ref();
            identity.is_some_and(|identity| Some(&identity.token) != used)
        };
        if is_new(&live.borrow()) {
            return true;
        }
        self.nudge(used);
        let waited = timeout(self.patience.renewal, live.wait_for(is_new)).await;
        matches!(waited, Ok(Ok(_)))
    }

    /// Wakes the presence, once for a token; again after a while in which
    /// nothing came of it.
    fn nudge(&self, used: Option<&Token>) {
        let mut nudged = self.nudged.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |(token, at): &(Option<Token>, Instant)| {
            token.as_ref() == used && at.elapsed() < self.patience.renewal
        };
        if !nudged.as_ref().is_some_and(is_recent) {
            *nudged = Some((used.cloned(), Instant::now()));
            self.stale.notify_one();
        }
    }
}

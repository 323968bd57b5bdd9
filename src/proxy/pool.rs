//! Connections to upstreams: the ones that wait for their next request, and
//! new ones, asked for until the upstream is back.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::types::upstream::{Endpoint, Upstream};

use super::peer::Peer;
use super::tls::{Tls, is_distrust};
use super::wire::Wire;

/// A connection to an upstream.
pub(super) type Link = Peer<Wire>;

/// The most connections that wait, over all upstreams.
const MOST_IDLE: usize = 64;
/// The pause after the first connection that failed, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// The connections that wait, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<VecDeque<(Arc<Upstream>, Link)>>,
    tls: Tls,
}

impl Pool {
    /// A connection to `to` that waits and that its upstream has not closed.
    pub(super) fn take(&self, to: &Endpoint) -> Option<Link> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let at = idle
                .iter()
                .rposition(|(upstream, _)| upstream.endpoint.is_at(to))?;
            let (_, mut link) = idle.remove(at)?;
            // All that a waiting connection can say is that it has ended.
            if link.io.is_silent() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(super) fn put(&self, upstream: Arc<Upstream>, mut link: Link) {
        if !link.buf.is_empty() {
            return;
        }
        link.rest();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() == MOST_IDLE {
            idle.pop_front();
        }
        idle.push_back((upstream, link));
    }

    /// Connects, again and again for as long as `patience` lasts, unless it is
    /// of no use.
    pub(super) async fn connect(&self, to: &Endpoint, patience: Duration) -> io::Result<Link> {
        let end = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match timeout_at(end, self.connect_once(to)).await {
                Ok(Ok(io)) => return Ok(Peer::new(io)),
                Ok(Err(error)) => error,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            };
            if is_distrust(&error) || Instant::now() + pause >= end {
                return Err(error);
            }
            tracing::debug!(%to, %error, "the upstream is away");
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn connect_once(&self, to: &Endpoint) -> io::Result<Wire> {
        let io = match to.localhost() {
            Some(local) => TcpStream::connect(&local[..]).await?,
            None => TcpStream::connect((to.host.as_str(), to.port)).await?,
        };
        // A free port may be given to the very socket that asks for it.
        if io.local_addr()? == io.peer_addr()? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        io.set_nodelay(true)?;
        if to.tls {
            let io = self.tls.connect(to, io).await?;
            return Ok(Wire::Tls(Box::new(io)));
        }
        Ok(Wire::Plain(io))
    }
}

//! Connections to upstreams: the ones that wait for their next request, and
//! new ones, asked for until the upstream is back.
//!
//! *Invariant*: a connection on which one credential was shown carries no
//! request with another, and none waits whose server has another by now.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::hosting::Hosting;
use crate::loopback::{self, Stranger};
use crate::paths::Env;
use crate::types::identity::{ServerName, Token};
use crate::types::owner::Owner;
use crate::types::upstream::{Credential, Endpoint, Live, Scheme};

use super::detour::{Detour, DetourKind, Detours};
use super::outgoing::Voice;
use super::peer::Peer;
use super::tls::{Tls, distrust, is_distrust};
use super::tunnel;
use super::wire::Wire;

/// A connection to an upstream.
pub(super) type Link = Peer<Wire>;

/// The most connections that wait, over all upstreams.
const MOST_IDLE: usize = 64;
/// The most servers of which is known as whom they were spoken to last.
const MOST_LATEST: usize = 256;
/// The pause after the first connection that failed, and the longest: to this
/// machine a try costs little, and what restarts there is back soon.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE_HERE: Duration = Duration::from_millis(25);

/// Whom a connection leads to and as whom: digests, by a key that nobody
/// knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    server: u64,
    place: u64,
    voice: u64,
}

/// The connections that wait, and the way to new ones.
#[derive(Debug, Default)]
pub(super) struct Pool {
    waiting: Mutex<Waiting>,
    digest: RandomState,
    tls: Tls,
    detours: Detours,
    hosting: Arc<Hosting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The one used last at the end.
    idle: VecDeque<(Key, Link)>,
    /// How each server was spoken to last; the latest at the end.
    latest: VecDeque<Key>,
}

impl Pool {
    /// A pool that goes by way of the proxies that `env` names.
    pub(super) fn new(hosting: Arc<Hosting>, env: &Env) -> Self {
        let (detours, unusable) = Detours::read(env);
        for variable in unusable {
            tracing::warn!(variable, "not the URL of a proxy: it is not used");
        }
        Self {
            detours,
            hosting,
            tls: Tls::new(env),
            ..Self::default()
        }
    }

    pub(super) fn key(&self, server: &ServerName, to: &Endpoint, voice: Voice<'_>) -> Key {
        let voice = match voice {
            Voice::Identity(token) => {
                let token = token.map(Token::expose);
                self.digest.hash_one(("identity", token))
            }
            Voice::Headers(headers, _) => {
                let lines = headers.iter().map(|(name, value)| (name, value.expose()));
                self.digest.hash_one(("headers", lines.collect::<Vec<_>>()))
            }
        };
        let host = to.host.to_ascii_lowercase();
        Key {
            server: self.digest.hash_one(server),
            place: self.digest.hash_one((to.scheme as u8, host, to.port)),
            voice,
        }
    }

    /// A connection that waits and that its upstream has not closed.
    pub(super) fn take(&self, key: Key) -> Option<Link> {
        let mut waiting = self.waiting();
        waiting.note(key);
        loop {
            let at = waiting.idle.iter().rposition(|(other, _)| *other == key)?;
            let (_, mut link) = waiting.idle.remove(at)?;
            // All that a waiting connection can say is that it has ended.
            if link.io.is_silent() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection whose last answer was read to its end, unless its
    /// server was spoken to in another way meanwhile.
    pub(super) fn put(&self, key: Key, mut link: Link) {
        let mut waiting = self.waiting();
        if !link.buf.is_empty() || !waiting.latest.contains(&key) {
            return;
        }
        link.rest();
        if waiting.idle.len() == MOST_IDLE {
            waiting.idle.pop_front();
        }
        waiting.idle.push_back((key, link));
    }

    /// Closes what waits for a server that is not there any more, or has
    /// another credential by now.
    pub(super) fn prune(&self, live: &Live) {
        let known: Vec<(Key, bool)> = live
            .upstreams
            .iter()
            .map(|(server, upstream)| {
                let nothing = Vec::new();
                let (voice, is_whole) = match &upstream.credential {
                    Credential::Identity => {
                        let identity = live.identity.as_ref();
                        (
                            Voice::Identity(identity.map(|identity| &identity.token)),
                            true,
                        )
                    }
                    Credential::Headers(headers) => (Voice::Headers(headers, ""), true),
                    // What it is at this moment shows at its next use.
                    Credential::Auth(..) => (Voice::Headers(&nothing, ""), false),
                };
                (self.key(server, &upstream.endpoint, voice), is_whole)
            })
            .collect();
        let is_known = |key: &Key| {
            known.iter().any(|(known, is_whole)| {
                let is_there = known.server == key.server && known.place == key.place;
                is_there && (known.voice == key.voice || !is_whole)
            })
        };
        let mut waiting = self.waiting();
        waiting.idle.retain(|(key, _)| is_known(key));
        waiting.latest.retain(is_known);
    }

    /// Connects, again and again for as long as `patience` lasts, unless it is
    /// of no use: to a process of `owner`, if it is on this machine.
    pub(super) async fn connect(
        &self,
        to: &Endpoint,
        owner: &Owner,
        patience: Duration,
    ) -> io::Result<Link> {
        let end = Instant::now() + patience;
        let last_pause = if to.is_loopback() {
            LAST_PAUSE_HERE
        } else {
            LAST_PAUSE
        };
        let mut pause = FIRST_PAUSE;
        let mut last = None;
        loop {
            let error = match timeout_at(end, self.connect_once(to, owner)).await {
                Ok(Ok(io)) => return Ok(Peer::new(io)),
                Ok(Err(error)) => error,
                // What went wrong before says more than that it took too long.
                Err(_) => return Err(last.unwrap_or(io::ErrorKind::TimedOut.into())),
            };
            let is_final = is_distrust(&error) || to.scheme == Scheme::Hosted;
            if is_final || Instant::now() + pause >= end {
                return Err(error);
            }
            tracing::debug!(%to, %error, "the upstream is away");
            last = Some(error);
            sleep(pause).await;
            pause = (pause * 2).min(last_pause);
        }
    }

    /// Connects, or does not.
    pub(super) async fn connect_now(&self, to: &Endpoint, owner: &Owner) -> io::Result<Link> {
        self.connect_once(to, owner).await.map(Peer::new)
    }

    async fn connect_once(&self, to: &Endpoint, owner: &Owner) -> io::Result<Wire> {
        if to.scheme == Scheme::Hosted {
            let name = ServerName::from_segment(&to.host).ok_or(io::ErrorKind::NotFound)?;
            return self.hosting.connect(&name).map(Wire::Local);
        }
        let wire = match self.detours.find(to) {
            None => {
                let io = match to.localhost() {
                    Some(local) => TcpStream::connect(&local[..]).await?,
                    None => TcpStream::connect((to.host.as_str(), to.port)).await?,
                };
                if !to.is_tls() {
                    // A certificate proves more.
                    let proven = loopback::prove(&io, owner).await;
                    proven.map_err(|error| match Stranger::in_error(&error) {
                        Some(stranger) => distrust(stranger.to_string()),
                        None => error,
                    })?;
                }
                tcp(io)?
            }
            Some(by) => {
                let wire = self.connect_to(&by).await.map_err(|error| {
                    if is_distrust(&error) {
                        return error;
                    }
                    io::Error::new(error.kind(), format!("the proxy {by} is away: {error}"))
                })?;
                if by.reads(to) {
                    return Ok(wire);
                }
                tunnel::open(wire, &by, to).await?
            }
        };
        if to.is_tls() {
            let io = self.tls.connect(&to.host, wire).await?;
            return Ok(Wire::Tls(Box::new(io)));
        }
        Ok(wire)
    }

    async fn connect_to(&self, by: &Detour) -> io::Result<Wire> {
        let wire = tcp(TcpStream::connect((by.host.as_str(), by.port)).await?)?;
        if by.kind == DetourKind::Https {
            let io = self.tls.connect(&by.host, wire).await?;
            return Ok(Wire::Tls(Box::new(io)));
        }
        Ok(wire)
    }

    /// The proxy that gets requests to `to` in place of it, if there is one.
    pub(super) fn reader(&self, to: &Endpoint) -> Option<Detour> {
        self.detours.find(to).filter(|by| by.reads(to))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Notes how a server is spoken to from now on, and closes what waits for
    /// it since it was spoken to in another way.
    fn note(&mut self, key: Key) {
        if self.latest.back() == Some(&key) {
            return;
        }
        let is_old = |other: &Key| other.server == key.server && *other != key;
        self.idle.retain(|(other, _)| !is_old(other));
        self.latest.retain(|other| other.server != key.server);
        if self.latest.len() == MOST_LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(key);
    }
}

fn tcp(io: TcpStream) -> io::Result<Wire> {
    // A free port may be given to the very socket that asks for it.
    if io.local_addr()? == io.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    io.set_nodelay(true)?;
    Ok(Wire::Plain(io))
}

#[cfg(test)]
mod tests;

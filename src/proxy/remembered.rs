//! What is remembered of upstreams from answer to answer: their cookies, and
//! the paths that they redirect to. In memory, for the session.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::types::identity::ServerName;
use crate::types::upstream::{Endpoint, Upstream};

use super::cookies::Cookies;
use super::head::Answer;

/// The most servers whose redirects are known.
const MOST_MOVES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Most sessions have nothing to remember: their calls take no lock.
    has_any: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    cookies: Cookies,
    /// By server: where it is configured to be, and where it redirects to.
    moves: BTreeMap<ServerName, (Endpoint, Endpoint)>,
}

impl Remembered {
    /// Keeps the cookies that `answer` to a request to `to` sets.
    pub(super) fn take(
        &self,
        server: &ServerName,
        upstream: &Upstream,
        to: &Endpoint,
        answer: &Answer,
    ) {
        if answer.cookies.is_empty() {
            return;
        }
        let (now, mut known) = (SystemTime::now(), self.known());
        for line in &answer.cookies {
            known.cookies.take(server, upstream, to, line, now);
        }
        self.has_any.store(true, Ordering::Release);
    }

    /// The value of the `Cookie` header of a request to `to`, if there is any.
    pub(super) fn cookies(
        &self,
        server: &ServerName,
        upstream: &Upstream,
        to: &Endpoint,
    ) -> String {
        if !self.has_any() {
            return String::new();
        }
        let now = SystemTime::now();
        self.known().cookies.line(server, upstream, to, now)
    }

    /// Where requests for `at` go, if `server` redirects them.
    pub(super) fn moved(&self, server: &ServerName, at: &Endpoint) -> Option<Endpoint> {
        if !self.has_any() {
            return None;
        }
        let known = self.known();
        let (from, to) = known.moves.get(server)?;
        (from == at).then(|| to.clone())
    }

    /// Has requests of `server` for `at` go to another path of its origin.
    pub(super) fn follow(&self, server: &ServerName, at: &Endpoint, to: &Endpoint) {
        let mut known = self.known();
        if known.moves.len() == MOST_MOVES && !known.moves.contains_key(server) {
            known.moves.pop_first();
        }
        known.moves.insert(server.clone(), (at.clone(), to.clone()));
        self.has_any.store(true, Ordering::Release);
    }

    /// Sends requests of `server` to where it is configured to be.
    pub(super) fn unfollow(&self, server: &ServerName) {
        self.known().moves.remove(server);
    }

    fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! MCP sessions of ours with guests: one for each session of the agent's with
//! the hub, so that ids of requests are as unique there as they are here.
//! Opened when they are needed, closed when the guest leaves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::proxy::ask::Party;
use crate::proxy::exchange::Lost;
use crate::proxy::excuse::Failed;
use crate::proxy::greeting::Greeting;
use crate::proxy::listen::Shared;
use crate::proxy::reopen::reopen;
use crate::proxy::session::{Message, Session};
use crate::proxy::talk::{self, Talk};
use crate::types::evidence::Step;
use crate::types::identity::{ServerName, Token};
use crate::types::upstream::{Endpoint, Live, Upstream};

/// The protocol's version that calls come with, until the guest has said its own.
pub(super) const TOLD: &str = talk::VERSION;
/// How long a list of tools waits for a guest.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most sessions of ours; the one opened first is closed for one more.
const MOST: usize = 64;

/// The sessions, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Visits(Mutex<Vec<Visit>>);

#[derive(Debug)]
struct Visit {
    /// The agent's session with the hub.
    by: Option<String>,
    session: Arc<Session>,
    /// Where it was begun.
    upstream: Arc<Upstream>,
}

impl Visits {
    fn lock(&self) -> MutexGuard<'_, Vec<Visit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our session with `server`; it may be still to be opened.
pub(super) fn with(shared: &Arc<Shared>, by: Option<&str>, server: &ServerName) -> Arc<Session> {
    let mut visits = shared.guests.visits.lock();
    let is_it = |visit: &&Visit| visit.by.as_deref() == by && visit.session.server == *server;
    if let Some(visit) = visits.iter().find(is_it) {
        return Arc::clone(&visit.session);
    }
    let session = shared.sessions.open(unopened(server));
    let live = shared.live.borrow().clone();
    if let Some(upstream) = live.upstreams.get(server) {
        if visits.len() == MOST {
            leave(shared, visits.remove(0));
        }
        visits.push(Visit {
            by: by.map(str::to_owned),
            session: Arc::clone(&session),
            upstream: Arc::clone(upstream),
        });
    }
    session
}

/// A session that is open nowhere yet, under an id of ours.
fn unopened(server: &ServerName) -> Session {
    let hello = Message {
        lines: talk::LINES.into(),
        body: talk::hello(),
    };
    let greeting = Greeting {
        version: Some(TOLD.into()),
        ..Greeting::default()
    };
    // Port 0 is nobody's.
    let nowhere = Endpoint::loopback(0, "/");
    let id = Token::random();
    let mut session = Session::new(server, hello, &nowhere, Some(id.expose()), greeting);
    session.is_ours = true;
    session
}

/// Closes the sessions with servers that are not there any more.
pub(super) fn tidy(shared: &Arc<Shared>, live: &Live) {
    let mut visits = shared.guests.visits.lock();
    let is_gone = |visit: &mut Visit| !live.upstreams.contains_key(&visit.session.server);
    let gone: Vec<Visit> = visits.extract_if(.., is_gone).collect();
    for visit in gone {
        leave(shared, visit);
    }
}

/// Ends a session, in its own time.
fn leave(shared: &Arc<Shared>, visit: Visit) {
    shared.sessions.close(&visit.session);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let party = Party {
            shared: &shared,
            server: &visit.session.server,
            instead: Some(&visit.upstream),
            patience: PATIENCE,
        };
        let place = visit.session.standing().place;
        if place.at.as_ref() == Some(&visit.upstream.endpoint) {
            let talk = Talk::within(&visit.session, &place);
            let closed = shared.stop.run_until_cancelled(talk.close(party)).await;
            tracing::debug!(server = %visit.session.server, ?closed, "left");
        }
    });
}

/// Tells `server` that a call is wanted no more.
pub(super) async fn cancel(
    shared: &Arc<Shared>,
    by: Option<&str>,
    server: &ServerName,
    params: &str,
) {
    let session = with(shared, by, server);
    let party = party(shared, server);
    let talk = Talk::within(&session, &session.standing().place);
    let told = talk.notify(party, "notifications/cancelled", params);
    if let Err(failed) = told.await {
        tracing::debug!(%server, ?failed, "a call was not cancelled");
    }
}

/// The tools of each of `guests`, in their order.
pub(super) async fn tools(
    shared: &Arc<Shared>,
    by: Option<&str>,
    guests: impl Iterator<Item = (&ServerName, &Arc<Upstream>)>,
) -> Vec<(ServerName, Vec<String>)> {
    let mut asked = JoinSet::new();
    for (server, upstream) in guests {
        let (shared, server) = (Arc::clone(shared), server.clone());
        let (session, upstream) = (with(&shared, by, &server), Arc::clone(upstream));
        asked.spawn(async move {
            let tools = timeout(PATIENCE, listed(&shared, &session)).await;
            match tools.unwrap_or(Err(Failed::Lost(Lost::Late))) {
                Ok(tools) => Some((server, tools)),
                Err(failed) => {
                    let why = failed.words(&server, Some(&upstream.endpoint));
                    tracing::warn!(%server, why, "its tools are left out");
                    let at = Some(&upstream.endpoint);
                    shared.ledger.fail(&server, &failed.trouble(&server, at));
                    None
                }
            }
        });
    }
    let mut all: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all
}

/// The tools of one guest, in a session that is opened for it, or anew.
async fn listed(shared: &Arc<Shared>, session: &Arc<Session>) -> Result<Vec<String>, Failed> {
    let server = &session.server;
    let mut may_reopen = true;
    loop {
        let live = shared.live.borrow().clone();
        let upstream = live.upstreams.get(server).ok_or(Failed::Absent)?;
        let seen = session.generation_at(&upstream.endpoint);
        if seen.is_none() {
            reopen(shared, session, None).await?;
            shared.ledger.note(server, Step::Initialized);
        }
        let place = session.standing().place;
        if place.greeting.capabilities.get("tools").is_none() {
            // It says that it has none.
            return Ok(Vec::new());
        }
        let talk = Talk::within(session, &place);
        match talk.tools(party(shared, server)).await {
            Err(Failed::Missing { .. }) if may_reopen => {
                may_reopen = false;
                reopen(shared, session, seen).await?;
            }
            told => return told,
        }
    }
}

fn party<'a>(shared: &'a Shared, server: &'a ServerName) -> Party<'a> {
    Party {
        shared,
        server,
        instead: None,
        patience: PATIENCE,
    }
}

//! Carries a request to its upstream and the answer back, whatever happens:
//! what can be mended is mended, the rest is told in words.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::types::identity::ServerName;

use super::absent;
use super::answer;
use super::attempt::attempt;
use super::chances::Chances;
use super::errand::Errand;
use super::exchange::while_wanted;
use super::excuse::Failed;
use super::guests::{self, Beside};
use super::headers;
use super::legacy;
use super::listen::Shared;
use super::listening;
use super::peer::Peer;
use super::relay::End;
use super::reopen::{is_forgotten, reopen};
use super::rpc;
use super::session::{self, ID, Message, Session};
use super::step::{self, Step};
use super::target::{Carried, Door, Target};
use super::upload::Gone;

/// How often an MCP session is opened anew for one request.
const MOST_OPENINGS: u32 = 2;

/// Forwards `carried` to `server` by `door` and answers the agent, whatever
/// happens.
pub(super) async fn forward(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    server: &ServerName,
    door: Door<'_>,
    carried: Carried<'_>,
) -> Result<End, Gone> {
    if let (Door::Messages(number), true) = (door, carried.request.is_json)
        && let Some(mailbox) = shared.mailboxes.find(server, number)
    {
        let carrying = legacy::carry(shared, agent, &mailbox, carried);
        return Box::pin(carrying).await;
    }
    let request = carried.request;
    let step = match door {
        Door::Mcp if request.is_json => step::step(&carried.body),
        _ => Step::Other,
    };
    let mut beside = None;
    if door == Door::Mcp && request.is_json && guests::may_be_asked(shared, server) {
        if let Some(end) = Box::pin(guests::serve(shared, agent, &carried)).await {
            return end;
        }
        if matches!(step, Step::List { .. }) {
            beside = while_wanted(agent, Box::pin(guests::beside(shared, server, request))).await?;
        }
    }
    carry(shared, agent, server, (door, step), carried, beside).await
}

/// Forwards what is meant for `server` itself.
async fn carry(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    server: &ServerName,
    (door, step): (Door<'_>, Step),
    carried: Carried<'_>,
    beside: Option<Beside>,
) -> Result<End, Gone> {
    let request = carried.request;
    let id = headers::value(&request.crossing, ID);
    let known =
        (door == Door::Mcp && step != Step::Hello).then(|| shared.sessions.find(server, id));
    let known = known.flatten();
    if let Some(session) = &known {
        if listening::is_wanted(request, session) {
            return Box::pin(listening::listen(shared, agent, session, request)).await;
        }
        take_note(shared, session, step, &carried);
    }
    let errand = Errand {
        shared,
        server,
        door,
        step,
        session: known.as_ref(),
        beside: beside.as_ref(),
    };
    deliver(errand, agent, carried).await
}

/// Tries until there is an answer for the agent, or nothing left to try.
async fn deliver(
    errand: Errand<'_>,
    agent: &mut Peer<TcpStream>,
    mut carried: Carried<'_>,
) -> Result<End, Gone> {
    let Errand {
        shared,
        server,
        door,
        session,
        ..
    } = errand;
    let request = carried.request;
    let may_repeat = carried.rest.is_done();
    let (mut chances, mut openings) = (Chances::default(), 0);
    let (failed, at) = loop {
        let live = shared.live.borrow().clone();
        let mut target = match Target::find(shared, &live, server, door, &mut carried) {
            Ok(target) => target,
            Err(failed) => break (failed, live.upstreams.get(server).cloned()),
        };
        if target.is_to_be_authorized() {
            let authorized = target.authorize(&shared.keepers, server);
            if let Err(failed) = while_wanted(agent, Box::pin(authorized)).await? {
                break (failed, Some(target.upstream));
            }
        }
        let generation = session.map(|session| session.generation_at(target.home()));
        let mut failed = if target.is_call && target.token.is_none() {
            Failed::Stale
        } else if generation == Some(None) {
            Failed::Missing { has_session: true }
        } else {
            match attempt(errand, agent, &carried, &target, openings).await? {
                Ok(end) => return Ok(end),
                Err(failed) => failed,
            }
        };
        if may_repeat
            && generation != Some(None)
            && chances.returns(shared, server, &target, &failed)
        {
            continue;
        }
        if let (Failed::Missing { .. }, Some(session), Some(seen)) = (&failed, session, generation)
            && may_repeat
            && openings < MOST_OPENINGS
        {
            if request.method == "GET" && seen.is_some() {
                // It may have no stream: only a POST tells of the session.
                let forgotten = Box::pin(is_forgotten(shared, session));
                match while_wanted(agent, forgotten).await? {
                    Ok(true) => {}
                    Ok(false) => break (Failed::NoStream, Some(target.upstream)),
                    Err(failed) => break (failed, Some(target.upstream)),
                }
            }
            if request.method == "DELETE" {
                // What is to be ended is over already.
                let done = answer::json("", request.keep_alive);
                return say(agent, &done, request.keep_alive).await;
            }
            openings += 1;
            match while_wanted(agent, Box::pin(reopen(shared, session, seen))).await? {
                Ok(()) => continue,
                Err(failed) => break (failed, Some(target.upstream)),
            }
        }
        if may_repeat {
            let harmless = || is_harmless(&carried, door);
            let mended = chances.mend(shared, server, &target, &mut failed, harmless);
            if while_wanted(agent, Box::pin(mended)).await? {
                continue;
            }
        }
        break (failed, Some(target.upstream));
    };
    let why = failed.words(server, at.as_ref().map(|upstream| &upstream.endpoint));
    if matches!(failed, Failed::Absent) {
        // An entry of another project is no fault of anybody's.
        tracing::debug!(%server, "not a server of this session");
    } else {
        tracing::warn!(%server, why, "a request failed");
        if failed.is_of_server() {
            let at = at.as_ref().map(|upstream| &upstream.endpoint);
            shared.ledger.fail(server, &failed.trouble(server, at));
        }
    }
    apologize(agent, door, &carried, &failed, &why).await
}

/// Keeps what the session may have to be opened anew with.
fn take_note(shared: &Shared, session: &Arc<Session>, step: Step, carried: &Carried<'_>) {
    match step {
        Step::Started => {
            let started = Message {
                lines: carried.request.crossing.clone(),
                body: carried.body.clone(),
            };
            session.note(|standing| standing.started = Some(started));
        }
        Step::List { is_first } => {
            let guests = session::guests(&shared.live.borrow());
            session.note(|standing| {
                standing.shown.ask(is_first);
                standing.guests = Some(guests);
            });
        }
        _ if carried.request.method == "DELETE" => shared.sessions.close(session),
        _ => {}
    }
}

/// True for what may be sent twice though it may have arrived.
fn is_harmless(carried: &Carried<'_>, door: Door<'_>) -> bool {
    match carried.request.method.as_str() {
        "GET" | "HEAD" | "DELETE" => true,
        // A stream would bring two answers to what was posted for it twice.
        "POST" if door == Door::Mcp => rpc::is_harmless(&carried.body),
        _ => false,
    }
}

async fn apologize(
    agent: &mut Peer<TcpStream>,
    door: Door<'_>,
    carried: &Carried<'_>,
    failed: &Failed,
    why: &str,
) -> Result<End, Gone> {
    // After what follows a head all the same, no second answer can be found.
    let is_head = carried.request.method == "HEAD";
    let keep = carried.request.keep_alive && carried.rest.is_done() && !is_head;
    let text = match (door, carried.request.method.as_str(), failed) {
        (Door::Mcp, "POST", Failed::Absent) => absent::welcome(&carried.body, why, keep),
        (Door::Mcp, "POST", _) => answer::unable(&carried.body, why, keep),
        (_, _, Failed::NotGet) => answer::only_get(why, keep),
        _ => answer::plain(failed.status(door), why, keep),
    };
    say(agent, &text, keep).await
}

/// Answers by ourselves; `keep` says whether the connection stays open.
async fn say(agent: &mut Peer<TcpStream>, text: &[u8], keep: bool) -> Result<End, Gone> {
    agent.io.write_all(text).await.map_err(|_| Gone::HungUp)?;
    Ok(if keep { End::Whole } else { End::Closing })
}

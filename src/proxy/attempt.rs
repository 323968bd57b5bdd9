//! One try of a request: sent once, and its answer passed on if it is one for
//! the agent.

use std::io;

use tokio::net::TcpStream;

use super::detour::Detour;
use super::errand::Errand;
use super::exchange::{Exchange, while_wanted};
use super::excuse::Failed;
use super::fate::Fate;
use super::forgotten;
use super::framing::Framing;
use super::head::{Answer, Request};
use super::headers::{self, Content};
use super::legacy;
use super::listen::Shared;
use super::look::{self, Found, LONGEST_HELD};
use super::peer::Peer;
use super::pool::{Key, Link};
use super::refusal::refusal;
use super::relay::{End, Passing};
use super::rpc;
use super::session::ID;
use super::step::Step;
use super::target::{Carried, Door, Target};
use super::upload::{Gone, Upload};

/// Sends the request once, and passes the answer on if it is one for the agent.
pub(super) async fn attempt(
    errand: Errand<'_>,
    agent: &mut Peer<TcpStream>,
    carried: &Carried<'_>,
    target: &Target<'_>,
    openings: u32,
) -> Result<Result<End, Failed>, Gone> {
    let Errand {
        shared,
        server,
        door,
        session,
        ..
    } = errand;
    let to = target.to();
    if door == Door::Sse {
        // In a box of its own: every other connection would hold room for it.
        let stream = legacy::stream(shared, agent, server, carried.request, target);
        return Box::pin(stream).await;
    }
    let mapped = mapped(errand, carried);
    let request = mapped.as_ref().unwrap_or(carried.request);
    let key = shared.pool.key(server, to, target.voice());
    let link = match connect(shared, agent, key, target).await? {
        Ok(link) => link,
        Err(error) => return Ok(Err(Failed::Away(error))),
    };
    let by = shared.pool.reader(to);
    let mut head = target.head(request, framing(request, carried));
    if let Some(by) = &by {
        head = by.head(&head, to);
    }
    let mut exchange = Exchange {
        agent,
        link,
        upload: Upload::new(&head, &carried.body, carried.rest),
    };
    let mut answer = match exchange.head(&request.method, request.is_old).await? {
        Ok(answer) => answer,
        Err(why) if exchange.upload.is_unsent() => return Ok(Err(Failed::Unsent(why))),
        Err(why) => return Ok(Err(Failed::Lost(why))),
    };
    shared
        .remembered
        .take(server, &target.upstream, to, &answer);
    let status = answer.status;
    let is_mcp = answer.content != Content::Other || answer.packed.is_some();
    let is_well = status == 200 && is_mcp && errand.is_json(carried);
    let mut edit = look::said(
        errand,
        &mut exchange,
        &mut answer,
        carried,
        target,
        openings,
    )
    .await?;
    let by = by.as_ref();
    let refused = judge(
        errand,
        &mut exchange,
        &answer,
        carried,
        target,
        by,
        openings,
    );
    if let Some(failed) = refused.await? {
        return Ok(Err(failed));
    }
    let mut is_read = false;
    if errand.is_read() && answer.status == 200 && edit.is_none() {
        match look::look(errand, &mut exchange, &mut answer, carried, target).await? {
            Ok(Found::Nothing) => {}
            Ok(Found::AsItIs) => is_read = true,
            Ok(Found::Other(other)) => (is_read, edit) = (true, Some(other)),
            Err(why) => return Ok(Err(Failed::Lost(why))),
        }
    }
    if errand.step == Step::Hello && !is_read {
        no_greeting(errand, target, status);
    }
    if let Some(session) = session {
        session.answer(&mut answer.crossing);
    }
    let stays_open = answer.keep_alive;
    tracing::debug!(method = request.method, status = answer.status, "answered");
    let is_stream = errand.is_json(carried) && answer.content == Content::Events;
    let passing = Passing {
        is_old: request.is_old,
        keep: request.keep_alive,
        edit,
        fate: is_stream.then(|| Fate::new(server, to, &carried.body)),
    };
    let end = exchange.relay(answer, passing).await?;
    if is_well && end != End::Cut {
        for step in rpc::steps(&carried.body) {
            shared.ledger.note(server, step);
        }
    }
    if stays_open && end != End::Cut && exchange.upload.is_done() {
        shared.pool.put(key, exchange.link);
    }
    Ok(Ok(end))
}

/// The request as the upstream gets it; None if it may go as it is.
fn mapped(errand: Errand<'_>, carried: &Carried<'_>) -> Option<Request> {
    let session = errand.session;
    let mapped = session.and_then(|session| session.request(carried.request));
    if !errand.is_read() {
        return mapped;
    }
    look::plain(mapped.as_ref().unwrap_or(carried.request)).or(mapped)
}

/// How the body is framed on its way up.
fn framing(request: &Request, carried: &Carried<'_>) -> Option<Framing> {
    request.body.map(|_| match carried.rest {
        rest if rest.is_done() => Framing::Length(carried.body.len() as u64),
        rest => rest,
    })
}

/// A connection that waits, or a new one.
async fn connect(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    key: Key,
    target: &Target<'_>,
) -> Result<io::Result<Link>, Gone> {
    if let Some(link) = shared.pool.take(key) {
        return Ok(Ok(link));
    }
    let connected = shared
        .pool
        .connect(target.to(), target.owner(), shared.patience.away);
    while_wanted(agent, Box::pin(connected)).await
}

/// Notes that a server opens no MCP session.
fn no_greeting(errand: Errand<'_>, target: &Target<'_>, status: u16) {
    let (shared, server) = (errand.shared, errand.server);
    let failed = Failed::Odd(format!(
        "it does not answer `initialize` as an MCP server does (HTTP {status})"
    ));
    let why = failed.trouble(server, Some(target.home()));
    tracing::warn!(%server, why, "an MCP session was not opened");
    shared.ledger.fail(server, &why);
}

/// What in an answer is not for the agent; holds back as much of it as has to
/// be seen for that. `by`: the proxy that it came by. `openings`: how often the
/// session was opened anew for the request.
async fn judge(
    errand: Errand<'_>,
    exchange: &mut Exchange<'_>,
    answer: &Answer,
    carried: &Carried<'_>,
    target: &Target<'_>,
    by: Option<&Detour>,
    openings: u32,
) -> Result<Option<Failed>, Gone> {
    // What refuses a session that was opened a moment ago means something else.
    if errand.session.is_some()
        && openings == 0
        && forgotten::is_possible(answer.status)
        && exchange.is_forgotten(answer).await?
    {
        return Ok(Some(Failed::Missing { has_session: true }));
    }
    let id = headers::value(&carried.request.crossing, ID);
    let has_session = target.mailbox.is_some() || errand.session.is_some() || id.is_some();
    if let Some(failed) = refusal(answer, target, has_session, by) {
        return Ok(Some(failed));
    }
    if errand.is_json(carried)
        && answer.content == Content::Json
        && let Err(why) = exchange.hold(answer.body, LONGEST_HELD).await?
    {
        return Ok(Some(Failed::Lost(why)));
    }
    if target.is_call {
        return Ok(match exchange.is_stale(answer).await? {
            Ok(is_stale) => is_stale.then_some(Failed::Stale),
            Err(why) => Some(Failed::Lost(why)),
        });
    }
    Ok(None)
}

//! Carries a request to its upstream and the answer back, and repairs what
//! breaks on the way: a token that was rotated, an upstream that is away.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

use super::absent;
use super::answer;
use super::exchange::{Edit, End, Exchange, while_wanted};
use super::excuse::Failed;
use super::framing::Framing;
use super::head::{Answer, Request};
use super::headers::{self, Content};
use super::listen::Shared;
use super::mailboxes::Mailbox;
use super::peer::Peer;
use super::rpc;
use super::sse::{self, Opening};
use super::target::{Carried, Door, Target};
use super::upload::{Gone, Upload};

/// Forwards `carried` to `server` by `door` and answers the agent, whatever
/// happens.
pub(super) async fn forward(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    server: &ServerName,
    door: Door<'_>,
    mut carried: Carried<'_>,
) -> Result<End, Gone> {
    let may_repeat = carried.rest.is_done();
    let (mut renewed, mut repeated) = (false, false);
    let (failed, at) = loop {
        let live = shared.live.borrow().clone();
        let target = match Target::find(shared, &live, server, door, &mut carried) {
            Ok(target) => target,
            Err(failed) => break (failed, live.upstreams.get(server).cloned()),
        };
        let failed = if target.is_call && target.token.is_none() {
            Failed::Stale
        } else {
            match attempt(shared, agent, server, door, &carried, &target).await? {
                Ok(end) => return Ok(end),
                Err(failed) => failed,
            }
        };
        match failed {
            Failed::Stale if may_repeat && !renewed => {
                tracing::info!(%server, "our token is stale");
                renewed = while_wanted(agent, shared.renewed(target.token.as_ref())).await?;
                if renewed {
                    continue;
                }
            }
            Failed::Unsent(_) if may_repeat && !repeated => {
                repeated = true;
                continue;
            }
            Failed::Lost(_) if may_repeat && !repeated && is_harmless(&carried, door) => {
                repeated = true;
                continue;
            }
            _ => {}
        }
        break (failed, Some(target.upstream));
    };
    let why = failed.words(server, at.as_ref().map(|upstream| &upstream.endpoint));
    if matches!(failed, Failed::Absent) {
        // An entry of another project is no fault of anybody's.
        tracing::debug!(%server, "not a server of this session");
    } else {
        tracing::warn!(%server, why, "a request failed");
    }
    apologize(agent, door, &carried, &failed, &why).await
}

/// Sends the request once, and passes the answer on if it is one for the agent.
async fn attempt(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    server: &ServerName,
    door: Door<'_>,
    carried: &Carried<'_>,
    target: &Target<'_>,
) -> Result<Result<End, Failed>, Gone> {
    let (request, to) = (carried.request, target.to());
    let waits = shared.pool.take(to).map(Ok);
    let link = match waits {
        Some(link) => link,
        None => while_wanted(agent, shared.pool.connect(to, shared.patience.away)).await?,
    };
    let link = match link {
        Ok(link) => link,
        Err(error) => return Ok(Err(Failed::Away(error))),
    };
    let framing = request.body.map(|_| match carried.rest {
        rest if rest.is_done() => Framing::Length(carried.body.len() as u64),
        rest => rest,
    });
    let head = target.head(request, framing);
    let mut exchange = Exchange {
        agent,
        link,
        upload: Upload::new(&head, &carried.body, carried.rest),
    };
    let answer = match exchange.head(&request.method, request.is_old).await? {
        Ok(answer) => answer,
        Err(why) if exchange.upload.is_unsent() => return Ok(Err(Failed::Unsent(why))),
        Err(why) => return Ok(Err(Failed::Lost(why))),
    };
    if let Some(failed) = refusal(request, &answer, target) {
        return Ok(Err(failed));
    }
    if target.is_call {
        match exchange.is_stale(&answer).await? {
            Ok(false) => {}
            Ok(true) => return Ok(Err(Failed::Stale)),
            Err(why) => return Ok(Err(Failed::Lost(why))),
        }
    }
    let mut edit = None;
    let mut _open: Option<Mailbox<'_>> = None;
    if door == Door::Sse && answer.status == 200 {
        match endpoint(shared, &mut exchange, &answer, server, to).await? {
            Ok((found, mailbox)) => (edit, _open) = (Some(found), Some(mailbox)),
            Err(failed) => return Ok(Err(failed)),
        }
    }
    let stays_open = answer.keep_alive;
    tracing::debug!(method = request.method, status = answer.status, "answered");
    let end = exchange
        .relay(answer, request.is_old, request.keep_alive, edit)
        .await?;
    if stays_open && end != End::Cut && exchange.upload.is_done() {
        shared.pool.put(target.upstream.clone(), exchange.link);
    }
    Ok(Ok(end))
}

/// What an answer says that its agent must not see as it is.
fn refusal(request: &Request, answer: &Answer, target: &Target<'_>) -> Option<Failed> {
    match answer.status {
        401 | 403 | 409 if target.is_hub => Some(Failed::Stale),
        401 | 403 | 407 => Some(Failed::Refused(answer.status)),
        404 if !target.is_hub => Some(Failed::Missing {
            has_session: target.mailbox.is_some()
                || headers::value(&request.crossing, "mcp-session-id").is_some(),
        }),
        // Nor is it to follow, with our key, to where we are not.
        301 | 302 | 303 | 307 | 308 if !target.is_hub => {
            let to = headers::value(&answer.crossing, "location");
            Some(Failed::Moved(to.and_then(|to| {
                let is_path = to.starts_with('/') && !to.starts_with("//");
                if is_path {
                    Some(target.to().at(to))
                } else {
                    to.parse().ok()
                }
            })))
        }
        _ => None,
    }
}

/// Finds the endpoint at the beginning of a stream, and opens a mailbox for it.
async fn endpoint<'a>(
    shared: &'a Shared,
    exchange: &mut Exchange<'_>,
    answer: &Answer,
    server: &ServerName,
    sse: &Endpoint,
) -> Result<Result<(Edit, Mailbox<'a>), Failed>, Gone> {
    if answer.content != Content::Events {
        let why = "it does not answer with a plain stream of events";
        return Ok(Err(Failed::BadStream(why)));
    }
    let look = |stream: &[u8], whole| match sse::opening(stream, whole) {
        Opening::Open => None,
        Opening::Bad(why) => Some(Err(why)),
        Opening::Endpoint(at) => {
            Some(sse::resolve(sse, &stream[at.clone()]).map(|path| (at, path)))
        }
    };
    let (at, path) = match exchange.peek(answer.body, look).await? {
        Ok(Some(Ok(found))) => found,
        Ok(Some(Err(why))) => return Ok(Err(Failed::BadStream(why))),
        Ok(None) => return Ok(Err(Failed::BadStream("its chunks are malformed"))),
        Err(why) => return Ok(Err(Failed::Lost(why))),
    };
    let mailbox = shared.mailboxes.open(server, sse.at(&path));
    let text = mailbox.path.clone();
    Ok(Ok((Edit { at, text }, mailbox)))
}

/// True for what may be sent twice though it may have arrived.
fn is_harmless(carried: &Carried<'_>, door: Door<'_>) -> bool {
    match carried.request.method.as_str() {
        "GET" | "HEAD" => true,
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
    agent.io.write_all(&text).await.map_err(|_| Gone::HungUp)?;
    Ok(if keep { End::Whole } else { End::Closing })
}

//! Carries a request to its upstream and the answer back, and repairs what
//! breaks on the way: a token that was rotated, an upstream that is away.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::types::identity::{ServerName, Token};
use crate::types::upstream::{Credential, Live, Upstream};

use super::answer;
use super::exchange::{End, Exchange, Lost, while_wanted};
use super::framing::Framing;
use super::head::Request;
use super::headers;
use super::listen::Shared;
use super::peer::Peer;
use super::pool;
use super::rpc;
use super::stamp::{Stamped, stamp};
use super::upload::{Gone, Upload};

/// A request with what we read of its body.
#[derive(Debug)]
pub(super) struct Carried<'a> {
    pub(super) request: &'a Request,
    /// All of a JSON body.
    pub(super) body: Vec<u8>,
    /// What is still to come, of any other.
    pub(super) rest: Framing,
}

/// What one try came to, if the agent has no answer yet.
enum Failed {
    /// The upstream knows our token no more; it has done nothing.
    Stale,
    /// It refuses our credential, with this status.
    Refused(u16),
    /// There is no connection to be had.
    Away(io::Error),
    /// The connection had ended before the request could be sent.
    Unsent(Lost),
    /// There is no answer, and the request may have arrived.
    Lost(Lost),
}

/// Whom a request goes to, and as whom, at this moment.
struct Target {
    upstream: Arc<Upstream>,
    token: Option<Token>,
    is_hub: bool,
    /// A tool is called on the hub.
    is_call: bool,
}

/// What the agent is told in place of an answer: a status, for what is no
/// JSON-RPC request, and a sentence.
type Excuse = (u16, String);

/// Forwards `carried` to `server` and answers the agent, whatever happens.
pub(super) async fn forward(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    server: &ServerName,
    mut carried: Carried<'_>,
) -> Result<End, Gone> {
    let may_repeat = carried.rest.is_done();
    let (mut renewed, mut repeated) = (false, false);
    let excuse = loop {
        let live = shared.live.borrow().clone();
        let Some(target) = target(&live, server, &mut carried) else {
            break (405, format!("this session has no MCP server `{server}`"));
        };
        let failed = if target.is_call && target.token.is_none() {
            Failed::Stale
        } else {
            match attempt(shared, agent, &carried, &target).await? {
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
            Failed::Lost(_) if may_repeat && !repeated && is_harmless(&carried) => {
                repeated = true;
                continue;
            }
            _ => {}
        }
        let excuse = excuse(&failed, server, &target.upstream);
        tracing::warn!(%server, why = excuse.1, "a request failed");
        break excuse;
    };
    apologize(agent, &carried, excuse).await
}

/// Finds the upstream, and stamps a call on the hub with our name.
fn target(live: &Live, server: &ServerName, carried: &mut Carried<'_>) -> Option<Target> {
    let upstream = Arc::clone(live.upstreams.get(server)?);
    let is_hub = upstream.credential == Credential::Identity;
    let identity = live.identity.as_ref();
    let token = match &upstream.credential {
        Credential::Identity => identity.map(|identity| identity.token.clone()),
        Credential::Headers(_) => None,
    };
    let mut is_call = false;
    if is_hub && carried.request.is_json {
        let name = identity.map_or("", |identity| identity.name.as_str());
        let stamped = stamp(&carried.body, name);
        is_call = stamped != Stamped::NoCall;
        if let (Stamped::New(body), Some(_)) = (stamped, identity) {
            carried.body = body;
        }
    }
    Some(Target {
        upstream,
        token,
        is_hub,
        is_call,
    })
}

/// Sends the request once, and passes the answer on if it is one for the agent.
async fn attempt(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    carried: &Carried<'_>,
    target: &Target,
) -> Result<Result<End, Failed>, Gone> {
    let request = carried.request;
    let to = &target.upstream.endpoint;
    let link = match shared.pool.take(to) {
        Some(link) => link,
        None => match while_wanted(agent, pool::connect(to, shared.patience.away)).await? {
            Ok(link) => link,
            Err(error) => return Ok(Err(Failed::Away(error))),
        },
    };
    let framing = request.body.map(|_| match carried.rest {
        rest if rest.is_done() => Framing::Length(carried.body.len() as u64),
        rest => rest,
    });
    let head = headers::request_head(request, to, target.token.as_ref(), target.is_hub, framing);
    let mut exchange = Exchange {
        agent,
        link,
        upload: Upload::new(&head, &carried.body, carried.rest),
    };
    let lost = |lost, unsent| {
        Ok(Err(if unsent {
            Failed::Unsent(lost)
        } else {
            Failed::Lost(lost)
        }))
    };
    let answer = match exchange.head(&request.method, request.is_old).await? {
        Ok(answer) => answer,
        Err(why) => return lost(why, exchange.upload.is_unsent()),
    };
    match answer.status {
        401 | 403 | 409 if target.is_hub => return Ok(Err(Failed::Stale)),
        401 | 403 => return Ok(Err(Failed::Refused(answer.status))),
        _ => {}
    }
    if target.is_call {
        match exchange.is_stale(&answer).await? {
            Ok(false) => {}
            Ok(true) => return Ok(Err(Failed::Stale)),
            Err(why) => return lost(why, false),
        }
    }
    let stays_open = answer.keep_alive;
    tracing::debug!(method = request.method, status = answer.status, "answered");
    let end = exchange
        .relay(answer, request.is_old, request.keep_alive)
        .await?;
    if stays_open && end != End::Cut && exchange.upload.is_done() {
        shared.pool.put(Arc::clone(&target.upstream), exchange.link);
    }
    Ok(Ok(end))
}

/// True for what may be sent twice though it may have arrived.
fn is_harmless(carried: &Carried<'_>) -> bool {
    match carried.request.method.as_str() {
        "GET" | "HEAD" => true,
        "POST" => rpc::is_harmless(&carried.body),
        _ => false,
    }
}

fn excuse(failed: &Failed, server: &ServerName, upstream: &Upstream) -> Excuse {
    let at = format!("the MCP server `{server}` at {}", upstream.endpoint);
    match failed {
        Failed::Stale => (
            405,
            format!(
                "{at} does not know this session any more, and registering again has not \
                 succeeded yet. Nothing was done; try again in a few seconds"
            ),
        ),
        Failed::Refused(status) => (
            405,
            format!(
                "{at} refuses its credential with HTTP {status}. Nothing was done; the user has to set another credential"
            ),
        ),
        Failed::Away(why) => (
            502,
            format!("{at} cannot be reached: {why}. Nothing was done; try again later"),
        ),
        Failed::Unsent(why) => (
            502,
            format!("{at} takes no requests: {why}. Nothing was done; try again later"),
        ),
        Failed::Lost(why) => (
            502,
            format!(
                "{at} gave no answer: {why}. The call may or may not have been executed: look before you make it again"
            ),
        ),
    }
}

async fn apologize(
    agent: &mut Peer<TcpStream>,
    carried: &Carried<'_>,
    (status, why): Excuse,
) -> Result<End, Gone> {
    // After what follows a head all the same, no second answer can be found.
    let is_head = carried.request.method == "HEAD";
    let keep = carried.request.keep_alive && carried.rest.is_done() && !is_head;
    let text = match carried.request.method.as_str() {
        "POST" => answer::unable(&carried.body, &why, keep),
        _ => answer::plain(status, &why, keep),
    };
    agent.io.write_all(&text).await.map_err(|_| Gone::HungUp)?;
    Ok(if keep { End::Whole } else { End::Closing })
}

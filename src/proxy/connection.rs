//! One connection of the agent: request after request.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::WaitForCancellationFuture;

use crate::types::identity::ServerName;

use super::answer;
use super::forward::forward;
use super::framing::Framing;
use super::gate;
use super::head::{self, Refusal, Request};
use super::listen::Shared;
use super::peer::Peer;
use super::relay::End;
use super::target::{Carried, Door};
use super::upload::Gone;

/// The longest JSON body.
const LONGEST_BODY: usize = 64 * 1024 * 1024;
/// How long, and for how much, a refused agent may go on sending: closing
/// sooner could take the refusal away from it.
const LINGER: Duration = Duration::from_secs(1);
const MOST_LINGERING: u64 = 1024 * 1024;

/// Serves a connection to its end; sets `is_known` once it has shown our key.
pub(super) async fn serve(shared: Arc<Shared>, io: TcpStream, is_known: Arc<AtomicBool>) {
    let mut agent = Peer::new(io);
    let mut stop = pin!(shared.stop.cancelled());
    let mut place = None;
    loop {
        let request = next(&shared, &mut agent, place.is_some(), stop.as_mut()).await;
        let end = match request {
            None => return,
            Some(Err(refusal)) => refuse(&shared, &mut agent, refusal).await,
            Some(Ok(request)) => {
                if place.is_none() {
                    is_known.store(true, Ordering::Relaxed);
                    place = shared.places.try_acquire().ok();
                }
                if place.is_none() {
                    say(&mut agent, 503, "too many connections").await
                } else {
                    answer(&shared, &mut agent, &request).await
                }
            }
        };
        match end {
            Ok(End::Whole) => agent.rest(),
            Ok(End::Closing) => return linger(agent).await,
            Ok(End::Cut) => return,
            Err(gone) => return tracing::debug!(%gone, "a request ended early"),
        }
    }
}

/// The next request; None when there is none. Waits without a timer for one
/// to begin, if the agent `is_known`.
async fn next(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    is_known: bool,
    mut stop: Pin<&mut WaitForCancellationFuture<'_>>,
) -> Option<Result<Request, Refusal>> {
    let mut end = None;
    loop {
        match head::request(&agent.buf, &shared.gate) {
            Ok(None) => {}
            Ok(Some((length, request))) => {
                agent.buf.advance(length);
                return Some(Ok(request));
            }
            Err(refusal) => return Some(Err(refusal)),
        }
        let is_idle = agent.buf.is_empty();
        let more = poll_fn(|cx| {
            if is_idle && stop.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(Ok(0));
            }
            agent.poll_fill(cx)
        });
        let read = if is_known && is_idle {
            more.await
        } else {
            let end = *end.get_or_insert_with(|| Instant::now() + shared.patience.head);
            timeout_at(end, more).await.unwrap_or(Ok(0))
        };
        if !matches!(read, Ok(1..)) {
            return None;
        }
    }
}

/// Answers one request, by its upstream or by ourselves.
async fn answer(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    request: &Request,
) -> Result<End, Gone> {
    let framing = request.body.unwrap_or(Framing::EMPTY);
    if request.expects_continue && agent.buf.is_empty() && !framing.is_done() {
        write(agent, answer::CONTINUE).await?;
    }
    let mut carried = Carried {
        request,
        body: Vec::new(),
        rest: framing,
    };
    if request.is_json {
        match read_body(agent, framing).await? {
            Some(body) => carried.body = body,
            None => return say(agent, 413, "the body is longer than 64 MB").await,
        }
        carried.rest = Framing::EMPTY;
    }
    let path = request.target.split('?').next().unwrap_or("");
    let (server, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    match (ServerName::from_segment(server), Door::of(rest)) {
        (Some(server), Some(door)) => forward(shared, agent, &server, door, carried).await,
        _ => {
            say(
                agent,
                404,
                "there is nothing here: MCP servers are at /<server>/mcp, or /<server>/sse",
            )
            .await
        }
    }
}

/// All of a body; None if it is too long.
async fn read_body(
    agent: &mut Peer<TcpStream>,
    mut framing: Framing,
) -> Result<Option<Vec<u8>>, Gone> {
    if matches!(framing, Framing::Length(length) if length > LONGEST_BODY as u64) {
        return Ok(None);
    }
    let mut body = Vec::new();
    loop {
        let n = framing.take(&agent.buf, |piece| body.extend_from_slice(piece))?;
        agent.buf.advance(n);
        if framing.is_done() {
            return Ok(Some(body));
        }
        if body.len() > LONGEST_BODY {
            return Ok(None);
        }
        let read = poll_fn(|cx| agent.poll_fill(cx)).await;
        if !matches!(read, Ok(1..)) {
            return Err(Gone::HungUp);
        }
    }
}

async fn refuse(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    refusal: Refusal,
) -> Result<End, Gone> {
    tracing::debug!(?refusal, "refused a request");
    match refusal {
        Refusal::Unreplaced => {
            let why = format!(
                "this agent does not replace the variable `{}` in its MCP settings: set \
                 `mcp_inject = \"stdio\"` for it in config.toml",
                gate::VARIABLE
            );
            // All of its entries have it.
            for server in shared.live.borrow().upstreams.keys() {
                shared.ledger.fail(server, &why);
            }
            if !shared.has_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!("{why}");
            }
            say(agent, 403, &why).await
        }
        Refusal::Forbidden => say(agent, 403, "this proxy belongs to another session").await,
        Refusal::Malformed(why) => say(agent, 400, why).await,
        Refusal::TooLong => say(agent, 431, "the head is too long").await,
    }
}

/// Answers by ourselves, as the last thing on this connection.
async fn say(agent: &mut Peer<TcpStream>, status: u16, text: &str) -> Result<End, Gone> {
    write(agent, &answer::plain(status, text, false)).await?;
    Ok(End::Closing)
}

async fn write(agent: &mut Peer<TcpStream>, bytes: &[u8]) -> Result<(), Gone> {
    agent.io.write_all(bytes).await.map_err(|_| Gone::HungUp)
}

/// Closes our side, and waits a moment for the agent to read what it was told.
async fn linger(mut agent: Peer<TcpStream>) {
    let rest = async {
        agent.io.shutdown().await?;
        let mut rest = agent.io.take(MOST_LINGERING);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        io::Result::Ok(())
    };
    match timeout(LINGER, rest).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection broke at its end"),
        Err(_) => tracing::debug!("an agent keeps a closed connection"),
    }
}

//! A message on its way to the session that a stream belongs to: it waits for
//! another stream where one broke, and is posted until the upstream takes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::mailboxes::{Mailbox, State, Way};
use super::owed::{Letter, Waiting};
use crate::proxy::answer;
use crate::proxy::ask;
use crate::proxy::chances::Chances;
use crate::proxy::events;
use crate::proxy::exchange::{Lost, while_wanted};
use crate::proxy::excuse::Failed;
use crate::proxy::framing::Framing;
use crate::proxy::head::{Answer, Request};
use crate::proxy::headers;
use crate::proxy::listen::Shared;
use crate::proxy::peer::Peer;
use crate::proxy::relay::End;
use crate::proxy::rpc;
use crate::proxy::target::{Carried, Door, Target};
use crate::proxy::upload::Gone;
use crate::types::upstream::Live;

/// The longest answer to a message: what matters comes by the stream.
const LONGEST: usize = 64 * 1024;
/// How many sessions one message is taken to.
const MOST_MOVES: u32 = 3;
/// How long the end of a stream may take to be noticed behind the end of a
/// connection beside it.
const NOTICE: Duration = Duration::from_secs(1);

/// What an upstream says to a message.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) answer: Answer,
    pub(super) body: Vec<u8>,
}

/// Posts what the agent has for a stream, and answers it.
pub(in crate::proxy) async fn carry(
    shared: &Shared,
    agent: &mut Peer<TcpStream>,
    mailbox: &Mailbox,
    carried: Carried<'_>,
) -> Result<End, Gone> {
    let letter = Arc::new(Letter::new(&carried.request.crossing, carried.body));
    mailbox.note(&letter);
    let keep = carried.request.keep_alive;
    let posted = match while_wanted(agent, post(shared, mailbox, &letter)).await {
        Ok(posted) => posted,
        Err(gone) => {
            give_up(mailbox, &letter);
            return Err(gone);
        }
    };
    let text = match posted {
        Ok(taken) => {
            if taken.answer.status >= 300 {
                give_up(mailbox, &letter);
            }
            whole(&taken, keep)
        }
        Err(failed) => {
            let why = words(shared, mailbox, &failed);
            let server = &mailbox.server;
            tracing::warn!(%server, why, "a message was not delivered");
            let waiting = give_up(mailbox, &letter);
            let is_over = matches!(failed, Failed::Closed | Failed::Absent);
            if is_over || waiting.is_empty() {
                answer::plain(failed.status(Door::Messages("")), &why, keep)
            } else {
                tell(mailbox, waiting, &why).await;
                answer::json("", keep)
            }
        }
    };
    agent.io.write_all(&text).await.map_err(|_| Gone::HungUp)?;
    Ok(if keep { End::Whole } else { End::Closing })
}

/// Posts `letter` until the upstream takes it, or says something that cannot
/// be mended.
pub(super) async fn post(
    shared: &Shared,
    mailbox: &Mailbox,
    letter: &Letter,
) -> Result<Taken, Failed> {
    let server = &mailbox.server;
    let (mut chances, mut way) = (Chances::default(), mailbox.way());
    let mut moves = 0;
    let end = Instant::now() + shared.patience.away;
    let request = request(letter);
    loop {
        let generation = ready(&mut way, end).await?;
        let (live, mut carried) = (shared.live.borrow().clone(), carried(&request, letter));
        let target = aim(shared, &live, mailbox, &mut carried).await;
        let tried = match &target {
            Ok(target) => {
                mailbox.sent(letter, target.token.as_ref());
                deliver(shared, mailbox, generation, &carried, target).await
            }
            Err(Failed::Closed) => Err(Failed::Closed),
            Err(_) => return target.map(drop).and(Err(Failed::Closed)),
        };
        let mut failed = match tried {
            Ok(taken) if taken.answer.status >= 300 => return Ok(taken),
            Ok(taken) => {
                if mailbox.taken(letter, generation) {
                    return Ok(taken);
                }
                Failed::Lost(Lost::Closed)
            }
            Err(failed) => failed,
        };
        match (&failed, &target) {
            // Nothing was done: it may go to the session that comes next.
            (Failed::Missing { .. } | Failed::Away(_) | Failed::Closed, _)
                if moves < MOST_MOVES && Instant::now() < end =>
            {
                moves += 1;
                mailbox.lose(generation);
                continue;
            }
            (Failed::Lost(_), _) if rpc::is_harmless(&letter.body) => {
                let end = end.min(Instant::now() + NOTICE);
                if timeout_at(end, mailbox.lost(generation)).await.is_ok() {
                    continue;
                }
            }
            (_, Ok(target)) => {
                let mended = chances.mend(shared, server, target, &mut failed, || false);
                if mended.await {
                    continue;
                }
            }
            (_, Err(_)) => {}
        }
        return Err(failed);
    }
}

/// Waits until messages can be posted: for which stream of the upstream's.
async fn ready(way: &mut watch::Receiver<Way>, end: Instant) -> Result<u64, Failed> {
    match timeout_at(end, way.wait_for(|way| way.state != State::Opening)).await {
        Ok(Ok(way)) if way.state == State::Open => Ok(way.generation),
        Ok(_) => Err(Failed::Closed),
        Err(_) => Err(Failed::Away(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Whom the message in `carried` goes to at this moment, and as whom.
async fn aim<'a>(
    shared: &'a Shared,
    live: &Live,
    mailbox: &Mailbox,
    carried: &mut Carried<'_>,
) -> Result<Target<'a>, Failed> {
    let number = mailbox.number();
    let (server, door) = (&mailbox.server, Door::Messages(&number));
    let mut target = Target::find(shared, live, server, door, carried)?;
    target.authorize(&shared.keepers, server).await?;
    Ok(target)
}

/// Posts `letter` where the mailbox leads, once, as a part of the greeting of
/// stream `generation`.
pub(super) async fn greet(
    shared: &Shared,
    live: &Live,
    mailbox: &Mailbox,
    generation: u64,
    letter: &Letter,
) -> Result<Taken, Failed> {
    let request = request(letter);
    let mut carried = carried(&request, letter);
    let target = aim(shared, live, mailbox, &mut carried).await?;
    deliver(shared, mailbox, generation, &carried, &target).await
}

/// Posts a message once, as long as the mailbox leads to stream `generation`.
async fn deliver(
    shared: &Shared,
    mailbox: &Mailbox,
    generation: u64,
    carried: &Carried<'_>,
    target: &Target<'_>,
) -> Result<Taken, Failed> {
    let to = target.to();
    if target.is_call && target.token.is_none() {
        return Err(Failed::Stale);
    }
    let key = shared.pool.key(&mailbox.server, to, target.voice());
    let mut link = tokio::select! {
        link = ask::link(shared, key, target, shared.patience.away) => link?,
        () = mailbox.lost(generation) => return Err(Failed::Closed),
    };
    let answer = ask::begin(shared, &mut link, carried, target, &mailbox.server).await?;
    if answer.status == 404 {
        return Err(Failed::Missing { has_session: true });
    }
    let (mut body, mut rest) = (Vec::new(), answer.body);
    loop {
        let taken = rest.take(&link.buf, |piece| body.extend_from_slice(piece));
        let n = taken.map_err(|_| Failed::Lost(Lost::Closed))?;
        link.buf.advance(n);
        if rest.is_done() || body.len() > LONGEST {
            break;
        }
        // What it has to say beyond its status is not worth a failure.
        if !matches!(ask::fill(&mut link).await, Ok(1..)) {
            break;
        }
    }
    if answer.status == 400 && speaks_of_session(&body) {
        return Err(Failed::Missing { has_session: true });
    }
    if rest.is_done() && answer.keep_alive {
        shared.pool.put(key, link);
    }
    Ok(Taken { answer, body })
}

/// Answers the requests by the agent's stream: `why` they have failed.
pub(super) async fn tell(mailbox: &Mailbox, waiting: Vec<(String, Waiting)>, why: &str) {
    for (id, waiting) in waiting {
        let event = events::message(&answer::failed(&id, waiting.is_call, why));
        if !mailbox.say(event).await {
            tracing::debug!("nobody is there to be told");
        }
    }
}

/// What `failed` means, in words.
pub(super) fn words(shared: &Shared, mailbox: &Mailbox, failed: &Failed) -> String {
    let server = &mailbox.server;
    let upstream = shared.live.borrow().upstreams.get(server).cloned();
    failed.words(server, upstream.as_ref().map(|upstream| &upstream.endpoint))
}

fn give_up(mailbox: &Mailbox, letter: &Letter) -> Vec<(String, Waiting)> {
    let ids = letter.ids.iter();
    ids.filter_map(|id| Some((id.clone(), mailbox.answered(id)?)))
        .collect()
}

fn request(letter: &Letter) -> Request {
    Request {
        method: "POST".into(),
        target: "/".into(),
        body: Some(Framing::Length(letter.body.len() as u64)),
        is_json: true,
        expects_continue: false,
        is_old: false,
        keep_alive: true,
        crossing: letter.crossing.clone(),
    }
}

fn carried<'a>(request: &'a Request, letter: &Letter) -> Carried<'a> {
    Carried {
        request,
        body: letter.body.clone(),
        rest: Framing::EMPTY,
    }
}

/// True if a refusal is about the session (`Invalid session ID`, `No transport
/// found for sessionId`): the upstream knows it no more.
fn speaks_of_session(body: &[u8]) -> bool {
    let body = body.to_ascii_lowercase();
    memchr::memmem::find(&body, b"session").is_some()
}

/// An answer that is all here, as the agent gets it.
fn whole(taken: &Taken, keep: bool) -> Vec<u8> {
    let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
    let mut text = headers::without(&taken.answer.crossing, is_length);
    let close = if keep { "" } else { "Connection: close\r\n" };
    let length = taken.body.len();
    text.extend(format!("Content-Length: {length}\r\n{close}\r\n").bytes());
    text.extend_from_slice(&taken.body);
    text
}

//! Requests of our own: one message to an upstream, sent as the agent's would
//! be, and what it is answered with.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::types::identity::ServerName;
use crate::types::text::one_line;
use crate::types::upstream::Upstream;

use super::chances::Chances;
use super::events;
use super::exchange::Lost;
use super::excuse::Failed;
use super::forgotten;
use super::framing::Framing;
use super::head::{self, Answer, Request};
use super::headers::{self, Content};
use super::listen::Shared;
use super::pool::{Key, Link};
use super::refusal::refusal;
use super::rpc;
use super::rpc_error;
use super::target::{Carried, Door, Target};
use super::unpack::Unpacker;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 8 * 1024 * 1024;

/// Whom we speak to by ourselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party<'a> {
    pub(super) shared: &'a Shared,
    pub(super) server: &'a ServerName,
    /// In place of what the session has under that name.
    pub(super) instead: Option<&'a Arc<Upstream>>,
    /// For one answer, with all that is mended on the way to it.
    pub(super) patience: Duration,
}

/// A request of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    /// POST, or DELETE without a body.
    pub(super) method: &'a str,
    /// Header lines, each with its end.
    pub(super) lines: &'a [u8],
    /// One JSON-RPC message.
    pub(super) body: &'a [u8],
}

/// What an upstream answers.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The MCP session that it names.
    pub(super) session: Option<String>,
    /// None to a notification.
    pub(super) outcome: Option<Outcome>,
}

/// The `result` of a request, or its `error`, as JSON.
pub(super) type Outcome = Result<String, String>;

/// Sends `asking` and waits for the response, which may stand in JSON or in a
/// stream, behind what the upstream says or asks besides. What breaks is
/// mended as it is for the agent.
///
/// # Errors
/// What is left of that, in words that [`Failed::words`] finds.
pub(super) async fn ask(party: Party<'_>, asking: Asking<'_>) -> Result<Said, Failed> {
    let mut chances = Chances::default();
    let mended = async {
        loop {
            let mut live = party.shared.live.borrow().clone();
            if let Some(upstream) = party.instead {
                live.upstreams = Arc::new([(party.server.clone(), Arc::clone(upstream))].into());
            }
            let framing = Framing::Length(asking.body.len() as u64);
            let request = Request {
                method: asking.method.to_owned(),
                target: "/".to_owned(),
                body: (asking.method == "POST").then_some(framing),
                is_json: asking.method == "POST",
                expects_continue: false,
                is_old: false,
                keep_alive: true,
                crossing: plain(asking.lines),
            };
            let mut carried = Carried {
                request: &request,
                body: asking.body.to_vec(),
                rest: Framing::EMPTY,
            };
            let (shared, server) = (party.shared, party.server);
            let mut target = Target::find(shared, &live, server, Door::Mcp, &mut carried)?;
            target.authorize(&shared.keepers, server).await?;
            let mut failed = match once(party, &carried, &target).await {
                Ok(said) => return Ok(said),
                Err(failed) => failed,
            };
            let is_harmless = || rpc::is_harmless(asking.body);
            let mended = chances.mend(shared, server, &target, &mut failed, is_harmless);
            if !mended.await {
                return Err(failed);
            }
        }
    };
    let answered = timeout(party.patience, mended).await;
    answered.unwrap_or(Err(Failed::Lost(Lost::Late)))
}

async fn once(
    party: Party<'_>,
    carried: &Carried<'_>,
    target: &Target<'_>,
) -> Result<Said, Failed> {
    let (shared, to) = (party.shared, target.to());
    let key = shared.pool.key(party.server, to, target.voice());
    let patience = party.patience.min(shared.patience.away);
    let mut link = link(shared, key, target, patience).await?;
    let answer = exchange(shared, &mut link, carried, target, party.server).await?;
    let id = rpc::messages(&carried.body)
        .first()
        .and_then(|message| Some(message.last("id")?.to_owned()));
    let mut said = Said {
        session: headers::value(&answer.crossing, "mcp-session-id").map(str::to_owned),
        outcome: None,
    };
    let coding = answer.packed.map(|(coding, _)| coding);
    let kind = answer.packed.map_or(answer.content, |(_, kind)| kind);
    let (mut unpacker, mut unpacked) = (Unpacker::new(coding), Ok(()));
    let (mut content, mut rest) = (Vec::new(), answer.body);
    loop {
        let taken = rest.take(&link.buf, |piece| {
            unpacked = unpacked.and_then(|()| unpacker.feed(piece, &mut content));
        });
        let n = taken.map_err(|_| Failed::Lost(Lost::Closed))?;
        unpacked.map_err(|_| Failed::Odd("its answer does not unpack".into()))?;
        link.buf.advance(n);
        let is_stream = kind == Content::Events && answer.status == 200;
        if let (true, Some(id)) = (is_stream, &id) {
            said.outcome = in_events(&mut content, id);
        }
        if rest.is_done() || said.outcome.is_some() || is_stream && id.is_none() {
            break;
        }
        if content.len() > LONGEST {
            return Err(Failed::Odd("its answer is longer than 8 MB".into()));
        }
        if fill(&mut link).await? == 0 {
            if rest == Framing::UntilClose {
                break;
            }
            return Err(Failed::Lost(Lost::Closed));
        }
    }
    if rest.is_done() && answer.keep_alive {
        shared.pool.put(key, link);
    }
    if let (Content::Json, Some(id)) = (kind, &id) {
        said.outcome = outcome(&content, id);
    }
    if answer.status >= 300 {
        let has_session = headers::value(&carried.request.crossing, "mcp-session-id").is_some();
        let by = shared.pool.reader(to);
        let is_error = kind == Content::Json && matches!(said.outcome, Some(Err(_)));
        let is_forgotten = has_session && forgotten::says_so(answer.status, &content);
        let is_answer = match answer.status {
            403 => !target.is_hub,
            404 => !has_session || rpc_error::to_agent(&carried.body, &content, true).is_some(),
            status => !matches!(status, 401 | 407),
        };
        if is_error && is_answer && !is_forgotten {
            return Ok(said);
        }
        if let Some(failed) = refusal(&answer, target, has_session, by.as_ref()) {
            return Err(failed);
        }
        if is_forgotten && forgotten::is_possible(answer.status) {
            return Err(Failed::Missing { has_session });
        }
        return Err(Failed::Odd(complaint(answer.status, &content)));
    }
    match (&said.outcome, &id) {
        (None, Some(_)) => Err(Failed::Odd("its answer holds no response".into())),
        _ => Ok(said),
    }
}

/// A connection that waits, or a new one.
pub(super) async fn link(
    shared: &Shared,
    key: Key,
    target: &Target<'_>,
    patience: Duration,
) -> Result<Link, Failed> {
    if let Some(link) = shared.pool.take(key) {
        return Ok(link);
    }
    let connected = shared
        .pool
        .connect(target.to(), target.owner(), patience)
        .await;
    connected.map_err(Failed::Away)
}

/// Header `lines` that ask for an answer which is not packed.
fn plain(lines: &[u8]) -> Vec<u8> {
    let is_it = |name: &str| name.eq_ignore_ascii_case("accept-encoding");
    let mut lines = headers::without(lines, is_it);
    headers::push(&mut lines, "Accept-Encoding", "identity");
    lines
}

/// Sends a request, and waits for the head of its answer, which is no refusal.
pub(super) async fn begin(
    shared: &Shared,
    link: &mut Link,
    carried: &Carried<'_>,
    target: &Target<'_>,
    server: &ServerName,
) -> Result<Answer, Failed> {
    let answer = exchange(shared, link, carried, target, server).await?;
    let has_session = target.mailbox.is_some()
        || headers::value(&carried.request.crossing, "mcp-session-id").is_some();
    let by = shared.pool.reader(target.to());
    refusal(&answer, target, has_session, by.as_ref()).map_or(Ok(answer), Err)
}

/// Sends a request, and waits for the head of its answer.
async fn exchange(
    shared: &Shared,
    link: &mut Link,
    carried: &Carried<'_>,
    target: &Target<'_>,
    server: &ServerName,
) -> Result<Answer, Failed> {
    let (request, to) = (carried.request, target.to());
    let by = shared.pool.reader(to);
    // What stands in the body for us may have changed its length.
    let framing = request
        .body
        .map(|_| Framing::Length(carried.body.len() as u64));
    let mut head = target.head(request, framing);
    if let Some(by) = &by {
        head = by.head(&head, to);
    }
    send(link, &head, &carried.body).await?;
    let answer = answer(link, &request.method).await?;
    shared
        .remembered
        .take(server, &target.upstream, to, &answer);
    Ok(answer)
}

/// Sends a request.
pub(super) async fn send(link: &mut Link, head: &[u8], body: &[u8]) -> Result<(), Failed> {
    let mut sent = 0;
    while sent < head.len() + body.len() {
        match poll_fn(|cx| link.poll_write(cx, [head, body], sent)).await {
            Ok(n) => sent += n,
            Err(error) if sent == 0 => return Err(Failed::Unsent(error.into())),
            Err(error) => return Err(Failed::Lost(error.into())),
        }
    }
    let flushed = link.io.flush().await;
    flushed.map_err(|error| Failed::Lost(error.into()))
}

/// The head of the final answer.
pub(super) async fn answer(link: &mut Link, method: &str) -> Result<Answer, Failed> {
    loop {
        match head::answer(&link.buf, method) {
            Ok(Some((length, answer))) => {
                link.buf.advance(length);
                if answer.status >= 200 {
                    return Ok(answer);
                }
            }
            Ok(None) if fill(link).await? == 0 => return Err(Failed::Lost(Lost::Closed)),
            Ok(None) => {}
            Err(bad) => return Err(Failed::Lost(bad.into())),
        }
    }
}

pub(super) async fn fill(link: &mut Link) -> Result<usize, Failed> {
    let read = poll_fn(|cx| link.poll_fill(cx)).await;
    read.map_err(|error| Failed::Lost(error.into()))
}

/// What the request `id` came to, by the events that are whole; these are taken
/// away.
fn in_events(content: &mut Vec<u8>, id: &str) -> Option<Outcome> {
    let mut at = 0;
    let mut found = None;
    while let (None, Some(length)) = (&found, events::end(&content[at..])) {
        let data = events::read(&content[at..at + length]).data;
        found = data.and_then(|data| outcome(&data, id));
        at += length;
    }
    content.drain(..at);
    found
}

/// What the request `id` came to, by a message of `json`; some servers do not
/// say whose an error is.
fn outcome(json: &[u8], id: &str) -> Option<Outcome> {
    let messages = rpc::messages(json);
    let mut answers = messages
        .iter()
        .filter(|message| message.last("method").is_none());
    answers.find_map(|message| {
        let of = message.last("id").unwrap_or("null");
        let result = message.last("result").filter(|_| of == id);
        let error = message.last("error").filter(|_| of == id || of == "null");
        let error = || error.map(|error| Err(error.to_owned()));
        result.map(|result| Ok(result.to_owned())).or_else(error)
    })
}

/// What an answer that is a failure says.
pub(super) fn complaint(status: u16, content: &[u8]) -> String {
    let text = one_line(&String::from_utf8_lossy(content), 300);
    format!("it answers with HTTP {status}: {text}")
}

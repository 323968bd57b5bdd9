//! One try of a request: sent once, and its answer passed on if it is one for
//! the agent.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::types::evidence;
use crate::types::identity::ServerName;

use super::detour::Detour;
use super::exchange::{Exchange, Lost, while_wanted};
use super::excuse::Failed;
use super::fate::Fate;
use super::forgotten;
use super::framing::Framing;
use super::greeting::{self, Greeting};
use super::guests::{self, Beside};
use super::head::Answer;
use super::headers::{self, Content};
use super::legacy;
use super::listen::Shared;
use super::peer::Peer;
use super::refusal::refusal;
use super::relay::{Edit, End, Passing};
use super::rpc::{self, Members};
use super::session::{ID, Message, Session};
use super::step::{self, Response, Step};
use super::target::{Carried, Door, Target};
use super::upload::{Gone, Upload};

/// The longest JSON that is held back until it is whole, in bytes.
const LONGEST_HELD: usize = 64 * 1024;

/// A request on its way.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) server: &'a ServerName,
    pub(super) door: Door<'a>,
    pub(super) step: Step,
    /// The agent's, if it is one that we know.
    pub(super) session: Option<&'a Arc<Session>>,
    /// What is shown beside the tools of the server.
    pub(super) beside: Option<&'a Beside>,
}

impl Errand<'_> {
    /// True for messages that were read whole, and are answered where they came.
    fn is_json(&self, carried: &Carried<'_>) -> bool {
        self.door == Door::Mcp && carried.request.is_json
    }
}

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
    let mapped = session.and_then(|session| session.request(carried.request));
    let request = mapped.as_ref().unwrap_or(carried.request);
    let key = shared.pool.key(server, to, target.voice());
    let link = if let Some(link) = shared.pool.take(key) {
        link
    } else {
        let connected = shared
            .pool
            .connect(to, target.owner(), shared.patience.away);
        match while_wanted(agent, Box::pin(connected)).await? {
            Ok(link) => link,
            Err(error) => return Ok(Err(Failed::Away(error))),
        }
    };
    let framing = request.body.map(|_| match carried.rest {
        rest if rest.is_done() => Framing::Length(carried.body.len() as u64),
        rest => rest,
    });
    let by = shared.pool.reader(to);
    let mut head = target.head(request, framing);
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
    let mut edit = None;
    let is_step = match errand.step {
        Step::Hello => true,
        Step::List { .. } => session.is_some() || errand.beside.is_some(),
        Step::Started | Step::Other => false,
    };
    if is_step && answer.status == 200 {
        match look(errand, &mut exchange, &mut answer, carried, target).await? {
            Ok(found) => edit = found,
            Err(why) => return Ok(Err(Failed::Lost(why))),
        }
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
    let is_well = answer.status == 200 && errand.is_json(carried);
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

/// Looks at the answer to a step of an MCP session, holding it back until its
/// response is here: an `initialize` begins a session of ours.
async fn look(
    errand: Errand<'_>,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
    carried: &Carried<'_>,
    target: &Target<'_>,
) -> Result<Result<Option<Edit>, Lost>, Gone> {
    let content = answer.content;
    let find = |bytes: &[u8], whole| match step::response(content, bytes, whole) {
        Response::Open => None,
        Response::None => Some(None),
        Response::At(at) => Some(Some((bytes[at.clone()].to_vec(), at))),
    };
    let (response, at) = match exchange.peek(answer.body, find).await? {
        Ok(Some(Some(found))) => found,
        Ok(_) => return Ok(Ok(None)),
        Err(why) => return Ok(Err(why)),
    };
    let text = str::from_utf8(&response).ok().and_then(Members::of);
    let Some(result) = text.as_ref().and_then(|message| message.last("result")) else {
        return Ok(Ok(None));
    };
    match (errand.step, errand.session) {
        (Step::List { .. }, session) => {
            if let (Some(session), Some((tools, next))) = (session, rpc::page(result, "tools")) {
                session.note(|standing| standing.shown.page(&tools, next.is_none()));
            }
            let edit = errand.beside.and_then(|beside| {
                let text = guests::append(&response, &beside.tools)?;
                beside.note(errand.shared);
                Some(Edit { at, text })
            });
            Ok(Ok(edit))
        }
        (Step::Hello, _) => {
            let Some(greeting) = Greeting::read(result) else {
                return Ok(Ok(None));
            };
            let hello = Message {
                lines: carried.request.crossing.clone(),
                body: carried.body.clone(),
            };
            let theirs = headers::value(&answer.crossing, ID);
            let session = Session::new(errand.server, hello, target.to(), theirs, greeting);
            let session = errand.shared.sessions.open(session);
            session.answer(&mut answer.crossing);
            let step = evidence::Step::Initialized;
            errand.shared.ledger.note(errand.server, step);
            let promise = greeting::promise(&response, target.is_hub);
            Ok(Ok(promise.map(|text| Edit { at, text })))
        }
        _ => Ok(Ok(None)),
    }
}

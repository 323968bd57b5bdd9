//! Answers that we look into: the steps of an MCP session, and the errors that
//! come with a status of their own.

use crate::types::evidence;

use super::errand::Errand;
use super::exchange::{Exchange, Lost};
use super::greeting::{self, Greeting};
use super::guests;
use super::head::{Answer, Request};
use super::headers::{self, Content};
use super::relay::Edit;
use super::rpc::{self, Members};
use super::rpc_error;
use super::session::{ID, Message, Session};
use super::step::{self, Response, Step};
use super::target::{Carried, Target};
use super::upload::Gone;

/// The longest JSON that is held back until it is whole, in bytes.
pub(super) const LONGEST_HELD: usize = 64 * 1024;
const ACCEPT_ENCODING: &str = "accept-encoding";

/// The result of a step.
pub(super) enum Found<T> {
    /// There is none that can be read.
    Nothing,
    AsItIs,
    /// There is to be something else in its place.
    Other(T),
}

impl<T> Found<T> {
    fn of(other: Option<T>) -> Self {
        other.map_or(Self::AsItIs, Self::Other)
    }
}

/// The same request for an answer that is not packed; None if it asks for none.
pub(super) fn plain(request: &Request) -> Option<Request> {
    headers::value(&request.crossing, ACCEPT_ENCODING)?;
    let is_it = |name: &str| name.eq_ignore_ascii_case(ACCEPT_ENCODING);
    let mut crossing = headers::without(&request.crossing, is_it);
    headers::push(&mut crossing, "Accept-Encoding", "identity");
    Some(Request {
        crossing,
        ..request.clone()
    })
}

/// Makes an answer of 200 out of a refusal that holds the JSON-RPC error for the
/// request: the server is there. What of its content is to be another.
pub(super) async fn said(
    errand: Errand<'_>,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
    carried: &Carried<'_>,
    target: &Target<'_>,
    openings: u32,
) -> Result<Option<Edit>, Gone> {
    let (coding, content) = match answer.packed {
        Some((coding, content)) => (Some(coding), content),
        None => (None, answer.content),
    };
    let is_refusal = answer.status == 404 || answer.status == 403 && !target.is_hub;
    if !is_refusal || content != Content::Json || !errand.is_json(carried) {
        return Ok(None);
    }
    let has_session =
        errand.session.is_some() || headers::value(&carried.request.crossing, ID).is_some();
    let judge = |bytes: &[u8], whole: bool| {
        if bytes.len() > LONGEST_HELD {
            return Some(None);
        }
        whole.then(|| {
            let text = match coding {
                None => bytes.to_vec(),
                Some(coding) => coding.unpack(bytes, LONGEST_HELD).ok()?,
            };
            let may_be_forgotten = has_session && openings == 0;
            let text = rpc_error::to_agent(&carried.body, &text, may_be_forgotten)?;
            Some((0..bytes.len(), text))
        })
    };
    let Ok(Some(Some((at, text)))) = exchange.peek(answer.body, judge).await? else {
        return Ok(None);
    };
    tracing::debug!(server = %errand.server, status = answer.status, "an error is the answer");
    let is_status = |line: &[u8]| line.starts_with(b"HTTP/1.1 ");
    let end = memchr::memchr(b'\n', &answer.crossing).map_or(0, |end| end + 1);
    if is_status(&answer.crossing) {
        answer.crossing.splice(..end, *b"HTTP/1.1 200 OK\r\n");
    }
    answer.status = 200;
    unpacked(answer);
    Ok(Some(Edit { at, text }))
}

/// The answer is passed on as what it unpacks to.
fn unpacked(answer: &mut Answer) {
    if let Some((_, content)) = answer.packed.take() {
        answer.content = content;
        let is_it = |name: &str| name.eq_ignore_ascii_case("content-encoding");
        answer.crossing = headers::without(&answer.crossing, is_it);
    }
}

/// Looks at the answer to a step of an MCP session, holding it back until its
/// response is here: an `initialize` begins a session of ours.
pub(super) async fn look(
    errand: Errand<'_>,
    exchange: &mut Exchange<'_>,
    answer: &mut Answer,
    carried: &Carried<'_>,
    target: &Target<'_>,
) -> Result<Result<Found<Edit>, Lost>, Gone> {
    let content = answer.content;
    let packed = answer
        .packed
        .filter(|(_, content)| *content == Content::Json);
    let find = |bytes: &[u8], whole: bool| {
        if let Some((coding, _)) = packed {
            if bytes.len() > step::LONGEST_ANSWER {
                return Some(None);
            }
            let text = whole.then(|| coding.unpack(bytes, step::LONGEST_ANSWER).ok());
            return text.map(|text| Some((text?, 0..bytes.len())));
        }
        match step::response(content, bytes, whole) {
            Response::Open => None,
            Response::None => Some(None),
            Response::At(at) => Some(Some((bytes[at.clone()].to_vec(), at))),
        }
    };
    let (response, at) = match exchange.peek(answer.body, find).await? {
        Ok(Some(Some(found))) => found,
        Ok(_) => return Ok(Ok(Found::Nothing)),
        Err(why) => return Ok(Err(why)),
    };
    Ok(Ok(match read(errand, answer, carried, target, &response) {
        Found::Nothing => Found::Nothing,
        Found::AsItIs => Found::AsItIs,
        Found::Other(text) => {
            unpacked(answer);
            Found::Other(Edit { at, text })
        }
    }))
}

/// Reads the response to a step.
fn read(
    errand: Errand<'_>,
    answer: &mut Answer,
    carried: &Carried<'_>,
    target: &Target<'_>,
    response: &[u8],
) -> Found<Vec<u8>> {
    let text = str::from_utf8(response).ok().and_then(Members::of);
    let Some(result) = text.as_ref().and_then(|message| message.last("result")) else {
        return Found::Nothing;
    };
    match (errand.step, errand.session) {
        (Step::List { .. }, session) => {
            if let (Some(session), Some((tools, next))) = (session, rpc::page(result, "tools")) {
                session.note(|standing| standing.shown.page(&tools, next.is_none()));
            }
            Found::of(errand.beside.and_then(|beside| {
                let text = guests::append(response, &beside.tools)?;
                beside.note(errand.shared);
                Some(text)
            }))
        }
        (Step::Hello, _) => {
            let Some(greeting) = Greeting::read(result) else {
                return Found::Nothing;
            };
            let hello = Message {
                lines: carried.request.crossing.clone(),
                body: carried.body.clone(),
            };
            let theirs = headers::value(&answer.crossing, ID);
            let session = Session::new(errand.server, hello, target.home(), theirs, greeting);
            let session = session.opened_by(&target.upstream);
            let session = errand.shared.sessions.open(session);
            session.answer(&mut answer.crossing);
            let step = evidence::Step::Initialized;
            errand.shared.ledger.note(errand.server, step);
            Found::of(greeting::promise(response, target.is_hub))
        }
        _ => Found::Nothing,
    }
}

//! The heads of HTTP/1.1 messages, read strictly (RFC 9112). Pure.
//!
//! *Invariant*: a head that two readers could understand in two ways is
//! refused, so that nothing can be smuggled past us inside a body.

use httparse::{EMPTY_HEADER, Header, Status};

use super::framing::Framing;
use super::gate::{Gate, named};
use super::headers::{self, Content};

/// The longest head of either side.
pub(super) const LONGEST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;

/// A request of the agent.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a head says that much")]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// None: there is none, not even an empty one.
    pub(super) body: Option<Framing>,
    /// The body is JSON as it stands.
    pub(super) is_json: bool,
    pub(super) expects_continue: bool,
    /// The agent speaks HTTP/1.0: no chunks, no second request.
    pub(super) is_old: bool,
    pub(super) keep_alive: bool,
    /// The header lines that go on to the upstream.
    pub(super) crossing: Vec<u8>,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Forbidden,
    Malformed(&'static str),
    TooLong,
}

/// An answer of an upstream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Framing,
    pub(super) content: Content,
    /// The upstream keeps the connection open.
    pub(super) keep_alive: bool,
    /// Status line and header lines that go on to the agent.
    pub(super) crossing: Vec<u8>,
}

/// An answer that is none of HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not answer in HTTP/1.1: {0}")]
pub(super) struct BadAnswer(pub(super) &'static str);

/// Reads the request at the front of `input`: the length of its head and the
/// request; None if more is to come.
pub(super) fn request(input: &[u8], gate: &Gate) -> Result<Option<(usize, Request)>, Refusal> {
    let mut slots = [EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut slots);
    let length = match head.parse(input) {
        Ok(Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(Status::Partial) if input.len() <= LONGEST_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Malformed("the head does not parse")),
    };
    let headers = &*head.headers;
    if !gate.admits(headers) {
        return Err(Refusal::Forbidden);
    }
    let (method, target) = (head.method.unwrap_or(""), head.path.unwrap_or(""));
    if !target.starts_with('/') {
        return Err(Refusal::Malformed("the target is not a path"));
    }
    let is_old = head.version == Some(0);
    let body = body(headers).map_err(Refusal::Malformed)?;
    if is_old && matches!(body, Some(Framing::Chunked(_))) {
        return Err(Refusal::Malformed("chunks in HTTP/1.0"));
    }
    let plain = named(headers, "content-encoding").next().is_none();
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        body,
        is_json: plain && method == "POST" && headers::content(headers) == Content::Json,
        expects_continue: !is_old && has_word(headers, "expect", "100-continue"),
        is_old,
        keep_alive: !is_old && !has_word(headers, "connection", "close"),
        crossing: headers::to_upstream(headers),
    };
    Ok(Some((length, request)))
}

/// Reads the answer to a request of `method` at the front of `input`, as
/// [`request`] does.
pub(super) fn answer(input: &[u8], method: &str) -> Result<Option<(usize, Answer)>, BadAnswer> {
    let mut slots = [EMPTY_HEADER; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut slots);
    let length = match head.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() <= LONGEST_HEAD => return Ok(None),
        Ok(Status::Partial) => return Err(BadAnswer("its head is too long")),
        Err(_) => return Err(BadAnswer("its head does not parse")),
    };
    let (headers, status) = (&*head.headers, head.code.unwrap_or(0));
    let is_old = head.version == Some(0);
    let body = match status {
        101 => return Err(BadAnswer("it switched protocols unasked")),
        100..=199 | 204 | 304 => Framing::EMPTY,
        _ if method == "HEAD" => Framing::EMPTY,
        _ => body(headers)
            .map_err(BadAnswer)?
            .unwrap_or(Framing::UntilClose),
    };
    let encoded = named(headers, "content-encoding").next().is_some();
    let answer = Answer {
        status,
        body,
        content: if encoded {
            Content::Other
        } else {
            headers::content(headers)
        },
        keep_alive: !is_old
            && body != Framing::UntilClose
            && !has_word(headers, "connection", "close"),
        crossing: headers::to_agent(status, head.reason.unwrap_or(""), headers),
    };
    Ok(Some((length, answer)))
}

/// How the body of a message with these headers is framed.
fn body(headers: &[Header<'_>]) -> Result<Option<Framing>, &'static str> {
    let mut lengths = named(headers, "content-length");
    let mut codings = named(headers, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("both Content-Length and Transfer-Encoding"),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
            codings.next().map_or(Ok(Some(Framing::CHUNKED)), |_| {
                Err("Transfer-Encoding twice")
            })
        }
        (None, Some(_)) => Err("an unknown Transfer-Encoding"),
        (Some(length), None) if lengths.all(|other| other == length) => decimal(length)
            .map(Framing::Length)
            .map(Some)
            .ok_or("a bad Content-Length"),
        (Some(_), None) => Err("two different Content-Lengths"),
    }
}

/// A number of up to 18 digits, and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// True if a list header contains `word`.
fn has_word(headers: &[Header<'_>], name: &str, word: &str) -> bool {
    named(headers, name).any(|value| headers::words(value).any(|w| w.eq_ignore_ascii_case(word)))
}

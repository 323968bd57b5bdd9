//! The heads of HTTP/1.1 messages, read strictly (RFC 9112). Pure.
//!
//! *Invariant*: a head that two readers could understand in two ways is
//! refused, so that nothing can be smuggled past us inside a body.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::framing::Framing;
use super::gate::{self, Gate, named};
use super::headers::{self, Content};
use super::unpack::Coding;

/// The longest head of either side.
pub(super) const LONGEST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 100;

/// A request of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The variable of the key stands there in its place.
    Unreplaced,
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
    /// What the body is once it is unpacked, if it comes packed.
    pub(super) packed: Option<(Coding, Content)>,
    /// The values of its `Set-Cookie` headers, which are for us.
    pub(super) cookies: Vec<String>,
}

/// An answer that is none of HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not answer in HTTP/1.1: {0}")]
pub(super) struct BadAnswer(pub(super) &'static str);

/// Reads the request at the front of `input`: the length of its head and the
/// request; None if more is to come.
pub(super) fn request(input: &[u8], gate: &Gate) -> Result<Option<(usize, Request)>, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut head = httparse::Request::new(&mut []);
    let length = match head.parse_with_uninit_headers(input, &mut slots) {
        Ok(Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(Status::Partial) if input.len() <= LONGEST_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLong),
        Err(_) => return Err(Refusal::Malformed("the head does not parse")),
    };
    let headers = &*head.headers;
    if !gate.admits(headers) {
        return Err(if gate::is_unreplaced(headers) {
            Refusal::Unreplaced
        } else {
            Refusal::Forbidden
        });
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
    let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut head = httparse::Response::new(&mut []);
    let parsed =
        ParserConfig::default().parse_response_with_uninit_headers(&mut head, input, &mut slots);
    let length = match parsed {
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
    let coding = named(headers, "content-encoding").find(|name| *name != b"identity");
    let packed = coding.and_then(Coding::of);
    let cookies = named(headers, "set-cookie").filter_map(|value| str::from_utf8(value).ok());
    let answer = Answer {
        status,
        body,
        content: if coding.is_some() {
            Content::Other
        } else {
            headers::content(headers)
        },
        keep_alive: !is_old
            && body != Framing::UntilClose
            && !has_word(headers, "connection", "close"),
        crossing: headers::to_agent(status, head.reason.unwrap_or(""), headers),
        packed: packed.map(|coding| (coding, headers::content(headers))),
        cookies: cookies.map(str::to_owned).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::identity::Token;

    const OURS: &str = "Host: localhost:1\r\nAuthorization: Bearer k\r\n";

    fn read(text: &str) -> Result<Option<(usize, Request)>, Refusal> {
        request(text.as_bytes(), &Gate::new(Token::new("k"), 1))
    }

    #[test]
    fn a_request_is_read_once_it_is_whole() {
        let text = format!(
            "POST /up/mcp?a=b HTTP/1.1\r\n{OURS}content-type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\nX-Own: \t ä\r\n\r\n{{}}"
        );
        for end in 0..text.len() - 2 {
            let part = &text.as_bytes()[..end];
            assert_eq!(
                request(part, &Gate::new(Token::new("k"), 1)),
                Ok(None),
                "{end}"
            );
        }
        let (length, request) = read(&text).expect("it is well").expect("it is whole");
        assert_eq!(length, text.len() - 2);
        assert_eq!(request.method, "POST");
        assert_eq!(request.target, "/up/mcp?a=b");
        assert_eq!(request.body, Some(Framing::Length(2)));
        assert!(request.is_json && request.keep_alive && !request.expects_continue);
        let crossing = String::from_utf8(request.crossing).expect("text");
        assert_eq!(
            crossing,
            "content-type: Application/JSON; charset=utf-8\r\nX-Own: ä\r\n"
        );
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        for lines in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "X: a\r\n b\r\n",
            " X: a\r\n",
            "X: a\0b\r\n",
            "X: a\rb\r\n",
            "no colon\r\n",
        ] {
            let text = format!("POST /up/mcp HTTP/1.1\r\n{OURS}{lines}\r\n");
            assert!(
                matches!(read(&text), Err(Refusal::Malformed(_))),
                "{lines:?}"
            );
        }
        for line in [
            "POST http://localhost:1/up/mcp HTTP/1.1",
            "CONNECT localhost:1 HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "POST /up/mcp HTTP/2.0",
            "POST /up/mcp",
            "POST  /up/mcp HTTP/1.1",
            "PO ST /up/mcp HTTP/1.1",
        ] {
            let text = format!("{line}\r\n{OURS}\r\n");
            assert!(
                matches!(read(&text), Err(Refusal::Malformed(_))),
                "{line:?}"
            );
        }
        let old = format!("POST / HTTP/1.0\r\n{OURS}Transfer-Encoding: chunked\r\n\r\n");
        assert!(matches!(read(&old), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn heads_have_an_end() {
        let text = |more: &str| format!("GET / HTTP/1.1\r\n{OURS}{more}\r\n");
        let many = "X: y\r\n".repeat(MOST_HEADERS);
        assert_eq!(read(&text(&many)), Err(Refusal::TooLong));
        let long = format!("X: {}", "y".repeat(LONGEST_HEAD));
        assert_eq!(read(&text(&long)[..=LONGEST_HEAD]), Err(Refusal::TooLong));
        assert_eq!(read(&text(&format!("{long}\r\n"))), Err(Refusal::TooLong));
    }

    #[test]
    fn the_key_comes_before_everything_else() {
        let text = "POST /up/mcp HTTP/1.1\r\nHost: localhost:1\r\nContent-Length: x\r\n\r\n";
        assert_eq!(read(text), Err(Refusal::Forbidden));
        for key in [
            "${WRAPPER_MCP_KEY}",
            "{env:WRAPPER_MCP_KEY}",
            "$WRAPPER_MCP_KEY",
        ] {
            let lines = format!("Host: localhost:1\r\nAuthorization: Bearer {key}\r\n");
            let text = format!("POST /up/mcp HTTP/1.1\r\n{lines}\r\n");
            assert_eq!(read(&text), Err(Refusal::Unreplaced), "{key}");
        }
    }

    #[test]
    fn connections_end_as_the_agent_wishes() {
        for (version, lines, keep_alive) in [
            ("1.1", "", true),
            ("1.1", "Connection: Keep-Alive\r\n", true),
            ("1.1", "Connection: x, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: keep-alive\r\n", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\n{OURS}{lines}\r\n");
            let (_, request) = read(&text).expect("it is well").expect("it is whole");
            assert_eq!(request.keep_alive, keep_alive, "{text}");
        }
    }

    #[test]
    fn answers_say_where_they_end() {
        for (method, head, framing, keep_alive) in [
            (
                "GET",
                "200 OK\r\nContent-Length: 3",
                Some(Framing::Length(3)),
                true,
            ),
            (
                "GET",
                "200\r\nContent-Length: 3\r\nContent-Length: 3",
                Some(Framing::Length(3)),
                true,
            ),
            (
                "GET",
                "200 OK\r\ntransfer-encoding: Chunked",
                Some(Framing::CHUNKED),
                true,
            ),
            (
                "GET",
                "200 OK\r\nConnection: close\r\nContent-Length: 3",
                Some(Framing::Length(3)),
                false,
            ),
            ("GET", "200 OK", Some(Framing::UntilClose), false),
            (
                "HEAD",
                "200 OK\r\nContent-Length: 3",
                Some(Framing::EMPTY),
                true,
            ),
            (
                "HEAD",
                "200 OK\r\nTransfer-Encoding: chunked",
                Some(Framing::EMPTY),
                true,
            ),
            ("GET", "204 No Content", Some(Framing::EMPTY), true),
            (
                "GET",
                "304 Not Modified\r\nContent-Length: 3",
                Some(Framing::EMPTY),
                true,
            ),
            ("GET", "103 Early Hints", Some(Framing::EMPTY), true),
            ("GET", "101 Switching Protocols", None, false),
            ("GET", "200 OK\r\nContent-Length: x", None, false),
            (
                "GET",
                "200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                None,
                false,
            ),
            ("GET", "20", None, false),
        ] {
            let text = format!("HTTP/1.1 {head}\r\n\r\n");
            match answer(text.as_bytes(), method) {
                Ok(Some((length, answer))) => {
                    assert_eq!(length, text.len());
                    assert_eq!(
                        (Some(answer.body), answer.keep_alive),
                        (framing, keep_alive),
                        "{text}"
                    );
                }
                other => assert!(other.is_err() && framing.is_none(), "{text}: {other:?}"),
            }
        }
    }
}

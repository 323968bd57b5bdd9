//! What crosses the proxy, what stays, and whose credential goes along. Pure.

use std::io::Write;

use httparse::Header;

use crate::types::identity::Token;
use crate::types::upstream::Endpoint;

use super::framing::Framing;
use super::gate::named;
use super::head::Request;

/// What a body is, as far as we look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    /// `text/event-stream`.
    Events,
    Other,
}

/// Headers of one connection, and those that we write ourselves.
const STAY: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// Headers of the agent that are for us: what opened the proxy, and what a
/// credential takes the place of.
const FOR_US: [&str; 4] = ["host", "authorization", "x-agent-token", "expect"];

/// What the headers say of the body.
pub(super) fn content(headers: &[Header<'_>]) -> Content {
    let Some(value) = named(headers, "content-type").next() else {
        return Content::Other;
    };
    let kind = value
        .split(|&b| b == b';')
        .next()
        .unwrap_or(value)
        .trim_ascii();
    if kind.eq_ignore_ascii_case(b"application/json") {
        Content::Json
    } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Content::Events
    } else {
        Content::Other
    }
}

/// The words of a list header's value.
pub(super) fn words(value: &[u8]) -> impl Iterator<Item = &str> {
    let text = str::from_utf8(value).unwrap_or("");
    text.split(',').map(str::trim)
}

/// The lines of the agent's headers that the upstream gets.
pub(super) fn to_upstream(headers: &[Header<'_>]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(512);
    for header in headers {
        if !is_one_of(&FOR_US, header) && !stays(headers, header) {
            line(&mut lines, header);
        }
    }
    lines
}

/// The status line and the lines of the upstream's headers that the agent
/// gets; the length of a body stays in its place among them.
pub(super) fn to_agent(status: u16, reason: &str, headers: &[Header<'_>]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(512);
    let _ = write!(lines, "HTTP/1.1 {status} {reason}\r\n");
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") || !stays(headers, header) {
            line(&mut lines, header);
        }
    }
    lines
}

/// The head of `request` as the upstream at `to` gets it.
pub(super) fn request_head(
    request: &Request,
    to: &Endpoint,
    token: Option<&Token>,
    is_identity: bool,
    body: Option<Framing>,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(request.crossing.len() + 256);
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let joint = match (query.is_empty(), to.path.contains('?')) {
        (true, _) => "",
        (false, false) => "?",
        (false, true) => "&",
    };
    for part in [
        &request.method,
        " ",
        &to.path,
        joint,
        query,
        " HTTP/1.1\r\nHost: ",
    ] {
        head.extend_from_slice(part.as_bytes());
    }
    head.extend_from_slice(to.authority().as_bytes());
    head.extend_from_slice(b"\r\n");
    if let Some(token) = token {
        for part in ["Authorization: Bearer ", token.expose(), "\r\n"] {
            head.extend_from_slice(part.as_bytes());
        }
        if is_identity {
            for part in ["X-Agent-Token: ", token.expose(), "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
    }
    head.extend_from_slice(&request.crossing);
    match body {
        None | Some(Framing::UntilClose) => {}
        Some(Framing::Chunked(_)) => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Some(Framing::Length(length)) => {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// True if a header is of this connection only; `Connection` may name more.
fn stays(headers: &[Header<'_>], header: &Header<'_>) -> bool {
    is_one_of(&STAY, header)
        || named(headers, "connection")
            .any(|value| words(value).any(|word| word.eq_ignore_ascii_case(header.name)))
}

fn is_one_of(names: &[&str], header: &Header<'_>) -> bool {
    names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(header.name))
}

fn line(lines: &mut Vec<u8>, header: &Header<'_>) {
    for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
        lines.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers<'a>(lines: &[(&'a str, &'a str)]) -> Vec<Header<'a>> {
        let header = |&(name, value): &(&'a str, &'a str)| Header {
            name,
            value: value.as_bytes(),
        };
        lines.iter().map(header).collect()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        let headers = headers(&[
            ("Host", "x"),
            ("Connection", "keep-alive, X-Mine"),
            ("Keep-Alive", "5"),
            ("x-mine", "1"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "3"),
            ("AUTHORIZATION", "Bearer key"),
            ("X-Agent-Token", "forged"),
            ("Proxy-Authorization", "p"),
            ("Expect", "100-continue"),
            ("mcp-session-id", "s"),
            ("Accept", "a, b"),
            ("accept", "c"),
            ("X-New-Thing", ""),
        ]);
        let crossing = "mcp-session-id: s\r\nAccept: a, b\r\naccept: c\r\nX-New-Thing: \r\n";
        assert_eq!(text(to_upstream(&headers)), crossing);
    }

    #[test]
    fn answers_keep_their_length_and_their_reason() {
        let headers = headers(&[
            ("Connection", "close"),
            ("content-length", "3"),
            ("WWW-Authenticate", "Bearer"),
            ("Transfer-Encoding", "chunked"),
        ]);
        assert_eq!(
            text(to_agent(207, "So So", &headers)),
            "HTTP/1.1 207 So So\r\ncontent-length: 3\r\nWWW-Authenticate: Bearer\r\n"
        );
    }

    #[test]
    fn requests_go_to_the_upstreams_path_with_its_credential() {
        let request = Request {
            method: "POST".into(),
            target: "/up/mcp?a=b".into(),
            body: None,
            is_json: true,
            expects_continue: false,
            is_old: false,
            keep_alive: true,
            crossing: b"A: b\r\n".to_vec(),
        };
        let token = Token::new("t");
        let head = |path, token, is_identity, body| {
            let to = Endpoint::loopback(9, path);
            text(request_head(&request, &to, token, is_identity, body))
        };
        assert_eq!(
            head("/mcp", Some(&token), true, Some(Framing::Length(2))),
            "POST /mcp?a=b HTTP/1.1\r\nHost: 127.0.0.1:9\r\nAuthorization: Bearer t\r\nX-Agent-Token: t\r\nA: b\r\nContent-Length: 2\r\n\r\n"
        );
        assert_eq!(
            head("/x?y=z", Some(&token), false, Some(Framing::CHUNKED)),
            "POST /x?y=z&a=b HTTP/1.1\r\nHost: 127.0.0.1:9\r\nAuthorization: Bearer t\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        assert_eq!(
            head("/", None, true, None),
            "POST /?a=b HTTP/1.1\r\nHost: 127.0.0.1:9\r\nA: b\r\n\r\n"
        );
    }
}

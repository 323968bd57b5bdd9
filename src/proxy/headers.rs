//! What crosses the proxy, and what stays. Pure.

use std::io::Write;

use httparse::Header;

use super::gate::named;

/// What a body is, as far as we look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    /// `text/event-stream`.
    Events,
    Other,
}

/// Headers of one connection, and those that we write ourselves.
pub(super) const STAY: [&str; 9] = [
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

/// How the headers begin by which we tell a server of the session: the agent
/// does not speak for us.
const OF_OURS: &str = "wrapper-session-";

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
        if !is_one_of(&FOR_US, header.name) && !is_ours(header.name) && !stays(headers, header) {
            line(&mut lines, header);
        }
    }
    lines
}

/// The status line and the lines of the upstream's headers that the agent
/// gets; the length of a body stays in its place among them. Cookies are ours to
/// keep: agents have no place for them.
pub(super) fn to_agent(status: u16, reason: &str, headers: &[Header<'_>]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(512);
    let _ = write!(lines, "HTTP/1.1 {status} {reason}\r\n");
    for header in headers {
        let is_for_us = header.name.eq_ignore_ascii_case("set-cookie");
        let is_length = header.name.eq_ignore_ascii_case("content-length");
        if is_length || !is_for_us && !stays(headers, header) {
            line(&mut lines, header);
        }
    }
    lines
}

/// Header `lines` but for those whose name `is_out`.
pub(super) fn without(lines: &[u8], is_out: impl Fn(&str) -> bool) -> Vec<u8> {
    let lines = lines.split_inclusive(|&b| b == b'\n');
    lines
        .filter(|line| !is_out(name_of(line).0))
        .flatten()
        .copied()
        .collect()
}

/// The value of the first of header `lines` called `name`.
pub(super) fn value<'a>(lines: &'a [u8], name: &str) -> Option<&'a str> {
    lines
        .split(|&b| b == b'\n')
        .map(name_of)
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| str::from_utf8(value).ok())
        .map(str::trim)
}

/// The name in a header line, and what stands behind its colon; no name in
/// what is no header line.
fn name_of(line: &[u8]) -> (&str, &[u8]) {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    (
        str::from_utf8(name).unwrap_or(""),
        value.get(1..).unwrap_or(b""),
    )
}

/// Adds a header line.
pub(super) fn push(lines: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        lines.extend_from_slice(part.as_bytes());
    }
}

fn is_ours(name: &str) -> bool {
    let start = name.get(..OF_OURS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OF_OURS))
}

/// True if a header is of this connection only; `Connection` may name more.
fn stays(headers: &[Header<'_>], header: &Header<'_>) -> bool {
    is_one_of(&STAY, header.name)
        || named(headers, "connection")
            .any(|value| words(value).any(|word| word.eq_ignore_ascii_case(header.name)))
}

pub(super) fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
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
            ("wrapper-session-ID", "forged"),
            ("Wrapper-Session-New", "forged"),
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
    fn lines_are_found_and_left_out_by_their_names() {
        let lines = b"HTTP/1.1 200 a: b\r\nA: 1\r\nb:2\r\na: 3\r\n";
        for (name, found) in [("a", Some("1")), ("B", Some("2")), ("c", None)] {
            assert_eq!(value(lines, name), found, "{name}");
        }
        let rest = without(lines, |name| name.eq_ignore_ascii_case("a"));
        assert_eq!(text(rest), "HTTP/1.1 200 a: b\r\nb:2\r\n");
    }

    #[test]
    fn answers_keep_their_length_and_their_reason() {
        let headers = headers(&[
            ("Connection", "close"),
            ("content-length", "3"),
            ("WWW-Authenticate", "Bearer"),
            ("set-cookie", "lb=1"),
            ("Transfer-Encoding", "chunked"),
        ]);
        assert_eq!(
            text(to_agent(207, "So So", &headers)),
            "HTTP/1.1 207 So So\r\ncontent-length: 3\r\nWWW-Authenticate: Bearer\r\n"
        );
    }
}

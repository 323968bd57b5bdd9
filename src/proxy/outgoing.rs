//! The head of a request as its upstream gets it, and whose credential goes
//! along. Pure.

use std::io::Write;

use crate::types::identity::Token;
use crate::types::server::Headers;
use crate::types::upstream::Endpoint;

use super::framing::Framing;
use super::head::Request;
use super::headers::{self, STAY, is_one_of};

/// As whom a request is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Voice<'a> {
    /// With the token of the session's identity, if it has one.
    Identity(Option<&'a Token>),
    /// With these headers in place of the agent's own, and lines of ours.
    Headers(&'a Headers, &'a str),
}

/// The first of `headers` that cannot be sent: a name that is none, or is of
/// the connection; a value that could pass for more than one line.
pub(super) fn unsound(headers: &Headers) -> Option<&str> {
    let is_name = |name: &str| {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !name.is_empty() && name.bytes().all(token)
    };
    let is_value = |value: &str| value.bytes().all(|b| b == b'\t' || !b.is_ascii_control());
    let bad = headers.iter().find(|(name, value)| {
        !is_name(name)
            || is_one_of(&STAY, name)
            || name.eq_ignore_ascii_case("expect")
            || !is_value(value.expose())
    });
    bad.map(|(name, _)| name.as_str())
}

/// The head of `request` as the upstream at `to` gets it. `query` comes behind
/// the upstream's own, `cookies` behind those that the agent or the
/// configuration has.
pub(super) fn head(
    request: &Request,
    to: &Endpoint,
    query: &str,
    voice: Voice<'_>,
    cookies: &str,
    body: Option<Framing>,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(request.crossing.len() + 256);
    let joint = match (query.is_empty(), to.path.contains('?')) {
        (true, _) => "",
        (false, false) => "?",
        (false, true) => "&",
    };
    put(
        &mut head,
        &[
            &request.method,
            " ",
            &to.path,
            joint,
            query,
            " HTTP/1.1\r\n",
        ],
    );
    let own: &[(String, Token)] = match voice {
        Voice::Identity(_) => &[],
        Voice::Headers(headers, _) => headers,
    };
    let is_own = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    if !is_own("host") {
        put(&mut head, &["Host: ", &to.authority(), "\r\n"]);
    }
    match voice {
        Voice::Identity(None) => {}
        Voice::Identity(Some(token)) => {
            let token = token.expose();
            put(&mut head, &["Authorization: Bearer ", token, "\r\n"]);
            put(&mut head, &["X-Agent-Token: ", token, "\r\n"]);
        }
        Voice::Headers(_, told) => {
            for (name, value) in own {
                let value = value.expose();
                if name.eq_ignore_ascii_case("cookie") && !cookies.is_empty() {
                    put(&mut head, &[name, ": ", value, "; ", cookies, "\r\n"]);
                } else {
                    put(&mut head, &[name, ": ", value, "\r\n"]);
                }
            }
            put(&mut head, &[told]);
        }
    }
    if cookies.is_empty() && own.is_empty() {
        head.extend_from_slice(&request.crossing);
    } else {
        let is_cookie = |name: &str| name.eq_ignore_ascii_case("cookie");
        if !cookies.is_empty() && !is_own("cookie") {
            match headers::value(&request.crossing, "cookie") {
                Some(own) => put(&mut head, &["Cookie: ", own, "; ", cookies, "\r\n"]),
                None => put(&mut head, &["Cookie: ", cookies, "\r\n"]),
            }
        }
        head.extend(headers::without(&request.crossing, |name| {
            is_own(name) || !cookies.is_empty() && is_cookie(name)
        }));
    }
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

fn put(head: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        head.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            crossing: b"A: b\r\nMcp-Session-Id: s\r\n".to_vec(),
        };
        let token = Token::new("t");
        let own = vec![
            ("authorization".to_owned(), Token::new("Basic x")),
            ("a".to_owned(), Token::new("c\td")),
        ];
        let (named, none) = (vec![("HOST".to_owned(), Token::new("v"))], Vec::new());
        let head = |path, query, voice, body| {
            let to = Endpoint::loopback(9, path);
            let head = super::head(&request, &to, query, voice, "", body);
            String::from_utf8(head).expect("text")
        };
        for (path, query, voice, body, expected) in [
            (
                "/mcp",
                "a=b",
                Voice::Identity(Some(&token)),
                Some(Framing::Length(2)),
                "POST /mcp?a=b HTTP/1.1\r\nHost: 127.0.0.1:9\r\nAuthorization: Bearer t\r\nX-Agent-Token: t\r\nA: b\r\nMcp-Session-Id: s\r\nContent-Length: 2\r\n\r\n",
            ),
            (
                "/",
                "",
                Voice::Identity(None),
                None,
                "POST / HTTP/1.1\r\nHost: 127.0.0.1:9\r\nA: b\r\nMcp-Session-Id: s\r\n\r\n",
            ),
            (
                "/x?y=z",
                "a=b",
                Voice::Headers(&own, "Wrapper-Session-Id: i\r\n"),
                Some(Framing::CHUNKED),
                "POST /x?y=z&a=b HTTP/1.1\r\nHost: 127.0.0.1:9\r\nauthorization: Basic x\r\na: c\td\r\nWrapper-Session-Id: i\r\nMcp-Session-Id: s\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            (
                "/",
                "",
                Voice::Headers(&named, ""),
                None,
                "POST / HTTP/1.1\r\nHOST: v\r\nA: b\r\nMcp-Session-Id: s\r\n\r\n",
            ),
            (
                "/",
                "",
                Voice::Headers(&none, ""),
                None,
                "POST / HTTP/1.1\r\nHost: 127.0.0.1:9\r\nA: b\r\nMcp-Session-Id: s\r\n\r\n",
            ),
        ] {
            assert_eq!(head(path, query, voice, body), expected);
        }
    }

    #[test]
    fn there_is_one_line_of_cookies_whoever_has_some() {
        let none = Vec::new();
        let own = vec![("Cookie".to_owned(), Token::new("b=2"))];
        for (crossing, headers, cookies, expected) in [
            ("", &none, "", ""),
            ("", &none, "lb=1", "Cookie: lb=1\r\n"),
            ("cookie: a=1\r\n", &none, "", "cookie: a=1\r\n"),
            ("cookie: a=1\r\n", &none, "lb=1", "Cookie: a=1; lb=1\r\n"),
            ("cookie: a=1\r\n", &own, "", "Cookie: b=2\r\n"),
            ("cookie: a=1\r\n", &own, "lb=1", "Cookie: b=2; lb=1\r\n"),
        ] {
            let request = Request {
                method: "GET".into(),
                target: "/up/mcp".into(),
                body: None,
                is_json: false,
                expects_continue: false,
                is_old: false,
                keep_alive: true,
                crossing: crossing.into(),
            };
            let to = Endpoint::loopback(9, "/");
            let head = super::head(
                &request,
                &to,
                "",
                Voice::Headers(headers, ""),
                cookies,
                None,
            );
            let head = String::from_utf8(head).expect("text");
            let expected = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:9\r\n{expected}\r\n");
            assert_eq!(head, expected);
        }
    }

    #[test]
    fn what_could_be_more_than_one_line_is_not_sent() {
        for (name, value, is_sound) in [
            ("X-Key", "a b\t\u{e9}", true),
            ("Host", "gateway", true),
            ("X-Key", "", true),
            ("X-Key", "a\r\nX: y", false),
            ("X-Key", "a\n", false),
            ("X-Key", "a\0", false),
            ("X-Key", "a\u{7f}", false),
            ("X Key", "a", false),
            ("X-Key:", "a", false),
            ("X\r\nY", "a", false),
            ("", "a", false),
            ("content-LENGTH", "1", false),
            ("Transfer-Encoding", "chunked", false),
            ("Connection", "x", false),
            ("Expect", "100-continue", false),
        ] {
            let headers = vec![
                ("X-Good".to_owned(), Token::new("good")),
                (name.to_owned(), Token::new(value)),
            ];
            let unsound = unsound(&headers);
            assert_eq!(unsound, (!is_sound).then_some(name), "{name:?}: {value:?}");
        }
    }
}

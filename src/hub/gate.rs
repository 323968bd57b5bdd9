//! Who may pass at all: `Host` and `Origin` of a request, and the tokens that
//! it carries. Pure.

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};

use crate::types::identity::Token;

/// Why a request is turned away before anybody looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barred {
    /// A name that is not this machine's: a page that had its own name
    /// resolved to 127.0.0.1.
    Host,
    /// A page of somebody else.
    Origin,
}

/// Checks that a request is meant for us: exactly one `Host`, a loopback name
/// with our port, and neither an `Origin` nor a `Sec-Fetch-Site` but our own.
pub(super) fn check(headers: &HeaderMap, port: u16) -> Result<(), Barred> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_ours(host.as_bytes(), port) => {}
        _ => return Err(Barred::Host),
    }
    let own = |origin: &[u8]| {
        origin
            .strip_prefix(b"http://")
            .is_some_and(|host| is_ours(host, port))
    };
    // Browsers leave the origin out of some requests, but never this.
    let is_near = |site: &[u8]| [&b"same-origin"[..], b"none"].contains(&site);
    let origins = headers.get_all(ORIGIN).iter();
    let sites = headers.get_all("sec-fetch-site").iter();
    if origins.map(HeaderValue::as_bytes).all(own) && sites.map(HeaderValue::as_bytes).all(is_near)
    {
        Ok(())
    } else {
        Err(Barred::Origin)
    }
}

fn is_ours(authority: &[u8], port: u16) -> bool {
    let Ok(text) = std::str::from_utf8(authority) else {
        return false;
    };
    // No port means 80, where a hub may well listen.
    let (host, said) = match text.rsplit_once(':') {
        Some((host, said)) if !said.ends_with(']') => (host, said),
        _ => (text, "80"),
    };
    let name = ["127.0.0.1", "localhost", "[::1]"]
        .iter()
        .any(|name| host.eq_ignore_ascii_case(name));
    name && said.parse() == Ok(port)
}

/// The token that a request carries: `Authorization: Bearer`, or one of
/// agentchattr's two headers.
pub(super) fn token(headers: &HeaderMap) -> Option<Token> {
    bearer(headers)
        .or_else(|| plain(headers, "x-agent-token"))
        .or_else(|| human_token(headers))
}

/// The human's token beside an instance's, in a registration.
pub(super) fn human_token(headers: &HeaderMap) -> Option<Token> {
    plain(headers, "x-session-token")
}

fn bearer(headers: &HeaderMap) -> Option<Token> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Token::new(token))
}

fn plain(headers: &HeaderMap, name: &str) -> Option<Token> {
    let token = headers.get(name)?.to_str().ok()?.trim();
    (!token.is_empty()).then(|| Token::new(token))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let value = value.parse().expect("a value");
                (HeaderName::from_static(name), value)
            })
            .collect()
    }

    #[test]
    fn only_this_machine_by_its_own_names_may_pass() {
        for (pairs, answer) in [
            (&[("host", "127.0.0.1:8300")][..], Ok(())),
            (&[("host", "LocalHost:8300")], Ok(())),
            (&[("host", "[::1]:8300")], Ok(())),
            (&[], Err(Barred::Host)),
            (&[("host", "127.0.0.1:8301")], Err(Barred::Host)),
            (&[("host", "127.0.0.1")], Err(Barred::Host)),
            (&[("host", "[::1]")], Err(Barred::Host)),
            (&[("host", "evil.example:8300")], Err(Barred::Host)),
            (
                &[("host", "127.0.0.1.evil.example:8300")],
                Err(Barred::Host),
            ),
            (&[("host", "user@127.0.0.1:8300")], Err(Barred::Host)),
            (
                &[("host", "127.0.0.1:8300"), ("host", "evil.example:8300")],
                Err(Barred::Host),
            ),
            (
                &[
                    ("host", "127.0.0.1:8300"),
                    ("origin", "http://localhost:8300"),
                ],
                Ok(()),
            ),
            (
                &[
                    ("host", "127.0.0.1:8300"),
                    ("origin", "http://evil.example"),
                ],
                Err(Barred::Origin),
            ),
            (
                &[("host", "127.0.0.1:8300"), ("origin", "null")],
                Err(Barred::Origin),
            ),
            (
                &[("host", "127.0.0.1:8300"), ("origin", "http://127.0.0.1:9")],
                Err(Barred::Origin),
            ),
            (
                &[
                    ("host", "127.0.0.1:8300"),
                    ("origin", "https://127.0.0.1:8300"),
                ],
                Err(Barred::Origin),
            ),
            (
                &[("host", "127.0.0.1:8300"), ("sec-fetch-site", "cross-site")],
                Err(Barred::Origin),
            ),
            (
                &[("host", "127.0.0.1:8300"), ("sec-fetch-site", "same-site")],
                Err(Barred::Origin),
            ),
            (
                &[
                    ("host", "127.0.0.1:8300"),
                    ("sec-fetch-site", "same-origin"),
                ],
                Ok(()),
            ),
            (
                &[("host", "127.0.0.1:8300"), ("sec-fetch-site", "none")],
                Ok(()),
            ),
        ] {
            assert_eq!(check(&headers(pairs), 8300), answer, "{pairs:?}");
        }
        assert_eq!(check(&headers(&[("host", "localhost")]), 80), Ok(()));
    }

    #[test]
    fn a_token_is_a_bearer_or_a_header() {
        for (pairs, answer) in [
            (&[("authorization", "Bearer abc")][..], Some("abc")),
            (&[("authorization", "bearer  abc ")], Some("abc")),
            (&[("x-agent-token", "abc")], Some("abc")),
            (&[("x-session-token", "abc")], Some("abc")),
            (
                &[("authorization", "Bearer a"), ("x-agent-token", "b")],
                Some("a"),
            ),
            (&[("authorization", "Basic abc")], None),
            (&[("authorization", "Bearer ")], None),
            (&[("authorization", "abc")], None),
            (&[], None),
        ] {
            let found = token(&headers(pairs));
            assert_eq!(found.as_ref().map(Token::expose), answer, "{pairs:?}");
        }
    }
}

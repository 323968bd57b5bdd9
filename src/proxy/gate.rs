//! Who may speak to the proxy. Loopback is open to every user of the machine
//! and to every web page in a browser; the key and these checks make it ours.
//! Pure.

use httparse::Header;

use crate::types::identity::Token;

/// The variable that agents find the key in, as it stands in their settings.
pub(super) const VARIABLE: &str = "WRAPPER_MCP_KEY";

/// The session's key, and the names by which the proxy may be called.
#[derive(Debug)]
pub(super) struct Gate {
    key: Token,
    hosts: [String; 3],
}

impl Gate {
    /// The gate of a proxy on `port`.
    pub(super) fn new(key: Token, port: u16) -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        Self { key, hosts }
    }

    /// True for a request with our key, one `Host` that is this machine at our
    /// port (a page behind a rebound name has another), and no `Origin`.
    pub(super) fn admits(&self, headers: &[Header<'_>]) -> bool {
        let key = only(headers, "authorization").and_then(bearer);
        let host = only(headers, "host").and_then(|host| str::from_utf8(host).ok());
        let here = |host: &str| {
            self.hosts
                .iter()
                .any(|name| name.eq_ignore_ascii_case(host))
        };
        key.is_some_and(|key| self.key.matches(key))
            && host.is_some_and(here)
            && named(headers, "origin").next().is_none()
    }
}

/// True if the key's variable stands where the key should: the agent does not
/// replace variables in its settings.
pub(super) fn is_unreplaced(headers: &[Header<'_>]) -> bool {
    let key = only(headers, "authorization").and_then(|value| str::from_utf8(value).ok());
    key.is_some_and(|key| key.contains(VARIABLE))
}

/// The values of every header called `name`.
pub(super) fn named<'a>(
    headers: &'a [Header<'_>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// The value of a header that must be there exactly once.
fn only<'a>(headers: &'a [Header<'_>], name: &'a str) -> Option<&'a [u8]> {
    let mut values = named(headers, name);
    values.next().filter(|_| values.next().is_none())
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_agent_comes_in() {
        let gate = Gate::new(Token::new("sesame"), 4000);
        let (key, host) = (
            ("Authorization", "Bearer sesame"),
            ("Host", "127.0.0.1:4000"),
        );
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[key, host], true),
            (
                &[
                    ("authorization", "bearer sesame"),
                    ("HOST", "LocalHost:4000"),
                ],
                true,
            ),
            (&[key, ("Host", "[::1]:4000")], true),
            (&[host], false),
            (&[key], false),
            (&[("Authorization", "Bearer sesam"), host], false),
            (&[("Authorization", "Bearer sesame2"), host], false),
            (&[("Authorization", "Bearer"), host], false),
            (&[("Authorization", "Basic sesame"), host], false),
            (&[key, key, host], false),
            (&[key, host, host], false),
            (&[key, ("Host", "127.0.0.1")], false),
            (&[key, ("Host", "127.0.0.1:4001")], false),
            (&[key, ("Host", "evil.example:4000")], false),
            (&[key, ("Host", "127.0.0.1:4000.evil.example")], false),
            (&[key, host, ("Origin", "http://127.0.0.1:4000")], false),
            (&[key, host, ("origin", "null")], false),
        ];
        for (headers, admitted) in table {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| Header {
                    name,
                    value: value.as_bytes(),
                })
                .collect();
            assert_eq!(gate.admits(&headers), *admitted, "{headers:?}");
        }
    }
}

//! What a session's proxy speaks to, and as whom: the one piece of state that
//! a session's tasks share.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::identity::{Identity, ServerName, Token};

/// Where an HTTP server is: `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    /// Path and query, starting with `/`.
    pub path: String,
}

/// A URL that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no `http://host:port/path`: {why}")]
pub struct BadUrl {
    text: String,
    why: &'static str,
}

impl Endpoint {
    #[must_use]
    pub fn loopback(port: u16, path: &str) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
            path: path.into(),
        }
    }

    /// `host:port`, as in a `Host` header; IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// True if the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// What `localhost` means, so that no resolver is asked, which would need a
    /// thread; None for any other host.
    #[must_use]
    pub fn localhost(&self) -> Option<[SocketAddr; 2]> {
        (self.host == "localhost").then(|| {
            [
                (Ipv4Addr::LOCALHOST, self.port).into(),
                (Ipv6Addr::LOCALHOST, self.port).into(),
            ]
        })
    }

    /// The same server, another path.
    #[must_use]
    pub fn at(&self, path: &str) -> Self {
        Self {
            path: path.into(),
            ..self.clone()
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = |why| BadUrl {
            text: text.to_owned(),
            why,
        };
        let uri: hyper::Uri = text.parse().map_err(|_| bad("it does not parse"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("the scheme is not http"));
        }
        let authority = uri.authority().ok_or_else(|| bad("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it carries a user name"));
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

/// Where an upstream's credential comes from, asked at each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The session's own identity: the upstream is the hub, and the sender of
    /// tool calls is stamped.
    Identity,
    /// None is sent.
    None,
    /// Always this one.
    Literal(Token),
}

/// An MCP server behind the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub endpoint: Endpoint,
    pub token: TokenSource,
}

/// What the proxy forwards to and as whom, at this moment. Travels by
/// `tokio::sync::watch`; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// None while the session is not registered (`--offline`).
    pub identity: Option<Arc<Identity>>,
    pub upstreams: Arc<BTreeMap<ServerName, Arc<Upstream>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_endpoints_and_urls_again() {
        for (text, host, port, path) in [
            ("http://127.0.0.1:8200/mcp", "127.0.0.1", 8200, "/mcp"),
            ("http://localhost", "localhost", 80, "/"),
            ("http://[::1]:9/a?b=c", "::1", 9, "/a?b=c"),
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(
                (
                    endpoint.host.as_str(),
                    endpoint.port,
                    endpoint.path.as_str()
                ),
                (host, port, path)
            );
            assert!(endpoint.is_loopback());
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
        }
    }

    #[test]
    fn what_is_no_plain_http_url_is_refused() {
        for text in [
            "",
            "127.0.0.1:80",
            "https://x/",
            "file:///etc/passwd",
            "http://u:p@h/",
            "http://",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}

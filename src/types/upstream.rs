//! What a session's proxy speaks to, and as whom: the one piece of state that
//! a session's tasks share.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::agent::Transport;
use super::credential::Auth;
use super::identity::{Identity, ServerName};
use super::owner::Owner;
use super::server::{ContextLevel, Headers};

/// Where an HTTP server is: `http://host:port/path`, or `https`; or that it is
/// a command that we run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub scheme: Scheme,
    /// For [`Scheme::Hosted`] the server's name, as in a path.
    pub host: String,
    pub port: u16,
    /// Path and query, starting with `/`.
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
    /// A command that runs behind the proxy: no address leads there, and no
    /// URL is parsed as one.
    Hosted,
}

/// A URL that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no `http://host:port/path`: {why}")]
pub struct BadUrl {
    why: &'static str,
}

impl Endpoint {
    #[must_use]
    pub fn loopback(port: u16, path: &str) -> Self {
        Self {
            scheme: Scheme::Http,
            host: "127.0.0.1".into(),
            port,
            path: path.into(),
        }
    }

    /// The server `name` that we run.
    #[must_use]
    pub fn hosted(name: &ServerName) -> Self {
        Self {
            scheme: Scheme::Hosted,
            host: name.segment(),
            port: 0,
            path: "/mcp".into(),
        }
    }

    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// `host:port`, as in a `Host` header; IPv6 in brackets, and `https`
    /// without its own port, which some hosts take for another name.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.scheme, self.port) {
            (Scheme::Https, 443) | (Scheme::Hosted, _) => host,
            (_, port) => format!("{host}:{port}"),
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

    /// `http://host:port`, without a path.
    #[must_use]
    pub fn base(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Hosted => "hosted",
        };
        format!("{scheme}://{}", self.authority())
    }

    /// The whole URL, as a client needs it.
    #[must_use]
    pub fn href(&self) -> String {
        self.base() + &self.path
    }

    /// True if `other` is of the same origin: scheme, host and port.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        self.port == other.port
            && self.scheme == other.scheme
            && self.host.eq_ignore_ascii_case(&other.host)
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
        // The text may hold a credential: it is not repeated.
        let bad = |why| BadUrl { why };
        let uri: hyper::Uri = text.parse().map_err(|_| bad("it does not parse"))?;
        let (scheme, port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => return Err(bad("the scheme is neither http nor https")),
        };
        let authority = uri.authority().ok_or_else(|| bad("there is no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it carries a user name"));
        }
        // A port that is none must not become the scheme's own.
        let behind = authority.as_str().strip_prefix(authority.host());
        if authority.port_u16().is_none_or(|port| port == 0) && !matches!(behind, Some("" | ":")) {
            return Err(bad("its port is no number from 1 to 65535"));
        }
        Ok(Self {
            scheme,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(port),
            path: match uri.path_and_query().map_or("/", |path| path.as_str()) {
                path if path.starts_with('/') => path.to_owned(),
                // `http://host?query`
                path => format!("/{path}"),
            },
        })
    }
}

/// For eyes: a query may hold a credential, and is not shown.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = match self.path.split_once('?') {
            Some((path, _)) => (path, "?****"),
            None => (self.path.as_str(), ""),
        };
        write!(f, "{}{path}{query}", self.base())
    }
}

/// As whom an upstream is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The session's own identity, whatever it is at each request: the
    /// upstream is the hub, and the sender of tool calls is stamped.
    Identity,
    /// These headers, in place of the agent's own of the same names.
    Headers(Headers),
    /// The header that [`Auth`] gives, and these.
    Auth(Auth, Headers),
}

/// An MCP server behind the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub endpoint: Endpoint,
    pub transport: Transport,
    pub credential: Credential,
    pub context: ContextLevel,
    /// Whose process it may be if it is on this machine and without TLS.
    pub owner: Owner,
    /// The running agent has no entry of it: its tools stand beside the hub's,
    /// as `server__tool`.
    pub is_guest: bool,
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
            ("https://localhost", "localhost", 443, "/"),
            ("https://localhost:8443/mcp", "localhost", 8443, "/mcp"),
            ("http://localhost?b=c", "localhost", 80, "/?b=c"),
            ("http://localhost:81?", "localhost", 81, "/?"),
            ("http://localhost:65535/", "localhost", 65535, "/"),
            ("http://localhost:/mcp", "localhost", 80, "/mcp"),
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
            assert!(!endpoint.to_string().contains("b=c"));
            assert_eq!(endpoint.href().parse(), Ok(endpoint));
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let here: Endpoint = "http://h:1/a".parse().expect("a URL");
        for (other, is_here) in [
            ("http://h:1/b?c", true),
            ("http://H:1/a", true),
            ("https://h:1/a", false),
            ("http://h:2/a", false),
            ("http://x:1/a", false),
        ] {
            let other = other.parse().expect("a URL");
            assert_eq!(here.is_at(&other), is_here, "{other}");
        }
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for text in [
            "",
            "127.0.0.1:80",
            "ws://x/",
            "file:///etc/passwd",
            "http://u:p@h/",
            "http://h:99999/mcp",
            "http://h:65536",
            "http://h:0/mcp",
            "http://h:abc/mcp",
            "http://[::1]:99999/mcp",
            "https://h:-1/",
            "http://",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}

//! Which proxy of the environment leads to an upstream (`HTTP_PROXY`,
//! `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, and their small spellings), by the
//! rules that curl made. Pure.
//!
//! *Invariant*: no way to this machine leads through a proxy.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::paths::Env;
use crate::types::identity::Token;
use crate::types::text::one_line;
use crate::types::upstream::{Endpoint, Scheme};

use super::tls::distrust;

/// What the environment says of proxies.
#[derive(Debug, Default)]
pub(super) struct Detours {
    /// None: there are none.
    matcher: Option<Matcher>,
    /// What is exempt at one port only.
    at_ports: BTreeMap<u16, Matcher>,
}

/// A proxy on the way to an upstream.
#[derive(Debug, Clone)]
pub(super) struct Detour {
    pub(super) kind: DetourKind,
    pub(super) host: String,
    pub(super) port: u16,
    /// As it is told to a proxy that speaks HTTP.
    pub(super) basic: Option<Token>,
    /// User and password for one that does not.
    pub(super) user: Option<(String, Token)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DetourKind {
    Http,
    /// HTTP inside of TLS.
    Https,
    Socks4,
    Socks5,
}

impl Detours {
    /// Reads the variables; the names of those that hold no URL of a proxy.
    pub(super) fn read(env: &Env) -> (Self, Vec<&'static str>) {
        let value = |name: &str| {
            let value = env.get(OsStr::new(name)).and_then(|value| value.to_str());
            value.map(str::trim).filter(|value| !value.is_empty())
        };
        // A web server's programs get `HTTP_PROXY` from whoever sends a header
        // `Proxy` (CVE-2016-5385).
        let is_cgi = value("REQUEST_METHOD").is_some();
        let mut unusable = Vec::new();
        let mut url = |names: [&'static str; 2]| {
            let mut names = names
                .into_iter()
                .filter(|name| !is_cgi || *name != "HTTP_PROXY");
            let (name, value) = names.find_map(|name| Some((name, value(name)?)))?;
            let probe = Matcher::builder().http(value).build();
            let is_proxy = probe.intercept(&Uri::from_static("http://h/")).is_some();
            if !is_proxy || !has_sound_port(value) {
                unusable.push(name);
                return None;
            }
            Some(value)
        };
        let http = url(["http_proxy", "HTTP_PROXY"]);
        let https = url(["https_proxy", "HTTPS_PROXY"]);
        let all = url(["all_proxy", "ALL_PROXY"]);
        let no = value("no_proxy")
            .or_else(|| value("NO_PROXY"))
            .unwrap_or("");
        if [http, https, all].iter().all(Option::is_none) {
            return (Self::default(), unusable);
        }
        let matcher = |no: &[&str]| {
            Matcher::builder()
                .http(http.unwrap_or(""))
                .https(https.unwrap_or(""))
                .all(all.unwrap_or(""))
                .no(no.join(","))
                .build()
        };
        let mut everywhere = Vec::new();
        let mut at_ports: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for entry in no.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            match split_port(entry.strip_prefix('*').unwrap_or(entry)) {
                // All of them.
                ("", None) => return (Self::default(), unusable),
                (host, None) => everywhere.push(host),
                (host, Some(port)) => at_ports.entry(port).or_default().push(host),
            }
        }
        let at_ports = at_ports.into_iter();
        let detours = Self {
            matcher: Some(matcher(&everywhere)),
            at_ports: at_ports.map(|(port, no)| (port, matcher(&no))).collect(),
        };
        (detours, unusable)
    }

    /// The proxy on the way to `to`, if there is one.
    pub(super) fn find(&self, to: &Endpoint) -> Option<Detour> {
        let matcher = self.matcher.as_ref()?;
        if to.scheme == Scheme::Hosted || is_here(to) {
            return None;
        }
        let uri: Uri = to.base().parse().ok()?;
        if let Some(here) = self.at_ports.get(&to.port) {
            here.intercept(&uri)?;
        }
        Detour::of(&matcher.intercept(&uri)?)
    }
}

impl Detour {
    fn of(found: &Intercept) -> Option<Self> {
        let uri = found.uri();
        let (kind, port) = match uri.scheme_str()? {
            "http" => (DetourKind::Http, 80),
            "https" => (DetourKind::Https, 443),
            "socks5" | "socks5h" => (DetourKind::Socks5, 1080),
            _ => (DetourKind::Socks4, 1080),
        };
        let basic = found.basic_auth().and_then(|auth| auth.to_str().ok());
        let user = found.raw_auth();
        Some(Self {
            kind,
            host: uri.host()?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(port),
            basic: basic.map(Token::new),
            user: user.map(|(user, word)| (user.to_owned(), Token::new(word))),
        })
    }

    /// True if it takes requests for `to` as they are, rather than carrying
    /// bytes: what of them is its own must not go through a tunnel.
    pub(super) fn reads(&self, to: &Endpoint) -> bool {
        to.scheme == Scheme::Http && matches!(self.kind, DetourKind::Http | DetourKind::Https)
    }

    /// The head of a request to `to` as the proxy gets it: it names the whole
    /// URL, and says who we are.
    pub(super) fn head(&self, head: &[u8], to: &Endpoint) -> Vec<u8> {
        let path = memchr::memchr(b' ', head).map_or(0, |at| at + 1);
        let line = memchr::memmem::find(head, b"\r\n").map_or(head.len(), |at| at + 2);
        let mut new = Vec::with_capacity(head.len() + 128);
        new.extend_from_slice(&head[..path]);
        new.extend_from_slice(to.base().as_bytes());
        new.extend_from_slice(&head[path..line]);
        new.extend_from_slice(self.authorization().as_bytes());
        new.extend_from_slice(&head[line..]);
        new
    }

    /// The header line that says who we are to it, if it wants to know.
    pub(super) fn authorization(&self) -> String {
        let basic = self.basic.as_ref();
        basic.map_or_else(String::new, |basic| {
            format!("Proxy-Authorization: {}\r\n", basic.expose())
        })
    }

    /// What a proxy says by a status of its own.
    pub(super) fn refusal(&self, status: u16, reason: &str) -> io::Error {
        let reason = one_line(reason, 100);
        let reason = if reason.is_empty() {
            reason
        } else {
            format!(" {reason}")
        };
        match status {
            407 => distrust(format!(
                "the proxy {self} wants to know who asks (HTTP 407): the user has to put a name and a \
                 password into its URL in the environment"
            )),
            400..=499 => distrust(format!(
                "the proxy {self} refuses (HTTP {status}{reason}): the user has to name another in the \
                 environment, or to exempt this server by `NO_PROXY`"
            )),
            _ => io::Error::other(format!("the proxy {self} answers HTTP {status}{reason}")),
        }
    }
}

/// For eyes: without a password.
impl fmt::Display for Detour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            DetourKind::Http => "http",
            DetourKind::Https => "https",
            DetourKind::Socks4 => "socks4",
            DetourKind::Socks5 => "socks5",
        };
        let (host, port) = (&self.host, self.port);
        if host.contains(':') {
            return write!(f, "{scheme}://[{host}]:{port}");
        }
        write!(f, "{scheme}://{host}:{port}")
    }
}

fn is_here(to: &Endpoint) -> bool {
    let host = to.host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    to.is_loopback() || host == "localhost" || host.ends_with(".localhost")
}

/// False for the URL of a proxy whose port is none: it would become another.
fn has_sound_port(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let behind = place.rsplit(']').next().unwrap_or_default();
    match behind.rsplit_once(':') {
        None | Some((_, "")) => true,
        Some((_, port)) => port.parse::<u16>().is_ok_and(|port| port > 0),
    }
}

/// An exemption's host, and its port if it is of one only.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let Some((host, port)) = entry.rsplit_once(':') else {
        return (entry, None);
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match (port.parse(), bare) {
        (Ok(port), Some(host)) => (host, Some(port)),
        (Ok(port), None) if !host.contains(':') => (host, Some(port)),
        // IPv6, without a port.
        _ => (entry.trim_matches(['[', ']']), None),
    }
}

#[cfg(test)]
mod tests;

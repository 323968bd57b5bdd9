//! Cookies of upstreams, as far as balancers need them: kept per server and
//! exact origin, in memory, a few. Pure: the clock is passed in.
//!
//! *Invariant*: a cookie goes to the origin that set it, and to no other, and
//! only together with the credential that it was given for.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use chrono::NaiveDateTime;

use crate::types::identity::{ServerName, Token};
use crate::types::upstream::{Credential, Endpoint, Upstream};

/// The most cookies of one server under one credential, the longest of them,
/// the most credentials of a server, and the most of all servers.
const MOST: usize = 16;
const MOST_EACH: usize = 2;
const LONGEST: usize = 4096;
const MOST_SERVERS: usize = 64;

/// The cookies of all servers of a session.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Owner>);

/// Whose cookies these are: another credential has others.
#[derive(Debug)]
struct Owner {
    server: ServerName,
    at: Endpoint,
    credential: Credential,
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    name: String,
    value: Token,
    /// Where it belongs: this path and what is below.
    path: String,
    is_secure: bool,
    expires: Option<SystemTime>,
}

impl Cookies {
    /// Takes in the value of a `Set-Cookie` header that `server` answered a
    /// request to `to` with.
    pub(super) fn take(
        &mut self,
        server: &ServerName,
        upstream: &Upstream,
        to: &Endpoint,
        line: &str,
        now: SystemTime,
    ) {
        let Some(cookie) = Cookie::read(line, to, now) else {
            return;
        };
        let at = if let Some(at) = self.position(server, upstream, to) {
            at
        } else {
            // One that is tried out stands beside the one that is in use.
            let of_it = |owner: &Owner| owner.server == *server;
            if self.0.iter().filter(|owner| of_it(owner)).count() == MOST_EACH
                && let Some(oldest) = self.0.iter().position(of_it)
            {
                self.0.remove(oldest);
            }
            if self.0.len() == MOST_SERVERS {
                self.0.remove(0);
            }
            self.0.push(Owner {
                server: server.clone(),
                at: to.at("/"),
                credential: upstream.credential.clone(),
                cookies: Vec::new(),
            });
            self.0.len() - 1
        };
        let cookies = &mut self.0[at].cookies;
        cookies.retain(|old| (&old.name, &old.path) != (&cookie.name, &cookie.path));
        if cookie.is_alive(now) {
            if cookies.len() == MOST {
                cookies.remove(0);
            }
            cookies.push(cookie);
        }
    }

    /// The value of the `Cookie` header of a request to `to`; empty if there is
    /// none.
    pub(super) fn line(
        &self,
        server: &ServerName,
        upstream: &Upstream,
        to: &Endpoint,
        now: SystemTime,
    ) -> String {
        let Some(at) = self.position(server, upstream, to) else {
            return String::new();
        };
        let path = to.path.split('?').next().unwrap_or("/");
        let may_be_secure = to.is_tls() || to.is_loopback();
        let mut fit: Vec<&Cookie> = (self.0[at].cookies.iter())
            .filter(|cookie| cookie.is_alive(now) && is_below(path, &cookie.path))
            .filter(|cookie| may_be_secure || !cookie.is_secure)
            .collect();
        // The closest first (RFC 6265, 5.4).
        fit.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        fit.iter().fold(String::new(), |mut line, cookie| {
            let joint = if line.is_empty() { "" } else { "; " };
            // Writing to a text cannot fail.
            let _ = write!(line, "{joint}{}={}", cookie.name, cookie.value.expose());
            line
        })
    }

    fn position(&self, server: &ServerName, upstream: &Upstream, to: &Endpoint) -> Option<usize> {
        self.0.iter().position(|owner| {
            owner.server == *server && owner.at.is_at(to) && owner.credential == upstream.credential
        })
    }
}

impl Cookie {
    /// Reads the value of a `Set-Cookie` header (RFC 6265, 5.2); None if it is
    /// no cookie for `from`.
    fn read(line: &str, from: &Endpoint, now: SystemTime) -> Option<Self> {
        if line.len() > LONGEST || line.chars().any(char::is_control) {
            return None;
        }
        let mut parts = line.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let is_token = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) || !value.is_ascii() {
            return None;
        }
        let mut cookie = Self {
            name: name.to_owned(),
            value: Token::new(value),
            path: default_path(&from.path).to_owned(),
            is_secure: false,
            expires: None,
        };
        let mut max_age = None;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
                "domain" if !is_within(&from.host, value) => return None,
                "secure" => cookie.is_secure = true,
                "expires" => cookie.expires = date(value).or(cookie.expires),
                "max-age" => max_age = value.parse::<i64>().ok().or(max_age),
                _ => {}
            }
        }
        if let Some(seconds) = max_age {
            let life = u64::try_from(seconds).map(Duration::from_secs);
            cookie.expires = match life {
                Ok(life) if !life.is_zero() => now.checked_add(life),
                _ => Some(SystemTime::UNIX_EPOCH),
            };
        }
        let is_safe = from.is_tls() || from.is_loopback();
        (is_safe || !cookie.is_secure).then_some(cookie)
    }

    fn is_alive(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// True if a request for `path` is at `folder` or below.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'))
}

/// The path of a cookie that names none: the folder of what was asked for.
fn default_path(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or("/");
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// True if `host` is `domain`, or in it.
fn is_within(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let domain = domain.trim_start_matches('.');
    domain.is_empty()
        || host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.') && domain.contains('.'))
}

/// A date as cookies have it.
fn date(text: &str) -> Option<SystemTime> {
    let text = text.replace('-', " ");
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d %b %y %H:%M:%S GMT"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
        .map(|at| at.and_utc().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::agent::Transport;
    use crate::types::owner::Owner;
    use crate::types::server::ContextLevel;

    fn upstream(url: &str, key: &str) -> Upstream {
        Upstream {
            endpoint: url.parse().expect("a URL"),
            transport: Transport::Http,
            credential: Credential::Headers(vec![("X-Key".into(), Token::new(key))]),
            context: ContextLevel::None,
            owner: Owner::Us,
            is_guest: false,
        }
    }

    #[test]
    fn a_cookie_goes_where_it_belongs_and_nowhere_else() {
        let docs: ServerName = "docs".parse().expect("a name");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (set, at, sent) in [
            ("lb=node1; Path=/", "https://h/mcp", "lb=node1"),
            ("lb=node1", "https://h/mcp", "lb=node1"),
            (
                "lb=\"a b\"; path=/; HttpOnly; SameSite=Lax",
                "https://h/x",
                "lb=\"a b\"",
            ),
            ("lb=1; Path=/api", "https://h/mcp", ""),
            ("lb=1; Path=/mcp", "https://h/mcp?a=b", "lb=1"),
            ("lb=1; Path=/mc", "https://h/mcp", ""),
            ("lb=1; Domain=h", "https://h/mcp", "lb=1"),
            ("lb=1; Domain=other", "https://h/mcp", ""),
            ("lb=1; Secure", "https://h/mcp", "lb=1"),
            ("lb=1", "https://h:444/mcp", ""),
            ("lb=1", "http://h:443/mcp", ""),
            ("lb=1", "https://x/mcp", ""),
            ("lb=1; Max-Age=60", "https://h/mcp", "lb=1"),
            ("lb=1; Max-Age=0", "https://h/mcp", ""),
            ("lb=1; Max-Age=-1", "https://h/mcp", ""),
            (
                "lb=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
                "https://h/mcp",
                "",
            ),
            (
                "lb=1; Expires=Fri, 01-Jan-2100 00:00:00 GMT",
                "https://h/mcp",
                "lb=1",
            ),
            ("lb=1; Expires=x", "https://h/mcp", "lb=1"),
            ("=1", "https://h/mcp", ""),
            ("l b=1", "https://h/mcp", ""),
            ("lb=1\r\nX: y", "https://h/mcp", ""),
            ("lb", "https://h/mcp", ""),
        ] {
            let upstream = upstream("https://h/mcp", "k");
            let mut cookies = Cookies::default();
            cookies.take(&docs, &upstream, &upstream.endpoint, set, now);
            let to = at.parse().expect("a URL");
            assert_eq!(cookies.line(&docs, &upstream, &to, now), sent, "{set} {at}");
        }
    }

    #[test]
    fn cookies_are_few_replaced_by_name_and_never_another_credentials() {
        let name = |name: &str| -> ServerName { name.parse().expect("a name") };
        let now = SystemTime::UNIX_EPOCH;
        let (one, two) = (upstream("http://h/mcp", "1"), upstream("http://h/mcp", "2"));
        let (docs, notes, to) = (name("docs"), name("notes"), one.endpoint.clone());
        let mut cookies = Cookies::default();
        for set in ["a=1", "b=2", "a=3", "s=4; Secure"] {
            cookies.take(&docs, &one, &to, set, now);
        }
        assert_eq!(cookies.line(&docs, &one, &to, now), "b=2; a=3");
        assert_eq!(cookies.line(&docs, &two, &to, now), "");
        assert_eq!(cookies.line(&notes, &one, &to, now), "");
        for i in 0..2 * MOST {
            cookies.take(&docs, &one, &to, &format!("c{i}=1"), now);
        }
        assert_eq!(
            cookies.line(&docs, &one, &to, now).matches('=').count(),
            MOST
        );
        assert!(!format!("{cookies:?}").contains("c31=1"));
        // Another credential begins with none.
        cookies.take(&docs, &two, &to, "d=1", now);
        assert_eq!(cookies.line(&docs, &two, &to, now), "d=1");
        assert_eq!(
            cookies.line(&docs, &one, &to, now).matches('=').count(),
            MOST
        );
        let three = upstream("http://h/mcp", "3");
        cookies.take(&docs, &three, &to, "e=1", now);
        assert_eq!(cookies.line(&docs, &one, &to, now), "");
    }
}

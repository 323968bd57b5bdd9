//! A server as the configuration describes it: where its files come from, and
//! what is not replaced yet.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::credential::Auth;
use super::identity::{AgentName, ServerName, Token};
use super::server::ContextLevel;
use super::text::is_control;

/// One table of `[mcp_servers]`, checked; variables stand in it as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    pub name: ServerName,
    pub recipe: Recipe,
    pub context: ContextLevel,
    /// The agents that get it; none: all.
    pub agents: Option<Vec<AgentName>>,
}

impl ServerSpec {
    /// True if that agent is to have the server.
    #[must_use]
    pub fn is_for(&self, agent: &AgentName) -> bool {
        (self.agents.as_ref()).is_none_or(|agents| agents.contains(agent))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    Remote {
        url: String,
        headers: Vec<(String, HeaderValue)>,
        /// Variables stand in it as written.
        auth: Option<Auth>,
    },
    Command {
        source: Source,
        program: String,
        args: Vec<String>,
        env: BTreeMap<String, Token>,
        /// Absolute, or starting with a variable.
        cwd: Option<String>,
        /// We run it, behind the proxy.
        is_hosted: bool,
    },
}

/// A header's value, part by part: `Bearer @env:TOKEN`.
pub type HeaderValue = Vec<HeaderPart>;

/// Where a part of a header's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderPart {
    /// Here; it may have variables.
    Text(Token),
    /// `@env:VAR`
    Env(String),
    /// `@file:PATH`, absolute; of the content, the last line end is dropped.
    File(PathBuf),
}

/// Where the files of a command are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: it is run as it is.
    None,
    /// A directory, absolute.
    Local(PathBuf),
    Git(Git),
}

/// A directory in a commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    pub url: GitUrl,
    pub at: Ref,
    /// Below the root of the checkout.
    pub subdir: Option<Subdir>,
}

/// Where a repository is: a URL, `user@host:path`, or an absolute path. It
/// carries no password, names no program, and looks like no option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitUrl(String);

impl GitUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GitUrl {
    type Err = &'static str;

    /// The text may hold a credential: no error repeats it.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.starts_with('-') || text.contains(is_control) {
            return Err("that is no address of a repository");
        }
        // `helper::address` lets git run a program of that name.
        if text.contains("::") && !text.contains("://[") {
            return Err("git would run a helper program for it: use https, ssh, git or file");
        }
        let user = |authority: &str| authority.rsplit_once('@').map(|(user, _)| user.to_owned());
        if let Some((scheme, rest)) = text.split_once("://") {
            if !["https", "http", "ssh", "git", "file"].contains(&scheme) {
                return Err("the scheme is none of https, http, ssh, git and file");
            }
            let authority = rest.split('/').next().unwrap_or_default();
            if authority.starts_with('-') {
                return Err("that is no host");
            }
            return match user(authority) {
                Some(user) if scheme != "ssh" || user.contains(':') => Err(
                    "it carries a credential, which other users would see while git runs: \
                     leave it to git's own credential helper",
                ),
                _ => Ok(Self(text.to_owned())),
            };
        }
        // As git has it: a colon before any slash makes it `user@host:path`.
        let host = text.split('/').next().unwrap_or_default();
        match host.split_once(':') {
            Some((host, _)) if !host.is_empty() => Ok(Self(text.to_owned())),
            None if text.starts_with('/') => Ok(Self(text.to_owned())),
            _ => Err("that is no address of a repository: a path starts with `./`, `/` or `~/`"),
        }
    }
}

/// What of a repository is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ref {
    /// 40 hex digits, small.
    Commit(String),
    Tag(String),
    /// Written `branch:NAME`: whatever it is at each launch.
    Branch(String),
}

impl FromStr for Ref {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if is_commit(text) {
            return Ok(Self::Commit(text.to_ascii_lowercase()));
        }
        let (make, name): (fn(String) -> Self, _) = match text.strip_prefix("branch:") {
            Some(name) => (Self::Branch, name),
            None => (Self::Tag, text),
        };
        if is_ref(name) {
            Ok(make(name.to_owned()))
        } else {
            Err("that is neither a commit of 40 hex digits, nor a tag, nor `branch:NAME`")
        }
    }
}

/// True for a whole SHA-1, 40 hex digits.
#[must_use]
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The rules of git-check-ref-format(1).
fn is_ref(name: &str) -> bool {
    let odd = |c: char| is_control(c) || " ~^:?*[\\".contains(c);
    let part = |part: &str| {
        let lock = Path::new(part).extension().is_some_and(|end| end == "lock");
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !lock
    };
    !name.starts_with('-')
        && !name.contains(odd)
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && name.split('/').all(part)
}

/// A path that stays below where it starts, as far as its words tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subdir(PathBuf);

impl Subdir {
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Subdir {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = Path::new(text);
        let below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !text.is_empty() && !text.contains('\0') && path.components().all(below) {
            Ok(Self(path.to_owned()))
        } else {
            Err("it must be a relative path without `..`")
        }
    }
}

/// True if a variable of the environment can have that name.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// True for a token of RFC 9110: the name of a header.
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    let mark = |b| b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || mark(b))
}

/// True if a header may have that value: no control character but a tab.
#[must_use]
pub fn is_header_value(value: &str) -> bool {
    !value.contains(|c: char| c.is_ascii_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories() {
        for good in [
            "https://example.com/a/b.git",
            "http://[::1]:8080/b",
            "ssh://git@example.com:22/a",
            "git@example.com:a/b.git",
            "example.com:a",
            "file:///srv/a b.git",
            "/srv/repo",
        ] {
            assert_eq!(good.parse().map(|url: GitUrl| url.0), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "--upload-pack=touch x",
            "-x:y",
            "ext::sh -c evil",
            "fd::17/foo",
            "ftp://example.com/a",
            "https://token@example.com/a",
            "https://user:pass@example.com/a",
            "ssh://user:pass@example.com/a",
            "ssh://-oProxyCommand=evil/x",
            "repo",
            "../repo",
            ":x",
            "https://example.com/a\nb",
        ] {
            assert!(bad.parse::<GitUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn commits_tags_and_branches() {
        let commit = "0123456789abcdefABCD0123456789abcdefABCD";
        let tag = |name: &str| Ok(Ref::Tag(name.to_owned()));
        let branch = |name: &str| Ok(Ref::Branch(name.to_owned()));
        for (text, wanted) in [
            (commit, Ok(Ref::Commit(commit.to_ascii_lowercase()))),
            ("v1.2.3", tag("v1.2.3")),
            ("release/2", tag("release/2")),
            ("0123abc", tag("0123abc")),
            ("branch:main", branch("main")),
            ("branch:a/b", branch("a/b")),
        ] {
            assert_eq!(text.parse(), wanted, "{text}");
        }
        for bad in [
            "",
            "-v1",
            "a..b",
            "a b",
            "a:b",
            "a*",
            "a^",
            "a~1",
            "x.lock",
            ".a",
            "a/.b",
            "a//b",
            "a/",
            "/a",
            "a.",
            "@",
            "a@{1}",
            "a\n",
            "a\\b",
            "branch:",
            "branch:-x",
            "branch:a:b",
        ] {
            assert!(bad.parse::<Ref>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_subdirectory_stays_below() {
        for (text, good) in [
            ("a/b", true),
            ("./a", true),
            ("", false),
            ("..", false),
            ("a/../../b", false),
            ("/a", false),
        ] {
            assert_eq!(text.parse::<Subdir>().is_ok(), good, "{text}");
        }
    }

    #[test]
    fn names_that_can_be_sent() {
        assert!(is_variable("A") && !is_variable("") && !is_variable("A=B"));
        assert!(is_header_name("X-Auth") && !is_header_name("X Auth") && !is_header_name(""));
        assert!(is_header_value("a b\tc") && !is_header_value("a\r\nX: y"));
    }
}

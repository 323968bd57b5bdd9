//! The key `auth` of a server as users write it, in TOML or JSON. Pure.
//!
//! *Invariant*: no error repeats a value, which may be a credential.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::bearer;
use super::credential::{Auth, TokenCommand, TokenSource};
use super::identity::Token;
use super::source::{is_header_name, is_variable};
use super::span::Span;

/// How long a run of a command may take that does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The table, every key of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct RawAuth {
    token: Option<Token>,
    env: Option<String>,
    file: Option<String>,
    command: Option<Vec<String>>,
    header: Option<String>,
    timeout: Option<Span>,
    refresh_interval: Option<Span>,
}

/// The key below `auth` that has a mistake, or nothing for `auth` itself, and
/// what it is.
pub type Wrong = (&'static str, String);

impl RawAuth {
    /// What is meant. Variables stand in it as written, see
    /// [`Auth::replaced`].
    ///
    /// # Errors
    /// No source or more than one, and values that are none.
    pub fn read(self) -> Result<Auth, Wrong> {
        let wrong = |key, what: &str| Err((key, what.to_owned()));
        let sources = [
            ("token", self.token.is_some()),
            ("env", self.env.is_some()),
            ("file", self.file.is_some()),
            ("command", self.command.is_some()),
        ];
        let mut given = sources.iter().filter(|(_, is_given)| *is_given);
        let first = given.next().map(|(key, _)| *key);
        if let (Some(first), Some((second, _))) = (first, given.next()) {
            return Err((second, format!("there is `{first}` already")));
        }
        if let Some(header) = &self.header
            && !is_header_name(header)
        {
            return wrong("header", "that is no header's name");
        }
        let times = [
            ("timeout", self.timeout),
            ("refresh_interval", self.refresh_interval),
        ];
        for (key, span) in times {
            match span {
                Some(_) if first != Some("command") => {
                    return wrong(key, "it is for a `command` alone");
                }
                Some(Span(Duration::ZERO)) => {
                    return wrong(key, "a duration must be more than nothing");
                }
                _ => {}
            }
        }
        let source = match (self.token, self.env, self.file, self.command) {
            (Some(token), ..) => {
                if token.expose().trim().is_empty() {
                    return wrong("token", "it is empty");
                }
                if token.expose().contains(char::is_control) {
                    return wrong("token", "it has a control character");
                }
                // One with variables in it is looked at when these are known.
                if self.header.is_none() && !token.expose().contains("${") {
                    bearer::check(token.expose()).map_err(|why| ("token", why.to_owned()))?;
                }
                TokenSource::Literal(token)
            }
            (_, Some(name), ..) if is_variable(&name) => TokenSource::Env(name),
            (_, Some(_), ..) => return wrong("env", "that is no variable's name"),
            (_, _, Some(path), _) if path.is_empty() => return wrong("file", "it is empty"),
            (_, _, Some(path), _) => TokenSource::File(path.into()),
            (.., Some(argv)) => {
                if argv.first().is_none_or(|program| program.trim().is_empty()) {
                    return wrong("command", "it names no program");
                }
                TokenSource::Command(TokenCommand {
                    argv,
                    timeout: self.timeout.map_or(TIMEOUT, |span| span.0),
                    refresh_interval: self.refresh_interval.map(|span| span.0),
                })
            }
            (None, None, None, None) => {
                let what = "it names no source: one of `token`, `env`, `file` and `command`";
                return wrong("", what);
            }
        };
        Ok(Auth {
            header: self.header,
            source,
        })
    }
}

impl Auth {
    /// The header that a bare token goes into.
    #[must_use]
    pub fn header(&self) -> &str {
        self.header.as_deref().unwrap_or("Authorization")
    }

    /// The same with every text in it made anew from its key, `auth.file`, and
    /// what it is: its variables replaced.
    ///
    /// # Errors
    /// The first of `text`.
    pub fn replaced<E>(
        &self,
        mut text: impl FnMut(&str, &str) -> Result<String, E>,
    ) -> Result<Self, E> {
        let source = match &self.source {
            TokenSource::Literal(token) => {
                TokenSource::Literal(Token::new(text("auth.token", token.expose())?))
            }
            TokenSource::Env(name) => TokenSource::Env(name.clone()),
            TokenSource::File(path) => {
                let path = text("auth.file", &path.to_string_lossy())?;
                TokenSource::File(PathBuf::from(path))
            }
            TokenSource::Command(command) => {
                let words = command.argv.iter().enumerate();
                let argv = words.map(|(index, word)| text(&format!("auth.command[{index}]"), word));
                TokenSource::Command(TokenCommand {
                    argv: argv.collect::<Result<_, E>>()?,
                    ..command.clone()
                })
            }
        };
        Ok(Self {
            header: self.header.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Auth, String> {
        let raw: RawAuth = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        raw.read().map_err(|(key, what)| format!("{key}: {what}"))
    }

    #[test]
    fn each_source_is_read() {
        let plain = |source| Auth {
            header: None,
            source,
        };
        let command = |timeout, refresh_interval| {
            TokenSource::Command(TokenCommand {
                argv: vec!["gcloud".into(), "auth".into()],
                timeout: Duration::from_millis(timeout),
                refresh_interval,
            })
        };
        for (text, wanted) in [
            (
                "token = '${T}'",
                plain(TokenSource::Literal(Token::new("${T}"))),
            ),
            ("env = 'T'", plain(TokenSource::Env("T".into()))),
            ("file = '/t'", plain(TokenSource::File("/t".into()))),
            ("command = ['gcloud', 'auth']", plain(command(10_000, None))),
            (
                "command = ['gcloud', 'auth']\ntimeout = '500ms'\nrefresh_interval = '1h30m'",
                plain(command(500, Some(Duration::from_secs(5400)))),
            ),
            (
                "env = 'T'\nheader = 'X-Auth'",
                Auth {
                    header: Some("X-Auth".into()),
                    source: TokenSource::Env("T".into()),
                },
            ),
        ] {
            assert_eq!(read(text), Ok(wanted), "{text}");
        }
        assert_eq!(read("env = 'T'").expect("read").header(), "Authorization");
    }

    #[test]
    fn what_is_wrong_is_told_without_a_value() {
        for (text, says) in [
            (
                "",
                ": it names no source: one of `token`, `env`, `file` and `command`",
            ),
            ("header = 'X'", ": it names no source"),
            (
                "token = 's3cret'\nenv = 'T'",
                "env: there is `token` already",
            ),
            (
                "file = '/t'\ncommand = ['x']",
                "command: there is `file` already",
            ),
            ("token = ''", "token: it is empty"),
            ("token = \"s3\\ncret\"", "token: it has a control character"),
            ("env = 's3=cret'", "env: that is no variable's name"),
            ("file = ''", "file: it is empty"),
            ("command = []", "command: it names no program"),
            ("command = ['', 'a']", "command: it names no program"),
            (
                "env = 'T'\nheader = 'a b'",
                "header: that is no header's name",
            ),
            (
                "env = 'T'\ntimeout = '1s'",
                "timeout: it is for a `command` alone",
            ),
            (
                "file = '/t'\nrefresh_interval = '1s'",
                "refresh_interval: it is for a `command` alone",
            ),
            (
                "command = ['x']\ntimeout = '0s'",
                "timeout: a duration must be more than nothing",
            ),
            (
                "command = ['x']\ntimeout = '10'",
                "no duration like `30s` or `1h30m`",
            ),
            ("tokn = 'x'", "unknown field `tokn`"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.starts_with(says), "{said}");
            assert!(!said.contains("s3"), "{said}");
        }
    }

    #[test]
    fn variables_are_replaced_wherever_they_may_stand() {
        for (text, wanted) in [
            (
                "token = 'a'\nheader = 'X'",
                "token = '<auth.token a>'\nheader = 'X'",
            ),
            ("env = 'a'", "env = 'a'"),
            ("file = 'a'", "file = '<auth.file a>'"),
            (
                "command = ['a', 'b']",
                "command = ['<auth.command[0] a>', '<auth.command[1] b>']",
            ),
        ] {
            let replaced = read(text)
                .expect(text)
                .replaced(|key, value| Ok::<_, ()>(format!("<{key} {value}>")));
            assert_eq!(replaced, Ok(read(wanted).expect(wanted)), "{text}");
        }
    }
}

//! What the agent is told in place of an answer: what went wrong, whether
//! anything was done, and the way out. Pure.

use std::io;
use std::sync::Arc;

use crate::credential::Ungranted;
use crate::types::agent::Transport;
use crate::types::identity::ServerName;
use crate::types::upstream::{Endpoint, Scheme};

use super::exchange::Lost;
use super::target::Door;
use super::tls::is_distrust;

/// What one try came to, if the agent has no answer yet.
#[derive(Debug)]
pub(super) enum Failed {
    /// The session has no such server.
    Absent,
    /// The server speaks this transport, and the agent the other.
    WrongDoor(Transport),
    NotGet,
    NotPost,
    /// There is a session, and nothing to listen to in it.
    NoStream,
    /// The stream that messages are posted for has ended.
    Closed,
    /// The configured header of this name cannot be sent.
    Unsound(String),
    /// The upstream knows our token no more; it has done nothing.
    Stale,
    /// It refuses the configured headers, with this status.
    Refused(u16),
    /// There is no credential of the kind that lives.
    Ungranted(Ungranted),
    /// It refuses the one that we had; `why` there is no other.
    Denied {
        status: u16,
        kind: &'static str,
        why: Option<Arc<str>>,
    },
    /// There is nothing at its path, or no MCP session of that id.
    Missing {
        has_session: bool,
    },
    /// It knows the agent's MCP session no more, and this is what came of
    /// opening it anew.
    Forgotten(Arc<Self>),
    /// It sends us to another URL, if that can be told.
    Moved(Option<Endpoint>),
    /// It sends us to another path of its own.
    Redirected(Endpoint),
    /// There is no connection to be had.
    Away(io::Error),
    /// Its stream of events does not begin as it must.
    BadStream(&'static str),
    /// It answers a request of ours with a JSON-RPC error.
    Error {
        code: Option<i64>,
        message: String,
    },
    /// It says something that is no answer to a request of ours.
    Odd(String),
    /// The connection had ended before the request could be sent.
    Unsent(Lost),
    /// There is no answer, and the request may have arrived.
    Lost(Lost),
}

impl Failed {
    /// The status for what is no JSON-RPC request: 405 where the agent is to
    /// go on without a stream.
    pub(super) fn status(&self, door: Door<'_>) -> u16 {
        match self {
            Self::NotGet | Self::NotPost | Self::WrongDoor(Transport::Sse) => 405,
            Self::WrongDoor(Transport::Http) => 404,
            Self::Closed => 410,
            Self::Away(_)
            | Self::BadStream(_)
            | Self::Odd(_)
            | Self::Error { .. }
            | Self::Unsent(_)
            | Self::Lost(_) => 502,
            Self::Absent if door != Door::Mcp => 404,
            _ if door != Door::Mcp => 502,
            _ => 405,
        }
    }

    /// True if it is about the server, rather than about the request.
    pub(super) fn is_of_server(&self) -> bool {
        !matches!(
            self,
            Self::Absent
                | Self::WrongDoor(_)
                | Self::NotGet
                | Self::NotPost
                | Self::NoStream
                | Self::Closed
                | Self::Missing { has_session: true }
        )
    }

    /// The sentences; `at` is where the server is, if there is one.
    pub(super) fn words(&self, server: &ServerName, at: Option<&Endpoint>) -> String {
        let Excuse { what, done, cure } = self.excuse(server, at);
        match (done, cure) {
            (Done::Unsaid, _) => what,
            (Done::Unknown, _) => format!(
                "{what}. The call may or may not have been executed: look before you make it again"
            ),
            (Done::Nothing, Cure::None) => format!("{what}. Nothing was done"),
            (Done::Nothing, Cure::Agent(cure)) => format!("{what}. Nothing was done; {cure}"),
            (Done::Nothing, Cure::User(cure)) => {
                format!("{what}. Nothing was done; the user has to {cure}")
            }
        }
    }

    /// What is wrong with the server, for the user: no call was made.
    pub(super) fn trouble(&self, server: &ServerName, at: Option<&Endpoint>) -> String {
        let Excuse { what, cure, .. } = self.excuse(server, at);
        match cure {
            Cure::User(cure) => format!("{what}: {cure}"),
            Cure::Agent(_) | Cure::None => what,
        }
    }

    /// Failures of requests that took a way which is none.
    fn of_door(&self, server: &ServerName, who: &str) -> Excuse {
        let segment = server.segment();
        unsaid(match self {
            Self::WrongDoor(Transport::Http) => {
                format!("{who} speaks streamable HTTP: use /{segment}/mcp")
            }
            Self::WrongDoor(Transport::Sse) => {
                format!("{who} speaks the SSE transport: use /{segment}/sse")
            }
            Self::NotGet => format!("{who} speaks the SSE transport: open its stream by GET"),
            Self::NotPost => format!("{who} takes messages by POST"),
            Self::NoStream => format!("{who} has no stream of events to listen to"),
            Self::Closed => {
                let what = format!("the stream of {who} has ended");
                return nothing(what, Cure::Agent("connect to it again"));
            }
            _ => format!("this session has no MCP server `{server}`"),
        })
    }

    fn excuse(&self, server: &ServerName, at: Option<&Endpoint>) -> Excuse {
        let who = match at.filter(|at| at.scheme != Scheme::Hosted) {
            Some(at) => format!("the MCP server `{server}` at {at}"),
            None => format!("the MCP server `{server}`"),
        };
        let table = table(server);
        let another = another(server);
        let url = || format!("correct its `url` under `{table}`, or in `.mcp.json`");
        match self {
            Self::Absent
            | Self::WrongDoor(_)
            | Self::NotGet
            | Self::NotPost
            | Self::NoStream
            | Self::Closed => self.of_door(server, &who),
            Self::Unsound(name) => user(
                format!("{who} cannot be called: its header `{name}` cannot be sent"),
                format!("correct `headers` under `{table}`, or in `.mcp.json`"),
            ),
            Self::Stale => nothing(
                format!(
                    "{who} does not know this session any more, and registering again has not \
                     succeeded yet"
                ),
                Cure::Agent("try again in a few seconds"),
            ),
            Self::Refused(status) => user(
                format!("{who} refuses its credential with HTTP {status}"),
                format!("set another one: `headers` under `{table}`, or in `.mcp.json`"),
            ),
            Self::Ungranted(Ungranted { kind, why }) => user(
                format!("{who} cannot be called: its credential ({kind}) cannot be had: {why}"),
                format!("mend that, or to set another: {another}"),
            ),
            Self::Denied { status, kind, why } => {
                let why = why
                    .as_ref()
                    .map_or_else(String::new, |why| format!(", and there is no other: {why}"));
                user(
                    format!("{who} refuses its credential ({kind}) with HTTP {status}{why}"),
                    format!("set another: {another}, or `auth` under `{table}`"),
                )
            }
            Self::Missing { has_session: true } => nothing(
                format!("{who} has forgotten this MCP session"),
                Cure::Agent("connect to it again"),
            ),
            Self::Forgotten(why) => {
                let why = match &**why {
                    Self::Lost(why) => why.to_string(),
                    Self::Odd(why) => why.clone(),
                    Self::Error { message, .. } => format!("it answers with an error: {message}"),
                    Self::Missing { .. } => "it is not there (HTTP 404)".into(),
                    why => return why.excuse(server, at),
                };
                nothing(
                    format!(
                        "{who} has forgotten this MCP session, and it cannot be opened anew: {why}"
                    ),
                    Cure::Agent("connect to it again"),
                )
            }
            Self::Missing { has_session: false } => {
                user(format!("{who} is not there (HTTP 404)"), url())
            }
            Self::Moved(to) => {
                let to = to
                    .as_ref()
                    .map_or_else(String::new, |to| format!(" to {to}"));
                user(format!("{who} has moved{to}"), url())
            }
            Self::Redirected(to) => user(
                format!("{who} redirects from path to path, to {to} at last"),
                url(),
            ),
            Self::Away(why) if is_distrust(why) => {
                nothing(format!("{who} is not spoken to: {why}"), Cure::None)
            }
            Self::Away(why) => nothing(
                format!("{who} cannot be reached: {why}"),
                Cure::Agent("try again later"),
            ),
            Self::BadStream(why) => nothing(format!("{who} cannot be used: {why}"), Cure::None),
            Self::Odd(why) => unsaid(format!("{who} cannot be used: {why}")),
            Self::Error { message, .. } => unsaid(format!(
                "{who} cannot be used: it answers with an error: {message}"
            )),
            Self::Unsent(why) => nothing(
                format!("{who} takes no requests: {why}"),
                Cure::Agent("try again later"),
            ),
            Self::Lost(why) => Excuse {
                what: format!("{who} gave no answer: {why}"),
                done: Done::Unknown,
                cure: Cure::None,
            },
        }
    }
}

/// What is wrong, and nothing besides.
fn unsaid(what: String) -> Excuse {
    Excuse {
        what,
        done: Done::Unsaid,
        cure: Cure::None,
    }
}

fn nothing(what: String, cure: Cure) -> Excuse {
    Excuse {
        what,
        done: Done::Nothing,
        cure,
    }
}

fn user(what: String, cure: String) -> Excuse {
    nothing(what, Cure::User(cure))
}

/// A failure in words: what is wrong, whether anything was done, the way out.
struct Excuse {
    what: String,
    done: Done,
    cure: Cure,
}

#[derive(Debug, Clone, Copy)]
enum Done {
    Nothing,
    /// Nobody can say.
    Unknown,
    /// It makes no difference.
    Unsaid,
}

enum Cure {
    None,
    /// For the agent itself.
    Agent(&'static str),
    /// For its user: behind "to".
    User(String),
}

/// How another credential is set.
fn another(server: &ServerName) -> String {
    let word = shell_words::quote(server.as_str());
    format!("`wrapper mcp token SESSION {word}`")
}

/// The table of the configuration that a server stands in.
fn table(server: &ServerName) -> String {
    if server.is_slug() {
        format!("[mcp_servers.{server}]")
    } else {
        format!("[mcp_servers.{:?}]", server.as_str())
    }
}

#[cfg(test)]
mod tests;

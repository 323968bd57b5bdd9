//! What the agent is told in place of an answer: what went wrong, whether
//! anything was done, and the way out. Pure.

use std::io;
use std::sync::Arc;

use crate::credential::Ungranted;
use crate::types::agent::Transport;
use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

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
    /// There is no connection to be had.
    Away(io::Error),
    /// Its stream of events does not begin as it must.
    BadStream(&'static str),
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
            Self::Away(_) | Self::BadStream(_) | Self::Odd(_) | Self::Unsent(_) | Self::Lost(_) => {
                502
            }
            Self::Absent if door != Door::Mcp => 404,
            _ if door != Door::Mcp => 502,
            _ => 405,
        }
    }

    /// The sentences; `at` is where the server is, if there is one.
    pub(super) fn words(&self, server: &ServerName, at: Option<&Endpoint>) -> String {
        let who = match at {
            Some(at) => format!("the MCP server `{server}` at {at}"),
            None => format!("the MCP server `{server}`"),
        };
        let table = table(server);
        let another = another(server);
        match self {
            Self::Absent => format!("this session has no MCP server `{server}`"),
            Self::WrongDoor(Transport::Http) => {
                let segment = server.segment();
                format!("{who} speaks streamable HTTP: use /{segment}/mcp")
            }
            Self::WrongDoor(Transport::Sse) => {
                let segment = server.segment();
                format!("{who} speaks the SSE transport: use /{segment}/sse")
            }
            Self::NotGet => format!("{who} speaks the SSE transport: open its stream by GET"),
            Self::NotPost => format!("{who} takes messages by POST"),
            Self::Closed => {
                format!("the stream of {who} has ended. Nothing was done; connect to it again")
            }
            Self::Unsound(name) => format!(
                "{who} cannot be called: its header `{name}` cannot be sent. Nothing was done; \
                 the user has to correct `headers` under `{table}`, or in `.mcp.json`"
            ),
            Self::Stale => format!(
                "{who} does not know this session any more, and registering again has not \
                 succeeded yet. Nothing was done; try again in a few seconds"
            ),
            Self::Refused(status) => format!(
                "{who} refuses its credential with HTTP {status}. Nothing was done; the user has \
                 to set another one: `headers` under `{table}`, or in `.mcp.json`"
            ),
            Self::Ungranted(Ungranted { kind, why }) => format!(
                "{who} cannot be called: its credential ({kind}) cannot be had: {why}. Nothing was \
                 done; the user has to mend that, or to set another: {another}"
            ),
            Self::Denied { status, kind, why } => {
                let why = why
                    .as_ref()
                    .map_or_else(String::new, |why| format!(", and there is no other: {why}"));
                format!(
                    "{who} refuses its credential ({kind}) with HTTP {status}{why}. Nothing was \
                     done; the user has to set another: {another}, or `auth` under `{table}`"
                )
            }
            Self::Missing { has_session: true } => format!(
                "{who} has forgotten this MCP session. Nothing was done; connect to it again"
            ),
            Self::Forgotten(why) => {
                let why = match &**why {
                    Self::Lost(why) => why.to_string(),
                    Self::Odd(why) => why.clone(),
                    Self::Missing { .. } => "it is not there (HTTP 404)".into(),
                    why => return why.words(server, at),
                };
                format!(
                    "{who} has forgotten this MCP session, and it cannot be opened anew: {why}. \
                     Nothing was done; connect to it again"
                )
            }
            Self::Missing { has_session: false } => format!(
                "{who} is not there (HTTP 404). Nothing was done; the user has to correct its \
                 `url` under `{table}`, or in `.mcp.json`"
            ),
            Self::Moved(to) => {
                let to = to
                    .as_ref()
                    .map_or_else(String::new, |to| format!(" to {to}"));
                format!(
                    "{who} has moved{to}. Nothing was done; the user has to correct its `url` \
                     under `{table}`, or in `.mcp.json`"
                )
            }
            Self::Away(why) if is_distrust(why) => {
                format!("{who} is not spoken to: {why}. Nothing was done")
            }
            Self::Away(why) => {
                format!("{who} cannot be reached: {why}. Nothing was done; try again later")
            }
            Self::BadStream(why) => format!("{who} cannot be used: {why}. Nothing was done"),
            Self::Odd(why) => format!("{who} cannot be used: {why}"),
            Self::Unsent(why) => {
                format!("{who} takes no requests: {why}. Nothing was done; try again later")
            }
            Self::Lost(why) => format!(
                "{who} gave no answer: {why}. The call may or may not have been executed: look \
                 before you make it again"
            ),
        }
    }
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
mod tests {
    use super::*;

    #[test]
    fn the_way_out_is_said() {
        let name = |name: &str| -> ServerName { name.parse().expect("a name") };
        let at: Endpoint = "https://h/mcp?key=secret".parse().expect("a URL");
        let moved = "https://h/mcp/?key=secret".parse().ok();
        for (failed, server, status, said) in [
            (
                Failed::Refused(401),
                "docs",
                405,
                "`headers` under `[mcp_servers.docs]`",
            ),
            (
                Failed::Refused(403),
                "my docs",
                405,
                "under `[mcp_servers.\"my docs\"]`",
            ),
            (
                Failed::Ungranted(Ungranted {
                    kind: "command",
                    why: "`gcloud` failed with exit status: 1".into(),
                }),
                "docs",
                405,
                "its credential (command) cannot be had: `gcloud` failed with exit status: 1. \
                 Nothing was done; the user has to mend that, or to set another: \
                 `wrapper mcp token SESSION docs`",
            ),
            (
                Failed::Denied {
                    status: 401,
                    kind: "env",
                    why: Some("it is old".into()),
                },
                "my docs",
                405,
                "refuses its credential (env) with HTTP 401, and there is no other: it is old. \
                 Nothing was done; the user has to set another: \
                 `wrapper mcp token SESSION 'my docs'`, or `auth` under `[mcp_servers.\"my docs\"]`",
            ),
            (
                Failed::Denied {
                    status: 403,
                    kind: "static",
                    why: None,
                },
                "docs",
                405,
                "refuses its credential (static) with HTTP 403. Nothing was done",
            ),
            (
                Failed::Missing { has_session: true },
                "docs",
                405,
                "connect to it again",
            ),
            (
                Failed::Missing { has_session: false },
                "docs",
                405,
                "correct its `url`",
            ),
            (
                Failed::Moved(moved),
                "docs",
                405,
                "has moved to https://h/mcp/?****.",
            ),
            (Failed::Moved(None), "docs", 405, "has moved."),
            (
                Failed::WrongDoor(Transport::Sse),
                "my docs",
                405,
                "use /my%20docs/sse",
            ),
            (
                Failed::WrongDoor(Transport::Http),
                "docs",
                404,
                "use /docs/mcp",
            ),
            (
                Failed::Unsound("X Y".into()),
                "docs",
                405,
                "its header `X Y`",
            ),
            (Failed::Closed, "docs", 410, "connect to it again"),
            (Failed::Lost(Lost::Closed), "docs", 502, "may or may not"),
        ] {
            let words = failed.words(&name(server), Some(&at));
            assert!(words.contains(said), "{words}");
            assert!(
                words.contains(server) && words.contains("https://h/mcp?****"),
                "{words}"
            );
            assert!(!words.contains("secret"), "{words}");
            assert_eq!(failed.status(Door::Mcp), status, "{words}");
        }
    }
}

//! What is said on the control socket. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::shown;
use crate::session::{State, Word};
use crate::types::evidence::Step;
use crate::types::exit::AgentExit;
use crate::types::hub::{HubState, Until};
use crate::types::identity::{AgentName, ServerName, SessionId, Token};
use crate::types::prompt::Wait;

/// `GET /v1/session`, and an element of `wrapper ps --json`: who is there.
/// Nothing in it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    /// The instance's name at this moment.
    pub name: String,
    pub agent: AgentName,
    /// The session's title.
    pub label: String,
    pub state: State,
    /// The session's own process.
    pub pid: u32,
    pub agent_pid: Option<u32>,
    /// Where the agent runs.
    pub cwd: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// How often the agent was started again.
    pub restarts: u32,
    /// A terminal shows it.
    pub attached: bool,
    pub hub: Hub,
    pub mcp: Vec<Brief>,
    /// The path of the log.
    pub log: String,
    /// The prompts that have not ended.
    #[serde(default, skip_serializing_if = "Prompts::is_none")]
    pub prompts: Prompts,
    /// The path of the control socket.
    #[serde(default)]
    pub socket: String,
    /// `FILE#NAME` of the team file and its member that `wrapper up` started it
    /// for, whatever it is called by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

impl Session {
    /// Its name in the file of its team.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.team.as_ref()?.rsplit_once('#').map(|(_, name)| name)
    }
}

/// The prompts of a session that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompts {
    pub waiting: usize,
    /// What the first of them waits for.
    pub reason: Option<String>,
    /// Since it was asked for.
    pub waited_ms: Option<u64>,
}

impl Prompts {
    fn is_none(&self) -> bool {
        self.waiting == 0
    }
}

/// How a session stands with its hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hub {
    /// None: it does without.
    pub url: Option<String>,
    pub state: HubState,
}

/// A server of a session, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    pub name: ServerName,
    pub route: shown::Route,
    pub state: shown::State,
    /// Why, unless it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub evidence: Step,
}

/// `PUT /v1/mcp/{server}/token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub token: Token,
}

/// `POST /v1/restart`, answered once the agent runs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    pub name: String,
    pub agent_pid: Option<u32>,
    pub restarts: u32,
}

/// `POST /v1/stop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// From the hang-up to the kill; 10 s unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
}

/// The answer, once the agent has ended for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub id: SessionId,
    pub name: String,
    /// None: it did not run at the time.
    pub exit: Option<AgentExit>,
}

/// `POST /v1/prompts`, answered with a [`Receipt`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    pub text: String,
    #[serde(default)]
    pub wait: Wait,
    /// What is not typed by then is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The answer comes at once. Else it comes when the prompt has ended, and
    /// whoever hangs up before takes the prompt back.
    #[serde(default)]
    pub no_wait: bool,
}

/// What became of a prompt; also `GET /v1/prompts/{id}`, while it is one of the
/// last 256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Unique in the session.
    pub id: String,
    pub session: SessionId,
    pub outcome: Word,
    /// Why it waits, was refused, or is not known of.
    pub reason: Option<String>,
    /// From the asking to the last paste.
    pub queued_ms: u64,
    /// From the paste to Enter.
    pub typed_ms: Option<u64>,
    /// From Enter to the agent's reaction.
    pub submitted_ms: Option<u64>,
    /// Line ends and tabs became blanks: the agent is not known to take them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
}

/// `GET /v1/screen`: what the agent shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    pub state: State,
    /// From the top, trailing blanks removed; none while no agent runs.
    pub rows: Vec<String>,
    pub cursor: Cursor,
    /// The rows, down to the last that is not blank.
    pub text: String,
}

/// A place on a screen, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pub row: u16,
    pub column: u16,
}

/// `POST /v1/hub/check`: have a heartbeat made, and wait. For the sessions of
/// one family, and for nobody else: no part of the public contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    pub until: Until,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The instance's name by now.
    pub name: String,
    /// The hub knows it by that.
    pub known: bool,
}

/// `POST /v1/bridge/{server}`: how to reach a server of the session. For
/// `wrapper bridge`, of the same version as the session, and for nobody else:
/// no part of the public contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Reach {
    /// By the session's proxy.
    Remote { url: String, key: Token },
    /// By running its command.
    Local(Local),
}

/// A server that is a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// On `PATH`, or a path.
    pub command: String,
    pub args: Vec<String>,
    /// Set besides what the agent's own environment has: the server's
    /// variables, and the session's, which count where both have one.
    pub env: BTreeMap<String, Token>,
    /// None: where the agent starts it.
    pub cwd: Option<String>,
    /// The command may hold a credential: it is not shown.
    pub private: bool,
}

/// `POST /v1/bridge/{server}/failed`: the command did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub reason: String,
}

/// The body of every answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_to_a_server_keeps_its_spelling() {
        let local = Local {
            command: "node".into(),
            args: vec!["a b".into()],
            env: [("A".to_owned(), Token::new("1"))].into(),
            cwd: None,
            private: false,
        };
        for (reach, text) in [
            (
                Reach::Remote {
                    url: "http://127.0.0.1:9/x/mcp".into(),
                    key: Token::new("k"),
                },
                r#"{"type":"remote","url":"http://127.0.0.1:9/x/mcp","key":"k"}"#,
            ),
            (
                Reach::Local(local),
                r#"{"type":"local","command":"node","args":["a b"],"env":{"A":"1"},"cwd":null,"private":false}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&reach).expect("json"), text);
            assert_eq!(serde_json::from_str::<Reach>(text).expect("read"), reach);
            assert!(!format!("{reach:?}").contains("\"k\""), "a key shows");
        }
    }
}

//! What is shown of a session's servers: no secret is in it. Pure.

use serde::{Deserialize, Serialize};

use crate::types::evidence::Step;
use crate::types::identity::ServerName;

/// One server, as `GET /v1/mcp` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub name: ServerName,
    pub r#type: Type,
    /// Of a remote server, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of a local one: the program, and its arguments if none of them can hold
    /// a credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Of a command that we run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<Hosted>,
    pub source: Source,
    /// By what way the agent reaches it.
    pub route: Route,
    pub credential: Option<Credential>,
    pub state: State,
    /// What came of the last change, as far as it is known by now.
    pub outcome: Option<Outcome>,
    /// Why the state is what it is, else why the outcome is.
    pub reason: Option<String>,
    pub evidence: Step,
    /// When the furthest step was first seen; RFC 3339, UTC.
    pub evidence_at: String,
    pub initialized: u64,
    pub listed: u64,
    pub called: u64,
}

/// How a command of ours stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    /// Its processes, one for each of its MCP sessions.
    pub pids: Vec<u32>,
    /// Why it did not start, or how it ended, the last time.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    Remote,
    Local,
}

/// Who wants the agent to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    Hub,
    Project,
    Config,
    Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Route {
    /// The session's proxy.
    Proxy,
    /// The proxy, among the hub's tools: `server__tool`.
    Guest,
    /// The agent runs it, or speaks to it, itself.
    Agent,
    /// There is none before the next restart.
    None,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// `identity`, `headers`, `static`, `env`, `file` or `command`.
    pub kind: String,
    /// RFC 3339, UTC.
    pub expires_at: Option<String>,
    /// Why the last run or reading gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has answered the agent, or us when it was set.
    Ready,
    /// The agent was told of it, and has not connected to it yet.
    Waiting,
    /// The agent connects to it by itself: nothing of it is seen.
    Unseen,
    /// The agent has not connected to it, and had the time.
    Unconnected,
    /// It did not answer the last request, or it cannot start.
    Failed,
    /// The agent is told of no servers.
    Untold,
    /// The next restart changes it.
    PendingRestart,
    /// The agent is not told of it: `reason` says why.
    LeftOut,
}

impl Listed {
    /// A server of the project that the agent is not told of.
    #[must_use]
    pub fn left_out(name: ServerName, r#type: Type, why: String) -> Self {
        Self {
            name,
            r#type,
            url: None,
            command: None,
            hosted: None,
            source: Source::Project,
            route: Route::None,
            credential: None,
            state: State::LeftOut,
            outcome: None,
            reason: Some(why),
            evidence: Step::Configured,
            evidence_at: String::new(),
            initialized: 0,
            listed: 0,
            called: 0,
        }
    }
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Seen to hold.
    Applied,
    PendingRestart,
    /// All is as it was.
    Failed,
}

/// The answer to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub name: ServerName,
    pub outcome: Outcome,
    pub reason: Option<String>,
    /// Keys of the entry that nobody here has heard of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
}

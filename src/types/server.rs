//! One MCP server as an agent is told of it.

use super::identity::{ServerName, Token};
use super::upstream::Endpoint;

/// A server entry before it is written in an agent's dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub name: ServerName,
    pub url: Endpoint,
    pub key: Key,
}

/// What opens the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// This bearer token, which the agent looks up in [`KEY_VAR`] by itself:
    /// the key of the session's proxy.
    Env(Token),
    /// This bearer token, written out: only into files of ours.
    Literal(Token),
}

/// The variable that holds the key of the session's proxy.
pub const KEY_VAR: &str = "WRAPPER_MCP_KEY";

/// The variable that holds the proxy's base URL, `http://127.0.0.1:PORT`, for
/// entries that stay the same whatever session reads them.
pub const URL_VAR: &str = "WRAPPER_MCP_URL";

/// The hub's tools, as agentchattr names them: what `approve_tools` approves,
/// and nothing else.
pub const HUB_TOOLS: [&str; 12] = [
    "chat_send",
    "chat_read",
    "chat_resync",
    "chat_join",
    "chat_who",
    "chat_rules",
    "chat_decision",
    "chat_channels",
    "chat_set_hat",
    "chat_claim",
    "chat_summary",
    "chat_propose_job",
];

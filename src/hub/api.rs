//! What goes over the wire between a hub and its callers, for both ends.
//!
//! Shapes are agentchattr's; fields that it lacks have defaults, fields that
//! we do not know are ignored.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::types::identity::{AgentName, InstanceName, Token};
use crate::types::trigger::ChannelName;

/// The sender of the human's messages.
pub const HUMAN: &str = "user";

/// The sender of the hub's own messages.
pub const SYSTEM: &str = "system";

/// What a tool answers to a token that the hub does not know, word for word
/// as agentchattr does: proxies look for it.
pub const STALE: &str =
    "Error: stale or unknown authenticated agent session. Re-register and retry.";

/// One message of the chat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Rises for ever, from 1 (agentchattr: from 0).
    pub id: u64,
    #[serde(default)]
    pub uid: String,
    pub sender: String,
    pub text: String,
    /// `chat`, `join`, `system`, `decision`, or another of agentchattr's.
    #[serde(rename = "type")]
    pub kind: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub timestamp: f64,
    /// `HH:MM:SS`, in the hub's time zone.
    #[serde(default)]
    pub time: String,
    #[serde(default)]
    pub attachments: Vec<Value>,
    /// Not a [`ChannelName`]: agentchattr lets any text pass.
    #[serde(default)]
    pub channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// Body of `POST /api/register`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Register {
    pub base: String,
    #[serde(default)]
    pub label: Option<String>,
    /// Ours alone: its mentions come by a stream. Others read queue files.
    #[serde(default)]
    pub stream: bool,
    /// Ours alone: what the first of the family is called where no label is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Ours alone, and heard from the human alone: the `identity_id`s of
    /// instances whose sessions are dead, the best first. The first that is
    /// still registered is had back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub succeeds: Vec<String>,
    /// As [`Send::agents`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentName>,
}

/// What `POST /api/rotate` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rotated {
    /// The instances that have another token now.
    pub names: Vec<InstanceName>,
}

/// An instance as `POST /api/register` answers it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    #[serde(default)]
    pub identity_id: String,
    pub name: InstanceName,
    #[serde(default)]
    pub base: String,
    #[serde(default)]
    pub slot: u32,
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub color: String,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub epoch: u64,
    #[serde(default)]
    pub registered_at: f64,
    pub token: Token,
    /// Ours alone: where this hub's MCP endpoint is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_port: Option<u16>,
    /// Ours alone: which of [`Register::succeeds`] it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<String>,
    /// Ours alone: where its MCP endpoint over SSE is, if it has the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse_port: Option<u16>,
}

/// Body of `POST /api/heartbeat/{name}`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Beat {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
}

/// What a heartbeat answers: the name that counts from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Beaten<Name = InstanceName> {
    pub ok: bool,
    pub name: Name,
    #[serde(default)]
    pub pending: bool,
}

/// Body of `POST /api/send`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Send {
    #[serde(default)]
    pub text: String,
    #[serde(default = "ChannelName::general")]
    pub channel: ChannelName,
    /// Ours alone, and heard from the human alone: the agents that are
    /// configured. A mention of one waits until it registers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentName>,
}

/// What `POST /api/send` answers: the message and, ours alone, what becomes of
/// its mentions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    #[serde(flatten)]
    pub message: Message,
    /// They are told.
    #[serde(default)]
    pub reached: Vec<InstanceName>,
    /// They will be, when they are there.
    #[serde(default)]
    pub waiting: Vec<InstanceName>,
    /// They are not: too much waits for them already.
    #[serde(default)]
    pub refused: Vec<InstanceName>,
    /// Words that nobody is called by.
    #[serde(default)]
    pub unknown: Vec<String>,
}

/// Body of `POST /api/triggers/ack`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ack {
    pub upto: u64,
}

/// Body of `POST /api/roles/{name}`; empty clears.
#[derive(Debug, Serialize, Deserialize)]
pub struct Role {
    pub role: String,
}

/// What `GET /api/rules/active` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Rises whenever the active rules change.
    pub epoch: u64,
    pub rules: Vec<String>,
    /// Triggers between two reminders; 0: none.
    #[serde(default)]
    pub refresh_interval: u32,
}

/// Body of `POST /api/rules/agent_sync/{name}`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Synced {
    pub epoch: u64,
}

/// One instance in the answer of `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Online.
    pub available: bool,
    pub busy: bool,
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub color: String,
    #[serde(default)]
    pub role: String,
    /// Ours alone.
    #[serde(default)]
    pub base: Option<AgentName>,
}

/// What `GET /api/health` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// [`HUB_NAME`].
    pub name: String,
    pub version: String,
    /// Where the MCP endpoint of this hub is, on the same host.
    pub mcp_port: u16,
}

/// How a hub of ours calls itself.
pub const HUB_NAME: &str = "wrapper-hub";

/// The body of every answer that is an error.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    pub error: String,
}

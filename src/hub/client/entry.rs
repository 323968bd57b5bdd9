//! Enters a hub's books, and speaks for those that cannot leave them.

use hyper::Method;
use serde_json::Value;

use super::{Client, Error, secret};
use crate::hub::api::{Record, Register};
use crate::types::identity::{AgentName, Identity, Token};

/// An instance as the hub has just registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub identity: Identity,
    /// What the hub calls `identity_id`: no secret, and for the life of the
    /// registration.
    pub uid: String,
    /// The `uid` that this instance had before, if it is a dead session's.
    pub succeeded: Option<String>,
    pub label: String,
    /// From 1.
    pub slot: u32,
    /// Where its MCP endpoint is, if the hub says so: ours does.
    pub mcp_port: Option<u16>,
    /// The same over SSE.
    pub sse_port: Option<u16>,
}

/// What is asked of a hub in a registration.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub base: &'a AgentName,
    /// The label of this instance alone.
    pub label: Option<&'a str>,
    /// The label of the agent: later instances have it with their number.
    pub family: Option<&'a str>,
    /// Gets an earlier instance back, under its name.
    pub previous: Option<&'a Token>,
    /// The human's token, where we have it.
    pub human: Option<&'a Token>,
    /// The `uid`s of dead sessions' instances, the best first: the first that
    /// a hub of ours knows is had back. Takes the human's token.
    pub succeeds: &'a [String],
    /// The agents that are configured. Takes the human's token.
    pub agents: &'a [AgentName],
}

impl Client {
    /// Registers an instance of `base`. `previous` gets an earlier instance
    /// back, under its name; `human` is the human's token, where we have it.
    pub async fn register(
        &self,
        base: &AgentName,
        label: Option<&str>,
        previous: Option<&Token>,
        human: Option<&Token>,
    ) -> Result<Registered, Error> {
        self.enter(&Entry {
            base,
            label,
            family: None,
            previous,
            human,
            succeeds: &[],
            agents: &[],
        })
        .await
    }

    /// Registers an instance as `entry` says.
    pub async fn enter(&self, entry: &Entry<'_>) -> Result<Registered, Error> {
        let body = Register {
            base: entry.base.as_str().into(),
            label: entry.label.map(Into::into),
            stream: true,
            family: entry.family.map(Into::into),
            succeeds: entry.succeeds.to_vec(),
            agents: entry.agents.to_vec(),
        };
        let path = "/api/register";
        let mut request = self.request(Method::POST, path, entry.previous, Some(&body))?;
        if let Some(human) = entry.human {
            let value =
                secret(human.expose()).ok_or_else(|| Error::unusable("the human's token"))?;
            request.headers_mut().insert("x-session-token", value);
        }
        let record: Record = self.answer(request).await?;
        Ok(Registered {
            identity: Identity {
                name: record.name,
                token: record.token,
            },
            uid: record.identity_id,
            succeeded: record.succeeded,
            label: record.label,
            slot: record.slot,
            mcp_port: record.mcp_port,
            sse_port: record.sse_port,
        })
    }

    /// Ends the registration of the instance `uid`, whose session cannot do it;
    /// takes the human's token, and a hub of ours.
    pub async fn deregister_dead(&self, human: &Token, uid: &str) -> Result<(), Error> {
        self.post::<Value>(&format!("/api/dead/{uid}/leave"), human, &Value::Null)
            .await?;
        Ok(())
    }

    /// Says that the session of the instance `uid` is dead: it is offline, and
    /// its name and mentions wait for the next launch. Takes the human's token,
    /// and a hub of ours.
    pub async fn report_dead(&self, human: &Token, uid: &str) -> Result<(), Error> {
        self.post::<Value>(&format!("/api/dead/{uid}"), human, &Value::Null)
            .await?;
        Ok(())
    }
}

//! Speaks to a hub, ours or agentchattr's.
//!
//! One connection per request: a heartbeat every five seconds needs no pool,
//! and a registration is on the way of every launch.

mod claim;
mod entry;
mod error;
mod stream;

use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{
    Ack, Beat, Beaten, HUB_NAME, Health, Message, Role, Rotated, Rules, Send, Sent, Status, Synced,
};
use super::exchange::{self, Address, Opened};
use crate::loopback::Stranger;
use crate::types::identity::{AgentName, Identity, InstanceName, Token};
use crate::types::owner::Owner;
use crate::types::text::one_line;
use crate::types::trigger::{ChannelName, Trigger};
use crate::types::upstream::Endpoint;

pub use claim::{Claim, Claims};
pub use entry::{Entry, Registered};
pub use error::Error;
pub use stream::Events;

/// Characters of what a hub says that reach our words.
const LONGEST_REASON: usize = 300;

/// A hub at an address. Cheap to make and to clone: nothing is open.
#[derive(Debug, Clone)]
pub struct Client {
    rest: Address,
}

/// What answers at the hub's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A hub of ours.
    Ours(Health),
    /// agentchattr's own server.
    Agentchattr,
}

impl Client {
    /// A client of the hub at `rest`; the path is ignored. On this machine it
    /// speaks to a process of our own user alone.
    #[must_use]
    pub fn new(rest: Endpoint) -> Self {
        let owner = Owner::Us;
        Self {
            rest: Address {
                endpoint: rest,
                owner,
            },
        }
    }

    /// The same, which may also be a process of `owner`.
    #[must_use]
    pub fn of(mut self, owner: Owner) -> Self {
        self.rest.owner = owner;
        self
    }

    /// A client of the same hub at another of its endpoints.
    pub(super) fn at(&self, endpoint: &Endpoint) -> Self {
        Self::new(endpoint.clone()).of(self.rest.owner.clone())
    }

    /// `http://host:port` of the hub.
    #[must_use]
    pub fn url(&self) -> String {
        self.rest.endpoint.base()
    }

    /// True for a hub of this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.rest.endpoint.is_loopback()
    }

    /// Asks what is there, without a token.
    pub async fn health(&self) -> Result<Kind, Error> {
        match self.get::<Health>("/api/health", None).await {
            Ok(health) if health.name == HUB_NAME => Ok(Kind::Ours(health)),
            // agentchattr asks for a token before it looks at the path.
            Err(Error::Unauthorized { text }) if text.starts_with("forbidden:") => {
                Ok(Kind::Agentchattr)
            }
            Err(error @ (Error::Unreachable { .. } | Error::Foreign { .. })) => Err(error),
            _ => Err(self.not_a_hub()),
        }
    }

    /// Renews the lease; returns the name that counts from now on.
    /// [`Error::BadName`]: the lease is renewed, but the name is none of ours:
    /// agentchattr lets an agent claim any text.
    pub async fn heartbeat(
        &self,
        who: &Identity,
        active: Option<bool>,
    ) -> Result<InstanceName, Error> {
        let path = format!("/api/heartbeat/{}", who.name);
        let beaten: Beaten<String> = self.post(&path, &who.token, &Beat { active }).await?;
        beaten.name.try_into().map_err(|_| Error::BadName)
    }

    /// Ends the registration for good.
    pub async fn deregister(&self, who: &Identity) -> Result<(), Error> {
        let path = format!("/api/deregister/{}", who.name);
        self.post::<Value>(&path, &who.token, &Value::Null).await?;
        Ok(())
    }

    /// What waits for this instance, then what comes, for as long as the hub
    /// is there. [`Error::Unsupported`]: the hub is none of ours.
    pub async fn triggers(&self, token: &Token) -> Result<Events<Trigger>, Error> {
        match self.events("/api/triggers", token).await {
            Err(Error::Unauthorized { .. } | Error::Refused { status: 404, .. }) => {
                Err(Error::Unsupported)
            }
            other => other,
        }
    }

    /// Says that all triggers up to this id have been delivered.
    pub async fn ack(&self, token: &Token, upto: u64) -> Result<(), Error> {
        self.post::<Value>("/api/triggers/ack", token, &Ack { upto })
            .await?;
        Ok(())
    }

    /// Messages after `since`; for 0 the last `limit`. Oldest first.
    pub async fn messages(
        &self,
        token: &Token,
        since: u64,
        limit: usize,
        channel: Option<&ChannelName>,
    ) -> Result<Vec<Message>, Error> {
        let mut path = format!("/api/messages?since_id={since}&limit={limit}");
        if let Some(channel) = channel {
            path = format!("{path}&channel={channel}");
        }
        self.get(&path, Some(token)).await
    }

    /// Posts a message as whoever the token belongs to.
    pub async fn send(
        &self,
        token: &Token,
        text: &str,
        channel: &ChannelName,
    ) -> Result<Message, Error> {
        let sent = self.say(token, text, channel, &[]).await?;
        Ok(sent.message)
    }

    /// Posts a message, as the human who has configured `agents`; what becomes
    /// of its mentions is said by a hub of ours alone.
    pub async fn say(
        &self,
        token: &Token,
        text: &str,
        channel: &ChannelName,
        agents: &[AgentName],
    ) -> Result<Sent, Error> {
        let body = Send {
            text: text.into(),
            channel: channel.clone(),
            agents: agents.to_vec(),
        };
        self.post("/api/send", token, &body).await
    }

    /// Messages after `since`, or from now on, as they come.
    pub async fn stream(
        &self,
        token: &Token,
        since: Option<u64>,
        channel: Option<&ChannelName>,
    ) -> Result<Events<Message>, Error> {
        let since = since.map(|id| format!("since_id={id}"));
        let channel = channel.map(|name| format!("channel={name}"));
        let query: Vec<String> = since.into_iter().chain(channel).collect();
        self.events(&format!("/api/stream?{}", query.join("&")), token)
            .await
    }

    /// Who is registered.
    pub async fn status(&self, token: &Token) -> Result<Vec<(InstanceName, Status)>, Error> {
        let all: serde_json::Map<String, Value> = self.get("/api/status", Some(token)).await?;
        all.into_iter()
            .filter(|(_, value)| value.is_object())
            .map(|(name, value)| Some((name.parse().ok()?, serde_json::from_value(value).ok()?)))
            .collect::<Option<_>>()
            .ok_or_else(|| self.not_a_hub())
    }

    /// Makes the token of an instance stale; takes the human's.
    pub async fn rotate(&self, human: &Token, name: &InstanceName) -> Result<(), Error> {
        self.post::<Value>(&format!("/api/rotate/{name}"), human, &Value::Null)
            .await?;
        Ok(())
    }

    /// Makes all tokens stale, the human's, which is this one, among them: the
    /// hub writes another. The names of the instances.
    pub async fn rotate_all(&self, human: &Token) -> Result<Vec<InstanceName>, Error> {
        let rotated: Rotated = self.post("/api/rotate", human, &Value::Null).await?;
        Ok(rotated.names)
    }

    /// The role of every instance that has one.
    pub async fn roles(&self, token: &Token) -> Result<BTreeMap<String, String>, Error> {
        self.get("/api/roles", Some(token)).await
    }

    /// Sets the role of an instance; empty clears.
    pub async fn set_role(
        &self,
        token: &Token,
        name: &InstanceName,
        role: &str,
    ) -> Result<(), Error> {
        let body = Role { role: role.into() };
        self.post::<Value>(&format!("/api/roles/{name}"), token, &body)
            .await?;
        Ok(())
    }

    /// The rules that agents are to be told.
    pub async fn rules_active(&self, token: &Token) -> Result<Rules, Error> {
        self.get("/api/rules/active", Some(token)).await
    }

    /// Says which rules this instance has been told.
    pub async fn agent_sync(&self, who: &Identity, epoch: u64) -> Result<(), Error> {
        let path = format!("/api/rules/agent_sync/{}", who.name);
        self.post::<Value>(&path, &who.token, &Synced { epoch })
            .await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
    ) -> Result<T, Error> {
        self.answer(self.request(Method::GET, path, token, None::<&()>)?)
            .await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &Token,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.answer(self.request(Method::POST, path, Some(token), Some(body))?)
            .await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<&impl Serialize>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.rest.endpoint.authority());
        if let Some(token) = token {
            let value = secret(&format!("Bearer {}", token.expose()))
                .ok_or_else(|| Error::unusable("the token"))?;
            request = request.header(AUTHORIZATION, value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|_| Error::unusable("the body"))?
            }
            None => Vec::new(),
        };
        request
            .body(Full::from(body))
            .map_err(|_| Error::unusable("the address"))
    }

    /// Sends a request and reads what it is answered.
    async fn answer<T: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Result<T, Error> {
        let answer = exchange::whole(&self.rest, request).await;
        let answer = answer.map_err(|error| self.broken(&error))?;
        if answer.status().is_success() {
            serde_json::from_slice(answer.body()).map_err(|_| self.not_a_hub())
        } else {
            Err(self.refused(&answer))
        }
    }

    /// Opens an answer that stays open.
    async fn events<T>(&self, path: &str, token: &Token) -> Result<Events<T>, Error> {
        let mut request = self.request(Method::GET, path, Some(token), None::<&()>)?;
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        match exchange::open(&self.rest, request).await {
            Ok(Opened::Stream(stream)) => Ok(Events {
                client: self.clone(),
                stream,
                of: PhantomData,
            }),
            Ok(Opened::Refused(answer)) => Err(self.refused(&answer)),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// What an answer that is an error means.
    fn refused(&self, answer: &Response<Bytes>) -> Error {
        // FastAPI's own answers (an unknown path) say `detail`.
        let said = serde_json::from_slice(answer.body()).ok();
        let said = said.and_then(|value: Value| {
            let text = value.get("error").or_else(|| value.get("detail"))?;
            let text = text
                .as_str()
                .map_or_else(|| text.to_string(), str::to_owned);
            Some(one_line(&text, LONGEST_REASON))
        });
        match (answer.status(), said) {
            (StatusCode::CONFLICT, Some(_)) => Error::Conflict,
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(text)) => {
                Error::Unauthorized { text }
            }
            (status, Some(text)) => Error::Refused {
                status: status.as_u16(),
                text,
            },
            // agentchattr says a failure of its own in plain text.
            (status, None) if status.is_server_error() => Error::Refused {
                status: status.as_u16(),
                text: "it failed".into(),
            },
            (_, None) => self.not_a_hub(),
        }
    }

    /// What it means that no answer came.
    fn broken(&self, error: &io::Error) -> Error {
        if let Some(stranger) = Stranger::in_error(error) {
            return Error::Foreign {
                url: self.url(),
                stranger: stranger.clone(),
            };
        }
        match error.kind() {
            io::ErrorKind::InvalidData => self.not_a_hub(),
            kind => Error::Unreachable {
                url: self.rest.endpoint.at("/").to_string(),
                why: kind,
            },
        }
    }

    fn not_a_hub(&self) -> Error {
        Error::NotAHub {
            url: self.rest.endpoint.at("/").to_string(),
        }
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

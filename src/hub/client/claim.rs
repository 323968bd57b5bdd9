//! Takes a name at a hub that gives names by one of its tools alone:
//! agentchattr's `chat_claim`, over MCP (streamable HTTP, revision 2025-06-18).

use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::{Client, Error, secret};
use crate::hub::api::STALE;
use crate::hub::events::Parser;
use crate::hub::exchange;
use crate::types::identity::{Identity, InstanceName, Token};
use crate::types::text::one_line;
use crate::types::upstream::Endpoint;

/// The header that names an MCP session.
const SESSION: &str = "mcp-session-id";

/// Characters of a refusal that reach our words.
const LONGEST_REASON: usize = 300;

/// An MCP session in which names are claimed.
#[derive(Debug)]
pub struct Claims {
    /// Of the MCP endpoint, not of the hub's REST.
    client: Client,
    session: Option<HeaderValue>,
    /// The id of the last request.
    last: u32,
}

/// What a claim came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Whoever the claim was for bears this name now.
    Confirmed(InstanceName),
    /// It stays as it was: somebody bears the name, or its slot.
    Refused(String),
}

impl Claims {
    /// Opens a session at the MCP endpoint `tools` of the hub that `hub`
    /// speaks to, for `token`.
    ///
    /// # Errors
    /// If nothing answers there, or nothing that speaks MCP.
    pub async fn open(hub: &Client, tools: &Endpoint, token: &Token) -> Result<Self, Error> {
        let mut claims = Self {
            client: hub.at(tools),
            session: None,
            last: 0,
        };
        let greeting = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "wrapper", "version": env!("CARGO_PKG_VERSION")},
        });
        claims.ask(token, "initialize", &greeting).await?;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        claims.post(token, &ready).await?;
        Ok(claims)
    }

    /// Claims `wish` for `who`; None asks for whom the hub would take us.
    ///
    /// An instance that bears the bare name of its base is taken for any of
    /// the family: ask before you wish.
    ///
    /// # Errors
    /// [`Error::Conflict`]: the token is stale.
    pub async fn claim(
        &mut self,
        who: &Identity,
        wish: Option<&InstanceName>,
    ) -> Result<Claim, Error> {
        let mut arguments = json!({"sender": who.name});
        if let Some(wish) = wish {
            arguments["name"] = json!(wish);
        }
        let call = json!({"name": "chat_claim", "arguments": arguments});
        let result = self.ask(&who.token, "tools/call", &call).await?;
        let text = result["content"][0]["text"].as_str();
        understood(text.ok_or_else(|| self.client.not_a_hub())?)
    }

    /// Ends the session; if that fails, the hub ends it some day.
    pub async fn close(self, token: &Token) {
        let ended = async {
            let mut request =
                self.client
                    .request(Method::DELETE, self.path(), Some(token), None::<&()>)?;
            if let Some(session) = self.session.clone() {
                request.headers_mut().insert(SESSION, session);
            }
            let ended = exchange::whole(&self.client.rest, request).await;
            ended.map_err(|error| self.client.broken(&error))
        };
        if let Err(error) = ended.await {
            tracing::debug!(%error, "an MCP session of ours was left open");
        }
    }

    /// Sends a request; its result.
    async fn ask(&mut self, token: &Token, method: &str, params: &Value) -> Result<Value, Error> {
        self.last += 1;
        let message = json!({
            "jsonrpc": "2.0", "id": self.last, "method": method, "params": params,
        });
        let answer = self.post(token, &message).await?;
        if let Some(session) = answer.headers().get(SESSION) {
            self.session = Some(session.clone());
        }
        let mut message = response(answer.body(), self.last);
        let result = message
            .as_mut()
            .and_then(|message| message.get_mut("result"));
        result
            .map(Value::take)
            .ok_or_else(|| self.client.not_a_hub())
    }

    async fn post(&self, token: &Token, message: &Value) -> Result<Response<Bytes>, Error> {
        let client = &self.client;
        let mut request = client.request(Method::POST, self.path(), Some(token), Some(message))?;
        let headers = request.headers_mut();
        // Both, or agentchattr answers nothing.
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(ACCEPT, both);
        if let Some(session) = self.session.clone() {
            headers.insert(SESSION, session);
        }
        let value = secret(token.expose()).ok_or_else(|| Error::unusable("the token"))?;
        headers.insert("x-agent-token", value);
        let answer = exchange::whole(&client.rest, request).await;
        let answer = answer.map_err(|error| client.broken(&error))?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(client.refused(&answer))
        }
    }

    fn path(&self) -> &str {
        &self.client.rest.endpoint.path
    }
}

/// The response to request `id` in a body that is JSON, or a stream of events.
fn response(body: &[u8], id: u32) -> Option<Value> {
    let is_it = |message: &Value| message["id"] == id && message.get("method").is_none();
    if let Ok(message) = serde_json::from_slice(body) {
        return Some(message).filter(is_it);
    }
    let mut parser = Parser::default();
    let mut events = parser.feed(body).ok()?;
    // The last event may lack its end.
    events.extend(parser.feed(b"\n\n").ok()?);
    let mut messages = events.iter().flat_map(|data| serde_json::from_str(data));
    messages.find(is_it)
}

/// What the text of `chat_claim` means.
fn understood(text: &str) -> Result<Claim, Error> {
    if text == STALE {
        return Err(Error::Conflict);
    }
    let answer: Option<Value> = serde_json::from_str(text).ok();
    match answer.as_ref().and_then(|it| it["confirmed_name"].as_str()) {
        Some(name) => name
            .parse()
            .map(Claim::Confirmed)
            .map_err(|_| Error::BadName),
        None => Ok(Claim::Refused(one_line(text, LONGEST_REASON))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_found_in_json_and_in_events() {
        let answer = r#"{"jsonrpc":"2.0","id":2,"result":{}}"#;
        for (body, is_there) in [
            (answer.to_owned(), true),
            (format!("event: message\r\ndata: {answer}\r\n\r\n"), true),
            (
                format!(": ping\n\ndata: {{\"id\":2,\"method\":\"ping\"}}\n\ndata: {answer}"),
                true,
            ),
            (answer.replace('2', "3"), false),
            (String::new(), false),
            ("<html>".into(), false),
        ] {
            assert_eq!(response(body.as_bytes(), 2).is_some(), is_there, "{body}");
        }
    }

    #[test]
    fn a_claim_is_confirmed_or_refused() {
        let confirmed = |name: &str| Claim::Confirmed(name.parse().expect("a name"));
        for (text, claim) in [
            (
                r#"{"confirmed_name": "claude", "label": "Claude", "base": "claude"}"#,
                confirmed("claude"),
            ),
            (
                "Error: Already claimed: \x1bclaude",
                Claim::Refused("Error: Already claimed: claude".into()),
            ),
            ("[]", Claim::Refused("[]".into())),
        ] {
            assert_eq!(understood(text).expect(text), claim);
        }
        assert!(matches!(understood(STALE), Err(Error::Conflict)));
        let odd = r#"{"confirmed_name": "a b"}"#;
        assert!(matches!(understood(odd), Err(Error::BadName)));
    }
}

//! MCP sessions of our own with an upstream.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::ask::{Asking, Outcome, Party, Said, ask};
use super::excuse::Failed;
use super::headers;
use super::rpc::{self, Members};
use super::session::{Place, Session};
use crate::types::absent::NO_METHOD;
use crate::types::text::one_line;

/// What every message of ours is sent with.
pub(super) const LINES: &str =
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
/// The protocol's version that we ask for.
pub(super) const VERSION: &str = "2025-06-18";
/// The revision without sessions: every request says what it is and from whom.
const STATELESS: &str = "2026-07-28";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The most pages of a list that are asked for.
const MOST_PAGES: usize = 100;

/// An MCP session of ours. It holds nothing open; [`Talk::close`] ends it.
#[derive(Debug, Clone)]
pub(super) struct Talk {
    /// The header lines of its requests.
    pub(super) lines: Vec<u8>,
    /// The result of `initialize`, as JSON.
    pub(super) greeting: String,
    /// The id that the upstream gave it.
    pub(super) session: Option<String>,
    /// What every request has in `_meta`, if there is no session.
    meta: Option<String>,
}

/// What a server shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its own name and version, as far as it says them.
    pub name: Option<String>,
    pub version: Option<String>,
    /// The names of its tools.
    pub tools: Vec<String>,
    /// It speaks MCP 2026-07-28 alone, which has no sessions.
    pub is_stateless: bool,
}

/// Opens a session, looks at what is there, ends it.
pub(super) async fn look(party: Party<'_>) -> Result<Seen, Failed> {
    match Talk::open(party, None).await {
        Ok(talk) => {
            let tools = talk.offered(party).await;
            talk.close(party).await;
            Ok(seen(&talk, &tools?, false))
        }
        Err(Failed::Error { code, message }) => {
            // One of the newest servers does not know `initialize`.
            let discovered = Talk::discover(party).await;
            let talk = discovered.map_err(|_| Failed::Error { code, message })?;
            let tools = talk.offered(party).await?;
            Ok(seen(&talk, &tools, true))
        }
        Err(failed) => Err(failed),
    }
}

fn seen(talk: &Talk, tools: &[String], is_stateless: bool) -> Seen {
    let greeting: Value = serde_json::from_str(&talk.greeting).unwrap_or_default();
    let infos = [&greeting["serverInfo"], &greeting["_meta"][SERVER_INFO]];
    let info = |key| infos.iter().find_map(|info| info[key].as_str());
    let name = |tool: &String| rpc::text(Members::of(tool)?.last("name")?);
    Seen {
        name: info("name").map(str::to_owned),
        version: info("version").map(str::to_owned),
        tools: tools.iter().filter_map(name).collect(),
        is_stateless,
    }
}

/// The parameters of our own `initialize`.
fn params() -> String {
    json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": info() }).to_string()
}

/// Who we are.
fn info() -> Value {
    json!({ "name": "wrapper", "version": env!("CARGO_PKG_VERSION") })
}

/// Our own `initialize`.
pub(super) fn hello() -> Vec<u8> {
    message("\"id\":\"wrapper\",", "initialize", &params()).into_bytes()
}

/// A request, whose `id` is a member with its comma, or a notification.
fn message(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}}}"#)
}

impl Talk {
    /// Requests of ours within a session of the agent.
    pub(super) fn within(session: &Session, place: &Place) -> Self {
        let mut lines = session.lines(&session.hello.lines, place);
        if let Some(version) = &place.greeting.version {
            headers::push(&mut lines, "Mcp-Protocol-Version", version);
        }
        Self {
            lines,
            greeting: String::new(),
            session: place.theirs.clone(),
            meta: None,
        }
    }

    /// Opens a session, as the client that `params` of `initialize` describe,
    /// else as ourselves.
    pub(super) async fn open(party: Party<'_>, params: Option<&str>) -> Result<Self, Failed> {
        let params = params.map_or_else(self::params, str::to_owned);
        let mut talk = Self {
            lines: LINES.into(),
            greeting: String::new(),
            session: None,
            meta: None,
        };
        let said = talk.say(party, true, "initialize", &params).await?;
        talk.greeting = result(said.outcome)?;
        let version = Members::of(&talk.greeting)
            .and_then(|greeting| rpc::text(greeting.last("protocolVersion")?))
            // It becomes a header.
            .filter(|version| version.bytes().all(|b| b.is_ascii_graphic()));
        let version = version.as_deref().unwrap_or(VERSION);
        headers::push(&mut talk.lines, "Mcp-Protocol-Version", version);
        if let Some(session) = said.session {
            headers::push(&mut talk.lines, "Mcp-Session-Id", &session);
            talk.session = Some(session);
        }
        talk.notify(party, "notifications/initialized", "{}")
            .await?;
        Ok(talk)
    }

    /// Asks a server that has no sessions what it is.
    async fn discover(party: Party<'_>) -> Result<Self, Failed> {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": STATELESS,
            "io.modelcontextprotocol/clientInfo": info(),
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let mut talk = Self {
            lines: LINES.into(),
            greeting: String::new(),
            session: None,
            meta: Some(meta.to_string()),
        };
        headers::push(&mut talk.lines, "Mcp-Protocol-Version", STATELESS);
        talk.greeting = talk.ask(party, "server/discover", "{}").await?;
        Ok(talk)
    }

    /// The tools of a server, if it says at the start that it has some.
    async fn offered(&self, party: Party<'_>) -> Result<Vec<String>, Failed> {
        let greeting = Members::of(&self.greeting);
        let capabilities =
            greeting.and_then(|greeting| Members::of(greeting.last("capabilities")?));
        // What says nothing of itself is asked.
        if capabilities.is_some_and(|capabilities| capabilities.last("tools").is_none()) {
            return Ok(Vec::new());
        }
        self.tools(party).await
    }

    /// The result of a request, as JSON; `params` are JSON as well.
    ///
    /// # Errors
    /// [`Failed::Missing`] with a session: it is to be opened anew.
    pub(super) async fn ask(
        &self,
        party: Party<'_>,
        method: &str,
        params: &str,
    ) -> Result<String, Failed> {
        result(self.say(party, true, method, params).await?.outcome)
    }

    /// Sends a notification.
    pub(super) async fn notify(
        &self,
        party: Party<'_>,
        method: &str,
        params: &str,
    ) -> Result<(), Failed> {
        self.say(party, false, method, params).await.map(drop)
    }

    /// Every tool of the server, each as JSON, over all pages; none if it says
    /// that it has none.
    pub(super) async fn tools(&self, party: Party<'_>) -> Result<Vec<String>, Failed> {
        let (mut tools, mut params) = (Vec::new(), "{}".to_owned());
        for _ in 0..MOST_PAGES {
            let page = match self.ask(party, "tools/list", &params).await {
                Err(Failed::Error { code, .. }) if code == Some(NO_METHOD.into()) => {
                    return Ok(tools);
                }
                page => page?,
            };
            let Some((more, next)) = rpc::page(&page, "tools") else {
                return Err(Failed::Odd("its list of tools is none".into()));
            };
            tools.extend(more);
            match next {
                None => return Ok(tools),
                Some(cursor) => params = format!("{{\"cursor\":{cursor}}}"),
            }
        }
        Err(Failed::Odd("its list of tools has no end".into()))
    }

    /// Tells the upstream that the session is over. It may not care.
    pub(super) async fn close(&self, party: Party<'_>) {
        if self.session.is_none() {
            return;
        }
        let asking = Asking {
            method: "DELETE",
            lines: &self.lines,
            body: b"",
        };
        if let Err(failed) = ask(party, asking).await {
            tracing::debug!(server = %party.server, ?failed, "a session was not closed");
        }
    }

    async fn say(
        &self,
        party: Party<'_>,
        is_request: bool,
        method: &str,
        params: &str,
    ) -> Result<Said, Failed> {
        // No agent has such ids: it may have requests open in the same session.
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = if is_request {
            let number = LAST.fetch_add(1, Ordering::Relaxed);
            format!("\"id\":\"wrapper-{number}\",")
        } else {
            String::new()
        };
        let (mut params, mut lines) = (params.to_owned(), self.lines.clone());
        if let Some(meta) = &self.meta {
            let rest = params.strip_prefix('{').unwrap_or("}");
            let comma = if rest == "}" { "" } else { "," };
            params = format!("{{\"_meta\":{meta}{comma}{rest}");
            headers::push(&mut lines, "Mcp-Method", method);
        }
        let body = message(&id, method, &params);
        let asking = Asking {
            method: "POST",
            lines: &lines,
            body: body.as_bytes(),
        };
        ask(party, asking).await
    }
}

/// The result, if that is the outcome; an error is told in its own words.
pub(super) fn result(outcome: Option<Outcome>) -> Result<String, Failed> {
    match outcome {
        Some(Ok(result)) => Ok(result),
        Some(Err(error)) => {
            let members = Members::of(&error);
            let member = |name| members.as_ref().and_then(|members| members.last(name));
            let code = member("code").and_then(|code| code.parse().ok());
            let message = member("message").and_then(rpc::text);
            let message = one_line(&message.unwrap_or(error.clone()), 300);
            Err(Failed::Error { code, message })
        }
        None => Err(Failed::Odd("its answer holds no response".into())),
    }
}

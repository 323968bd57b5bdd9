//! agentchattr's REST, with a token asked of every caller, and ours beside it.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::error;

use super::accept::Connection;
use super::api::{self, HUB_NAME, Health, Problem, Rules};
use super::chat::{Caller, Chat, Fault};
use super::post::Post;
use super::registry::NoPlace;
use super::server::Shared;
use super::{dead, desk, gate, streams};
use crate::loopback;
use crate::types::identity::Token;
use crate::types::text::is_message;
use crate::types::trigger::ChannelName;

/// Messages in one answer, unless the caller says.
const PAGE: usize = 50;
const MAX_PAGE: usize = 1000;

/// Reminders of the rules, in triggers.
const RULES_INTERVAL: u32 = 10;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/health", get(health))
        .route("/api/register", post(register))
        .route("/api/heartbeat/{name}", post(heartbeat))
        .route("/api/deregister/{name}", post(deregister))
        .route("/api/rotate", post(rotate_all))
        .route("/api/dead/{uid}", post(dead::died))
        .route("/api/dead/{uid}/leave", post(dead::leaves))
        .route("/api/rotate/{name}", post(rotate))
        .route("/api/roles", get(roles))
        .route("/api/roles/{name}", post(set_role))
        .route("/api/rules/active", get(rules))
        .route("/api/rules/agent_sync/{name}", post(rules_synced))
        .route("/api/messages", get(messages))
        .route("/api/send", post(send))
        .route("/api/status", get(status))
        .route("/api/triggers", get(streams::triggers))
        .route("/api/triggers/ack", post(ack))
        .route("/api/stream", get(streams::messages))
        .fallback(async || refusal(404, "not found"))
}

pub(super) type Answer = Result<Json<Value>, Refusal>;

/// A status and what the body says of it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    body: Value,
}

impl Refusal {
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            status,
            body: json!(Problem { error }),
        }
    }

    /// Of a heartbeat, a stream or a leave-taking with a token that is not
    /// good any more: register again.
    pub(super) fn stale() -> Self {
        Self::new(409, "stale_session")
    }

    fn no_session() -> Self {
        Self::new(403, "authenticated agent session required")
    }

    pub(super) fn no_token() -> Self {
        Self::new(403, "forbidden: invalid or missing session token")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(self.body)).into_response()
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let status = match &fault {
            Fault::Invalid(_) | Fault::NoPlace(NoPlace::Reserved(_) | NoPlace::TooLong(_)) => 400,
            Fault::NotFound => 404,
            Fault::NoPlace(_) => 429,
            Fault::Token(error) => {
                error!(error = format!("{error:#}"), "a token was not replaced");
                500
            }
            Fault::Store(error) => {
                error!(%error, "the store failed");
                500
            }
        };
        Self::new(status, fault.to_string())
    }
}

impl From<desk::Closed> for Refusal {
    fn from(closed: desk::Closed) -> Self {
        Self::new(503, closed.to_string())
    }
}

pub(super) fn refusal(status: u16, error: &str) -> Response {
    Refusal::new(status, error).into_response()
}

async fn health(State(hub): State<Shared>) -> Json<Health> {
    Json(Health {
        name: HUB_NAME.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        mcp_port: hub.mcp_port,
    })
}

/// A registration is for the human, for an instance that shows its present
/// token, or for a process of this user: agentchattr's own wrapper sends no
/// token. An earlier one may have been stolen: it tells whose registration it
/// is, and opens nothing.
async fn register(
    State(hub): State<Shared>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let previous = gate::token(&headers);
    let human = gate::human_token(&headers).or_else(|| previous.clone());
    let known = previous.clone();
    let (is_human, is_known) = hub
        .desk
        .ask(move |chat, _| {
            let is_enough =
                |token: &Token| chat.is_good(token) || !loopback::IS_TOLD && chat.is_known(token);
            (
                human.is_some_and(|token| chat.is_human(&token)),
                known.is_some_and(|token| is_enough(&token)),
            )
        })
        .await?;
    if !is_human && !is_known && !connection.is_ours() {
        return Err(Refusal::new(
            403,
            "forbidden: agent registration takes a token, or a process of the hub's user",
        ));
    }
    let mut wish: api::Register = object(&body).map_err(|error| match error {
        Bad::Json => Refusal::new(400, "invalid JSON"),
        Bad::Shape(value) => match value.get("base") {
            None | Some(Value::Null) => Refusal::new(400, "base is required"),
            Some(Value::String(_)) => Refusal::new(400, "label must be a string"),
            Some(_) => Refusal::new(400, "base must be a string"),
        },
    })?;
    if wish.base.is_empty() {
        return Err(Refusal::new(400, "base is required"));
    }
    let labels = [&wish.label, &wish.family];
    if !labels.into_iter().flatten().all(|label| is_message(label)) {
        return Err(Refusal::new(400, "label has control characters"));
    }
    if !is_human {
        // A process of this user may register, but not as one that was there.
        wish.succeeds.clear();
        wish.agents.clear();
    }
    let mut record = hub
        .desk
        .ask(move |chat, now| {
            chat.store.know(&wish.agents)?;
            let record = chat.register(&wish, previous.as_ref(), now)?;
            if !wish.stream
                && let Some(id) = chat.registry.by_token(&record.token)
            {
                chat.streamless.insert(id);
            }
            Ok::<_, Fault>(record)
        })
        .await??;
    record.mcp_port = Some(hub.mcp_port);
    record.sse_port = hub.sse_port;
    Ok(Json(json!(record)))
}

async fn heartbeat(State(hub): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    // Any body that is none counts as a plain heartbeat.
    let beat: api::Beat = object(&body).unwrap_or_default();
    as_instance(&hub, &headers, move |chat, id, now| {
        let one = chat.registry.get_mut(id).ok_or(Fault::NotFound)?;
        if let Some(active) = beat.active {
            one.life.set_busy(active, now);
        }
        let name = one.name.clone();
        chat.beat_of_reader(id, now)?;
        Ok(json!({"ok": true, "name": name, "pending": false}))
    })
    .await
}

/// By the instance itself, whatever the path says, or by the human by name.
async fn deregister(
    State(hub): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let token = gate::token(&headers).ok_or_else(Refusal::no_session)?;
    hub.desk
        .ask(move |chat, now| {
            let id = match chat.caller(&token, now).ok_or_else(Refusal::stale)? {
                Caller::Agent(id) => id,
                Caller::Human => chat.registry.named(&name).ok_or(Fault::NotFound)?.id,
            };
            chat.leave(id)?;
            Ok(Json(json!({"ok": true})))
        })
        .await?
}

async fn rotate(State(hub): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, _| match caller {
        Caller::Human => Ok(json!({"ok": true, "name": chat.rotate(&name)?})),
        Caller::Agent(_) => Err(Refusal::no_token()),
    })
    .await
}

/// New tokens for all: by the human, whose own is replaced as well.
async fn rotate_all(State(hub): State<Shared>, headers: HeaderMap) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, _| match caller {
        Caller::Human => Ok(json!(api::Rotated {
            names: chat.rotate_all()?,
        })),
        Caller::Agent(_) => Err(Refusal::no_token()),
    })
    .await
}

/// By any token; agentchattr's own wrapper shows none, and is a process of this
/// user.
async fn roles(
    State(hub): State<Shared>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Answer {
    if gate::token(&headers).is_none() && connection.is_ours() {
        let roles = hub.desk.ask(|chat, _| json!(chat.roles())).await?;
        return Ok(Json(roles));
    }
    as_anyone(&hub, &headers, |chat, _, _| Ok(json!(chat.roles()))).await
}

/// By the human, or by the instance for itself.
async fn set_role(
    State(hub): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, _| {
        refuse_others(chat, caller, &name)?;
        let wish: api::Role = object(&body).map_err(|_| Refusal::new(400, "invalid json"))?;
        Ok(json!({"ok": true, "role": chat.set_role(&name, &wish.role)?}))
    })
    .await
}

/// There are no rules yet: an epoch that never moves, and no reminders.
async fn rules(State(hub): State<Shared>, headers: HeaderMap) -> Answer {
    as_anyone(&hub, &headers, |_, _, _| {
        Ok(json!(Rules {
            epoch: 0,
            rules: Vec::new(),
            refresh_interval: RULES_INTERVAL,
        }))
    })
    .await
}

async fn rules_synced(
    State(hub): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, _| {
        refuse_others(chat, caller, &name)?;
        let _: api::Synced = object(&body).map_err(|_| Refusal::new(400, "invalid json"))?;
        Ok(json!({"ok": true}))
    })
    .await
}

async fn messages(
    State(hub): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Answer {
    as_anyone(&hub, &headers, move |chat, _, _| {
        let since = number(&query, "since_id")?.unwrap_or(0);
        let limit = number(&query, "limit")?.unwrap_or(PAGE as u64);
        let channel = channel(&query)?;
        let found = if since > 0 {
            chat.store.messages_after(since, MAX_PAGE, channel.as_ref())
        } else {
            let limit = usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE);
            chat.store.last_messages(limit, channel.as_ref())
        };
        Ok(json!(found.map_err(Fault::from)?))
    })
    .await
}

async fn send(State(hub): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, now| {
        let wish: api::Send = object(&body).map_err(|error| match error {
            Bad::Json => Refusal::new(400, "invalid JSON"),
            Bad::Shape(value) => match value.get("channel") {
                Some(Value::String(name)) => match name.parse::<ChannelName>() {
                    Err(error) => Refusal::new(400, error.to_string()),
                    Ok(_) => Refusal::new(400, "text must be a string"),
                },
                _ => Refusal::new(400, "text and channel must be strings"),
            },
        })?;
        if caller == Caller::Human {
            chat.store.know(&wish.agents).map_err(Fault::from)?;
        }
        let post = Post::chat(wish.text, wish.channel);
        Ok(json!(chat.post(caller, &post, now)?))
    })
    .await
}

async fn status(State(hub): State<Shared>, headers: HeaderMap) -> Answer {
    as_anyone(&hub, &headers, |chat, _, now| Ok(chat.status(now)?)).await
}

async fn ack(State(hub): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    as_instance(&hub, &headers, move |chat, id, _| {
        let wish: api::Ack = object(&body).map_err(|_| Refusal::new(400, "invalid JSON"))?;
        chat.store.ack(id, wish.upto).map_err(Fault::from)?;
        Ok(json!({"ok": true}))
    })
    .await
}

/// Does a job for whoever shows a good token, the human or an instance.
pub(super) async fn as_anyone(
    hub: &Shared,
    headers: &HeaderMap,
    job: impl FnOnce(&mut Chat, Caller, Instant) -> Result<Value, Refusal> + Send + 'static,
) -> Answer {
    let token = gate::token(headers).ok_or_else(Refusal::no_token)?;
    hub.desk
        .ask(move |chat, now| {
            let caller = chat.caller(&token, now).ok_or_else(Refusal::no_token)?;
            job(chat, caller, now).map(Json)
        })
        .await?
}

/// Does a job for an instance; a token that is no instance's is stale.
async fn as_instance(
    hub: &Shared,
    headers: &HeaderMap,
    job: impl FnOnce(&mut Chat, i64, Instant) -> Result<Value, Refusal> + Send + 'static,
) -> Answer {
    let token = gate::token(headers).ok_or_else(Refusal::no_session)?;
    hub.desk
        .ask(move |chat, now| match chat.caller(&token, now) {
            Some(Caller::Agent(id)) => job(chat, id, now).map(Json),
            Some(Caller::Human) | None => Err(Refusal::stale()),
        })
        .await?
}

fn refuse_others(chat: &Chat, caller: Caller, name: &str) -> Result<(), Refusal> {
    match caller {
        Caller::Agent(id) if chat.registry.named(name).is_some_and(|one| one.id != id) => Err(
            Refusal::new(403, "forbidden: an agent speaks for itself alone"),
        ),
        _ => Ok(()),
    }
}

/// Why a body is not what was asked for.
enum Bad {
    Json,
    /// Valid JSON of another shape.
    Shape(Value),
}

fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Bad> {
    let value: Value = serde_json::from_slice(body).map_err(|_| Bad::Json)?;
    if !value.is_object() {
        return Err(Bad::Json);
    }
    T::deserialize(&value).map_err(|_| Bad::Shape(value))
}

/// A number in the query; anything else is answered as agentchattr does.
pub(super) fn number(query: &BTreeMap<String, String>, key: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = query.get(key) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| Refusal {
        status: 422,
        body: json!({"detail": [{
            "type": "int_parsing",
            "loc": ["query", key],
            "msg": "it is no whole number",
        }]}),
    })
}

pub(super) fn channel(query: &BTreeMap<String, String>) -> Result<Option<ChannelName>, Refusal> {
    query
        .get("channel")
        .filter(|name| !name.is_empty())
        .map(|name| name.parse())
        .transpose()
        .map_err(|error: crate::types::trigger::BadChannel| Refusal::new(400, error.to_string()))
}

//! The routes that a wrapper uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::gate::{agent_token, bearer};
use crate::post::Draft;
use crate::registry::Leave;
use crate::server::{Server, hex};
use crate::{door, human, jobs};

pub(crate) type Shared = State<Arc<Server>>;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/", get(page))
        .route("/api/register", post(register))
        .route("/api/heartbeat/{name}", post(heartbeat))
        .route("/api/deregister/{name}", post(deregister))
        .route("/api/roles", get(roles))
        .route("/api/roles/{name}", post(set_role))
        .route("/api/rules/active", get(rules))
        .route("/api/rules/agent_sync/{name}", post(synced))
        .route("/api/rules/freshness", get(freshness))
        .route(
            "/api/rules/remind",
            post(async || Json(json!({"ok": true}))),
        )
        .route("/api/send", post(send))
        .route("/api/messages", get(messages))
        .merge(human::routes())
        .merge(jobs::routes())
        .merge(door::routes())
        .fallback(async || detail(StatusCode::NOT_FOUND, "Not Found"))
        .method_not_allowed_fallback(async || {
            detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
}

fn detail(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"detail": text}))).into_response()
}

/// A status, and what the body says.
type Refused = (StatusCode, &'static str);

pub(crate) fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

pub(crate) fn bad(error: &str) -> Response {
    refusal(StatusCode::BAD_REQUEST, error)
}

pub(crate) fn ok(answer: Value) -> Response {
    Json(answer).into_response()
}

/// What a bug in the server is answered.
fn broken() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error").into_response()
}

/// A key's text; empty if there is none.
pub(crate) fn text<'a>(body: &'a Value, key: &str) -> &'a str {
    body[key].as_str().unwrap_or_default()
}

/// A key's text, or `general`.
pub(crate) fn channel(body: &Value) -> &str {
    match text(body, "channel") {
        "" => "general",
        channel => channel,
    }
}

async fn page(State(server): Shared) -> Response {
    let token = &server.session_token;
    let page = format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<title>agentchattr</title>\n<script>window.__SESSION_TOKEN__=\"{token}\";</script>\n</head>\n<body></body>\n</html>\n"
    );
    ([(header::CACHE_CONTROL, "no-store")], Html(page)).into_response()
}

async fn register(State(server): Shared, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return bad("invalid JSON");
    };
    if !body.is_object() {
        return broken();
    }
    let base = text(&body, "base");
    if base.is_empty() {
        return bad("base is required");
    }
    let secrets = [hex(), hex()];
    match server.with(|room, now| room.register(base, &body["label"], secrets, now)) {
        Some(instance) => ok(json!(instance)),
        None => bad(&format!("unknown base: {base}")),
    }
}

/// The instance that speaks; or what a stranger is answered, who may have
/// any name that is no agent's.
fn speaker(server: &Server, headers: &HeaderMap, name: &str) -> Result<String, Refused> {
    if let Some(token) = agent_token(headers) {
        let known = server.with(|room, now| room.caller(&token, now));
        return known.ok_or((StatusCode::CONFLICT, "stale_session"));
    }
    if server.with(|room, _| room.registry.is_family(name)) {
        let error = "authenticated agent session required";
        return Err((StatusCode::FORBIDDEN, error));
    }
    Ok(String::new())
}

async fn heartbeat(
    State(server): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let known = match speaker(&server, &headers, &name) {
        Ok(known) => known,
        Err((status, error)) => return refusal(status, error),
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let active = body["active"].as_bool();
    let is_stranger = known.is_empty();
    let who = if is_stranger { name } else { known };
    let called = server.with(|room, now| {
        room.touch(&who, now);
        if let Some(active) = active {
            room.set_active(&who, active, now);
        }
        room.note("heartbeat", &who, now, json!({"active": active}));
        room.redirected(&who, now)
    });
    match called {
        Some(called) => ok(json!({"ok": true, "name": called, "pending": false})),
        None if is_stranger => ok(json!({"ok": true, "name": who})),
        None => ok(json!({"ok": true, "name": who, "pending": false})),
    }
}

async fn deregister(
    State(server): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match speaker(&server, &headers, &name) {
        Ok(who) if who.is_empty() => refusal(StatusCode::NOT_FOUND, "not found"),
        Ok(who) => server.with(|room, now| {
            room.remove(&who, Leave::Deliberate, now);
            room.note("deregister", &who, now, json!({}));
            ok(json!({"ok": true}))
        }),
        Err((status, error)) => refusal(status, error),
    }
}

async fn roles(State(server): Shared) -> Response {
    ok(server.with(|room, _| json!(room.roles)))
}

async fn set_role(State(server): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return bad("invalid json");
    };
    let role = text(&body, "role").trim();
    server.with(|room, _| {
        if role.is_empty() {
            room.roles.remove(&name);
        } else {
            room.roles.insert(name, role.to_owned());
        }
        room.keep("roles.json", json!(room.roles));
    });
    ok(json!({"ok": true, "role": role}))
}

async fn rules(State(server): Shared) -> Response {
    ok(server.with(|room, _| room.board.for_agents()))
}

async fn synced(State(server): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    let Ok(mut body) = serde_json::from_slice::<Value>(&body) else {
        return bad("invalid json");
    };
    let epoch = body["epoch"].take();
    server.with(|room, now| {
        room.note("rules", &name, now, json!({"epoch": epoch}));
        room.board.sync(&name, epoch);
    });
    ok(json!({"ok": true}))
}

async fn freshness(State(server): Shared) -> Response {
    ok(server.with(|room, _| room.board.freshness()))
}

async fn send(State(server): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let Some(token) = bearer(&headers) else {
        let error = "missing Authorization: Bearer <token>";
        return refusal(StatusCode::UNAUTHORIZED, error);
    };
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return broken();
    };
    let Some(sender) = server.with(|room, now| room.caller(&token, now)) else {
        return refusal(StatusCode::FORBIDDEN, "invalid or expired token");
    };
    let (sender, said) = (sender.as_str(), text(&body, "text"));
    if said.is_empty() {
        return bad("text is required");
    }
    let draft = Draft {
        sender,
        text: said,
        channel: channel(&body),
        ..Draft::default()
    };
    ok(json!(server.with(|room, now| room.post(&draft, now))))
}

async fn messages(
    State(server): Shared,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut numbers = [0, 50];
    for (number, key) in numbers.iter_mut().zip(["since_id", "limit"]) {
        let Some(given) = query.get(key) else {
            continue;
        };
        let Ok(value) = given.parse::<i64>() else {
            let text = "Input should be a valid integer, unable to parse string as an integer";
            let error =
                json!({"type": "int_parsing", "loc": ["query", key], "msg": text, "input": given});
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return (status, Json(json!({"detail": [error]}))).into_response();
        };
        *number = usize::try_from(value).unwrap_or_default();
    }
    let [since, limit] = numbers;
    let channel = query.get("channel").filter(|channel| !channel.is_empty());
    ok(server.with(|room, _| {
        let mut found: Vec<_> = (room.messages.iter())
            .filter(|message| channel.is_none_or(|channel| message.channel == *channel))
            .filter(|message| since == 0 || message.id > since as u64)
            .collect();
        if since == 0 {
            found = found.split_off(found.len().saturating_sub(limit));
        }
        json!(found)
    }))
}

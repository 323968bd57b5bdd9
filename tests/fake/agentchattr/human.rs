//! The routes of the human's page: status, labels, triggers.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::names::of_label;
use crate::registry::Renamed;
use crate::rest::{Shared, bad, channel, ok, refusal, text};
use crate::server::Server;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/settings", get(settings))
        .route("/api/rules", get(rules))
        .route("/api/label/{name}", post(label))
        .route("/api/trigger-agent", post(trigger))
}

pub(crate) fn parsed(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}

async fn status(State(server): Shared) -> Response {
    ok(server.with(|room, now| room.status(now)))
}

async fn settings() -> Response {
    ok(json!({
        "title": "agentchattr",
        "username": "user",
        "font": "sans",
        "channels": ["general"],
        "history_limit": "all",
        "contrast": "normal",
        "custom_roles": [],
    }))
}

async fn rules(State(server): Shared) -> Response {
    ok(server.with(|room, _| room.board.all()))
}

async fn label(State(server): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    let body = parsed(&body);
    let label = text(&body, "label").trim();
    if label.is_empty() {
        return bad("label is required");
    }
    let to = of_label(label);
    server.with(|room, _| {
        let is_renaming = !to.is_empty() && to != name;
        let renamed = if is_renaming {
            room.registry.rename(&name, &to)
        } else {
            Ok(())
        };
        let now_called = if renamed.is_ok() && is_renaming {
            &to
        } else {
            &name
        };
        let Some(one) = room.registry.get_mut(now_called) else {
            return if is_renaming {
                bad(&format!("Not found: {name}"))
            } else {
                refusal(StatusCode::NOT_FOUND, "not found")
            };
        };
        one.label = label.into();
        room.keep_registry();
        match renamed {
            Err(warning) => ok(json!({"ok": true, "warning": warning})),
            Ok(()) if is_renaming => {
                let (from, to) = (name, to);
                let answer = json!({"ok": true, "new_name": to});
                room.follow(Some(Renamed { from, to }));
                ok(answer)
            }
            Ok(()) => ok(json!({"ok": true})),
        }
    })
}

async fn trigger(State(server): Shared, body: Bytes) -> Response {
    let body = parsed(&body);
    let (agent, message) = (text(&body, "agent"), text(&body, "message"));
    if agent.is_empty() || message.is_empty() {
        return bad("agent and message required");
    }
    let channel = channel(&body);
    let prompt = match (text(&body, "prompt"), body["source_msg_id"].as_u64()) {
        ("", id) => {
            let which = id.map_or_else(|| "the message".to_owned(), |id| format!("message #{id}"));
            format!(
                "use mcp to read #{channel} - you're mentioned, take appropriate action and respond - conversion request: use chat history to find {which} and use chat_propose_job to propose it as a job with title<=80 chars and body<=500 chars."
            )
        }
        (prompt, _) => prompt.to_owned(),
    };
    let more = json!({"prompt": prompt});
    let triggered = server.with(|room, now| room.trigger(agent, message, channel, &more, now));
    ok(json!({"ok": true, "triggered": triggered}))
}

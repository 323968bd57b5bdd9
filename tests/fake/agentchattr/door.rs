//! Routes for tests, which agentchattr does not have: losing a token, giving an
//! instance up, writing into a queue file, and what was said to the server.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::rest::{Shared, ok, refusal};
use crate::server::Server;
use crate::store;

pub(crate) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/__test/rotate/{name}", post(rotate))
        .route("/__test/expire/{name}", post(expire))
        .route("/__test/queue/{name}", post(queue))
        .route("/__test/log", get(log))
}

fn nobody() -> Response {
    refusal(StatusCode::NOT_FOUND, "no such instance")
}

/// `{"reserve": bool}`: whether the name stays nobody's for the grace period.
async fn rotate(State(server): Shared, Path(name): Path<String>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let reserve = body["reserve"].as_bool().unwrap_or_default();
    server.with(|room, now| {
        if !room.registry.is_registered(&name) {
            return nobody();
        }
        room.registry.forget(&name, reserve, now);
        room.keep_registry();
        ok(json!({"ok": true}))
    })
}

async fn expire(State(server): Shared, Path(name): Path<String>) -> Response {
    server.with(|room, now| {
        if !room.registry.is_registered(&name) {
            return nobody();
        }
        room.expire(&name, now);
        ok(json!({"ok": true}))
    })
}

/// Appends the body as it is.
async fn queue(State(server): Shared, Path(name): Path<String>, body: String) -> Response {
    let path = server.data_dir.join(format!("{name}_queue.jsonl"));
    match store::append(&path, &body) {
        Ok(()) => ok(json!({"ok": true})),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn log(State(server): Shared) -> Response {
    ok(server.with(|room, _| json!(room.told)))
}

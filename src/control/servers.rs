//! What the control socket does with a session's servers.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::protocol::NewToken;
use super::server::{Desk, no_server, refusal};
use crate::catalog::Refusal;
use crate::catalog::shown::{Listed, Verdict};
use crate::types::identity::ServerName;

pub(super) async fn list(State(desk): State<Arc<Desk>>) -> Json<Vec<Listed>> {
    Json(desk.catalog.list())
}

pub(super) async fn get(State(desk): State<Arc<Desk>>, Path(server): Path<String>) -> Response {
    let listed = server
        .parse()
        .ok()
        .and_then(|server| desk.catalog.get(&server).ok());
    listed.map_or_else(|| no_server(&server), |listed| Json(listed).into_response())
}

pub(super) async fn set(
    State(desk): State<Arc<Desk>>,
    Path(server): Path<String>,
    body: Bytes,
) -> Response {
    let name = match server.parse::<ServerName>() {
        Ok(name) => name,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match serde_json::from_slice(&body) {
        Ok(entry) => answer(desk.catalog.set(&name, &entry).await),
        // The text may hold a credential: what is wrong is said, not what is there.
        Err(error) => refusal(
            StatusCode::BAD_REQUEST,
            &format!(
                "the body is no JSON: line {}, column {}",
                error.line(),
                error.column()
            ),
        ),
    }
}

pub(super) async fn remove(State(desk): State<Arc<Desk>>, Path(server): Path<String>) -> Response {
    match server.parse() {
        Ok(name) => answer(desk.catalog.remove(&name).await),
        Err(_) => no_server(&server),
    }
}

pub(super) async fn token(
    State(desk): State<Arc<Desk>>,
    Path(server): Path<String>,
    body: Bytes,
) -> Response {
    let Ok(name) = server.parse() else {
        return no_server(&server);
    };
    match serde_json::from_slice(&body) {
        Ok(NewToken { token }) => answer(desk.catalog.token(&name, token).await),
        Err(_) => refusal(StatusCode::BAD_REQUEST, "the body is no `{\"token\"}`"),
    }
}

fn answer(verdict: Result<Verdict, Refusal>) -> Response {
    match verdict {
        Ok(verdict) => Json(verdict).into_response(),
        Err(error) => {
            let status = match &error {
                Refusal::Unknown(_) => StatusCode::NOT_FOUND,
                Refusal::Conflict(_) => StatusCode::CONFLICT,
                Refusal::Bad(_) => StatusCode::BAD_REQUEST,
            };
            refusal(status, &error.to_string())
        }
    }
}

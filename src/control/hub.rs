//! What a session's siblings ask about its place on the hub.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::protocol::{Asked, Checked};
use super::server::{Desk, refusal};
use crate::types::hub::{HubState, Until};

/// How long a sibling may have to wait.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a session stands with its hub.
#[derive(Debug)]
pub struct Standing {
    pub url: String,
    pub state: watch::Receiver<HubState>,
    /// To who keeps the session registered: a heartbeat now, and whether the
    /// hub knows us as soon as it does, or, for [`Until::Heard`], has said so.
    pub checks: mpsc::Sender<(Until, oneshot::Sender<bool>)>,
}

/// Looks at the hub at once, and answers when it has us.
pub(super) async fn check(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    let Ok(Asked { until }) = serde_json::from_slice(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no `{\"until\"}`");
    };
    let Some(hub) = &desk.hub else {
        return refusal(StatusCode::NOT_FOUND, "this session does without a hub");
    };
    let (answer, checked) = oneshot::channel();
    let checked = async {
        hub.checks.send((until, answer)).await.ok()?;
        checked.await.ok()
    };
    match timeout(PATIENCE, checked).await {
        Ok(Some(known)) => Json(Checked {
            name: desk.name(),
            known,
        })
        .into_response(),
        Ok(None) => refusal(StatusCode::CONFLICT, "the session is about to end"),
        Err(_) => refusal(
            StatusCode::GATEWAY_TIMEOUT,
            "the session is not registered yet",
        ),
    }
}

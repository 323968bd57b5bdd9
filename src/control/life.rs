//! What the control socket does with the session itself: shows, ends and
//! restarts it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::timeout;

use super::protocol::{Brief, Hub, Prompts, Restarted, Session, Stop, Stopped};
use super::server::{Desk, refusal};
use crate::catalog::shown;
use crate::session::{self, Life, Status};
use crate::types::hub::HubState;

/// The grace of an agent that is restarted, and how long another may take to
/// run.
const GRACE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(20);

/// The grace of an agent that is stopped, unless it is said.
const LAST_GRACE: Duration = Duration::from_secs(10);

/// How long the end may take beyond the grace.
const END: Duration = Duration::from_secs(20);

pub(super) async fn show(State(desk): State<Arc<Desk>>) -> Json<Session> {
    let state = desk.session.state().await;
    Json(desk.shown(state))
}

/// Restarts the agent, and answers once another one runs.
pub(super) async fn restart(State(desk): State<Arc<Desk>>) -> Response {
    let mut status = desk.session.status();
    let before = status.borrow_and_update().restarts;
    desk.session.restart(GRACE).await;
    let is_next = |status: &Status| {
        status.life == Life::Exited || status.life == Life::Running && status.restarts > before
    };
    match timeout(AGAIN, status.wait_for(is_next)).await {
        Ok(Ok(now)) if now.life == Life::Running => Json(Restarted {
            name: desk.name(),
            agent_pid: now.agent_pid,
            restarts: now.restarts,
        })
        .into_response(),
        Ok(_) => refusal(StatusCode::CONFLICT, "the session has ended"),
        Err(_) => refusal(
            StatusCode::GATEWAY_TIMEOUT,
            "the agent has not started again yet",
        ),
    }
}

/// Ends the agent for good, and answers once it has ended.
pub(super) async fn stop(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    let asked = if body.is_empty() {
        Ok(Stop::default())
    } else {
        serde_json::from_slice(&body)
    };
    let Ok(Stop { grace_ms }) = asked else {
        return refusal(StatusCode::BAD_REQUEST, "the body is no `{\"grace_ms\"}`");
    };
    let grace = grace_ms.map_or(LAST_GRACE, Duration::from_millis);
    let mut status = desk.session.status();
    desk.session.stop(grace).await;
    let has_ended = |status: &Status| status.life == Life::Exited;
    let ended = timeout(grace.saturating_add(END), status.wait_for(has_ended)).await;
    if ended.is_err() {
        return refusal(StatusCode::GATEWAY_TIMEOUT, "the agent has not ended yet");
    }
    Json(Stopped {
        id: desk.context.id.clone(),
        name: desk.name(),
        exit: desk.session.status().borrow().exit,
    })
    .into_response()
}

impl Desk {
    /// The session as others see it, in that state.
    pub(super) fn shown(&self, state: session::State) -> Session {
        let status = *self.session.status().borrow();
        let (url, hub) = match &self.hub {
            Some(hub) => (Some(hub.url.clone()), *hub.state.borrow()),
            None => (None, HubState::Offline),
        };
        let waiting = self.session.waiting();
        Session {
            id: self.context.id.clone(),
            name: self.name(),
            agent: self.context.agent.clone(),
            label: self.context.title.clone(),
            state,
            pid: std::process::id(),
            agent_pid: status.agent_pid,
            cwd: self.cwd.to_string_lossy().into_owned(),
            started_at: DateTime::<Utc>::from(self.started_at)
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            restarts: status.restarts,
            attached: self.is_attached || self.session.viewers() > 0,
            hub: Hub { url, state: hub },
            mcp: self.servers(),
            log: self.log.to_string_lossy().into_owned(),
            prompts: Prompts {
                waiting: waiting.count,
                reason: waiting.reason.map(|reason| reason.to_string()),
                waited_ms: (waiting.waited)
                    .map(|time| time.as_millis().try_into().unwrap_or(u64::MAX)),
            },
            socket: self.context.control.to_string_lossy().into_owned(),
            team: self.team.clone(),
        }
    }

    /// Its servers, in short.
    pub(super) fn servers(&self) -> Vec<Brief> {
        let servers = self.catalog.list().into_iter().map(|server| Brief {
            name: server.name,
            route: server.route,
            state: server.state,
            reason: server
                .reason
                .filter(|_| server.state != shown::State::Ready),
            evidence: server.evidence,
        });
        servers.collect()
    }
}

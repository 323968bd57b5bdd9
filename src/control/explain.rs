//! `GET /v1/explain`: what the agent's screen shows, by which rule, and what a
//! prompt would do.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::server::{Desk, refusal};
use crate::session::detect::{Held, Region, Shows, View};
use crate::session::{Judged, State};

/// What a screen shows, and why that is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The state, as `wrapper ps` has it.
    pub state: State,
    /// The rules that hold, the deciding one first.
    pub rules: Vec<Reason>,
    /// The agent has a manifest. Without one only questions are known; whether
    /// it works is told by its silence.
    pub manifest: bool,
    /// Why a prompt would wait now; None: it would be typed.
    pub waits_for: Option<String>,
    /// The agent can put a draft aside, and gives it back.
    pub stash: bool,
    /// The screen, as `wrapper explain --screen` reads it.
    pub screen: String,
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub state: Shows,
    pub rule: String,
    pub priority: i32,
    pub region: Region,
    /// The rows by which it holds, the uppermost of the screen being 1.
    pub rows: Vec<usize>,
    /// What stands there.
    pub text: Vec<String>,
}

impl Explained {
    /// Of a session that is stopped, and cannot look at its screen.
    #[must_use]
    pub fn suspended() -> Self {
        Self {
            state: State::Suspended,
            rules: Vec::new(),
            manifest: false,
            waits_for: Some("suspended".to_owned()),
            stash: false,
            screen: String::new(),
        }
    }
}

impl From<Judged> for Explained {
    fn from(judged: Judged) -> Self {
        let Judged {
            state,
            verdict,
            view,
            waits_for,
            stash,
        } = judged;
        Self {
            state,
            manifest: verdict.is_known,
            waits_for,
            stash: stash.is_some(),
            screen: view.written(),
            rules: (verdict.held.into_iter())
                .map(|held| Reason::new(held, &view))
                .collect(),
        }
    }
}

impl Reason {
    fn new(held: Held, view: &View) -> Self {
        let text = |row: &usize| view.rows.get(*row).map(|row| row.trim().to_owned());
        Self {
            state: held.state,
            rule: held.rule,
            priority: held.priority,
            region: held.region,
            text: held.rows.iter().filter_map(text).collect(),
            rows: held.rows.iter().map(|row| row + 1).collect(),
        }
    }
}

pub(super) async fn explain(Shared(desk): Shared<Arc<Desk>>) -> Response {
    match desk.session.judged().await {
        Some(judged) => Json(Explained::from(judged)).into_response(),
        None => refusal(StatusCode::CONFLICT, "no agent runs at the moment"),
    }
}

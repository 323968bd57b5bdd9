//! What the control socket does with prompts, and with the screen that they are
//! typed at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::protocol::{Cursor, Prompt, Receipt, Screen};
use super::server::{Desk, refusal};
use crate::session;
use crate::session::detect::View;
use crate::session::{Options, Pending, PromptId};
use crate::types::text::one_line;

/// Characters of an id that are told back.
const LONGEST_ID: usize = 40;

pub(super) async fn send(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    let prompt: Prompt = match serde_json::from_slice(&body) {
        Ok(prompt) => prompt,
        Err(error) => {
            let error = format!("the body is no prompt: {error}");
            return refusal(StatusCode::BAD_REQUEST, &error);
        }
    };
    let options = Options {
        wait: prompt.wait,
        timeout: prompt.timeout_ms.map(Duration::from_millis),
    };
    let pending = desk.session.prompt(prompt.text, options).await;
    let receipt = if prompt.no_wait {
        pending.receipt()
    } else {
        Awaited(pending).0.ended().await
    };
    Json(desk.told(&receipt)).into_response()
}

pub(super) async fn receipt(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let known: Option<PromptId> = id.parse().ok();
    if let Some(receipt) = known.and_then(|id| desk.session.receipt(id)) {
        return Json(desk.told(&receipt)).into_response();
    }
    let id = one_line(&id, LONGEST_ID);
    let error = format!("this session knows of no prompt `{id}`");
    refusal(StatusCode::NOT_FOUND, &error)
}

pub(super) async fn screen(State(desk): State<Arc<Desk>>) -> Json<Screen> {
    // Of one look, so that they agree.
    let (state, view) = match desk.session.judged().await {
        Some(judged) => (judged.state, judged.view),
        None => (desk.session.state().await, View::default()),
    };
    let (row, column) = view.cursor;
    let text = view.rows.join("\n");
    Json(Screen {
        state,
        text: text.trim_end().to_owned(),
        rows: view.rows,
        cursor: Cursor { row, column },
    })
}

/// A prompt whose asker waits. If the asker goes away it is taken back.
struct Awaited(Pending);

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.0.receipt().outcome().is_none() {
            tracing::debug!(id = %self.0.id(), "whoever asked for a prompt has gone away");
            let pending = self.0.clone();
            tokio::spawn(async move { pending.withdraw().await });
        }
    }
}

impl Desk {
    pub(super) fn told(&self, receipt: &session::Receipt) -> Receipt {
        let now = Instant::now();
        Receipt {
            id: receipt.id.to_string(),
            session: self.context.id.clone(),
            outcome: receipt.word(),
            reason: receipt.reason().map(ToString::to_string),
            queued_ms: receipt.queued_ms(now),
            typed_ms: receipt.typed_ms(now),
            submitted_ms: receipt.submitted_ms(now),
        }
    }
}

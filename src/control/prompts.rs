//! What the control socket does with prompts, and with the screen that they are
//! typed at.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nix::time::{ClockId, clock_gettime};

use super::protocol::{Cursor, Prompt, Receipt, Screen};
use super::server::{Desk, refusal};
use super::stream;
use crate::session;
use crate::session::detect::View;
use crate::session::{Options, Pending, PromptId};
use crate::types::text::one_line;

/// Characters of an id that are told back.
const LONGEST_ID: usize = 40;

/// What a caller accepts who wants to be told of every step: a receipt a line.
pub(super) const STEPS: &str = "application/x-ndjson";

/// The header that says until when the caller waits, on the clock of this
/// machine that does not jump, in milliseconds. A session that was suspended
/// meanwhile does not begin afterwards what nobody waits for any more.
pub(super) const DEADLINE: &str = "wrapper-deadline-ms";

pub(super) async fn send(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let prompt: Prompt = match serde_json::from_slice(&body) {
        Ok(prompt) => prompt,
        Err(error) => {
            let error = format!("the body is no prompt: {error}");
            return refusal(StatusCode::BAD_REQUEST, &error);
        }
    };
    let asked = prompt.timeout_ms.map(Duration::from_millis);
    let left = deadline(&headers).map(|until| until.saturating_sub(uptime()));
    let options = Options {
        wait: prompt.wait,
        timeout: asked.into_iter().chain(left).min(),
    };
    let pending = desk.session.prompt(prompt.text, options).await;
    let wants_steps = headers.get(ACCEPT).is_some_and(|kind| kind == STEPS);
    if wants_steps && !prompt.no_wait {
        return steps(desk, pending);
    }
    let receipt = if prompt.no_wait {
        pending.receipt()
    } else {
        Awaited(pending).0.ended().await
    };
    Json(desk.told(&receipt)).into_response()
}

/// Every receipt of a prompt, a line each, until it has ended.
fn steps(desk: Arc<Desk>, pending: Pending) -> Response {
    let line = |desk: &Desk, receipt: &session::Receipt| -> Bytes {
        // A receipt has no keys but strings.
        let text = serde_json::to_string(&desk.told(receipt)).unwrap_or_default();
        format!("{text}\n").into()
    };
    let mut progress = pending.progress();
    let mut awaited = Awaited(pending);
    let first = awaited.0.receipt();
    progress.mark_unchanged();
    let is_over = first.outcome().is_some();
    stream::open(STEPS, line(&desk, &first), async move |out| {
        if is_over {
            return;
        }
        loop {
            let receipt = tokio::select! {
                biased;
                receipt = awaited.0.ended() => receipt,
                Ok(()) = progress.changed() => progress.borrow_and_update().clone(),
            };
            let is_over = receipt.outcome().is_some();
            if out.send(line(&desk, &receipt)).await.is_err() || is_over {
                return;
            }
        }
    })
}

/// Until when the caller waits, as time of [`uptime`].
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(DEADLINE)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_millis)
}

/// The time since this machine began, or so: the same for all its processes.
pub(super) fn uptime() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
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
            joined: receipt.joined,
        }
    }
}

//! Routes by which the human speaks for sessions that were killed.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde_json::json;

use super::chat::{Caller, Fault};
use super::rest::{Answer, Refusal, as_anyone};
use super::server::Shared;

/// By the human: the session of an instance was killed.
pub(super) async fn died(
    State(hub): State<Shared>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, now| match caller {
        Caller::Human => {
            chat.die(&uid, now)?;
            Ok(json!({"ok": true}))
        }
        Caller::Agent(_) => Err(Refusal::no_token()),
    })
    .await
}

/// By the human: an instance whose session cannot deregister leaves for good.
pub(super) async fn leaves(
    State(hub): State<Shared>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Answer {
    as_anyone(&hub, &headers, move |chat, caller, _| match caller {
        Caller::Human => {
            let id = chat.registry.by_uid(&uid).ok_or(Fault::NotFound)?.id;
            chat.leave(id)?;
            Ok(json!({"ok": true}))
        }
        Caller::Agent(_) => Err(Refusal::no_token()),
    })
    .await
}

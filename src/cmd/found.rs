//! The session that a verb's user means.

use anyhow::anyhow;

use crate::control::client;
use crate::control::find::{self, Found, NotFound};
use crate::paths;
use crate::report::Failure;
use crate::types::exit::Exit;
use crate::types::text::one_line;

/// The running session that `asked` names.
pub(super) async fn session(asked: &str) -> Result<Found, Failure> {
    let found = find::session(&paths::state(&paths::env()), asked).await;
    found.map_err(not_found)
}

/// Why there is not the one session, with the way out.
pub(super) fn not_found(error: NotFound) -> Failure {
    let hint = match &error {
        NotFound::None { running, .. } if running.is_empty() => {
            "no session is running: `wrapper <agent>` starts one".to_owned()
        }
        NotFound::None { running, .. } => format!("running sessions: {}", running.join(", ")),
        NotFound::Several { .. } => "give its id, or the beginning of it".to_owned(),
    };
    Failure::new(Exit::NotDone, error).hint(hint)
}

/// A session that is stopped, and answers nothing.
pub(super) fn suspended(found: &Found) -> Failure {
    let name = one_line(&found.session.name, 100);
    Failure::new(Exit::NotDone, anyhow!("`{name}` is suspended")).hint(format!(
        "`fg` in its shell or `kill -CONT {}` continues it",
        found.session.pid
    ))
}

/// A session's answer that is none.
pub(super) fn refused(error: client::Error) -> Failure {
    Failure::new(Exit::NotDone, error)
}

//! Undoes what sessions left that were killed.

use std::path::Path;

use anyhow::Context;
use tracing::info;

use crate::control::roster;
use crate::inject;

/// Puts back what they changed, and removes their directories; tells
/// `complain` of what it could not.
pub(super) fn bury(state: &Path, complain: impl Fn(anyhow::Error)) {
    for dead in roster::roster(state).dead {
        info!(path = %dead.path.display(), "clearing up after a session that was killed");
        let cleared = inject::undo_journal(&dead.path)
            .and_then(|undone| if undone { dead.remove() } else { Ok(()) })
            .context("cannot clear up after a killed session");
        if let Err(error) = cleared {
            complain(error);
        }
    }
}

//! Undoes what sessions left that were killed, or that could not undo it
//! themselves.

use std::path::Path;

use anyhow::Context;
use tracing::info;

use crate::control::roster;
use crate::inject::{self, Owed};

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

/// Tries again to put back what could not be put back before; tells `complain`
/// of each file that still has an entry of ours, in one line.
pub(super) fn settle(state: &Path, mut complain: impl FnMut(String)) {
    match inject::settle(state) {
        Ok(owed) => owed.iter().map(sentence).for_each(complain),
        Err(error) => complain(format!(
            "cannot take entries of ended sessions out of your settings: {error:#}"
        )),
    }
}

/// What is said of a file that has an entry still.
fn sentence(owed: &Owed) -> String {
    format!(
        "an entry of an ended session is still in {}: {}: every start tries again to take it out",
        owed.file.display(),
        owed.why
    )
}

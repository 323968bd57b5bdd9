//! An attempt whose echo may still come, and what it leaves behind. Pure.

use std::time::Instant;

use super::scene::Scene;
use crate::session::detect::InputLine;
use crate::session::echo::{Needle, Places};

/// A paste, and what the screen showed before it.
#[derive(Debug, Clone)]
pub(super) struct Pasted {
    pub(super) at: Instant,
    /// Where the same text stood.
    pub(super) before: Places,
    /// How often the user's line was emptied by then.
    pub(super) cleared: u64,
    line: Option<InputLine>,
    /// The row of the cursor.
    row: String,
    /// The rows at the cursor have changed since, and no key of the user's can
    /// have done it.
    pub(super) has_come: bool,
    /// The agent has shown it.
    pub(super) is_shown: bool,
}

impl Pasted {
    pub(super) fn new(now: Instant, scene: &Scene, needle: &Needle, cleared: u64) -> Self {
        Self {
            at: now,
            before: scene.places(needle),
            cleared,
            line: scene.line.cloned(),
            row: scene.row().to_owned(),
            has_come: false,
            is_shown: false,
        }
    }

    /// True if the input line, or the row of the cursor where none is seen,
    /// holds something else than before.
    pub(super) fn is_changed(&self, scene: &Scene) -> bool {
        match (&self.line, scene.line) {
            (Some(before), Some(now)) => {
                // Suggestions come and go by themselves.
                now.is_filled && (!before.is_filled || before.text != now.text)
            }
            (Some(_), None) => false,
            (None, _) => self.row != scene.row(),
        }
    }

    /// True if nothing stood in the input line.
    pub(super) fn was_empty(&self) -> bool {
        self.line.as_ref().is_some_and(|line| !line.is_filled)
    }

    /// True if nothing of it can stand in the line any more; `cleared`: how
    /// often the user's line was emptied by now.
    pub(super) fn is_gone(&self, scene: &Scene, cleared: u64) -> bool {
        match scene.line {
            Some(line) if scene.verdict.is_known => !line.is_filled,
            _ => cleared != self.cleared || !self.is_changed(scene),
        }
    }
}

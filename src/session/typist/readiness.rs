//! Whether what is typed now will arrive. Pure.
//!
//! An agent that is still starting loses it, and one that never asked for
//! pastes says less of itself.

use std::time::{Duration, Instant};

use super::scene::Scene;

/// What is known of one life of the agent.
#[derive(Debug)]
pub(super) struct Readiness {
    born: Instant,
    /// How long a screen must have been still.
    settle: Duration,
    /// It has echoed a prompt.
    is_proven: bool,
    /// It has asked for bracketed pastes.
    pastes: bool,
}

impl Readiness {
    pub(super) fn new(settle: Duration, now: Instant) -> Self {
        Self {
            born: now,
            settle,
            is_proven: false,
            pastes: false,
        }
    }

    /// Another life begins.
    pub(super) fn reset(&mut self, now: Instant) {
        *self = Self::new(self.settle, now);
    }

    pub(super) fn see(&mut self, scene: &Scene) {
        self.pastes |= scene.view.bracketed_paste;
    }

    /// It has echoed a prompt.
    pub(super) fn prove(&mut self) {
        self.is_proven = true;
    }

    pub(super) fn is_ready(&self, now: Instant, scene: &Scene) -> bool {
        let is_settled = now >= scene.still_since + self.settle;
        let is_old = now >= self.is_old_at();
        if scene.view.rows.iter().all(String::is_empty) {
            // Some ask for pastes long before they show anything.
            return false;
        }
        if scene.view.bracketed_paste {
            (self.is_proven && !scene.unsure) || is_settled || is_old
        } else {
            !self.pastes && is_settled && (self.is_proven || is_old)
        }
    }

    /// When it may be ready without news.
    pub(super) fn due(&self, still_since: Instant) -> [Instant; 2] {
        [still_since + self.settle, self.is_old_at()]
    }

    /// When a restless or a silent start was waited for long enough.
    fn is_old_at(&self) -> Instant {
        self.born + self.settle * 5
    }
}

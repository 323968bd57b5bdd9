//! What became of an Enter. Pure.
//!
//! *Invariant*: where the manifest knows the input line, a prompt counts as
//! taken only when that line no longer holds it, or when the agent has something
//! else in its place that only the prompt can have brought. A second Enter
//! follows only after the first was seen to choose a completion.

use std::time::{Duration, Instant};

use super::scene::Scene;
use crate::session::echo::Needle;

/// How long a reaction to Enter is waited for.
const REACTION: Duration = Duration::from_secs(3);

/// An Enter whose reaction is waited for.
#[derive(Debug)]
pub(super) struct Entered {
    until: Instant,
    /// The rows of the echo and below it, and the cursor, as last seen.
    rows: (Vec<String>, (u16, u16)),
    /// When they last changed.
    changed: Option<Instant>,
    before: Before,
    /// A list of completions was open.
    is_picking: bool,
    /// The line may hold more than the prompt afterwards: keys of the user's, or
    /// a line that was put aside.
    is_shared: bool,
    /// This is the second Enter.
    is_second: bool,
}

/// What was known before Enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// No input line is known.
    Unknown,
    /// The agent waited for a prompt.
    Idle,
    /// It worked on another.
    Working,
}

/// What Enter has done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing yet.
    Wait,
    /// It chose a completion, and the prompt still stands there.
    Chosen,
    /// The agent has taken the prompt.
    Taken,
    /// Nothing that can be told, in all the time.
    Lost,
}

impl Entered {
    pub(super) fn new(now: Instant, scene: &Scene, needle: &Needle, is_shared: bool) -> Self {
        let before = if !scene.verdict.is_known || scene.line.is_none() {
            Before::Unknown
        } else if scene.verdict.is_busy() {
            Before::Working
        } else {
            Before::Idle
        };
        Self {
            until: now + REACTION,
            rows: scene.echo_and_below(needle),
            changed: None,
            before,
            is_picking: scene.verdict.has_picker(),
            is_shared,
            is_second: false,
        }
    }

    /// The same after a second Enter.
    pub(super) fn again(now: Instant, scene: &Scene, needle: &Needle, is_shared: bool) -> Self {
        Self {
            is_second: true,
            ..Self::new(now, scene, needle, is_shared)
        }
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// When [`Entered::react`] may have something to say without news.
    pub(super) fn wake(&self) -> Instant {
        match self.changed {
            Some(at) if self.is_picking && !self.is_second => self.until.min(at + SETTLED),
            _ => self.until,
        }
    }

    /// The user has typed since.
    pub(super) fn share(&mut self) {
        self.is_shared = true;
    }

    /// What Enter has done by now.
    pub(super) fn react(&mut self, now: Instant, scene: &Scene, needle: &Needle) -> Reaction {
        let rows = scene.echo_and_below(needle);
        if rows != self.rows {
            self.rows = rows;
            self.changed = Some(now);
        }
        self.is_picking |= scene.verdict.has_picker();
        let is_asked = scene.dialog().is_some();
        let line = scene.line.filter(|_| !is_asked);
        let is_over = now >= self.until;
        let is_taken = match (self.before, line) {
            (Before::Unknown, _) => self.changed.is_some(),
            (_, Some(line)) => {
                let is_ours = !self.is_shared || self.is_picking || needle.is_in(&line.text);
                !(line.is_filled && is_ours)
            }
            // The question may be one of the work before.
            (Before::Working, None) => {
                is_over && self.changed.is_some() && !is_asked && scene.works
            }
            (Before::Idle, None) => {
                self.changed.is_some() && !self.is_picking && (is_asked || scene.works)
            }
        };
        let has_settled = self.changed.is_some_and(|at| now >= at + SETTLED);
        if is_taken {
            Reaction::Taken
        } else if line.is_some() && has_settled && self.has_chosen(scene) {
            Reaction::Chosen
        } else if is_over {
            Reaction::Lost
        } else {
            Reaction::Wait
        }
    }

    fn has_chosen(&self, scene: &Scene) -> bool {
        self.before != Before::Unknown
            && self.is_picking
            && !self.is_second
            && !self.is_shared
            && !scene.verdict.has_picker()
    }
}

/// How long a line must stand unchanged after a completion was chosen.
const SETTLED: Duration = Duration::from_millis(300);

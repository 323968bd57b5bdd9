//! The user's unfinished line, and for how long it is spared. Pure.

use std::time::{Duration, Instant};

use crate::session::draft::Draft;

/// After this long an escape that nothing follows is a key of its own.
const LONE_ESCAPE: Duration = Duration::from_millis(50);

/// The line, as the keys tell of it.
#[derive(Debug)]
pub(super) struct Line {
    draft: Draft,
    /// For how long it is spared.
    patience: Duration,
    /// Since when it holds up a prompt.
    since: Option<Instant>,
    /// The agent was to put it aside, and did not.
    is_kept: bool,
    last_byte: Option<Instant>,
    /// The last that was no answer of the terminal.
    last_key: Option<Instant>,
}

impl Line {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            draft: Draft::default(),
            patience,
            since: None,
            is_kept: false,
            last_byte: None,
            last_key: None,
        }
    }

    /// Follows the user's bytes. True if a key was among them.
    pub(super) fn follow(&mut self, now: Instant, bytes: &[u8]) -> bool {
        let keys = self.draft.follow(bytes);
        self.last_byte = Some(now);
        if keys {
            self.last_key = Some(now);
            self.is_kept = false;
        }
        keys
    }

    /// Another agent has no line yet.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::new(self.patience);
    }

    /// True if something stands there, or a key is not complete.
    pub(super) fn is_begun(&mut self, now: Instant) -> bool {
        if self.escape_ends().is_some_and(|end| now >= end) {
            self.draft.end_escape();
        }
        !self.draft.is_empty() || self.draft.is_split()
    }

    /// When a lone escape, if there is one, has become a key.
    pub(super) fn escape_ends(&self) -> Option<Instant> {
        self.last_byte.map(|last| last + LONE_ESCAPE)
    }

    /// How often it was emptied.
    pub(super) fn cleared(&self) -> u64 {
        self.draft.cleared()
    }

    /// It holds up a prompt, or nothing does.
    pub(super) fn holds_up(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(super) fn is_out_of_the_way(&mut self) {
        self.since = None;
    }

    /// When it was spared for long enough: counted from the user's last key.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let last = self.last_key.map_or(since, |key| key.max(since));
        Some(last + self.patience)
    }

    /// True if the agent may be made to put it aside.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|due| now >= due) && !self.is_kept && !self.draft.is_split()
    }

    /// The agent has put it aside.
    pub(super) fn stash(&mut self) {
        self.draft.stash();
    }

    /// The agent has not.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// The agent has submitted a prompt, and gives back what it put aside.
    pub(super) fn give_back(&mut self) {
        self.draft.give_back();
    }

    /// It was guessed from the keys, and is not there to see.
    pub(super) fn forget(&mut self) {
        self.draft.forget();
    }
}

//! The user's unfinished line, and for how long it is spared. Pure.

use std::time::{Duration, Instant};

use crate::session::draft::{Draft, Guess};

/// After this long an escape that nothing follows is a key of its own.
pub(super) const LONE_ESCAPE: Duration = Duration::from_millis(50);

/// How long the rest of any other key may take.
const REST: Duration = Duration::from_secs(1);

/// So long after the user's last key an agent that has read it shows what came
/// of it.
const SHOWN: Duration = Duration::from_secs(1);

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
    /// What the first keys of a line make of it, until it is known where they
    /// went.
    guess: Option<Guess>,
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
            guess: None,
        }
    }

    /// Follows the user's bytes, which go into a question if one `is_asked`.
    /// True if a key was among them.
    pub(super) fn follow(&mut self, now: Instant, bytes: &[u8], is_asked: bool) -> bool {
        if self.escape_ends().is_some_and(|end| now >= end) {
            self.draft.end_escape();
        }
        let was_empty = self.draft.is_empty();
        let keys = if is_asked {
            self.draft.pass(bytes)
        } else {
            self.draft.follow(bytes)
        };
        if was_empty && !self.draft.is_empty() {
            self.guess = Some(self.draft.guess());
        }
        self.last_byte = Some(now);
        if keys {
            self.last_key = Some(now);
            self.is_kept = false;
        }
        keys
    }

    /// What the first keys of a line were guessed to make of it, told once: who
    /// knows that a question was open may take it back.
    pub(super) fn take_guess(&mut self) -> Option<Guess> {
        self.guess.take()
    }

    /// What is guessed at this moment.
    pub(super) fn guess(&self) -> Guess {
        self.draft.guess()
    }

    /// The keys since then went into a question.
    pub(super) fn restore(&mut self, guess: Guess) {
        self.draft.restore(guess);
    }

    /// Those keys went into a question.
    pub(super) fn forget_guess(&mut self, guess: Guess) {
        self.draft.forget_guess(guess);
    }

    /// Another agent has no line yet.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.patience);
    }

    /// True if something stands there, or a key is not complete.
    pub(super) fn is_begun(&self, now: Instant) -> bool {
        !self.draft.is_empty() || self.is_split(now)
    }

    fn is_split(&self, now: Instant) -> bool {
        let has_ended = self.escape_ends().is_some_and(|end| now >= end);
        self.draft.is_split() && !(has_ended && self.draft.is_escape())
    }

    /// Until when what may be the rest of a key is waited for; None: all keys are
    /// complete.
    pub(super) fn splits_until(&self, now: Instant) -> Option<Instant> {
        let last = self.last_byte.filter(|_| self.is_split(now))?;
        Some(last + REST)
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
        self.due().is_some_and(|due| now >= due) && !self.is_kept && !self.is_split(now)
    }

    /// True if the user has pressed no key since.
    pub(super) fn is_quiet_since(&self, at: Instant) -> bool {
        self.last_key.is_none_or(|key| key <= at)
    }

    /// When the agent, if it reads, has shown what the last key did.
    pub(super) fn shown_at(&self) -> Option<Instant> {
        self.last_key.map(|last| last + SHOWN)
    }

    /// The input line is seen empty by an agent that has read everything. What
    /// was guessed from the keys is not there, unless they are too young.
    pub(super) fn see_empty(&mut self, now: Instant) {
        if self.shown_at().is_none_or(|at| now >= at) {
            self.draft.forget();
        }
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

    /// True if the agent has put a line aside that it will give back.
    pub(super) fn is_stashed(&self) -> bool {
        self.draft.is_stashed()
    }
}

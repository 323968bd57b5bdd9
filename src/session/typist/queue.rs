//! The prompts that wait for their turn: first come, first served, but that who
//! waits for an idle agent holds up nobody else. Pure.
//!
//! *Invariant*: a prompt leaves with exactly one receipt, and nothing of it is
//! typed afterwards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::scene::Scene;
use crate::session::echo::{Needle, Places};
use crate::session::receipt::{Options, Outcome, PromptId, Reason, Receipt, Stage};
use crate::terminal::keys;
use crate::types::prompt::Wait;
use crate::types::text::one_line;

/// How many prompts may wait.
pub(super) const QUEUE: usize = 256;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Queue<T>(VecDeque<Prompt<T>>);

#[derive(Debug)]
pub(super) struct Prompt<T> {
    pub(super) line: String,
    pub(super) needle: Needle,
    pub(super) wait: Wait,
    /// It is not typed from then on.
    pub(super) deadline: Option<Instant>,
    pub(super) not_before: Instant,
    /// The attempt whose echo may still come.
    pub(super) pasted: Option<Pasted>,
    attempts: u32,
    withdrawn: bool,
    receipt: Receipt,
    /// The receipt says what nobody was told yet.
    news: bool,
    ticket: T,
}

/// An attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pasted {
    pub(super) at: Instant,
    /// Where the same text stood before.
    pub(super) before: Places,
    /// How often the user's line was emptied by then.
    pub(super) cleared: u64,
}

impl<T> Queue<T> {
    pub(super) fn push(
        &mut self,
        now: Instant,
        id: PromptId,
        (text, options): (&str, Options),
        ticket: T,
    ) -> Option<(T, Receipt)> {
        let mut receipt = Receipt::new(id, now);
        let line = one_line(text, usize::MAX);
        let refusal = match line.chars().count() {
            0 => Some(Reason::Nothing),
            length if length > keys::MAX_PROMPT => Some(Reason::TooLong),
            _ if self.0.len() >= QUEUE => Some(Reason::TooMany),
            _ => None,
        };
        if let Some(reason) = refusal {
            receipt.end(now, Outcome::Refused(reason));
            return Some((ticket, receipt));
        }
        let is_behind = !self.0.is_empty();
        receipt.stage = Stage::Queued(is_behind.then_some(Reason::Behind));
        self.0.push_back(Prompt {
            needle: Needle::of(&line),
            line,
            wait: options.wait,
            deadline: options.timeout.and_then(|timeout| now.checked_add(timeout)),
            not_before: now,
            pasted: None,
            attempts: 0,
            withdrawn: false,
            receipt,
            news: is_behind,
            ticket,
        });
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn front(&self) -> Option<&Prompt<T>> {
        self.0.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Prompt<T>> {
        self.0.front_mut()
    }

    /// The first prompt has ended like that.
    pub(super) fn finish(&mut self, now: Instant, outcome: Outcome) -> Option<(T, Receipt)> {
        let first = self.0.pop_front()?;
        Some(first.end(now, outcome))
    }

    /// The next of those from `first` on whose time is over.
    pub(super) fn expire(&mut self, now: Instant, first: usize) -> Option<(T, Receipt)> {
        let is_over = |prompt: &Prompt<T>| prompt.deadline.is_some_and(|at| now >= at);
        let index = first + self.0.iter().skip(first).position(is_over)?;
        let holds_up = self.0.front()?.receipt.reason().cloned();
        let prompt = self.0.remove(index)?;
        let reason = match holds_up {
            _ if prompt.withdrawn => Reason::Withdrawn,
            Some(reason) => reason,
            None if index > 0 => Reason::Behind,
            None => Reason::Timeout,
        };
        // What the agent has been given may still come to stand in its input.
        let outcome = if prompt.pasted.is_some() {
            Outcome::Unknown(reason)
        } else {
            Outcome::Refused(reason)
        };
        Some(prompt.end(now, outcome))
    }

    /// When [`Queue::expire`] is due.
    pub(super) fn expires_at(&self, first: usize) -> Option<Instant> {
        let waiting = self.0.iter().skip(first);
        waiting.filter_map(|prompt| prompt.deadline).min()
    }

    /// The time of this prompt is over; an attempt that is under way is
    /// finished.
    pub(super) fn withdraw(&mut self, now: Instant, id: PromptId) {
        let of_that_id = |prompt: &&mut Prompt<T>| prompt.receipt.id == id;
        if let Some(prompt) = self.0.iter_mut().find(of_that_id) {
            prompt.withdrawn = true;
            prompt.deadline = Some(now);
        }
    }

    /// True if the agent has or may have got something of this prompt; the
    /// first so many are under way.
    pub(super) fn is_typed(&self, id: PromptId, under_way: usize) -> bool {
        let mut prompts = self.0.iter().enumerate();
        let of_that_id = |(_, prompt): &(usize, &Prompt<T>)| prompt.receipt.id == id;
        let found = prompts.find(of_that_id);
        found.is_some_and(|(at, prompt)| at < under_way || prompt.pasted.is_some())
    }

    /// Has the first prompt that needs no idle agent go before one that does,
    /// and of which nothing was typed. False if there is none.
    pub(super) fn let_pass(&mut self) -> bool {
        if self.0.front().is_none_or(|first| first.pasted.is_some()) {
            return false;
        }
        let needs_no_idleness = |prompt: &Prompt<T>| prompt.wait == Wait::Busy;
        let passing = self.0.iter().position(needs_no_idleness);
        let passing = passing.and_then(|at| self.0.remove(at));
        passing.map(|prompt| self.0.push_front(prompt)).is_some()
    }

    /// What is to be told of the first prompt, or of the next that was queued.
    pub(super) fn news(&mut self) -> Option<(&T, &Receipt)> {
        let prompt = self.0.iter_mut().find(|prompt| prompt.news)?;
        prompt.news = false;
        Some((&prompt.ticket, &prompt.receipt))
    }
}

impl<T> Prompt<T> {
    /// True if the last attempt stands on the screen.
    pub(super) fn is_on_screen(&self, scene: &Scene) -> bool {
        let before = self.pasted.map(|pasted| pasted.before);
        before.is_some_and(|before| scene.shows(&self.needle, before))
    }

    /// True if the agent has answered to it by showing it.
    pub(super) fn is_echoed(&self, scene: &Scene) -> bool {
        self.needle.is_in(scene.printed) && self.is_on_screen(scene)
    }

    /// How much longer than with a short prompt an agent may take: those that
    /// were measured read some thousand characters in 300 ms.
    pub(super) fn reading(&self) -> Duration {
        const SHORT: usize = 2000;
        const PER_MS: usize = 20;
        let longer = self.line.len().saturating_sub(SHORT) / PER_MS;
        Duration::from_millis(longer.try_into().unwrap_or(u64::MAX))
    }

    /// It waits for that.
    pub(super) fn waits(&mut self, reason: Reason) {
        self.set(match self.receipt.stage {
            Stage::Typing(_) => Stage::Typing(Some(reason)),
            _ => Stage::Queued(Some(reason)),
        });
    }

    /// It is pasted.
    pub(super) fn paste(&mut self, pasted: Pasted) {
        self.receipt.typed = Some(pasted.at);
        self.attempts += 1;
        self.pasted = Some(pasted);
        self.set(Stage::Typing(None));
    }

    /// Its echo was seen.
    pub(super) fn is_shown(&mut self) {
        self.set(Stage::Typing(None));
    }

    pub(super) fn enter(&mut self, now: Instant) {
        self.receipt.entered = Some(now);
    }

    /// An attempt came to nothing; the next one follows after a pause, which
    /// grows.
    pub(super) fn pause(&mut self, now: Instant) {
        let pause = Duration::from_secs(1) * 2u32.pow(self.attempts.clamp(1, 6) - 1);
        self.not_before = now + pause.min(LONGEST_PAUSE);
        tracing::debug!(attempt = self.attempts, ?pause, "a prompt was not echoed");
    }

    /// The agent that was typed to is gone, with what it was given.
    pub(super) fn starts_again(&mut self, now: Instant) {
        self.pasted = None;
        self.attempts = 0;
        self.not_before = now;
        self.receipt.typed = None;
        self.set(Stage::Queued(Some(Reason::Starting)));
    }

    fn set(&mut self, stage: Stage) {
        if self.receipt.stage != stage {
            self.receipt.stage = stage;
            self.news = true;
        }
    }

    fn end(mut self, now: Instant, outcome: Outcome) -> (T, Receipt) {
        self.receipt.end(now, outcome);
        (self.ticket, self.receipt)
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

//! The prompts that wait for their turn: first come, first served, but that who
//! waits for an idle agent holds up nobody else. Pure.
//!
//! *Invariant*: a prompt leaves with exactly one receipt, and nothing of it is
//! typed afterwards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::pasted::Pasted;
use super::scene::Scene;
use crate::session::echo::Needle;
use crate::session::habits::{Habits, Written};
use crate::session::receipt::{Options, Outcome, PromptId, Reason, Receipt, Stage};
use crate::terminal::keys;
use crate::types::prompt::Wait;

/// How many prompts may wait.
pub(super) const QUEUE: usize = 256;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a paste that has come, and is not known for what it is, may still
/// become an echo.
const STRANGE: Duration = Duration::from_secs(10);

/// How long pastes of which nothing is seen are tried again.
const IN_VAIN: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Queue<T>(VecDeque<Prompt<T>>);

#[derive(Debug)]
pub(super) struct Prompt<T> {
    pub(super) text: String,
    pub(super) needle: Needle,
    pub(super) wait: Wait,
    /// It is not typed from then on.
    pub(super) deadline: Option<Instant>,
    pub(super) not_before: Instant,
    /// The attempt whose echo may still come.
    pub(super) pasted: Option<Pasted>,
    attempts: u32,
    /// The first of them.
    tried: Option<Instant>,
    withdrawn: bool,
    receipt: Receipt,
    /// The receipt says what nobody was told yet.
    news: bool,
    ticket: T,
}

impl<T> Queue<T> {
    pub(super) fn push(
        &mut self,
        now: Instant,
        id: PromptId,
        (text, options): (&str, Options),
        (habits, ticket): (&Habits, T),
    ) -> Option<(T, Receipt)> {
        let mut receipt = Receipt::new(id, now);
        let (written, needle) = match self.admit(text, habits) {
            Ok(admitted) => admitted,
            Err(reason) => {
                receipt.end(now, Outcome::Refused(reason));
                return Some((ticket, receipt));
            }
        };
        receipt.joined = written.joined;
        let is_behind = !self.0.is_empty();
        receipt.stage = Stage::Queued(is_behind.then_some(Reason::Behind));
        self.0.push_back(Prompt {
            needle,
            text: written.text,
            wait: options.wait,
            deadline: options.timeout.and_then(|timeout| now.checked_add(timeout)),
            not_before: now,
            pasted: None,
            attempts: 0,
            tried: None,
            withdrawn: false,
            receipt,
            news: is_behind,
            ticket,
        });
        None
    }

    /// The text as it is to be pasted, and what shows it.
    fn admit(&self, text: &str, habits: &Habits) -> Result<(Written, Needle), Reason> {
        let written = habits.write(text).map_err(Reason::Leading)?;
        let needle = Needle::of(&written.text);
        if needle.is_empty() {
            Err(Reason::Nothing)
        } else if written.text.chars().count() > keys::MAX_PROMPT {
            Err(Reason::TooLong)
        } else if self.0.len() >= QUEUE {
            Err(Reason::TooMany)
        } else {
            Ok((written, needle))
        }
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

    /// The next of those from `first` on whose time is over, with what it may
    /// have left in the line.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        first: usize,
    ) -> Option<(Option<Pasted>, (T, Receipt))> {
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
        Some((prompt.pasted.clone(), prompt.end(now, outcome)))
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
        let before = self.pasted.as_ref().map(|pasted| pasted.before);
        before.is_some_and(|before| scene.shows(&self.needle, before))
    }

    /// True if the agent has answered to it by showing it: it has printed it, or
    /// shows it in an input line that was empty before. Some print only the
    /// cells that are other than before.
    pub(super) fn is_echoed(&self, scene: &Scene) -> bool {
        let was_empty = self.pasted.as_ref().is_some_and(Pasted::was_empty);
        let is_filled = scene.line.is_some_and(|line| line.is_filled);
        self.is_on_screen(scene) && (was_empty && is_filled || self.needle.is_in(scene.printed))
    }

    /// When an attempt of which no echo was seen is given up for good.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        let pasted = self.pasted.as_ref()?;
        if pasted.has_come {
            Some(pasted.at + STRANGE + self.reading())
        } else {
            self.tried.map(|tried| tried + IN_VAIN)
        }
    }

    /// How much longer than with a short prompt an agent may take: those that
    /// were measured read some thousand characters in 300 ms.
    pub(super) fn reading(&self) -> Duration {
        const SHORT: usize = 2000;
        const PER_MS: usize = 20;
        let longer = self.text.len().saturating_sub(SHORT) / PER_MS;
        Duration::from_millis(longer.try_into().unwrap_or(u64::MAX))
    }

    /// What it waits for.
    pub(super) fn reason(&self) -> Option<&Reason> {
        self.receipt.reason()
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
        self.tried.get_or_insert(pasted.at);
        self.pasted = Some(pasted);
        self.set(Stage::Typing(None));
    }

    /// Its echo was seen.
    pub(super) fn is_shown(&mut self) {
        if let Some(pasted) = &mut self.pasted {
            pasted.is_shown = true;
        }
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
        tracing::info!(id = %self.receipt.id, attempt = self.attempts, ?pause, "a prompt was not echoed");
    }

    /// The agent that was typed to is gone, with what it was given.
    pub(super) fn starts_again(&mut self, now: Instant) {
        self.pasted = None;
        self.attempts = 0;
        self.tried = None;
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

//! Types prompts into an agent, one at a time, as a state machine. Pure.
//!
//! Enter answers whatever question is open, and a question may be "may I run
//! this command?". So a prompt is pasted, which no known dialog takes; only
//! when the agent shows it, in its output and on its screen, Enter follows.
//! A paste that is not shown went nowhere, and is tried again later.
//!
//! *Invariant*: Enter is never pressed without the echo, nor with a dialog
//! open; nothing is typed into a line that the user has begun; once Enter was
//! pressed a prompt is never typed again, and one that was refused was never
//! typed; no other key is ever pressed, but for those by which the agent puts
//! the user's line aside.

mod attempt;
mod entered;
mod line;
mod pasted;
mod phase;
mod queue;
mod readiness;
mod scene;

use std::time::{Duration, Instant};

use super::draft::Guess;
use super::habits::Habits;
use super::receipt::{Options, Outcome, PromptId, Reason, Receipt};
use crate::types::agent::Pacing;
use crate::types::prompt::Wait;
use entered::Reaction;
use line::{LONE_ESCAPE, Line};
use pasted::Pasted;
use phase::Phase;
use queue::Queue;
use readiness::Readiness;
pub use scene::{Act, Scene};

/// How long a user who types has to wait for an echo that does not come.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long an agent may leave a paste unread.
const UNREAD: Duration = Duration::from_secs(60);

/// How often an agent that does not read is looked at.
const POLL: Duration = Duration::from_millis(200);

/// How long an agent may take to show what it has read.
const SHOWING: Duration = Duration::from_secs(1);

/// How late the picture of a busy screen may be.
const STALL: Duration = Duration::from_millis(500);

/// The typist of one session, over all lives of its agent. `T` is whatever
/// tells the asker.
#[derive(Debug)]
pub struct Typist<T> {
    pacing: Pacing,
    habits: Habits,
    queue: Queue<T>,
    phase: Phase,
    line: Line,
    /// The user's keys that wait.
    held: Vec<u8>,
    /// What the line was guessed to hold before them.
    before_held: Option<Guess>,
    readiness: Readiness,
    /// What a prompt of which the outcome is unknown may have left in the line.
    leftover: Option<Pasted>,
    last: Last,
}

/// What was last seen, while prompts wait.
#[derive(Debug, Default)]
struct Last {
    /// A question is open.
    is_asked: bool,
    /// When the agent had yet to read something.
    unread: Option<Instant>,
}

impl<T> Typist<T> {
    #[must_use]
    pub fn new(pacing: Pacing, habits: Habits, now: Instant) -> Self {
        Self {
            habits,
            queue: Queue::default(),
            phase: Phase::Resting,
            line: Line::new(pacing.draft_wait),
            held: Vec::new(),
            before_held: None,
            readiness: Readiness::new(pacing.settle, now),
            pacing,
            leftover: None,
            last: Last::default(),
        }
    }

    /// Queues a prompt. Gives the ticket back with a receipt if it is refused.
    pub fn push(
        &mut self,
        now: Instant,
        id: PromptId,
        prompt: (&str, Options),
        ticket: T,
    ) -> Option<(T, Receipt)> {
        self.queue.push(now, id, prompt, (&self.habits, ticket))
    }

    /// True if a prompt waits or is being typed: scenes are wanted.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// True if the next prompt waits for an agent that does nothing.
    #[must_use]
    pub fn wants_idleness(&self) -> bool {
        let first = self.queue.front();
        first.is_some_and(|prompt| prompt.wait == Wait::Idle)
    }

    /// Takes a prompt back; [`Typist::expire`] tells what became of it.
    pub fn withdraw(&mut self, now: Instant, id: PromptId) {
        self.queue.withdraw(now, id);
    }

    /// Takes a prompt back of which nothing was typed.
    pub fn recall(&mut self, now: Instant, id: PromptId) {
        if !self.queue.is_typed(id, self.under_way()) {
            self.queue.withdraw(now, id);
        }
    }

    /// Takes out a prompt whose time is over. An attempt that is under way is
    /// finished first, which takes seconds.
    pub fn expire(&mut self, now: Instant) -> Option<(T, Receipt)> {
        let (left, told) = self.queue.expire(now, self.under_way())?;
        if left.is_some() {
            self.leftover = left;
        }
        Some(told)
    }

    /// When [`Typist::expire`] is due.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.queue.expires_at(self.under_way())
    }

    /// A prompt that has come further or waits for something else, and how it
    /// stands; call until there is none.
    pub fn news(&mut self) -> Option<(&T, &Receipt)> {
        self.queue.news()
    }

    /// Follows what the user's terminal sent, and gives back what of it goes
    /// to the agent now; the rest is held until a prompt is out of the way.
    pub fn user(&mut self, now: Instant, bytes: &[u8]) -> Vec<u8> {
        let is_asked = self.is_busy() && self.last.is_asked;
        let before = self.line.guess();
        let keys = self.line.follow(now, bytes, is_asked);
        let holds = match &mut self.phase {
            Phase::Stashing(_) | Phase::Pasted(_) | Phase::Echoed(_) => {
                keys || !self.held.is_empty()
            }
            Phase::Entered(entered) if keys => {
                entered.share();
                false
            }
            Phase::Resting | Phase::Entered(_) => false,
        };
        if !holds {
            return bytes.to_vec();
        }
        if let Phase::Stashing(until) | Phase::Pasted(until) = &mut self.phase
            && self.held.is_empty()
        {
            *until = (*until).min(now + PATIENCE);
        }
        if self.held.is_empty() {
            self.before_held = Some(before);
        }
        self.held.extend_from_slice(bytes);
        Vec::new()
    }

    /// What the keys that began a line were guessed to make of it, told once.
    /// Look at the screen as it was before the agent got them: if a question
    /// was open, [`Typist::keys_were_an_answer`].
    pub fn take_guess(&mut self) -> Option<Guess> {
        self.line.take_guess()
    }

    /// Those keys went into a question, and are no draft.
    pub fn keys_were_an_answer(&mut self, guess: Guess) {
        self.line.forget_guess(guess);
    }

    /// Why a prompt would wait now, for whoever asks: what the first of those
    /// that wait already waits for, or what speaks against another.
    pub fn waits_for(&mut self, now: Instant, scene: &Scene) -> Option<Reason> {
        self.look(now, scene);
        match self.queue.front() {
            Some(first) => Some(first.reason().cloned().unwrap_or(Reason::Behind)),
            None => self.obstacle(now, scene),
        }
    }

    /// The agent has taken everything that was typed.
    pub fn written(&mut self, now: Instant) {
        if let Phase::Pasted(_) = self.phase
            && self.held.is_empty()
        {
            self.expect_echo(now);
        }
    }

    /// True if an echo should have come by now, and nobody waits but we.
    #[must_use]
    pub fn is_overdue(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Pasted(until) if now >= until) && self.held.is_empty()
    }

    /// The agent has yet to read what was pasted (it starts, or the machine is
    /// busy): a second paste would only stand behind the first. The time of the
    /// echo begins again, unless it never reads at all.
    pub fn unread(&mut self, now: Instant) {
        let prompt = self.queue.front();
        let pasted = prompt.and_then(|prompt| prompt.pasted.as_ref());
        if pasted.is_some_and(|pasted| now < pasted.at + UNREAD) {
            self.expect_echo(now);
        }
    }

    /// A new life of the agent has begun.
    pub fn agent_started(&mut self, now: Instant) {
        self.readiness.reset(now);
        self.line.reset();
        self.leftover = None;
    }

    /// The agent has ended. A prompt whose Enter was pressed is lost track of;
    /// any other waits for the next life.
    pub fn agent_ended(&mut self, now: Instant) -> Option<(T, Receipt)> {
        self.held.clear();
        self.leftover = None;
        if let Phase::Entered(_) = std::mem::replace(&mut self.phase, Phase::Resting) {
            return self.queue.finish(now, Outcome::Unknown(Reason::Died));
        }
        if let Some(prompt) = self.queue.front_mut() {
            prompt.starts_again(now);
        }
        None
    }

    /// There will be no agent any more: refuses everything that waits.
    pub fn close(&mut self, now: Instant) -> Vec<(T, Receipt)> {
        let refused = || Outcome::Refused(Reason::AgentExited);
        std::iter::from_fn(|| self.queue.finish(now, refused())).collect()
    }

    /// When [`Typist::step`] may have something to do without news: after `now`,
    /// when it was last called.
    #[must_use]
    pub fn wake(&self, now: Instant, still_since: Instant) -> Option<Instant> {
        let prompt = self.queue.front()?;
        if let Some(at) = self.phase.wake() {
            return Some(at);
        }
        let [settled, patient] = self.readiness.due(still_since);
        [
            Some(prompt.not_before),
            Some(settled),
            Some(patient),
            self.line.escape_ends(),
            self.line.due(),
            self.line.shown_at(),
            prompt.gives_up_at(),
            self.last.unread.map(|_| now + POLL),
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > now)
        .min()
    }

    /// What to do without a scene: nothing, unless it fails to come for so long
    /// after a step was due that the user's keys can wait no longer.
    pub fn stall(&mut self, now: Instant) -> Option<Act<T>> {
        if self.stalls_at().is_none_or(|at| now < at) {
            return None;
        }
        match self.phase {
            Phase::Resting => None,
            Phase::Stashing(_) => {
                self.line.keep();
                self.release()
            }
            Phase::Pasted(_) | Phase::Echoed(_) => self.give_up(now, Reason::Unshown),
            Phase::Entered(_) => self.conclude(now, Outcome::Unknown(Reason::Unseen)),
        }
    }

    /// When [`Typist::stall`] is due.
    #[must_use]
    pub fn stalls_at(&self) -> Option<Instant> {
        self.phase.until().map(|until| until + STALL)
    }

    /// Looks, and says what to do, if anything.
    pub fn step(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        self.look(now, scene);
        let prompt = self.queue.front_mut()?;
        match &mut self.phase {
            Phase::Resting => self.begin(now, scene),
            Phase::Stashing(_) if scene.is_empty() => {
                self.line.stash();
                self.paste(now, scene)
            }
            Phase::Stashing(until) => {
                if now < *until && scene.dialog().is_none() {
                    return None;
                }
                self.line.keep();
                self.release()
            }
            Phase::Pasted(until) => {
                if let Some(dialog) = scene.dialog() {
                    return self.give_up(now, dialog);
                }
                if prompt.is_echoed(scene) {
                    self.readiness.prove();
                    return self.prepare_enter(now);
                }
                if let Some(pasted) = &mut prompt.pasted
                    && pasted.is_changed(scene)
                {
                    pasted.has_come = true;
                }
                (now >= *until).then(|| self.give_up(now, Reason::Unshown))?
            }
            Phase::Echoed(due) => {
                if let Some(dialog) = scene.dialog() {
                    return self.give_up(now, dialog);
                }
                if !prompt.is_on_screen(scene) {
                    return self.give_up(now, Reason::Unshown);
                }
                if now < *due {
                    return None;
                }
                // Behind an escape Enter would be another key.
                match self.line.splits_until(now) {
                    None => self.enter(now, scene),
                    Some(end) if now < end => {
                        *due = end.min(now + LONE_ESCAPE);
                        None
                    }
                    Some(_) => self.give_up(now, Reason::Draft),
                }
            }
            Phase::Entered(entered) => match entered.react(now, scene, &prompt.needle) {
                Reaction::Wait => None,
                Reaction::Chosen => self.enter_again(now, scene),
                Reaction::Taken => self.conclude(now, Outcome::Submitted),
                Reaction::Lost => self.conclude(now, Outcome::Unknown(Reason::NoReaction)),
            },
        }
    }

    /// Learns from what is seen, whatever is under way.
    fn look(&mut self, now: Instant, scene: &Scene) {
        self.readiness.see(scene);
        self.last.is_asked = scene.dialog().is_some();
        if scene.unread {
            self.last.unread = Some(now);
        } else {
            // What it has read it is yet to show.
            self.last.unread.take_if(|at| now >= *at + SHOWING);
        }
        if !matches!(self.phase, Phase::Resting) {
            return;
        }
        if self.last.unread.is_some() {
            return;
        }
        if scene.is_seen_empty() {
            self.line.see_empty(now);
        }
        let cleared = self.line.cleared();
        let is_gone = |left: &mut Pasted| left.is_gone(scene, cleared);
        self.leftover.take_if(is_gone);
    }
}

#[cfg(test)]
mod tests;

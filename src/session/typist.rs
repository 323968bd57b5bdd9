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
mod line;
mod phase;
mod queue;
mod readiness;
mod scene;

use std::time::{Duration, Instant};

use super::receipt::{Options, Outcome, PromptId, Reason, Receipt};
use crate::types::agent::Pacing;
use crate::types::prompt::Wait;
use line::Line;
use phase::Phase;
use queue::Queue;
use readiness::Readiness;
pub use scene::{Act, Scene};

/// How long a user who types has to wait for an echo that does not come.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long an agent may leave a paste unread.
const UNREAD: Duration = Duration::from_secs(60);

/// How late the picture of a busy screen may be.
const STALL: Duration = Duration::from_millis(500);

/// The typist of one session, over all lives of its agent. `T` is whatever
/// tells the asker.
#[derive(Debug)]
pub struct Typist<T> {
    pacing: Pacing,
    queue: Queue<T>,
    phase: Phase,
    line: Line,
    /// The user's keys that wait.
    held: Vec<u8>,
    readiness: Readiness,
}

impl<T> Typist<T> {
    #[must_use]
    pub fn new(pacing: Pacing, now: Instant) -> Self {
        Self {
            queue: Queue::default(),
            phase: Phase::Resting,
            line: Line::new(pacing.draft_wait),
            held: Vec::new(),
            readiness: Readiness::new(pacing.settle, now),
            pacing,
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
        self.queue.push(now, id, prompt, ticket)
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
        self.queue.expire(now, self.under_way())
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
        let keys = self.line.follow(now, bytes);
        let holds = match self.phase {
            Phase::Stashing(_) | Phase::Pasted(_) | Phase::Echoed(_) => {
                keys || !self.held.is_empty()
            }
            Phase::Resting | Phase::Entered(..) => false,
        };
        if !holds {
            return bytes.to_vec();
        }
        if let Phase::Stashing(until) | Phase::Pasted(until) = &mut self.phase
            && self.held.is_empty()
        {
            *until = (*until).min(now + PATIENCE);
        }
        self.held.extend_from_slice(bytes);
        Vec::new()
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
    /// echo begins anew, unless it never reads at all.
    pub fn unread(&mut self, now: Instant) {
        let prompt = self.queue.front();
        let pasted = prompt.and_then(|prompt| prompt.pasted);
        if pasted.is_some_and(|pasted| now < pasted.at + UNREAD) {
            self.expect_echo(now);
        }
    }

    /// A new life of the agent has begun.
    pub fn agent_started(&mut self, now: Instant) {
        self.readiness.begin_anew(now);
        self.line.begin_anew();
    }

    /// The agent has ended. A prompt whose Enter was pressed is lost track of;
    /// any other waits for the next life.
    pub fn agent_ended(&mut self, now: Instant) -> Option<(T, Receipt)> {
        self.held.clear();
        if let Phase::Entered(..) = std::mem::replace(&mut self.phase, Phase::Resting) {
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
        if let Some(until) = self.phase.until() {
            return Some(until);
        }
        let [settled, patient] = self.readiness.due(still_since);
        [
            Some(prompt.not_before),
            Some(settled),
            Some(patient),
            self.line.escape_ends(),
            self.line.due(),
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
            Phase::Entered(..) => self.conclude(now, Outcome::Unknown(Reason::Unseen)),
        }
    }

    /// When [`Typist::stall`] is due.
    #[must_use]
    pub fn stalls_at(&self) -> Option<Instant> {
        self.phase.until().map(|until| until + STALL)
    }

    /// Looks, and says what to do, if anything.
    pub fn step(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        self.readiness.see(scene);
        let prompt = self.queue.front()?;
        match &self.phase {
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
                (now >= *until).then(|| self.give_up(now, Reason::Unshown))?
            }
            Phase::Echoed(due) => {
                if let Some(dialog) = scene.dialog() {
                    return self.give_up(now, dialog);
                }
                if !prompt.is_on_screen(scene) {
                    return self.give_up(now, Reason::Unshown);
                }
                (now >= *due).then(|| self.enter(now, scene))?
            }
            Phase::Entered(until, seen) => {
                if scene.echo_and_below(&prompt.needle) != *seen {
                    self.conclude(now, Outcome::Submitted)
                } else if now >= *until {
                    self.conclude(now, Outcome::Unknown(Reason::NoReaction))
                } else {
                    None
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

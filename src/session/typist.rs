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

mod line;
mod phase;
mod queue;
mod readiness;
mod scene;

use std::time::{Duration, Instant};

use super::receipt::{Options, Outcome, PromptId, Reason, Receipt};
use crate::terminal::keys;
use crate::types::agent::Pacing;
use crate::types::prompt::Wait;
use line::Line;
use phase::Phase;
use queue::{Pasted, Prompt, Queue};
use readiness::Readiness;
pub use scene::{Act, Scene};

/// How long a reaction to Enter is waited for.
const REACTION: Duration = Duration::from_secs(3);

/// How long a user who types has to wait for an echo that does not come.
const PATIENCE: Duration = Duration::from_millis(100);

/// How late the picture of a busy screen may be.
const STALL: Duration = Duration::from_millis(500);

/// How long an agent may take to put the user's line aside.
const STASH: Duration = Duration::from_secs(1);

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

    /// Pastes the first prompt if nothing speaks against it.
    fn begin(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        let prompt = self.queue.front()?;
        if now < prompt.not_before || prompt.deadline.is_some_and(|at| now >= at) {
            return None;
        }
        if let Some(dialog) = scene.dialog() {
            return self.waits(dialog);
        }
        if scene.typed.is_some() && scene.is_empty() && self.line.is_due(now) {
            self.line.forget();
        }
        if self.line.is_begun(now) {
            return self.spare_line(now, scene);
        }
        if let Some(pasted) = prompt.pasted
            && prompt.is_echoed(scene)
        {
            // The echo of an earlier attempt: pasting again would double it.
            if pasted.cleared != self.line.cleared() {
                return self.conclude(now, Outcome::Unknown(Reason::LateEcho));
            }
            return self.prepare_enter(now);
        }
        match scene.obstacle() {
            None => self.line.is_out_of_the_way(),
            Some(Reason::Draft) => return self.spare_line(now, scene),
            Some(other) => return self.waits(other),
        }
        if !self.readiness.is_ready(now, scene) {
            return self.waits(Reason::Starting);
        }
        if !self.is_idle_enough(scene) {
            self.waits(Reason::Busy);
            // The next may be one for which it need not be idle.
            return self.queue.let_pass().then(|| self.begin(now, scene))?;
        }
        self.paste(now, scene)
    }

    fn is_idle_enough(&self, scene: &Scene) -> bool {
        !(self.wants_idleness() && scene.works)
    }

    /// The user's line is waited for; for long enough, the agent is made to put
    /// it aside. What may be our own is not: it would come back as the user's.
    fn spare_line(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        self.line.holds_up(now);
        self.waits(Reason::Draft);
        let is_ours = self.queue.front()?.pasted.is_some();
        if is_ours || scene.obstacle() != Some(Reason::Draft) || !self.is_idle_enough(scene) {
            return None;
        }
        let keys = scene.stash.filter(|_| self.line.is_due(now))?;
        self.phase = Phase::Stashing(now + STASH);
        Some(Act::Keys(keys.to_vec()))
    }

    fn paste(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        let cleared = self.line.cleared();
        let prompt = self.queue.front_mut()?;
        let before = scene.places(&prompt.needle);
        prompt.paste(now, Pasted { before, cleared });
        let keys = keys::prompt(&prompt.line, scene.view.bracketed_paste);
        self.expect_echo(now);
        Some(Act::Paste(keys))
    }

    /// The prompt is written: the agent is to show it.
    fn expect_echo(&mut self, now: Instant) {
        let reading = self.reading();
        self.phase = Phase::Pasted(now + self.pacing.echo_timeout + reading);
    }

    /// The prompt is shown: Enter follows when it was read.
    fn prepare_enter(&mut self, now: Instant) -> Option<Act<T>> {
        let reading = self.reading();
        self.phase = Phase::Echoed(now + self.pacing.enter_delay + reading);
        self.queue.front_mut()?.is_shown();
        None
    }

    fn reading(&self) -> Duration {
        self.queue.front().map_or(Duration::ZERO, Prompt::reading)
    }

    fn enter(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        let prompt = self.queue.front_mut()?;
        prompt.enter(now);
        self.phase = Phase::Entered(now + REACTION, scene.echo_and_below(&prompt.needle));
        let mut keys = keys::ENTER.to_vec();
        keys.append(&mut self.held);
        Some(Act::Keys(keys))
    }

    fn waits(&mut self, reason: Reason) -> Option<Act<T>> {
        self.queue.front_mut()?.waits(reason);
        None
    }

    /// Ends an attempt without Enter: the prompt waits.
    fn give_up(&mut self, now: Instant, reason: Reason) -> Option<Act<T>> {
        if let Some(prompt) = self.queue.front_mut() {
            prompt.waits(reason);
            prompt.pause(now);
        }
        self.release()
    }

    /// Nothing is under way any more: the user's keys go on.
    fn release(&mut self) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        (!self.held.is_empty()).then(|| Act::Keys(std::mem::take(&mut self.held)))
    }

    /// Ends a prompt that was submitted, or may have been.
    fn conclude(&mut self, now: Instant, outcome: Outcome) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        self.line.give_back();
        let (ticket, receipt) = self.queue.finish(now, outcome)?;
        Some(Act::Report(ticket, receipt))
    }

    /// How many prompts are under way: 0 or 1.
    fn under_way(&self) -> usize {
        self.phase.until().into_iter().count()
    }
}

#[cfg(test)]
mod tests;

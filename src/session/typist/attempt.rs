//! The steps of an attempt: what begins it, what ends it, what is written. Pure.

use std::time::{Duration, Instant};

use super::phase::Phase;
use super::queue::{Pasted, Prompt};
use super::{Act, Scene, Typist};
use crate::session::receipt::{Outcome, Reason};
use crate::terminal::keys;

/// How long a reaction to Enter is waited for.
const REACTION: Duration = Duration::from_secs(3);

/// How long an agent may take to put the user's line aside.
const STASH: Duration = Duration::from_secs(1);

impl<T> Typist<T> {
    /// Pastes the first prompt if nothing speaks against it.
    pub(super) fn begin(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
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

    pub(super) fn paste(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        let cleared = self.line.cleared();
        let prompt = self.queue.front_mut()?;
        let before = scene.places(&prompt.needle);
        let at = now;
        prompt.paste(Pasted {
            at,
            before,
            cleared,
        });
        let keys = keys::prompt(&prompt.line, scene.view.bracketed_paste);
        self.expect_echo(now);
        Some(Act::Paste(keys))
    }

    /// The prompt is written: the agent is to show it.
    pub(super) fn expect_echo(&mut self, now: Instant) {
        let reading = self.reading();
        self.phase = Phase::Pasted(now + self.pacing.echo_timeout + reading);
    }

    /// The prompt is shown: Enter follows when it was read.
    pub(super) fn prepare_enter(&mut self, now: Instant) -> Option<Act<T>> {
        let reading = self.reading();
        self.phase = Phase::Echoed(now + self.pacing.enter_delay + reading);
        self.queue.front_mut()?.is_shown();
        None
    }

    fn reading(&self) -> Duration {
        self.queue.front().map_or(Duration::ZERO, Prompt::reading)
    }

    pub(super) fn enter(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
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
    pub(super) fn give_up(&mut self, now: Instant, reason: Reason) -> Option<Act<T>> {
        if let Some(prompt) = self.queue.front_mut() {
            prompt.waits(reason);
            prompt.pause(now);
        }
        self.release()
    }

    /// Nothing is under way any more: the user's keys go on.
    pub(super) fn release(&mut self) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        (!self.held.is_empty()).then(|| Act::Keys(std::mem::take(&mut self.held)))
    }

    /// Ends a prompt that was submitted, or may have been.
    pub(super) fn conclude(&mut self, now: Instant, outcome: Outcome) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        self.line.give_back();
        let (ticket, receipt) = self.queue.finish(now, outcome)?;
        Some(Act::Report(ticket, receipt))
    }

    /// How many prompts are under way: 0 or 1.
    pub(super) fn under_way(&self) -> usize {
        self.phase.until().into_iter().count()
    }
}

//! The steps of an attempt: what begins it, what ends it, what is written. Pure.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::entered::Entered;
use super::pasted::Pasted;
use super::phase::Phase;
use super::queue::Prompt;
use super::{Act, Scene, Typist, UNREAD};
use crate::session::receipt::{Outcome, Reason};
use crate::terminal::keys;

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
        if let ControlFlow::Break(act) = self.follow_up(now, scene) {
            return act;
        }
        match self.obstacle(now, scene) {
            None => self.line.is_out_of_the_way(),
            Some(reason @ (Reason::Draft | Reason::Leftover)) => {
                return self.spare_line(now, scene, reason);
            }
            Some(other) => return self.waits(other),
        }
        if !self.is_idle_enough(scene) {
            self.waits(Reason::Busy);
            // The next may be one for which it need not be idle.
            return self.queue.let_pass().then(|| self.begin(now, scene))?;
        }
        self.paste(now, scene)
    }

    /// What speaks against a paste now.
    pub(super) fn obstacle(&self, now: Instant, scene: &Scene) -> Option<Reason> {
        if let Some(dialog) = scene.dialog() {
            return Some(dialog);
        }
        if self.line.is_begun(now) {
            return Some(Reason::Draft);
        }
        if self.leftover.is_some() {
            return Some(Reason::Leftover);
        }
        if let Some(reason) = scene.obstacle() {
            return Some(reason);
        }
        if scene.unread {
            return Some(Reason::Unread);
        }
        (!self.readiness.is_ready(now, scene)).then_some(Reason::Starting)
    }

    /// Goes on with an earlier attempt of the first prompt, if there was one: its
    /// echo may have come late. What has come in another guise is never pasted
    /// again.
    fn follow_up(&mut self, now: Instant, scene: &Scene) -> ControlFlow<Option<Act<T>>> {
        use ControlFlow::{Break, Continue};
        let is_begun = self.line.is_begun(now);
        let cleared = self.line.cleared();
        let Some(prompt) = self.queue.front_mut() else {
            return Continue(());
        };
        let is_echoed = prompt.is_echoed(scene);
        let gives_up = prompt.gives_up_at().is_some_and(|at| now >= at);
        let Some(pasted) = &mut prompt.pasted else {
            return Continue(());
        };
        let is_late = pasted.cleared != cleared;
        if is_echoed && !is_begun {
            if is_late {
                return Break(self.conclude(now, Outcome::Unknown(Reason::LateEcho)));
            }
            return Break(self.prepare_enter(now));
        }
        if scene.unread && now >= pasted.at + UNREAD {
            return Break(self.conclude(now, Outcome::Unknown(Reason::Unread)));
        }
        if gives_up {
            return Break(self.conclude(now, Outcome::Unknown(Reason::Unshown)));
        }
        let is_changed = pasted.is_changed(scene);
        if is_changed && self.line.is_quiet_since(pasted.at) {
            pasted.has_come = true;
        }
        if !(pasted.has_come || pasted.is_shown) {
            return Continue(());
        }
        if is_changed {
            let is_draft = is_begun && !pasted.has_come;
            let reason = if is_draft {
                Reason::Draft
            } else {
                Reason::Unshown
            };
            return Break(self.waits(reason));
        }
        if is_late {
            return Break(self.conclude(now, Outcome::Unknown(Reason::LateEcho)));
        }
        // The agent has dropped it.
        (pasted.has_come, pasted.is_shown) = (false, false);
        Continue(())
    }

    fn is_idle_enough(&self, scene: &Scene) -> bool {
        !(self.wants_idleness() && scene.works)
    }

    /// The user's line is waited for; for long enough, the agent is made to put
    /// it aside. What may be our own is not: it would come back as the user's.
    fn spare_line(&mut self, now: Instant, scene: &Scene, reason: Reason) -> Option<Act<T>> {
        self.line.holds_up(now);
        self.waits(reason);
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
        let keys = keys::prompt(&prompt.text, scene.view.bracketed_paste);
        prompt.paste(Pasted::new(now, scene, &prompt.needle, cleared));
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
        let is_shared = !self.held.is_empty() || self.line.is_stashed();
        self.phase = Phase::Entered(Entered::new(now, scene, &prompt.needle, is_shared));
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
        // Then the user's key is the answer. Of several the last may go into the
        // line.
        if let Reason::Dialog(_) = reason
            && let Some(before) = self.before_held.filter(|_| is_one_key(&self.held))
        {
            self.line.restore(before);
        }
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

    /// The first Enter chose a completion: another one follows.
    pub(super) fn enter_again(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        let prompt = self.queue.front()?;
        let entered = Entered::again(now, scene, &prompt.needle, self.line.is_stashed());
        self.phase = Phase::Entered(entered);
        Some(Act::Keys(keys::ENTER.to_vec()))
    }

    /// Ends a prompt that was submitted, or may have been.
    pub(super) fn conclude(&mut self, now: Instant, outcome: Outcome) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        self.line.give_back();
        if let Outcome::Unknown(reason) = &outcome
            && *reason != Reason::LateEcho
        {
            let first = self.queue.front();
            self.leftover = first.and_then(|prompt| prompt.pasted.clone());
        }
        let (ticket, receipt) = self.queue.finish(now, outcome)?;
        Some(Act::Report(ticket, receipt))
    }

    /// How many prompts are under way: 0 or 1.
    pub(super) fn under_way(&self) -> usize {
        self.phase.until().into_iter().count()
    }
}

/// True for a character, or for a sequence with one at its end.
fn is_one_key(keys: &[u8]) -> bool {
    match keys {
        [0x1b, b'[' | b'O', middle @ .., _] => {
            middle.iter().all(|byte| (0x20..0x40).contains(byte))
        }
        [_] => true,
        [first, rest @ ..] => *first >= 0xc0 && rest.iter().all(|byte| (0x80..0xc0).contains(byte)),
        [] => false,
    }
}

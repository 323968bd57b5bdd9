//! Types prompts into an agent, one at a time, as a state machine. Pure.
//!
//! Enter answers whatever question is open, and a question may be "may I run
//! this command?". So a prompt is pasted, which no known dialog takes; only
//! when the agent shows it, in its output and on its screen, Enter follows.
//! A paste that is not shown went nowhere, and is tried again later.
//!
//! *Invariant*: Enter is never pressed without the echo, nor with a dialog
//! open; nothing is typed into a line that the user has begun; once Enter was
//! pressed a prompt is never typed again; no other key is ever pressed.

mod scene;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::detect::{Sight, View};
use super::draft::Draft;
use super::echo::{Needle, Places};
use super::handle::Receipt;
use crate::terminal::keys;
use crate::types::agent::Pacing;
use crate::types::text::one_line;
pub use scene::{Act, Outcome, Scene};

/// How long a reaction to Enter is waited for.
const REACTION: Duration = Duration::from_secs(3);

/// How long a user who types has to wait for an echo that does not come.
const PATIENCE: Duration = Duration::from_millis(100);

/// After this long an escape that nothing follows is a key of its own.
const LONE_ESCAPE: Duration = Duration::from_millis(50);

/// How late the picture of a busy screen may be.
const STALL: Duration = Duration::from_millis(500);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many prompts may wait.
const QUEUE: usize = 256;

/// The typist of one session, over all lives of its agent. `T` is whatever
/// tells the asker.
#[derive(Debug)]
pub struct Typist<T> {
    pacing: Pacing,
    queue: VecDeque<Prompt<T>>,
    phase: Phase,
    draft: Draft,
    last_key: Option<Instant>,
    held: Vec<u8>,
    /// When this life of the agent began.
    born: Instant,
    /// This life has echoed a prompt.
    proven: bool,
    /// This life has asked for bracketed pastes.
    pastes: bool,
}

#[derive(Debug)]
struct Prompt<T> {
    line: String,
    needle: Needle,
    asked: Instant,
    typed: Option<Instant>,
    entered: Option<Instant>,
    attempts: u32,
    not_before: Instant,
    /// The attempt whose echo may still come.
    pasted: Option<Pasted>,
    ticket: T,
}

#[derive(Debug, Clone, Copy)]
struct Pasted {
    before: Places,
    /// [`Draft::cleared`] at that time.
    cleared: u64,
}

#[derive(Debug)]
enum Phase {
    /// Nothing of ours is under way.
    Resting,
    /// Pasted; waiting for the echo until then.
    Pasted(Instant),
    /// Echoed; Enter is due then.
    Echoed(Instant),
    /// Entered; waiting for a reaction until then. Holds what stood on the
    /// screen from the echo on, and the row of the cursor.
    Entered(Instant, (Vec<String>, u16)),
}

impl<T> Typist<T> {
    #[must_use]
    pub fn new(pacing: Pacing, now: Instant) -> Self {
        Self {
            pacing,
            queue: VecDeque::new(),
            phase: Phase::Resting,
            draft: Draft::default(),
            last_key: None,
            held: Vec::new(),
            born: now,
            proven: false,
            pastes: false,
        }
    }

    /// Queues a prompt. Gives the ticket back with a receipt if it is refused.
    pub fn push(&mut self, now: Instant, text: &str, ticket: T) -> Option<(T, Receipt)> {
        let line = one_line(text, keys::MAX_PROMPT);
        if line.is_empty() {
            return Some((ticket, Receipt::refused("there is nothing to type")));
        }
        if self.queue.len() >= QUEUE {
            return Some((ticket, Receipt::refused("too many prompts are waiting")));
        }
        self.queue.push_back(Prompt {
            needle: Needle::of(&line),
            line,
            asked: now,
            typed: None,
            entered: None,
            attempts: 0,
            not_before: now,
            pasted: None,
            ticket,
        });
        None
    }

    /// True if a prompt waits or is being typed: scenes are wanted.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Follows what the user's terminal sent, and gives back what of it goes
    /// to the agent now; the rest is held until a prompt is out of the way.
    pub fn user(&mut self, now: Instant, bytes: &[u8]) -> Vec<u8> {
        let keys = self.draft.follow(bytes);
        self.last_key = Some(now);
        let holds = match self.phase {
            Phase::Pasted(_) | Phase::Echoed(_) => keys || !self.held.is_empty(),
            Phase::Resting | Phase::Entered(..) => false,
        };
        if !holds {
            return bytes.to_vec();
        }
        if let (Phase::Pasted(until), true) = (&mut self.phase, self.held.is_empty()) {
            *until = (*until).min(now + PATIENCE);
        }
        self.held.extend_from_slice(bytes);
        Vec::new()
    }

    /// A new life of the agent has begun.
    pub fn agent_started(&mut self, now: Instant) {
        self.born = now;
        self.proven = false;
        self.pastes = false;
        self.draft = Draft::default();
    }

    /// The agent has ended. A prompt whose Enter was pressed is lost track of;
    /// any other waits for the next life.
    pub fn agent_ended(&mut self, now: Instant) -> Option<(T, Receipt)> {
        self.held.clear();
        if let Phase::Entered(..) = std::mem::replace(&mut self.phase, Phase::Resting) {
            return self.report(now, Outcome::Unknown("the agent ended before it reacted"));
        }
        if let Some(prompt) = self.queue.front_mut() {
            prompt.pasted = None;
            prompt.attempts = 0;
            prompt.not_before = now;
        }
        None
    }

    /// Refuses everything that waits.
    pub fn close(&mut self, now: Instant, reason: &'static str) -> Vec<(T, Receipt)> {
        std::iter::from_fn(|| self.report(now, Outcome::Refused(reason))).collect()
    }

    /// When after `now` [`Typist::step`] may have something to do without news.
    #[must_use]
    pub fn wake(&self, now: Instant, still_since: Instant) -> Option<Instant> {
        let prompt = self.queue.front()?;
        let due = match self.phase {
            Phase::Pasted(at) | Phase::Echoed(at) | Phase::Entered(at, _) => return Some(at),
            Phase::Resting => prompt.not_before,
        };
        let settled = still_since + self.pacing.settle;
        let patient = self.born + self.long_settle();
        let escape = self.last_key.map(|key| key + LONE_ESCAPE);
        [Some(due), Some(settled), Some(patient), escape]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// What to do without a scene: nothing, unless it fails to come for so long
    /// after a step was due that the user's keys can wait no longer.
    pub fn stall(&mut self, now: Instant) -> Option<Act<T>> {
        match self.phase {
            Phase::Pasted(at) | Phase::Echoed(at) if now >= at + STALL => self.give_up(now),
            Phase::Entered(at, _) if now >= at + STALL => {
                self.conclude(now, Outcome::Unknown("the screen could not be followed"))
            }
            _ => None,
        }
    }

    /// When [`Typist::stall`] is due.
    #[must_use]
    pub fn stalls_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Pasted(at) | Phase::Echoed(at) | Phase::Entered(at, _) => Some(at + STALL),
            Phase::Resting => None,
        }
    }

    /// Looks, and says what to do, if anything.
    pub fn step(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        self.pastes |= scene.view.bracketed_paste;
        self.queue.front()?;
        match self.phase {
            Phase::Resting => self.begin(now, scene),
            Phase::Pasted(until) => {
                if self.is_echoed(scene) && !is_dialog(scene) {
                    self.proven = true;
                    self.phase = Phase::Echoed(now + self.pacing.enter_delay);
                    return None;
                }
                (now >= until || is_dialog(scene)).then(|| self.give_up(now))?
            }
            Phase::Echoed(due) => {
                if is_dialog(scene) || !self.is_on_screen(scene) {
                    return self.give_up(now);
                }
                (now >= due).then(|| self.enter(now, scene))
            }
            Phase::Entered(until, ref seen) => {
                if from_echo(self.places(scene), scene.view) != *seen {
                    self.conclude(now, Outcome::Submitted)
                } else if now >= until {
                    self.conclude(now, Outcome::Unknown("no reaction to Enter"))
                } else {
                    None
                }
            }
        }
    }

    /// Pastes the first prompt if nothing speaks against it.
    fn begin(&mut self, now: Instant, scene: &Scene) -> Option<Act<T>> {
        if self.last_key.is_some_and(|key| now >= key + LONE_ESCAPE) {
            self.draft.end_escape();
        }
        let prompt = self.queue.front()?;
        let occupied = is_dialog(scene) || !self.draft.is_empty() || self.draft.is_split();
        if now < prompt.not_before || occupied {
            return None;
        }
        if let Some(pasted) = prompt.pasted
            && self.is_echoed(scene)
        {
            // The echo of an earlier attempt: pasting again would double it.
            if pasted.cleared != self.draft.cleared() {
                let why = "the echo came late, and the user's Enter may have submitted it";
                return self.conclude(now, Outcome::Unknown(why));
            }
            self.phase = Phase::Echoed(now + self.pacing.enter_delay);
            return None;
        }
        if *scene.sight != Sight::Clear || !self.is_ready(now, scene) {
            return None;
        }
        let places = self.places(scene);
        let cleared = self.draft.cleared();
        let prompt = self.queue.front_mut()?;
        prompt.typed = Some(now);
        prompt.attempts += 1;
        prompt.pasted = Some(Pasted {
            before: places,
            cleared,
        });
        self.phase = Phase::Pasted(now + self.pacing.echo_timeout);
        Some(Act::Paste(keys::prompt(
            &prompt.line,
            scene.view.bracketed_paste,
        )))
    }

    /// True if what is typed now will arrive: an agent that is still starting
    /// loses it, and one that never asked for pastes says less of itself.
    fn is_ready(&self, now: Instant, scene: &Scene) -> bool {
        let settled = now >= scene.still_since + self.pacing.settle;
        let patient = now >= self.born + self.long_settle();
        if scene.view.bracketed_paste {
            (self.proven && !scene.unsure) || settled || patient
        } else {
            let blank = scene.view.rows.iter().all(String::is_empty);
            !self.pastes && !blank && settled && (self.proven || patient)
        }
    }

    /// How long a restless or a silent start is waited for.
    fn long_settle(&self) -> Duration {
        self.pacing.settle * 5
    }

    fn enter(&mut self, now: Instant, scene: &Scene) -> Act<T> {
        let seen = from_echo(self.places(scene), scene.view);
        self.phase = Phase::Entered(now + REACTION, seen);
        if let Some(prompt) = self.queue.front_mut() {
            prompt.entered = Some(now);
        }
        let mut keys = keys::ENTER.to_vec();
        keys.append(&mut self.held);
        Act::Keys(keys)
    }

    /// Ends an attempt without Enter: the user's keys go on, the prompt waits.
    fn give_up(&mut self, now: Instant) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        let prompt = self.queue.front_mut()?;
        let pause = Duration::from_secs(1) * 2u32.pow(prompt.attempts.clamp(1, 6) - 1);
        prompt.not_before = now + pause.min(LONGEST_PAUSE);
        tracing::debug!(attempt = prompt.attempts, ?pause, "a prompt was not echoed");
        (!self.held.is_empty()).then(|| Act::Keys(std::mem::take(&mut self.held)))
    }

    fn conclude(&mut self, now: Instant, outcome: Outcome) -> Option<Act<T>> {
        self.phase = Phase::Resting;
        self.report(now, outcome)
            .map(|(ticket, receipt)| Act::Report(ticket, receipt))
    }

    fn report(&mut self, now: Instant, outcome: Outcome) -> Option<(T, Receipt)> {
        let prompt = self.queue.pop_front()?;
        let between = |from: Instant, to: Option<Instant>| {
            let span = to.unwrap_or(now).saturating_duration_since(from);
            u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
        };
        let receipt = Receipt {
            outcome,
            queued_ms: between(prompt.asked, prompt.typed),
            typed_ms: prompt.typed.map(|typed| between(typed, prompt.entered)),
            submitted_ms: prompt.entered.map(|entered| between(entered, None)),
        };
        Some((prompt.ticket, receipt))
    }

    fn places(&self, scene: &Scene) -> Places {
        self.queue.front().map_or_else(Places::default, |prompt| {
            prompt.needle.places(&scene.view.rows)
        })
    }

    /// In the input line, where one is seen: what stands above it is history,
    /// and moves when a dialog closes.
    fn is_on_screen(&self, scene: &Scene) -> bool {
        self.queue
            .front()
            .is_some_and(|prompt| match (scene.typed, prompt.pasted) {
                (_, None) => false,
                (Some(typed), _) => prompt.needle.is_in(typed),
                (None, Some(pasted)) => self.places(scene).is_new_since(pasted.before),
            })
    }

    fn is_echoed(&self, scene: &Scene) -> bool {
        let printed = |prompt: &Prompt<T>| prompt.needle.is_in(scene.printed);
        self.queue.front().is_some_and(printed) && self.is_on_screen(scene)
    }
}

fn is_dialog(scene: &Scene) -> bool {
    matches!(scene.sight, Sight::Dialog(_))
}

/// The rows from the echo on and the cursor's: what Enter must change.
fn from_echo(places: Places, view: &View) -> (Vec<String>, u16) {
    let from = places.lowest().unwrap_or(0).min(view.rows.len());
    (view.rows[from..].to_vec(), view.cursor.0)
}

#[cfg(test)]
mod tests;

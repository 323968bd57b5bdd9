//! What a screen was judged to show, and what follows from that. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::region::Region;
use super::rule::Shows;
use crate::session::activity::STILL;
use crate::session::handle::State;

/// How long an agent counts as starting, at most, that asks for no pastes.
pub const START: Duration = Duration::from_secs(10);

/// What may be typed into such a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// A question is open; Enter would answer it. Holds the rule that saw it.
    Dialog(String),
    /// The agent takes no prompt yet.
    Starting,
    /// The input line holds text that nobody has submitted.
    Draft,
    /// The agent works, and takes no prompt before it is done.
    Busy,
    /// Nobody knows what this is.
    Unknown,
    /// Nothing speaks against a prompt.
    Clear,
}

/// A rule that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub state: Shows,
    pub rule: String,
    pub priority: i32,
    pub region: Region,
    /// The rows by which it holds, from 0.
    pub rows: Vec<usize>,
}

/// What a screen was judged to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub sight: Sight,
    /// The rules that hold, the deciding one first.
    pub held: Vec<Held>,
    /// The agent has a manifest of its own.
    pub is_known: bool,
    /// There is nothing on the screen.
    pub is_blank: bool,
}

impl Verdict {
    /// `queues`: the agent keeps what is typed while it works.
    pub(super) fn new(held: Vec<Held>, is_known: bool, queues: bool, is_blank: bool) -> Self {
        let shows = |state| held.iter().any(|held| held.state == state);
        let first = held.iter().find(|held| held.state != Shows::Picker);
        let sight = match first.map(|held| (held.state, &held.rule)) {
            Some((Shows::Dialog, rule)) => Sight::Dialog(rule.clone()),
            Some((Shows::Starting, _)) => Sight::Starting,
            Some((Shows::Draft, _)) => Sight::Draft,
            Some((Shows::Idle, _)) => Sight::Clear,
            // There has to be a line to type into.
            Some((Shows::Busy, _)) if queues && shows(Shows::Idle) => Sight::Clear,
            Some((Shows::Busy, _)) => Sight::Busy,
            Some((Shows::Picker, _)) | None if is_known => Sight::Unknown,
            Some((Shows::Picker, _)) | None => Sight::Clear,
        };
        Self {
            sight,
            held,
            is_known,
            is_blank,
        }
    }

    /// True if the agent works, whatever else its screen shows.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.shows(Shows::Busy)
    }

    /// True if the input line holds text that nobody has sent.
    #[must_use]
    pub fn has_draft(&self) -> bool {
        self.shows(Shows::Draft)
    }

    /// True if a list of completions is open.
    #[must_use]
    pub fn has_picker(&self) -> bool {
        self.shows(Shows::Picker)
    }

    /// Why a prompt waits, in words that are the same for every screen of the
    /// kind; None if it would be typed.
    #[must_use]
    pub fn waits_for(&self) -> Option<String> {
        Some(match &self.sight {
            Sight::Dialog(rule) => format!("dialog open: {rule}"),
            Sight::Starting => "starting".to_owned(),
            Sight::Draft => "draft".to_owned(),
            Sight::Busy => "busy".to_owned(),
            Sight::Unknown => "unknown screen".to_owned(),
            Sight::Clear => return None,
        })
    }

    /// What the agent does, that lives for so long and has written nothing for
    /// as long as `still`.
    #[must_use]
    pub fn state(&self, bracketed_paste: bool, lived: Duration, still: Duration) -> State {
        let is_young = lived < START;
        // One that is known asks for pastes when it is ready. Of another, only
        // that it has shown something and has fallen silent.
        let is_settled = !self.is_known && !self.is_blank && still >= STILL;
        match self.sight {
            Sight::Dialog(_) => State::Blocked,
            Sight::Starting => State::Starting,
            _ if !bracketed_paste && is_young && !is_settled => State::Starting,
            // One that works shows it: something turns, or counts.
            _ if !self.is_known && still < STILL => State::Busy,
            _ if self.is_busy() => State::Busy,
            Sight::Unknown if is_young => State::Starting,
            Sight::Unknown => State::Unknown,
            Sight::Draft | Sight::Busy | Sight::Clear => State::Idle,
        }
    }

    fn shows(&self, state: Shows) -> bool {
        self.held.iter().any(|held| held.state == state)
    }
}

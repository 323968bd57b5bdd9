//! What the typist sees, and what it says is to be done. Pure.

use std::time::Instant;

use crate::session::detect::{InputLine, Sight, Verdict, View};
use crate::session::echo::{Needle, Places};
use crate::session::receipt::{Reason, Receipt};

/// What the typist sees.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub view: &'a View,
    pub verdict: &'a Verdict,
    /// The input line, where one is seen.
    pub line: Option<&'a InputLine>,
    /// The printable output since the last paste, without blanks.
    pub printed: &'a str,
    /// The view may be another than the user's.
    pub unsure: bool,
    /// Since when the rows have not changed.
    pub still_since: Instant,
    /// The agent does something.
    pub works: bool,
    /// The agent has yet to read some of what was typed.
    pub unread: bool,
    /// The keys by which the agent puts a line aside and, once another one was
    /// submitted, gives it back by itself; if it can.
    pub stash: Option<&'a [u8]>,
}

/// What is to be done; ask again afterwards.
#[derive(Debug, PartialEq, Eq)]
pub enum Act<T> {
    /// Write this in one go; count [`Scene::printed`] from here if it is a paste.
    Paste(Vec<u8>),
    /// Write this in one go: Enter, the key that puts a line aside, the user's
    /// keys that waited.
    Keys(Vec<u8>),
    /// Tell whoever asked.
    Report(T, Receipt),
}

impl Scene<'_> {
    /// What of the screen speaks against a prompt.
    pub(super) fn obstacle(&self) -> Option<Reason> {
        match &self.verdict.sight {
            Sight::Dialog(name) => Some(Reason::Dialog(name.clone())),
            Sight::Starting => Some(Reason::Starting),
            Sight::Draft => Some(Reason::Draft),
            Sight::Busy => Some(Reason::Busy),
            Sight::Unknown => Some(Reason::Strange),
            Sight::Clear => None,
        }
    }

    /// The question that is open.
    pub(super) fn dialog(&self) -> Option<Reason> {
        self.obstacle()
            .filter(|reason| matches!(reason, Reason::Dialog(_)))
    }

    /// True if nothing stands in the input line, as far as one is seen.
    pub(super) fn is_empty(&self) -> bool {
        self.verdict.sight == Sight::Clear && self.line.is_none_or(|line| !line.is_filled)
    }

    /// True if an input line is seen, and nothing in it. Marks that are guessed,
    /// of an agent without a manifest, must have nothing behind them at all.
    pub(super) fn is_seen_empty(&self) -> bool {
        let is_known = self.verdict.is_known;
        matches!(self.verdict.sight, Sight::Clear | Sight::Busy)
            && self
                .line
                .is_some_and(|line| !line.is_filled && (is_known || line.text.is_empty()))
    }

    pub(super) fn places(&self, needle: &Needle) -> Places {
        needle.places(&self.view.rows)
    }

    /// True if a prompt stands in the input line, where one is seen: what stands
    /// above it is history, and moves when a dialog closes. Elsewhere, if it
    /// stands where it did not before.
    pub(super) fn shows(&self, needle: &Needle, before: Places) -> bool {
        match self.line {
            Some(line) => needle.is_in(&line.text),
            None => self.places(needle).is_new_since(before),
        }
    }

    /// The row that the cursor is in.
    pub(super) fn row(&self) -> &str {
        let row = self.view.rows.get(usize::from(self.view.cursor.0));
        row.map_or("", String::as_str)
    }

    /// The rows of the echo and below it, and the cursor: what Enter must change.
    pub(super) fn echo_and_below(&self, needle: &Needle) -> (Vec<String>, (u16, u16)) {
        let lowest = self.places(needle).lowest().unwrap_or(0);
        let from = lowest.min(self.view.rows.len());
        (self.view.rows[from..].to_vec(), self.view.cursor)
    }
}

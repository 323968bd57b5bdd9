//! What the typist sees, what it says is to be done, and how it ends. Pure.

use std::time::Instant;

use serde::Serialize;

use crate::session::detect::{Sight, View};
use crate::session::handle::Receipt;

/// How a prompt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Outcome {
    /// The agent took it.
    Submitted,
    /// It was not typed, or not submitted, and will not be.
    Refused(&'static str),
    /// Enter was pressed, and what came of it cannot be told.
    Unknown(&'static str),
}

/// What the typist sees.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub view: &'a View,
    pub sight: &'a Sight,
    /// What stands in the input line, where one is seen.
    pub typed: Option<&'a str>,
    /// The printable output since the last paste, without blanks.
    pub printed: &'a str,
    /// The view may be another than the user's.
    pub unsure: bool,
    /// Since when the rows have not changed.
    pub still_since: Instant,
}

/// What is to be done; ask again afterwards.
#[derive(Debug, PartialEq, Eq)]
pub enum Act<T> {
    /// Write this in one go; count [`Scene::printed`] from here if it is a paste.
    Paste(Vec<u8>),
    /// Write this in one go: Enter and the user's keys that waited for it.
    Keys(Vec<u8>),
    /// Tell whoever asked.
    Report(T, Receipt),
}

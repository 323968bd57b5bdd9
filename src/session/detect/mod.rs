//! What an agent's screen shows: judged by the rules of the agent's manifest. Pure.
//!
//! A verdict rests on the *input line*: the row that begins with the agent's
//! prompt mark and has the cursor at or behind its text. While it is there,
//! Enter submits what it holds, so what stands above it is history, however
//! much it looks like a question.
//!
//! *Invariant*: a screen of which no rule of the agent's own manifest holds is
//! unknown, and nothing is typed into it. Of an agent without a manifest only
//! questions are known, and the rest is guessed from its silence.

mod choice;
mod input;
mod manifest;
mod pattern;
mod region;
mod rule;
mod text;
mod verdict;

pub use input::InputLine;
pub use manifest::Manifest;
pub use region::Region;
pub use rule::Shows;
pub use verdict::{Held, START, Sight, Verdict};

/// A picture of the agent's screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The rows from the top, trailing blanks removed.
    pub rows: Vec<String>,
    /// Row and column of the cursor, from 0.
    pub cursor: (u16, u16),
    /// The agent has switched on bracketed paste.
    pub bracketed_paste: bool,
}

impl View {
    /// Reads a screen that was written down: a line `cursor ROW COLUMN`, from
    /// 0, then the rows. None if the first line is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (first, rows) = text.split_once('\n').unwrap_or((text, ""));
        let mut words = first.strip_prefix("cursor ")?.split_whitespace();
        let mut number = || words.next()?.parse().ok();
        Some(Self {
            cursor: (number()?, number()?),
            rows: rows.lines().map(|row| row.trim_end().to_owned()).collect(),
            bracketed_paste: true,
        })
    }

    /// Writes it down as [`View::read`] reads it.
    #[must_use]
    pub fn written(&self) -> String {
        let (row, column) = self.cursor;
        format!("cursor {row} {column}\n{}\n", self.rows.join("\n"))
    }
}

#[cfg(test)]
mod tests;

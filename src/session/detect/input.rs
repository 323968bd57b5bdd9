//! The line in which a prompt is written. Pure.
//!
//! Text behind a cursor that stands at the start of the line is the agent's
//! own suggestion. A draft whose writer went back to its start looks the same
//! without colours; the typist knows of it by the keys.

use serde::Deserialize;

use super::View;
use super::text::{bare, is_edge};

/// By what the input line is known.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Signs {
    /// What it begins with.
    marks: Vec<String>,
    /// What it begins with where the agent would not read it as a prompt, but
    /// run it as a command.
    modes: Vec<String>,
    /// It has no mark, but this at the left of each of its rows, with the blanks
    /// before the text. Beside marks: it has the one or the other.
    bar: Option<String>,
    /// The agent draws a cursor of its own, and the terminal's is somewhere: the
    /// lowest mark in a box counts, and this text is the agent's suggestion.
    suggestions: Vec<String>,
    /// It has no mark, and stands between the two lowest lines. The agent draws
    /// a cursor of its own.
    lines: bool,
}

/// Where the input line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Input {
    /// The row of its mark, and the last that is looked at.
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) filling: Filling,
    /// The column behind the mark and its blank.
    start: usize,
}

/// What an input line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputLine {
    /// Text, or the agent's suggestion.
    pub text: String,
    /// Somebody has typed there.
    pub is_filled: bool,
}

/// What is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Filling {
    /// Nothing but, perhaps, the agent's suggestion.
    Empty,
    /// Text that nobody has sent, or a mode in which it would be a command.
    Filled,
}

impl Signs {
    /// The input line that the cursor is in.
    pub(super) fn find(&self, view: &View) -> Option<Input> {
        let cursor = usize::from(view.cursor.0).min(view.rows.len().checked_sub(1)?);
        let bar = self.bar.as_deref();
        let input = bar.and_then(|bar| behind(bar, view, cursor));
        input.or_else(|| {
            if self.lines {
                between_lines(view)
            } else if self.suggestions.is_empty() {
                self.with_cursor(view, cursor)
            } else {
                self.without_cursor(view)
            }
        })
    }

    /// In the row of its mark, or in one of the rows that follow it. A blank
    /// row ends it, unless it is in a box.
    fn with_cursor(&self, view: &View, cursor: usize) -> Option<Input> {
        let column = usize::from(view.cursor.1);
        let mut blank = false;
        for row in (0..=cursor).rev() {
            if let Some((start, is_command)) = self.begins(&view.rows[row]) {
                let boxed = row > 0 && is_edge(&view.rows[row - 1]);
                let is_below = usize::from(view.cursor.0) > row;
                let is_filled = is_command || is_below || column > start;
                return (column >= start && (boxed || !blank)).then_some(Input {
                    first: row,
                    last: cursor,
                    filling: Filling::of(is_filled),
                    start,
                });
            }
            if is_edge(&view.rows[row]) {
                return None;
            }
            blank |= bare(&view.rows[row]).1.is_empty();
        }
        None
    }

    /// The lowest mark in a box.
    fn without_cursor(&self, view: &View) -> Option<Input> {
        let rows = &view.rows;
        let is_boxed = |row: &usize| *row > 0 && is_edge(&rows[row - 1]);
        let mut marked = (0..rows.len()).rev().filter(is_boxed);
        // A list below the box may have such marks as well, and no lower edge.
        let (first, end, (start, is_command)) = marked.find_map(|row| {
            let begins = self.begins(&rows[row])?;
            let end = (row..rows.len()).find(|row| is_edge(&rows[*row]))?;
            Some((row, end, begins))
        })?;
        let mut input = Input {
            first,
            last: end - 1,
            filling: Filling::Filled,
            start,
        };
        let text = input.text(view);
        let is_filled = is_command || !(text.is_empty() || self.suggestions.contains(&text));
        input.filling = Filling::of(is_filled);
        Some(input)
    }

    /// The column behind the mark of a row and its blank, and whether the mark
    /// is a command's.
    fn begins(&self, row: &str) -> Option<(usize, bool)> {
        let (indent, text) = bare(row);
        let begins = |mark: &String| {
            let rest = text.strip_prefix(mark.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        let is_command = self.modes.iter().any(begins);
        (is_command || self.marks.iter().any(begins)).then_some((indent + 2, is_command))
    }
}

/// Between the two lowest lines of a screen.
fn between_lines(view: &View) -> Option<Input> {
    let is_line = |row: &usize| is_edge(&view.rows[*row]);
    let mut lines = (0..view.rows.len()).rev().filter(is_line);
    let (lower, upper) = (lines.next()?, lines.next()?);
    let mut input = Input {
        first: upper + 1,
        last: lower.checked_sub(1).filter(|last| *last > upper)?,
        filling: Filling::Filled,
        start: 0,
    };
    input.filling = Filling::of(!input.text(view).is_empty());
    Some(input)
}

/// Behind a bar that ends in an edge: from the first row that is not blank to
/// that of the cursor. Bars without an edge stand beside what was said.
fn behind(bar: &str, view: &View, cursor: usize) -> Option<Input> {
    let column = |row: &str| {
        let indent = row.chars().take_while(|c| c.is_whitespace()).count();
        let begins = row.trim_start().starts_with(bar.trim_end());
        begins.then_some(indent)
    };
    let rows = &view.rows;
    let indent = column(&rows[cursor])?;
    let is_in = |row: &&String| column(row) == Some(indent);
    let above = rows[..cursor].iter().rev().take_while(is_in).count();
    let below = rows[cursor..].iter().take_while(is_in).count();
    let edge = rows.get(cursor + below)?.trim_start();
    let (start, at) = (indent + bar.chars().count(), usize::from(view.cursor.1));
    if !edge.starts_with('╹') || at < start {
        return None;
    }
    let is_blank = |row: &usize| bare(&rows[*row]).1.is_empty();
    let first = (cursor - above..cursor).find(|row| !is_blank(row));
    let first = first.unwrap_or(cursor);
    Some(Input {
        first,
        last: cursor,
        filling: Filling::of(cursor > first || at > start),
        start,
    })
}

impl Filling {
    fn of(is_filled: bool) -> Self {
        if is_filled { Self::Filled } else { Self::Empty }
    }
}

impl Input {
    /// What stands in it.
    pub(super) fn text(self, view: &View) -> String {
        let mut text = String::new();
        for (at, row) in view.rows[self.first..=self.last].iter().enumerate() {
            let mark = if at == 0 { self.start } else { 0 };
            // Some draw their cursor with a blank of no width.
            let row = row.chars().filter(|c| *c != '\u{200b}').skip(mark);
            text.push_str(bare(&row.collect::<String>()).1);
            text.push(' ');
        }
        text.trim().to_owned()
    }
}

//! A terminal without a window: what output makes of its screens and modes.
//! Pure.
//!
//! It does what xterm does, as far as agents go, and no more: no scrollback,
//! no left and right margins, no pictures. All that is kept has a bound, and so
//! has the time that a byte may take. That, and that all of it can be redrawn
//! ([`super::keyframe`]), is why it is our own (docs/performance.md).
//!
//! *Invariant*: the cursor is within the grid, and the region within its rows
//! and not empty.

mod control;
mod osc;
mod print;

use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;

use super::cell::{Cell, Pen};
use super::grid::Grid;
use super::lexer::{Lexer, Piece};
use super::modes::{Keyboard, Modes};
use super::query::Query;
use super::shelf::Shelf;
use crate::types::size::TermSize;

/// The largest sides that are modelled; a larger terminal is cut off.
const MOST: TermSize = TermSize::new(1000, 2000);

/// Where and how the next character is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub row: usize,
    pub col: usize,
    /// The last column is written, and the next character goes to the next row.
    pub pending: bool,
    pub pen: Pen,
    /// What G0 to G3 are, by the last byte of their designation.
    pub charsets: [u8; 4],
    /// Which of them is in use.
    pub shift: usize,
    pub origin: bool,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            row: 0,
            col: 0,
            pending: false,
            pen: Pen::default(),
            charsets: [b'B'; 4],
            shift: 0,
            origin: false,
        }
    }
}

/// A hyperlink of OSC 8: its parameters and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub params: String,
    pub address: String,
}

/// A terminal's state.
#[derive(Debug)]
pub struct Emulator {
    pub(super) lexer: Lexer,
    /// The screen that is shown.
    pub(super) grid: Grid,
    /// The primary one, while the alternate is shown.
    pub(super) primary: Option<Grid>,
    pub(super) cursor: Cursor,
    /// Of each screen.
    pub(super) saved: [Cursor; 2],
    /// Of each screen.
    pub(super) keyboards: [Keyboard; 2],
    pub(super) region: Range<usize>,
    pub(super) tabs: Vec<bool>,
    pub(super) modes: Modes,
    pub(super) title: Option<String>,
    pub(super) titles: Vec<Option<String>>,
    /// What was changed of the palette, and from [`Self::DYNAMIC`] on of the
    /// colours of OSC 10 to 12.
    pub(super) colors: BTreeMap<u16, [u8; 3]>,
    /// The character just written, and its column, for REP. What else than
    /// looks and modes has changed since makes it none: so a keyframe can write
    /// it again.
    pub(super) last: Option<(char, usize)>,
    /// The character set of the next character alone.
    pub(super) single: Option<usize>,
    pub(super) clusters: Shelf<String>,
    pub(super) links: Shelf<Link>,
    /// Bracketed paste has been on.
    pub pasted: bool,
    /// Whether what is asked is answered, and the answers.
    pub answering: bool,
    answers: Vec<u8>,
}

impl Emulator {
    /// OSC 10 in [`Self::colors`].
    pub(super) const DYNAMIC: u16 = 256;

    /// The most that may wait to be taken, in bytes.
    const ANSWERS: usize = 64 * 1024;

    #[must_use]
    pub fn new(size: TermSize) -> Self {
        let (rows, cols) = sides(size);
        Self {
            lexer: Lexer::default(),
            grid: Grid::new(rows, cols),
            primary: None,
            cursor: Cursor::default(),
            saved: [Cursor::default(); 2],
            keyboards: <[Keyboard; 2]>::default(),
            region: 0..rows,
            tabs: tabs(cols),
            modes: Modes::default(),
            title: None,
            titles: Vec::new(),
            colors: BTreeMap::new(),
            last: None,
            single: None,
            clusters: Shelf::default(),
            links: Shelf::default(),
            pasted: false,
            answering: false,
            answers: Vec::new(),
        }
    }

    /// Shows output.
    pub fn feed(&mut self, output: &[u8]) {
        let mut lexer = mem::take(&mut self.lexer);
        lexer.feed(output, |piece| match piece {
            Piece::Text(text) => self.write(text),
            Piece::Sequence(sequence) => match Query::read(sequence) {
                Some(query) => self.asked(query),
                None => self.obey(sequence),
            },
            Piece::Broken(bytes) => self.scrap(bytes),
            Piece::Part(_) => {}
        });
        self.lexer = lexer;
    }

    /// Gives it another size. Nothing is wrapped anew.
    pub fn resize(&mut self, size: TermSize) {
        let (rows, cols) = sides(size);
        if (rows, cols) == (self.grid.rows(), self.grid.cols()) {
            return;
        }
        let up = self.grid.resize(rows, cols, self.cursor.row);
        self.cursor.row -= up;
        if let Some(primary) = &mut self.primary {
            let up = primary.resize(rows, cols, self.saved[0].row);
            self.saved[0].row -= up;
        }
        for cursor in self.saved.iter_mut().chain([&mut self.cursor]) {
            cursor.row = cursor.row.min(rows - 1);
            cursor.col = cursor.col.min(cols - 1);
            cursor.pending = false;
        }
        self.region = 0..rows;
        let kept = self.tabs.len().min(cols);
        let old = mem::replace(&mut self.tabs, tabs(cols));
        self.tabs[..kept].copy_from_slice(&old[..kept]);
        self.last = None;
        self.report_size();
    }

    /// What was answered since it was last asked.
    pub fn take_answers(&mut self) -> Vec<u8> {
        mem::take(&mut self.answers)
    }

    #[must_use]
    pub fn size(&self) -> TermSize {
        let side = |cells| u16::try_from(cells).unwrap_or(u16::MAX);
        TermSize::new(side(self.grid.rows()), side(self.grid.cols()))
    }

    #[must_use]
    pub fn is_alternate(&self) -> bool {
        self.primary.is_some()
    }

    /// What one cell shows; nothing for the second of a wide character.
    pub(super) fn text_of(&self, cell: &Cell, out: &mut String) {
        match cell.glyph() {
            _ if cell.is_spacer() => {}
            Ok(c) => out.push(c),
            Err(number) => out.push_str(self.clusters.get(number).map_or(" ", String::as_str)),
        }
    }

    /// The rows as text, trailing blanks removed.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        let row = |row| {
            let mut text = String::new();
            for cell in self.grid.row(row) {
                self.text_of(cell, &mut text);
            }
            text.truncate(text.trim_end().len());
            text
        };
        (0..self.grid.rows()).map(row).collect()
    }

    fn answer(&mut self, answer: &[u8]) {
        if self.answering && self.answers.len() + answer.len() <= Self::ANSWERS {
            self.answers.extend_from_slice(answer);
        }
    }

    fn screen(&self) -> usize {
        usize::from(self.is_alternate())
    }

    fn line_feed(&mut self) {
        let Cursor { row, pen, .. } = self.cursor;
        if row + 1 == self.region.end {
            self.grid.scroll_up(self.region.clone(), 1, pen.bg);
        } else if row + 1 < self.grid.rows() {
            self.cursor.row += 1;
        }
    }

    /// Goes to a place; in origin mode it is one within the region.
    fn go(&mut self, row: usize, col: usize) {
        let (top, end) = if self.cursor.origin {
            (self.region.start, self.region.end)
        } else {
            (0, self.grid.rows())
        };
        self.cursor.row = row.saturating_add(top).min(end - 1);
        self.cursor.col = col.min(self.grid.cols() - 1);
        self.cursor.pending = false;
    }
}

/// Rows and columns of the model.
fn sides(size: TermSize) -> (usize, usize) {
    let rows = size.rows.clamp(1, MOST.rows);
    let cols = size.cols.clamp(1, MOST.cols);
    (rows.into(), cols.into())
}

/// The tab stops there are at first.
pub(super) fn tabs(cols: usize) -> Vec<bool> {
    (0..cols).map(|col| col % 8 == 0).collect()
}

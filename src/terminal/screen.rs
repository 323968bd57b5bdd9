//! A headless emulator behind a guard: what a person would see now.
//!
//! *Invariant*: no bytes and no size make it panic; if the model inside does,
//! it is replaced by a blank one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::emulator::Emulator;
use super::modes;
use super::query::Sieve;
use crate::types::size::TermSize;

/// A picture of a screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The rows from the top, trailing blanks removed.
    pub rows: Vec<String>,
    /// Row and column of the cursor, from 0.
    pub cursor: (u16, u16),
    pub bracketed_paste: bool,
    /// It has been on, now or before.
    pub has_pasted: bool,
    pub alternate: bool,
}

/// The model of one terminal.
pub struct Screen {
    model: Emulator,
    size: TermSize,
}

impl Screen {
    #[must_use]
    pub fn new(size: TermSize) -> Self {
        Self {
            model: Emulator::new(size),
            size,
        }
    }

    /// One that answers what it is asked; see [`Screen::answers`].
    #[must_use]
    pub fn answering(size: TermSize) -> Self {
        let mut screen = Self::new(size);
        screen.model.answering = true;
        screen
    }

    #[must_use]
    pub fn size(&self) -> TermSize {
        self.size
    }

    /// Shows bytes as the agent wrote them.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.guarded(|model| model.feed(bytes));
    }

    pub fn resize(&mut self, size: TermSize) {
        self.size = size;
        self.guarded(|model| model.resize(size));
    }

    /// What was answered since this was called last.
    pub fn answers(&mut self) -> Vec<u8> {
        self.guarded(Emulator::take_answers)
    }

    /// What stands on the screen.
    pub fn picture(&mut self) -> Picture {
        let size = self.size;
        self.guarded(|model| {
            let mut rows = model.rows();
            // The model may be smaller than a terminal that is very large.
            rows.resize(size.rows.into(), String::new());
            let cell = |n| u16::try_from(n).unwrap_or(u16::MAX);
            Picture {
                rows,
                cursor: (cell(model.cursor.row), cell(model.cursor.col)),
                bracketed_paste: model.modes.is_on(modes::PASTE),
                has_pasted: model.pasted,
                alternate: model.is_alternate(),
            }
        })
    }

    /// Bytes that redraw it all on a terminal of the same size that is as
    /// [`super::tty::UNDO`] leaves it. What comes after them must have gone
    /// through a [`super::query::Sieve`] from the beginning: a sequence that is
    /// not whole yet is in neither.
    pub fn keyframe(&mut self) -> Vec<u8> {
        self.guarded(|model| model.keyframe())
    }

    /// What takes the questions out of output that follows a keyframe of now.
    pub fn sieve(&mut self) -> Sieve {
        self.guarded(|model| Sieve::after(&model.lexer))
    }

    /// How many titles are pushed on the terminal's stack.
    pub fn titles(&mut self) -> usize {
        self.guarded(|model| model.titles.len())
    }

    fn guarded<T: Default>(&mut self, act: impl FnOnce(&mut Emulator) -> T) -> T {
        let result = catch_unwind(AssertUnwindSafe(|| act(&mut self.model)));
        result.unwrap_or_else(|_| {
            tracing::warn!(size = ?self.size, "the screen model broke: it starts again blank");
            let answering = self.model.answering;
            self.model = Emulator::new(self.size);
            self.model.answering = answering;
            T::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_a_terminal_would() {
        let mut screen = Screen::new(TermSize::new(3, 10));
        screen.feed(b"one\r\n\x1b[31mtwo\x1b[0m \x1b[?2004h");
        let picture = screen.picture();
        assert_eq!(picture.rows, ["one", "two", ""]);
        assert_eq!(picture.cursor, (1, 4));
        assert!(picture.bracketed_paste && picture.has_pasted);
        screen.feed(b"\x1b[?2004l\x1b[?1049h");
        let picture = screen.picture();
        assert_eq!(picture.rows, ["", "", ""]);
        assert!(picture.alternate && !picture.bracketed_paste && picture.has_pasted);
    }

    #[test]
    fn a_panic_inside_leaves_a_blank_screen() {
        let mut screen = Screen::new(TermSize::new(2, 5));
        screen.feed(b"text");
        screen.guarded::<()>(|_| panic!("the model breaks"));
        assert_eq!(screen.picture().rows, ["", ""]);
        screen.feed(b"again");
        assert_eq!(screen.picture().rows, ["again", ""]);
    }

    #[test]
    fn the_smallest_terminal_and_any_resize_are_fine() {
        let mut screen = Screen::new(TermSize::new(0, 0));
        for (rows, cols) in [(1, 1), (1, 200), (200, 1), (2, 1), (1, 1), (24, 80)] {
            screen.resize(TermSize::new(rows, cols));
            screen.feed("漢字\r\n\x1b[5;5H\x1b[10@\x1b[2J\x1b[3;9rx\x1b[99T".as_bytes());
            assert_eq!(screen.picture().rows.len(), usize::from(rows));
        }
    }
}

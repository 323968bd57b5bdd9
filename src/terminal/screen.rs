//! A headless emulator behind a guard: what a person would see now.
//!
//! *Invariant*: no bytes and no size make it panic; if the model inside does,
//! it is replaced by a blank one.

use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::types::size::TermSize;

/// A picture of a screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    /// The rows from the top, trailing blanks removed.
    pub rows: Vec<String>,
    /// Row and column of the cursor, from 0.
    pub cursor: (u16, u16),
    pub bracketed_paste: bool,
    pub alternate: bool,
}

/// The model of one terminal.
pub struct Screen {
    model: vt100::Parser,
    size: TermSize,
}

impl Screen {
    #[must_use]
    pub fn new(size: TermSize) -> Self {
        Self {
            model: blank(size),
            size,
        }
    }

    #[must_use]
    pub fn size(&self) -> TermSize {
        self.size
    }

    /// Shows bytes as the agent wrote them.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.guarded(|model| model.process(bytes));
    }

    pub fn resize(&mut self, size: TermSize) {
        self.size = size;
        self.guarded(|model| {
            model
                .screen_mut()
                .set_size(side(size.rows), side(size.cols));
        });
    }

    /// What stands on the screen.
    pub fn picture(&mut self) -> Picture {
        let cols = self.size.cols;
        self.guarded(|model| {
            let screen = model.screen();
            let row = |row: String| row.trim_end().to_owned();
            Picture {
                rows: screen.rows(0, cols).map(row).collect(),
                cursor: screen.cursor_position(),
                bracketed_paste: screen.bracketed_paste(),
                alternate: screen.alternate_screen(),
            }
        })
    }

    /// Bytes that redraw the screen on a terminal of the same size.
    pub fn keyframe(&mut self) -> Vec<u8> {
        self.guarded(|model| {
            let screen = model.screen();
            let enter = if screen.alternate_screen() {
                "\x1b[?1049h"
            } else {
                ""
            };
            [enter, &screen.state_formatted()].concat().into_bytes()
        })
    }

    fn guarded<T: Default>(&mut self, act: impl FnOnce(&mut vt100::Parser) -> T) -> T {
        let result = catch_unwind(AssertUnwindSafe(|| act(&mut self.model)));
        result.unwrap_or_else(|_| {
            tracing::warn!(size = ?self.size, "the screen model broke: it starts again blank");
            self.model = blank(self.size);
            T::default()
        })
    }
}

fn blank(size: TermSize) -> vt100::Parser {
    vt100::Parser::new(side(size.rows), side(size.cols), 0)
}

fn side(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN)
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
        assert!(picture.bracketed_paste);
        screen.feed(b"\x1b[?2004l\x1b[?1049h");
        let picture = screen.picture();
        assert_eq!(picture.rows, ["", "", ""]);
        assert!(picture.alternate && !picture.bracketed_paste);
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

//! A terminal's state as bytes that bring another terminal into it. Pure.
//!
//! They are for a terminal of the same size whose modes are as
//! [`super::tty::UNDO`] leaves them, which shows its primary screen.

use std::fmt::Write;

use super::cell::{Cell, Pen};
use super::emulator::{Cursor, Emulator, tabs};
use super::grid::Grid;

/// What [`super::tty::UNDO`] does not undo.
const MODES: &str = "\x1b[4l\x1b[20l\x1b[r";

/// A pen, character sets and a cursor as they are at first, and what they
/// leave where the screen is cleared.
const PLAIN: &str = "\x1b[?6l\x1b(B\x0f\x1b]8;;\x1b\\\x1b[0m";
const CLEAR: &str = "\x1b[H\x1b[2J";

impl Emulator {
    /// Bytes that redraw everything.
    #[must_use]
    pub fn keyframe(&self) -> Vec<u8> {
        let mut out = String::with_capacity(4096);
        out.extend([MODES, PLAIN, CLEAR]);
        let title = |out: &mut String, title: &Option<String>| {
            if let Some(title) = title {
                let _ = write!(out, "\x1b]0;{title}\x1b\\");
            }
        };
        for pushed in &self.titles {
            title(&mut out, pushed);
            out.push_str("\x1b[22;0t");
        }
        title(&mut out, &self.title);
        for (color, [r, g, b]) in &self.colors {
            let code = match color.checked_sub(Self::DYNAMIC) {
                Some(dynamic) => format!("{}", 10 + dynamic),
                None => format!("4;{color}"),
            };
            let _ = write!(out, "\x1b]{code};rgb:{r:02x}/{g:02x}/{b:02x}\x1b\\");
        }
        if let Some(primary) = &self.primary {
            self.draw(&mut out, primary);
            self.keyboards[0].write(&mut out);
            // Entering the alternate screen saves the cursor.
            self.place(&mut out, primary, &self.saved[0], 0, None);
            out.extend(["\x1b[?1049h", PLAIN, CLEAR]);
        }
        let screen = usize::from(self.is_alternate());
        self.draw(&mut out, &self.grid);
        self.keyboards[screen].write(&mut out);
        self.place(&mut out, &self.grid, &self.saved[screen], 0, None);
        out.extend(["\x1b7", PLAIN]);
        self.write_tabs(&mut out);
        let region = &self.region;
        if *region != (0..self.grid.rows()) {
            let _ = write!(out, "\x1b[{};{}r", region.start + 1, region.end);
        }
        let top = if self.cursor.origin { region.start } else { 0 };
        self.place(&mut out, &self.grid, &self.cursor, top, self.last);
        self.modes.write(&mut out);
        match self.single {
            Some(2) => out.push_str("\x1bN"),
            Some(_) => out.push_str("\x1bO"),
            None => {}
        }
        let mut out = out.into_bytes();
        out.extend_from_slice(self.lexer.rejoin());
        out
    }

    /// Draws the cells of a blank screen; the pen is left as it comes.
    fn draw(&self, out: &mut String, grid: &Grid) {
        let mut pen = Pen::default();
        for row in 0..grid.rows() {
            let cells = grid.row(row);
            let blank = Cell::default();
            let end = cells.iter().rposition(|cell| *cell != blank);
            // Where the cursor is, as far as blanks are skipped.
            let mut at = None;
            for (col, cell) in cells[..end.map_or(0, |last| last + 1)].iter().enumerate() {
                if cell.is_spacer() || *cell == blank {
                    continue;
                }
                if at != Some(col) {
                    let _ = write!(out, "\x1b[{};{}H", row + 1, col + 1);
                }
                self.change(out, &mut pen, cell.pen.plain());
                self.text_of(cell, out);
                at = Some(col + if cell.is_wide() { 2 } else { 1 });
            }
        }
        self.change(out, &mut pen, Pen::default());
    }

    /// Puts the cursor in its place and gives it its pen and character sets.
    /// `top` is the first row that is counted; `last` is what REP would repeat.
    fn place(
        &self,
        out: &mut String,
        grid: &Grid,
        cursor: &Cursor,
        top: usize,
        last: Option<(char, usize)>,
    ) {
        if cursor.origin {
            out.push_str("\x1b[?6h");
        }
        // A character that would be repeated, and one that is followed by a
        // wrap, are written again.
        let again = match last {
            Some((_, col)) => Some(col),
            None => cursor.pending.then(|| {
                let cells = grid.row(cursor.row);
                cursor.col - usize::from(cells[cursor.col].is_spacer())
            }),
        };
        let row = cursor.row - top.min(cursor.row) + 1;
        let _ = write!(out, "\x1b[{row};{}H", again.unwrap_or(cursor.col) + 1);
        let mut pen = Pen::default();
        if let Some(col) = again {
            let cell = &grid.row(cursor.row)[col];
            self.change(out, &mut pen, cell.pen.plain());
            let mut text = String::new();
            self.text_of(cell, &mut text);
            match last {
                Some((c, _)) => {
                    Self::charsets(out, cursor);
                    out.push(c);
                    out.extend(text.chars().skip(1));
                }
                None => out.push_str(&text),
            }
        }
        if last.is_none() {
            Self::charsets(out, cursor);
        }
        self.change(out, &mut pen, cursor.pen);
    }

    fn charsets(out: &mut String, cursor: &Cursor) {
        for (set, slot) in cursor.charsets.iter().zip("()*+".chars()) {
            let _ = write!(out, "\x1b{slot}{}", char::from(*set));
        }
        out.push_str(["\x0f", "\x0e", "\x1bn", "\x1bo"][cursor.shift]);
    }

    /// Takes another pen.
    fn change(&self, out: &mut String, pen: &mut Pen, next: Pen) {
        if pen.link != next.link {
            match self.links.get(next.link) {
                Some(link) => {
                    let _ = write!(out, "\x1b]8;{};{}\x1b\\", link.params, link.address);
                }
                None => out.push_str("\x1b]8;;\x1b\\"),
            }
        }
        pen.link = next.link;
        if *pen != next {
            next.write(out);
        }
        *pen = next;
    }

    fn write_tabs(&self, out: &mut String) {
        // A terminal that was here before may have others.
        let is_first = self.tabs == tabs(self.grid.cols());
        out.push_str(if is_first { "\x1b[?5W" } else { "\x1b[3g" });
        if !is_first {
            for (col, _) in self.tabs.iter().enumerate().filter(|(_, stop)| **stop) {
                let _ = write!(out, "\x1b[{}G\x1bH", col + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::fuzz::{assert_same, redrawn};
    use crate::terminal::modes::SYNCHRONIZED;
    use crate::terminal::query::Sieve;
    use crate::types::dice::Dice;
    use crate::types::size::TermSize;

    #[test]
    fn a_keyframe_and_the_rest_make_what_the_whole_makes() {
        for seed in 0..2000 {
            let mut dice = Dice::new(seed);
            let size = TermSize::new([1, 2, 3, 6][dice.below(4)], [1, 2, 3, 9, 20][dice.below(5)]);
            // So that nothing is left that is not whole.
            let output = [dice.output(60), b"\x1b\\".to_vec()].concat();
            let at = dice.below(output.len() + 1);
            let mut whole = Emulator::new(size);
            let mut sieve = Sieve::default();
            let (mut shown, mut rest) = (Vec::new(), Vec::new());
            whole.feed(&output[..at]);
            sieve.sift(&output[..at], &mut shown);
            let mut viewer = redrawn(&whole);
            let context = || {
                let text = String::from_utf8_lossy;
                format!(
                    "seed {seed} {size:?} {:?} / {:?}",
                    text(&output[..at]),
                    text(&output[at..])
                )
            };
            assert_same(&whole, &viewer, &context);
            whole.feed(&output[at..]);
            sieve.sift(&output[at..], &mut rest);
            viewer.feed(&rest);
            assert_same(&whole, &viewer, &context);
        }
    }

    #[test]
    fn it_ends_a_synchronized_update() {
        let mut terminal = Emulator::new(TermSize::default());
        terminal.feed(b"\x1b[?2026h");
        assert!(!redrawn(&terminal).modes.is_on(SYNCHRONIZED));
    }
}

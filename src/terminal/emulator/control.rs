//! What control characters and escape sequences do to a terminal. Pure.
//!
//! After xterm's control sequences; see also ECMA-48 and the manual of the
//! VT510.

use std::mem;

use super::{Cursor, Emulator, tabs};
use crate::terminal::cell::{Cell, Pen};
use crate::terminal::csi::Csi;
use crate::terminal::grid::Grid;
use crate::terminal::modes::{AUTOWRAP, KEYPAD, Keyboard, PASTE, RESIZES};
use crate::terminal::query;

impl Emulator {
    /// Obeys a control character.
    pub(super) fn control(&mut self, byte: u8) {
        // CAN and SUB end what is broken.
        if !matches!(byte, 0x18 | 0x1a) {
            self.last = None;
        }
        match byte {
            0x08 => {
                self.cursor.col = self.cursor.col.saturating_sub(1);
                self.cursor.pending = false;
            }
            b'\t' => self.tab(1),
            b'\n' | 0x0b | 0x0c => {
                self.line_feed();
                if self.modes.newline {
                    self.cursor.col = 0;
                }
                self.cursor.pending = false;
            }
            b'\r' => {
                self.cursor.col = 0;
                self.cursor.pending = false;
            }
            0x0e => self.cursor.shift = 1,
            0x0f => self.cursor.shift = 0,
            _ => {}
        }
    }

    /// Obeys the control characters in a sequence that is none.
    pub(super) fn scrap(&mut self, bytes: &[u8]) {
        let is_string = matches!(bytes.get(1), Some(b']' | b'P' | b'X' | b'^' | b'_'));
        if bytes.first() == Some(&0x1b) && !is_string {
            for byte in bytes.iter().filter(|byte| **byte < 0x1b) {
                self.control(*byte);
            }
        }
    }

    /// Obeys an escape sequence.
    pub(super) fn obey(&mut self, sequence: &[u8]) {
        match sequence.get(1) {
            Some(b'[') => {
                self.scrap(sequence);
                if let Some(csi) = Csi::read(sequence) {
                    self.csi(&csi);
                }
            }
            Some(b']') => self.osc(query::string(sequence)),
            Some(b'P' | b'X' | b'^' | b'_') => {}
            _ => {
                self.scrap(sequence);
                self.escape(sequence);
            }
        }
    }

    fn escape(&mut self, sequence: &[u8]) {
        let (Some(first), Some(last)) = (sequence.get(1), sequence.last()) else {
            return;
        };
        if !matches!(first, b'7' | b'H' | b'N' | b'O' | b'=' | b'>' | b'\\') {
            self.last = None;
        }
        match (first, last) {
            (b'#', b'8') => {
                self.region = 0..self.grid.rows();
                self.go(0, 0);
                self.grid.fill(Cell::new('E', Pen::default()));
            }
            (b'(' | b')' | b'*' | b'+', set @ (b'0' | b'A' | b'B')) => {
                self.cursor.charsets[usize::from(first - b'(')] = *set;
            }
            // An intermediate that nobody knows.
            (0x20..=0x2f, _) => {}
            (b'7', _) => self.saved[self.screen()] = self.cursor,
            (b'8', _) => self.restore(),
            (b'D', _) => {
                self.line_feed();
                self.cursor.pending = false;
            }
            (b'E', _) => {
                self.line_feed();
                self.cursor.col = 0;
                self.cursor.pending = false;
            }
            (b'H', _) => self.tabs[self.cursor.col] = true,
            (b'M', _) => {
                if self.cursor.row == self.region.start {
                    let bg = self.cursor.pen.bg;
                    self.grid.scroll_down(self.region.clone(), 1, bg);
                } else {
                    self.cursor.row = self.cursor.row.saturating_sub(1);
                }
                self.cursor.pending = false;
            }
            (b'N', _) => self.single = Some(2),
            (b'O', _) => self.single = Some(3),
            (b'n', _) => self.cursor.shift = 2,
            (b'o', _) => self.cursor.shift = 3,
            (b'=', _) => self.modes.set(KEYPAD, true),
            (b'>', _) => self.modes.set(KEYPAD, false),
            (b'c', _) => {
                let answers = (self.answering, mem::take(&mut self.answers));
                *self = Self::new(self.size());
                (self.answering, self.answers) = answers;
            }
            _ => {}
        }
    }

    fn csi(&mut self, csi: &Csi) {
        let params = &csi.params;
        let count = usize::from(params.or(0, 1));
        let Cursor { row, col, .. } = self.cursor;
        let bg = self.cursor.pen.bg;
        if !matches!(csi.last, b'b' | b'm' | b'h' | b'l' | b'q' | b'u') {
            self.last = None;
        }
        match (csi.marker, csi.intermediate, csi.last) {
            (0, 0, b'm') => self.cursor.pen.select(params),
            (0, 0, b'H' | b'f') => self.go(count - 1, usize::from(params.or(1, 1)) - 1),
            (0, 0, b'A') => self.up(count),
            (0, 0, b'B' | b'e') => self.down(count),
            (0, 0, b'C' | b'a') => self.move_to(row, col + count),
            (0, 0, b'D') => self.move_to(row, col.saturating_sub(count)),
            (0, 0, b'E') => {
                self.down(count);
                self.cursor.col = 0;
            }
            (0, 0, b'F') => {
                self.up(count);
                self.cursor.col = 0;
            }
            (0, 0, b'G' | b'`') => self.move_to(row, count - 1),
            (0, 0, b'd') => self.go(count - 1, col),
            (0, 0, b'I') => self.tab(count),
            (0, 0, b'Z') => self.tab_back(count),
            (0 | b'?', 0, b'J') => self.erase_screen(params.or(0, 0)),
            (0 | b'?', 0, b'K') => match params.or(0, 0) {
                0 => self.grid.erase(row, col..usize::MAX, bg),
                1 => self.grid.erase(row, 0..col + 1, bg),
                2 => self.grid.erase(row, 0..usize::MAX, bg),
                _ => {}
            },
            (0, 0, b'X') => self.grid.erase(row, col..col + count, bg),
            (0, 0, b'@') => self.grid.insert(row, col, count, bg),
            (0, 0, b'P') => self.grid.delete(row, col, count, bg),
            (0, 0, b'L' | b'M') if self.region.contains(&row) => {
                let below = row..self.region.end;
                if csi.last == b'L' {
                    self.grid.scroll_down(below, count, bg);
                } else {
                    self.grid.scroll_up(below, count, bg);
                }
                self.cursor.col = 0;
            }
            (0, 0, b'S') => self.grid.scroll_up(self.region.clone(), count, bg),
            (0, 0, b'T') if params.all().len() < 2 => {
                self.grid.scroll_down(self.region.clone(), count, bg);
            }
            (0, 0, b'b') => self.repeat(count),
            (0, 0, b'g') => match params.or(0, 0) {
                0 => self.tabs[col] = false,
                3 => self.tabs.fill(false),
                _ => {}
            },
            (b'?', 0, b'W') => self.tabs = tabs(self.grid.cols()),
            (0, 0, b'r') => {
                let rows = self.grid.rows();
                let end = usize::from(params.or(1, u16::MAX)).min(rows);
                if count < end || rows == 1 {
                    self.region = (count - 1).min(end - 1)..end;
                    self.go(0, 0);
                }
            }
            (0, 0, b's') => self.saved[self.screen()] = self.cursor,
            (0, 0, b'u') => self.restore(),
            (0, 0, b't') => self.window(params.or(0, 0)),
            (0, 0, b'h' | b'l') => {
                for mode in params.all() {
                    match mode {
                        4 => self.modes.insert = csi.last == b'h',
                        20 => self.modes.newline = csi.last == b'h',
                        _ => {}
                    }
                }
            }
            (b'?', 0, b'h' | b'l') => {
                for mode in params.all() {
                    self.switch(*mode, csi.last == b'h');
                }
            }
            (0, b' ', b'q') if params.or(0, 0) <= 6 => self.modes.cursor_style = params.or(0, 0),
            (0, b'!', b'p') => self.soften(),
            (b'>', 0, b'm') if params.or(0, 4) == 4 && params.or(1, 0) <= 3 => {
                self.modes.other_keys = params.or(1, 0);
            }
            (b'>', 0, b'n') if params.or(0, 4) == 4 => self.modes.other_keys = 0,
            (b'>', 0, b'u') => self.keyboard().push(params.or(0, 0)),
            (b'<', 0, b'u') => self.keyboard().pop(params.or(0, 1)),
            (b'=', 0, b'u') => self.keyboard().change(params.or(0, 0), params.or(1, 1)),
            _ => {}
        }
        let edits = matches!(
            csi.last,
            b'E' | b'F' | b'I' | b'Z' | b'J' | b'K' | b'X' | b'@' | b'P' | b'L' | b'M'
        );
        if csi.intermediate == 0 && edits {
            self.cursor.pending = false;
        }
    }

    fn keyboard(&mut self) -> &mut Keyboard {
        let screen = self.screen();
        &mut self.keyboards[screen]
    }

    /// Moves within the screen, wherever the region is.
    fn move_to(&mut self, row: usize, col: usize) {
        self.cursor.row = row.min(self.grid.rows() - 1);
        self.cursor.col = col.min(self.grid.cols() - 1);
        self.cursor.pending = false;
    }

    /// Up, within the region if it is entered or left from below.
    fn up(&mut self, count: usize) {
        let Cursor { row, col, .. } = self.cursor;
        let top = if row >= self.region.start {
            self.region.start
        } else {
            0
        };
        self.move_to(row.saturating_sub(count).max(top), col);
    }

    /// Down, within the region if it is entered or left from above.
    fn down(&mut self, count: usize) {
        let Cursor { row, col, .. } = self.cursor;
        let end = if row < self.region.end {
            self.region.end
        } else {
            self.grid.rows()
        };
        self.move_to((row + count).min(end - 1), col);
    }

    fn tab(&mut self, count: usize) {
        for _ in 0..count.min(self.grid.cols()) {
            let rest = &self.tabs[self.cursor.col + 1..];
            let stop = rest.iter().position(|stop| *stop);
            let last = self.grid.cols() - 1;
            self.cursor.col = stop.map_or(last, |n| self.cursor.col + 1 + n);
        }
    }

    fn tab_back(&mut self, count: usize) {
        for _ in 0..count.min(self.grid.cols()) {
            let stop = self.tabs[..self.cursor.col].iter().rposition(|stop| *stop);
            self.cursor.col = stop.unwrap_or(0);
        }
    }

    /// REP; more than a screenful looks the same.
    fn repeat(&mut self, count: usize) {
        if let Some((c, _)) = self.last {
            let most = self.grid.rows() * self.grid.cols();
            for _ in 0..count.min(most) {
                self.print(c);
            }
        }
    }

    fn erase_screen(&mut self, what: u16) {
        let Cursor { row, col, pen, .. } = self.cursor;
        let rows = self.grid.rows();
        match what {
            0 => {
                self.grid.erase(row, col..usize::MAX, pen.bg);
                self.grid.erase_rows(row + 1..rows, pen.bg);
            }
            1 => {
                self.grid.erase_rows(0..row, pen.bg);
                self.grid.erase(row, 0..col + 1, pen.bg);
            }
            2 => self.grid.erase_rows(0..rows, pen.bg),
            _ => {}
        }
    }

    fn restore(&mut self) {
        self.last = None;
        self.cursor = self.saved[self.screen()];
        self.cursor.pending &= self.modes.is_on(AUTOWRAP);
        if self.cursor.origin {
            let rows = &self.region;
            self.cursor.row = self.cursor.row.clamp(rows.start, rows.end - 1);
        }
    }

    /// Switches a private mode.
    fn switch(&mut self, mode: u16, on: bool) {
        match mode {
            6 => {
                self.last = None;
                self.cursor.origin = on;
                self.go(0, 0);
            }
            47 | 1047 => self.show_alternate(on),
            1048 if on => self.saved[self.screen()] = self.cursor,
            1048 => self.restore(),
            1049 if on => {
                self.saved[self.screen()] = self.cursor;
                self.show_alternate(true);
                self.erase_screen(2);
            }
            // Where it is not shown terminals differ; most do nothing.
            1049 if self.is_alternate() => {
                self.show_alternate(false);
                self.restore();
            }
            1049 => {}
            _ => {
                self.modes.set(mode, on);
                self.pasted |= mode == PASTE && on;
                if mode == RESIZES {
                    self.report_size();
                }
                if mode == AUTOWRAP && on {
                    self.last = None;
                } else if mode == AUTOWRAP {
                    self.cursor.pending = false;
                }
            }
        }
    }

    /// Shows the alternate screen, blank, or the primary one again.
    fn show_alternate(&mut self, on: bool) {
        self.last = None;
        if on && self.primary.is_none() {
            let blank = Grid::new(self.grid.rows(), self.grid.cols());
            self.primary = Some(mem::replace(&mut self.grid, blank));
        } else if !on && let Some(primary) = self.primary.take() {
            self.grid = primary;
            self.saved[1] = Cursor::default();
            self.keyboards[1] = Keyboard::default();
        }
    }

    /// DECSTR.
    fn soften(&mut self) {
        self.modes.soften();
        self.region = 0..self.grid.rows();
        self.saved[self.screen()] = Cursor::default();
        let Cursor { row, col, .. } = self.cursor;
        self.cursor = Cursor {
            row,
            col,
            ..Cursor::default()
        };
    }
}

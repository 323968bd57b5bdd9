//! How characters come on the screen. Pure.

use unicode_width::UnicodeWidthChar;

use super::{Cursor, Emulator};
use crate::terminal::cell::Cell;
use crate::terminal::grid::Grid;
use crate::terminal::modes::AUTOWRAP;

/// The longest cluster of characters in a cell, in bytes.
const CLUSTER: usize = 64;

impl Emulator {
    /// Writes characters and obeys control characters.
    pub(super) fn write(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            let plain = text.iter().take_while(|b| (0x20..0x7f).contains(*b));
            let count = plain.count();
            if count > 0 && self.is_plain() {
                self.print_ascii(&text[..count]);
                text = &text[count..];
                continue;
            }
            let other = text.iter().take_while(|b| **b >= 0x80).count().max(1);
            let (head, tail) = text.split_at(other);
            text = tail;
            if head[0] < 0x20 {
                self.control(head[0]);
                continue;
            }
            for part in head.utf8_chunks() {
                part.valid().chars().for_each(|c| self.print(c));
                if !part.invalid().is_empty() {
                    self.print(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }

    /// True if a character is just put where the cursor is.
    fn is_plain(&self) -> bool {
        let set = self.cursor.charsets[self.cursor.shift];
        set == b'B' && self.single.is_none() && !self.modes.insert
    }

    /// Writes printable ASCII, a row's part at a time.
    fn print_ascii(&mut self, mut text: &[u8]) {
        let cols = self.grid.cols();
        let autowrap = self.modes.is_on(AUTOWRAP);
        while !text.is_empty() {
            if self.cursor.pending && autowrap {
                self.wrap();
            }
            let Cursor { row, col, pen, .. } = self.cursor;
            let count = text.len().min(cols - col);
            let (head, tail) = text.split_at(count);
            self.grid.put_ascii(row, col, head, pen);
            self.step(col, count);
            if let Some(c) = head.last() {
                self.last = Some((char::from(*c), col + count - 1));
            }
            text = if autowrap || tail.is_empty() {
                tail
            } else {
                // All the rest goes to the last column, one over the other.
                &tail[tail.len() - 1..]
            };
        }
    }

    pub(super) fn print(&mut self, c: char) {
        let raw = c;
        let single = self.single.take();
        let set = single.unwrap_or(self.cursor.shift);
        let c = mapped(self.cursor.charsets[set], c);
        let width = match c.width() {
            Some(0) => return self.combine(c),
            Some(width) => width,
            None => return,
        };
        let cols = self.grid.cols();
        if width > cols {
            return;
        }
        let autowrap = self.modes.is_on(AUTOWRAP);
        if autowrap && (self.cursor.pending || self.cursor.col + width > cols) {
            self.wrap();
        }
        if self.cursor.col + width > cols {
            return;
        }
        let Cursor { row, col, pen, .. } = self.cursor;
        if self.modes.insert {
            self.grid.insert(row, col, width, pen.bg);
        }
        if width == 2 {
            self.grid.put(row, col, &Cell::wide(c, pen));
        } else {
            self.grid.put(row, col, &[Cell::new(c, pen)]);
        }
        self.step(col, width);
        // REP does not shift.
        self.last = single.is_none().then_some((raw, col));
    }

    /// Goes on from `col` over what was written.
    fn step(&mut self, col: usize, width: usize) {
        let last = self.grid.cols() - 1;
        self.cursor.pending = col + width > last && self.modes.is_on(AUTOWRAP);
        self.cursor.col = (col + width).min(last);
    }

    fn wrap(&mut self) {
        self.cursor.col = 0;
        self.cursor.pending = false;
        self.line_feed();
    }

    /// Adds a character without a width to the one before.
    fn combine(&mut self, c: char) {
        let Cursor { row, col, .. } = self.cursor;
        let at_end = self.cursor.pending || self.last.is_some_and(|(_, at)| at == col);
        let Some(col) = (if at_end {
            Some(col)
        } else {
            col.checked_sub(1)
        }) else {
            return;
        };
        let cell = *self.grid.character_mut(row, col);
        let mut cluster = String::new();
        self.text_of(&cell, &mut cluster);
        cluster.push(c);
        if cluster.len() > CLUSTER {
            return;
        }
        if self.clusters.wants_sweep() {
            self.sweep();
        }
        if let Some(number) = self.clusters.put(cluster) {
            self.grid.character_mut(row, col).set_cluster(number);
        }
    }

    /// Forgets the clusters and links that no cell shows any more.
    pub(super) fn sweep(&mut self) {
        let mut clusters = vec![false; 1 << 16];
        let mut links = clusters.clone();
        let grids = [Some(&mut self.grid), self.primary.as_mut()];
        for cell in grids.into_iter().flatten().flat_map(Grid::cells_mut) {
            if let Err(number) = cell.glyph() {
                clusters[usize::from(number)] = true;
            }
            links[usize::from(cell.pen.link)] = true;
        }
        for cursor in self.saved.iter().chain([&self.cursor]) {
            links[usize::from(cursor.pen.link)] = true;
        }
        self.clusters.keep(|number| clusters[usize::from(number)]);
        self.links.keep(|number| links[usize::from(number)]);
    }
}

/// A character as a character set shows it: that of line drawing (0) and the
/// British one (A) are known.
fn mapped(set: u8, c: char) -> char {
    const LINES: &str = " ◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    match (set, c) {
        (b'0', '_'..='~') => {
            let at = u32::from(c) - u32::from('_');
            LINES.chars().nth(at as usize).unwrap_or(c)
        }
        (b'A', '#') => '£',
        _ => c,
    }
}

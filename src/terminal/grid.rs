//! The cells of one screen, and how rows and cells move. Pure.
//!
//! *Invariant*: a wide character has both its cells, or is blanked.

use std::ops::Range;

use super::cell::{Cell, Color, Pen};

/// Rows of cells, all of one length, which is not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    rows: Vec<Vec<Cell>>,
    cols: usize,
}

impl Grid {
    #[must_use]
    pub fn new(rows: usize, cols: usize) -> Self {
        Self {
            rows: vec![vec![Cell::default(); cols]; rows],
            cols,
        }
    }

    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    #[must_use]
    pub fn row(&self, row: usize) -> &[Cell] {
        &self.rows[row]
    }

    pub fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.rows.iter_mut().flatten()
    }

    /// Puts cells in a row from `col` on; they fit.
    pub fn put(&mut self, row: usize, col: usize, cells: &[Cell]) {
        let end = col + cells.len();
        self.mend(row, col);
        self.mend(row, end);
        self.rows[row][col..end].copy_from_slice(cells);
    }

    /// Puts narrow characters in a row, all of one look; they fit.
    pub fn put_ascii(&mut self, row: usize, col: usize, text: &[u8], pen: Pen) {
        let end = col + text.len();
        self.mend(row, col);
        self.mend(row, end);
        for (cell, byte) in self.rows[row][col..end].iter_mut().zip(text) {
            *cell = Cell::new(char::from(*byte), pen);
        }
    }

    /// The cell of the character at a place, for a wide one the first.
    pub fn character_mut(&mut self, row: usize, col: usize) -> &mut Cell {
        let spacer = self.rows[row][col].is_spacer();
        &mut self.rows[row][col - usize::from(spacer && col > 0)]
    }

    /// Blanks a part of a row.
    pub fn erase(&mut self, row: usize, cols: Range<usize>, bg: Color) {
        let end = cols.end.min(self.cols);
        let start = cols.start.min(end);
        self.mend(row, start);
        self.mend(row, end);
        self.rows[row][start..end].fill(Cell::blank(bg));
    }

    pub fn erase_rows(&mut self, rows: Range<usize>, bg: Color) {
        for row in &mut self.rows[rows] {
            row.fill(Cell::blank(bg));
        }
    }

    pub fn fill(&mut self, cell: Cell) {
        for row in &mut self.rows {
            row.fill(cell);
        }
    }

    /// Moves the rest of a row to the right.
    pub fn insert(&mut self, row: usize, col: usize, count: usize, bg: Color) {
        let count = count.min(self.cols - col);
        self.mend(row, col);
        self.mend(row, self.cols - count);
        self.rows[row][col..].rotate_right(count);
        self.rows[row][col..col + count].fill(Cell::blank(bg));
    }

    /// Moves the rest of a row to the left, over `count` cells.
    pub fn delete(&mut self, row: usize, col: usize, count: usize, bg: Color) {
        let count = count.min(self.cols - col);
        self.mend(row, col);
        self.mend(row, col + count);
        self.rows[row][col..].rotate_left(count);
        let end = self.cols - count;
        self.rows[row][end..].fill(Cell::blank(bg));
    }

    /// Moves rows up within a region; blank ones come in at its end.
    pub fn scroll_up(&mut self, region: Range<usize>, count: usize, bg: Color) {
        let count = count.min(region.len());
        self.rows[region.clone()].rotate_left(count);
        self.erase_rows(region.end - count..region.end, bg);
    }

    /// Moves rows down within a region; blank ones come in at its start.
    pub fn scroll_down(&mut self, region: Range<usize>, count: usize, bg: Color) {
        let count = count.min(region.len());
        self.rows[region.clone()].rotate_right(count);
        self.erase_rows(region.start..region.start + count, bg);
    }

    /// Gives it another size, and returns by how many rows its contents moved
    /// up so that the row of the cursor stays. Nothing is wrapped anew.
    pub fn resize(&mut self, rows: usize, cols: usize, cursor: usize) -> usize {
        let up = (cursor + 1).saturating_sub(rows);
        self.rows.drain(..up);
        self.rows.resize_with(rows, Vec::new);
        for row in 0..rows {
            if cols < self.rows[row].len() {
                self.mend(row, cols);
            }
            self.rows[row].resize(cols, Cell::default());
        }
        self.cols = cols;
        up
    }

    /// Blanks a wide character that reaches over the boundary before `col`.
    fn mend(&mut self, row: usize, col: usize) {
        let row = &mut self.rows[row];
        if row.get(col).is_some_and(Cell::is_spacer) {
            row[col].hollow();
            if let Some(first) = col.checked_sub(1) {
                row[first].hollow();
            }
        }
    }
}

//! The size of a terminal.

/// Rows and columns of a terminal, in character cells; never zero. And its size
/// in pixels, for programs that draw images: zero where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermSize {
    pub rows: u16,
    pub cols: u16,
    pub x_pixels: u16,
    pub y_pixels: u16,
}

impl TermSize {
    /// A size in which no side is zero: a terminal that reports 0 (some CI
    /// runners, serial lines) is given one cell.
    #[must_use]
    pub const fn new(rows: u16, cols: u16) -> Self {
        Self {
            rows: if rows == 0 { 1 } else { rows },
            cols: if cols == 0 { 1 } else { cols },
            x_pixels: 0,
            y_pixels: 0,
        }
    }

    /// The same cells, which take up so many pixels.
    #[must_use]
    pub const fn with_pixels(self, x_pixels: u16, y_pixels: u16) -> Self {
        Self {
            x_pixels,
            y_pixels,
            ..self
        }
    }

    /// The same cells, of pixels that are not known.
    #[must_use]
    pub const fn cells(self) -> Self {
        self.with_pixels(0, 0)
    }
}

impl Default for TermSize {
    fn default() -> Self {
        Self::new(24, 80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_side_is_ever_zero() {
        for (rows, cols, size) in [(0, 0, (1, 1)), (50, 132, (50, 132)), (0, 5, (1, 5))] {
            let new = TermSize::new(rows, cols);
            assert_eq!((new.rows, new.cols), size);
        }
    }
}

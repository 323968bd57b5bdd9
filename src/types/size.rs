//! The size of a terminal.

/// Rows and columns of a terminal, in character cells; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermSize {
    pub rows: u16,
    pub cols: u16,
}

impl TermSize {
    /// A size in which no side is zero: a terminal that reports 0 (some CI
    /// runners, serial lines) is given one cell.
    #[must_use]
    pub fn new(rows: u16, cols: u16) -> Self {
        Self {
            rows: rows.max(1),
            cols: cols.max(1),
        }
    }
}

impl Default for TermSize {
    fn default() -> Self {
        Self { rows: 24, cols: 80 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_side_is_ever_zero() {
        assert_eq!(TermSize::new(0, 0), TermSize { rows: 1, cols: 1 });
        assert_eq!(
            TermSize::new(50, 132),
            TermSize {
                rows: 50,
                cols: 132
            }
        );
    }
}

//! Columns, as `docker ps` has them.

use crate::report;

/// Rows of cells, the head first.
pub(super) struct Table<const N: usize>(Vec<[String; N]>);

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&str; N]) -> Self {
        Self(vec![head.map(str::to_owned)])
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.0.push(cells);
    }

    /// Its lines: cells are padded to the width of their column.
    fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.0.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..N).map(width).collect();
        let line = |row: &[String; N]| {
            let cells = row.iter().zip(&widths);
            let padded: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        self.0.iter().map(line).collect()
    }

    pub(super) fn print(&self) {
        self.lines().iter().for_each(report::line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(["NAME", "N"]);
        table.row(["é".into(), "1".into()]);
        table.row(["claude-2".into(), String::new()]);
        assert_eq!(table.lines(), ["NAME      N", "é         1", "claude-2"]);
    }
}

//! Rows of a screen, without what surrounds their text. Pure.

/// The text of a row without the frame around it, and its column.
pub(super) fn bare(row: &str) -> (usize, &str) {
    let frame = |c: char| c.is_whitespace() || matches!(c, '│' | '┃' | '║' | '▌');
    let text = row.trim_start_matches(frame);
    let indent = row[..row.len() - text.len()].chars().count();
    (indent, text.trim_end_matches(frame))
}

/// True for the upper or lower edge of a box.
pub(super) fn is_edge(row: &str) -> bool {
    row.trim_start()
        .starts_with(['─', '━', '═', '╌', '╭', '╰', '┌', '└', '▀', '▄'])
}

/// True for a row that holds nothing but a line.
pub(super) fn is_line(row: &str) -> bool {
    row.chars()
        .all(|c| matches!(c, '\u{2500}'..='\u{259f}') || c.is_whitespace())
}

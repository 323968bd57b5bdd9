//! A list of answers of which one is selected. Pure.

/// How far from the selected answer another one may stand: in a narrow
/// terminal an answer takes several rows.
const NEAR: usize = 6;

/// The index of the selected answer, if another one is near it. Rows come
/// without frames and blank rows, in small letters.
pub(super) fn selected(rows: &[&str]) -> Option<usize> {
    let is_selected = |at: &usize| {
        let text = rows[*at]
            .strip_prefix(['❯', '›', '●', '>', '▶', '→', '◉'])
            .map(str::trim_start);
        let near = &rows[at.saturating_sub(NEAR)..rows.len().min(at + 1 + NEAR)];
        text.is_some_and(is_answer) && near.iter().any(|row| is_answer(row))
    };
    (0..rows.len()).find(is_selected)
}

/// True for `2. Whatever`, `2) Whatever` and the words that dialogs offer.
fn is_answer(row: &str) -> bool {
    const WORDS: [&str; 12] = [
        "yes", "no", "allow", "approve", "accept", "deny", "reject", "decline", "cancel", "trust",
        "don't", "always",
    ];
    let rest = row.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() < row.len() {
        let text = rest.strip_prefix(['.', ')']);
        return text.is_some_and(|text| !text.starts_with(|c: char| c.is_ascii_digit()));
    }
    let word = row.split(|c: char| !c.is_alphabetic() && c != '\'').next();
    word.is_some_and(|word| WORDS.contains(&word))
}

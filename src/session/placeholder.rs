//! What agents show in place of a long paste: `[Pasted text #1 +12 lines]`,
//! `[paste #1 1993 chars]`, `[Pasted ~4 lines]`. Pure.
//!
//! It is known by its brackets and by what stands in them: the word *paste*, or
//! the size of the text, in whatever words.

/// How far apart its brackets may be, in characters without blanks.
const LONGEST: usize = 60;

/// Counts below are too common to be taken for the size of a text.
const MANY_CHARS: usize = 100;
const MANY_LINES: usize = 3;

const BRACKETS: [(char, char); 7] = [
    ('[', ']'),
    ('(', ')'),
    ('<', '>'),
    ('{', '}'),
    ('⟦', '⟧'),
    ('【', '】'),
    ('«', '»'),
];

/// How large a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) chars: usize,
    bytes: usize,
    pub(super) lines: usize,
}

impl Size {
    pub(super) fn of(text: &str) -> Self {
        Self {
            chars: text.chars().count(),
            bytes: text.len(),
            lines: text.lines().count(),
        }
    }

    /// True if a number is likely to tell it. Some count the line ends.
    fn is_told_by(self, number: usize) -> bool {
        let chars = self.chars >= MANY_CHARS && [self.chars, self.bytes].contains(&number);
        let lines = self.lines >= MANY_LINES && (self.lines - 1..=self.lines).contains(&number);
        chars || lines
    }
}

/// Where placeholders of a text of that size begin, in a text without blanks.
pub(super) fn find(ink: &str, size: Size) -> impl Iterator<Item = usize> {
    let open = move |(at, c): (usize, char)| {
        let (_, close) = BRACKETS.iter().find(|(open, _)| *open == c)?;
        let inner = &ink[at + c.len_utf8()..];
        let end = inner
            .char_indices()
            .take(LONGEST)
            .find(|(_, c)| c == close)?
            .0;
        stands_for(&inner[..end].to_lowercase(), c, size).then_some(at)
    };
    ink.char_indices().filter_map(open)
}

fn stands_for(inner: &str, open: char, size: Size) -> bool {
    // Round brackets stand around much else.
    let is_named = inner.contains("paste") && (open == '[' || inner.contains(digit));
    is_named || numbers(inner).any(|number| size.is_told_by(number))
}

fn digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// The numbers in a text; `1,993` and `1.993` are one each.
fn numbers(text: &str) -> impl Iterator<Item = usize> {
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.' | '\'');
    text.split(move |c: char| !is_part(c))
        .map(|word| {
            word.chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
        })
        .filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_known_in_any_spelling() {
        let text = format!("{}\n", "x".repeat(150)).repeat(13);
        let text = text.trim_end();
        let size = Size::of(text);
        assert_eq!((size.chars, size.lines), (1962, 13));
        for (shown, is_one) in [
            ("[paste#11962chars]", true),
            ("[Pastedtext#1+12lines]", true),
            ("[PastedContent1962chars]", true),
            ("[Pasted~13lines]", true),
            ("(pasted13lines)", true),
            ("⟦clipboard:1,962characters⟧", true),
            ("[13Zeileneingefügt]", true),
            ("[1962]", true),
            ("[7lines]", false),
            ("(todo)", false),
            ("(pasteitbelow)", false),
            ("1962", false),
            ("[", false),
        ] {
            assert_eq!(find(shown, size).next().is_some(), is_one, "{shown}");
        }
        let short = Size::of("two\nlines");
        assert!(find("[2]", short).next().is_none());
    }
}

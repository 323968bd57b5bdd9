//! Text that came from outside, made fit for a terminal.
//!
//! A chat message may become keystrokes, and a keystroke may approve a
//! command; so what could act on a terminal or deceive its reader is found
//! here, in one place, for the hub (which refuses it) and for the wrapper
//! (which removes it, because it may talk to a hub that does not).

/// True for a character that may act on a terminal or reorder what is read:
/// C0 and C1 controls, DEL, line and paragraph separators, bidirectional
/// overrides and isolates, invisible tags. Line feed and tab count as well.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}' | '\u{feff}')
}

/// True if a chat message may carry `text`: nothing that [`is_control`] finds,
/// but for line feed and tab.
#[must_use]
pub fn is_message(text: &str) -> bool {
    !text
        .chars()
        .any(|c| is_control(c) && c != '\n' && c != '\t')
}

/// True for a character that shows nothing and only steers how text is set:
/// directional marks, soft hyphens, zero-width blanks, interlinear notes.
/// Joiners are none of these: scripts and emoji need them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
}

/// One line of at most `max` characters that is safe to type: white space of
/// every kind becomes one blank, what acts or is not seen is dropped.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    let mut blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            blank = !line.is_empty();
        } else if !is_control(c) && !is_invisible(c) {
            if std::mem::take(&mut blank) {
                line.push(' ');
            }
            line.push(c);
        }
    }
    match line.char_indices().nth(max) {
        Some((end, _)) => line[..end].trim_end().to_owned(),
        None => line,
    }
}

/// A text as it was written, fit to be pasted: its line ends are line feeds,
/// tabs and blanks stay, and what may act on a terminal is dropped. Line ends at
/// its very end are dropped as well. The tags of an emoji flag stay.
#[must_use]
pub fn as_written(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut is_flag = false;
    while let Some(c) = chars.next() {
        let is_tag = matches!(c, '\u{e0020}'..='\u{e007f}');
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => written.push('\n'),
            '\t' => written.push(c),
            _ if is_tag && is_flag => written.push(c),
            _ if is_control(c) => {}
            _ => written.push(c),
        }
        is_flag = c == FLAG || is_flag && is_tag && c != END_OF_TAGS;
    }
    written.truncate(written.trim_end_matches('\n').len());
    written
}

/// What the tags of an emoji flag follow, and the last of them (UTS #51).
const FLAG: char = '\u{1f3f4}';
const END_OF_TAGS: char = '\u{e007f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_text_stays_as_it_was_written_without_controls() {
        let england = "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
        for (text, written) in [
            ("a\tb\r\n  c  d\r\re\n\n", "a\tb\n  c  d\n\ne"),
            (" indented", " indented"),
            ("a\u{2028}b\u{85}c\u{2029}d", "a\nb\nc\nd"),
            ("x\x1b[201~\rrm\x03\x7f\0", "x[201~\nrm"),
            ("a\u{9b}201~b\u{202e}c\u{2066}d\u{feff}", "a201~bcd"),
            (
                "zero\u{200b}width \u{200f}marks",
                "zero\u{200b}width \u{200f}marks",
            ),
            (england, england),
            ("smuggled\u{e0067}\u{e0062}", "smuggled"),
            (
                "👩\u{200d}💻 e\u{301} ❤\u{fe0f}",
                "👩\u{200d}💻 e\u{301} ❤\u{fe0f}",
            ),
            ("\r\n", ""),
        ] {
            assert_eq!(as_written(text), written, "{text:?}");
        }
    }

    #[test]
    fn messages_may_have_lines_and_tabs_only() {
        for (text, fine) in [
            ("hello", true),
            ("two\nlines\tand a tab", true),
            ("häßlich 漢字 👩‍💻", true),
            ("a\rb", false),
            ("\x1b[200~", false),
            ("\u{9b}31m", false),
            ("del\x7f", false),
            ("nul\0", false),
            ("rtl \u{202e}override", false),
        ] {
            assert_eq!(is_message(text), fine, "{text:?}");
        }
    }

    #[test]
    fn typed_text_is_one_line_without_controls() {
        for (text, line) in [
            ("  a \n\n b\tc ", "a b c"),
            ("x\r!touch PWNED\r", "x !touch PWNED"),
            ("\x1b[201~\x03rm", "[201~rm"),
            ("a\u{9b}201~b", "a201~b"),
            ("a\u{85}b\u{2028}c\u{2029}d\u{b}e\u{c}f", "a b c d e f"),
            ("a\x7f\x08\0b", "ab"),
            ("\u{feff}a\u{202e}b\u{2066}c\u{200f}d\u{61c}e", "abcde"),
            ("a\u{200b}b\u{ad}c\u{2060}d\u{fff9}e\u{e0041}f", "abcdef"),
            (
                "👩\u{200d}💻 क\u{94d}\u{200d}ष",
                "👩\u{200d}💻 क\u{94d}\u{200d}ष",
            ),
            ("می\u{200c}خواهم ❤\u{fe0f}", "می\u{200c}خواهم ❤\u{fe0f}"),
            ("", ""),
            ("\n\t ", ""),
        ] {
            assert_eq!(one_line(text, 100), line, "{text:?}");
        }
        assert_eq!(one_line("abc def", 4), "abc");
        assert_eq!(one_line("äöü", 2), "äö");
    }
}

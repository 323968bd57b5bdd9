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

#[cfg(test)]
mod tests {
    use super::*;

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

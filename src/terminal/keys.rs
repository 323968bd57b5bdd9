//! Prompt text to keystrokes. Pure.

use crate::types::text::{as_written, one_line};

/// The longest prompt that is typed, in characters.
pub const MAX_PROMPT: usize = 32 * 1024;

/// What submits a line.
pub const ENTER: &[u8] = b"\r";

/// The keystrokes of a prompt, without Enter: one bracketed paste, or the plain
/// text as one line for an agent that knows no pastes. Text without control
/// characters cannot hold the marker that ends a paste.
#[must_use]
pub fn prompt(text: &str, bracketed: bool) -> Vec<u8> {
    if bracketed {
        let text: String = as_written(text).chars().take(MAX_PROMPT).collect();
        format!("\x1b[200~{text}\x1b[201~").into_bytes()
    } else {
        one_line(text, MAX_PROMPT).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_one_paste() {
        assert_eq!(prompt("hi you", true), b"\x1b[200~hi you\x1b[201~");
        assert_eq!(prompt("hi\nyou", false), b"hi you");
        assert_eq!(
            prompt("hi\r\n\tyou  ", true),
            b"\x1b[200~hi\n\tyou  \x1b[201~"
        );
    }

    #[test]
    fn no_prompt_ends_its_paste_or_presses_a_key() {
        for text in [
            "a\x1b[201~\rrm",
            "a\u{9b}201~\x03",
            "\x1b\x1b[201~[201~",
            "a\r\n\x7f\x08\0b",
            "\r",
            "a\u{2028}\u{2029}b\u{85}c",
        ] {
            for bracketed in [true, false] {
                let keys = prompt(text, bracketed);
                let inner = if bracketed {
                    &keys[6..keys.len() - 6]
                } else {
                    &keys[..]
                };
                let inner = std::str::from_utf8(inner).expect("text");
                let acts = |c: char| c.is_control() && !(bracketed && c == '\n');
                assert!(!inner.chars().any(acts), "{inner:?}");
            }
        }
    }
}

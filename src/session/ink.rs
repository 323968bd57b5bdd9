//! Text reduced to what every terminal draws alike. Pure.
//!
//! Agents and terminals disagree about clusters: how wide an emoji of several
//! code points is, whether a mark has a cell, which part of a sequence is
//! overwritten by what follows. So a text and a screen are compared by their
//! base characters alone: decomposed, without marks, joined emoji, skin tones,
//! selectors, blanks and frames.

use unicode_normalization::UnicodeNormalization;
use unicode_width::UnicodeWidthChar;

const JOINER: char = '\u{200d}';

/// What is left of `text`.
#[must_use]
pub(super) fn ink(text: &str) -> String {
    if text.is_ascii() {
        return text.chars().filter(|c| is_ink(*c)).collect();
    }
    let mut is_joined = false;
    let bases = text.nfd().filter(|c| {
        if *c == JOINER {
            is_joined = true;
            return false;
        }
        if c.width().unwrap_or(0) == 0 {
            return false;
        }
        let is_part = std::mem::take(&mut is_joined) && is_symbol(*c);
        !is_part && is_ink(*c) && !matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
    });
    bases.collect()
}

/// The same without what may be drawn in several ways: letters, digits, ASCII.
pub(super) fn plain(text: &str) -> String {
    ink(text).chars().filter(|c| !is_symbol(*c)).collect()
}

/// The parts of `text` that no agent draws otherwise than in a row, in the
/// order of the text: letters, digits and ASCII, cut at line ends and at what
/// may be drawn in several ways.
#[must_use]
pub(super) fn runs(text: &str) -> Vec<String> {
    let mut runs = Vec::new();
    for line in text.lines() {
        let mut run = String::new();
        for c in ink(line).chars() {
            if is_symbol(c) {
                runs.push(std::mem::take(&mut run));
            } else {
                run.push(c);
            }
        }
        runs.push(run);
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Neither a letter, nor a digit, nor ASCII.
fn is_symbol(c: char) -> bool {
    !c.is_ascii() && !c.is_alphanumeric()
}

/// Neither blank nor part of a frame.
fn is_ink(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2500}'..='\u{259f}' | '|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_in_several_ways_is_reduced_to_its_base() {
        for (text, left) in [
            ("a b │ c|", "abc"),
            ("é", "e"),
            ("e\u{301}", "e"),
            ("👩\u{200d}💻x", "👩x"),
            ("👩\u{200d}x", "👩x"),
            ("👍🏽", "👍"),
            ("❤\u{fe0f}", "❤"),
            ("각", "\u{1100}"),
            ("\u{1100}\u{1161}\u{11a8}", "\u{1100}"),
            ("क्षि", "कषि"),
            ("שָׁלוֹם", "שלום"),
            ("a\u{200b}\u{ad}b\u{e0067}", "ab"),
            ("\u{200d}\u{fe0f}\u{301}", ""),
        ] {
            assert_eq!(ink(text), left, "{text:?}");
        }
        assert_eq!(runs("a👩\u{200d}💻bé\n\nc  d"), ["a", "be", "cd"]);
    }
}

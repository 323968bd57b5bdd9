//! What can be told of output without showing it. Pure.
//!
//! A flood of output is not worth showing line by line: of a long run without
//! escape sequences only what is still visible at its end matters, and that is
//! found at memory speed. See ECMA-48 for what a sequence is.

/// How much of a flood full of escape sequences is shown, if it cannot be
/// shown whole, in bytes.
pub const TAIL: usize = 256 * 1024;

/// A run shorter than this is shown as it is, in bytes.
const LONG: usize = 4096;

/// The start of a run that is always shown: it may be the rest of a sequence.
const HEAD: usize = 64;

/// Cuts out of each run without escape sequences the lines that have scrolled
/// away by its end. The screen that results is the same, if its scroll region
/// is whole.
#[must_use]
pub fn without_scrolled(bytes: &[u8], rows: u16) -> Vec<u8> {
    let mut kept = Vec::new();
    for run in bytes.split_inclusive(|b| *b == 0x1b) {
        match visible_from(run, rows) {
            Some(start) => {
                kept.extend_from_slice(&run[..HEAD]);
                kept.extend_from_slice(&run[start..]);
            }
            None => kept.extend_from_slice(run),
        }
    }
    kept
}

/// Keeps the tail of a flood, and of what is before it the sequences that
/// switch modes: the agent does not repeat those.
#[must_use]
pub fn tail_and_modes(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.len().saturating_sub(TAIL);
    let start = memchr::memchr(b'\n', &bytes[start..]).map_or(start, |at| start + at + 1);
    let mut kept = b"\x18".to_vec();
    for at in memchr::memmem::find_iter(&bytes[..start], b"\x1b[?") {
        let rest = &bytes[at..start];
        let end = rest
            .iter()
            .skip(3)
            .position(|b| !matches!(b, b'0'..=b'9' | b';'));
        if let Some(end) = end
            && matches!(rest[end + 3], b'h' | b'l')
        {
            kept.extend_from_slice(&rest[..end + 4]);
        }
    }
    kept.extend_from_slice(&bytes[start..]);
    kept
}

/// True if nothing of what a screen showed before can be left after these
/// bytes: it was cleared, or scrolled away.
#[must_use]
pub fn repaints(bytes: &[u8], rows: u16) -> bool {
    let finds = |needle: &[u8]| memchr::memmem::find(bytes, needle).is_some();
    finds(b"\x1b[2J")
        || finds(b"\x1b[?1049h")
        || finds(b"\x1bc")
        || memchr::memchr_iter(b'\n', bytes).nth(rows.into()).is_some()
}

/// Where in a run the line end before its last `rows` lines is, if the run is
/// long enough to be cut and leads nowhere else.
fn visible_from(run: &[u8], rows: u16) -> Option<usize> {
    // Shift in and out change how later bytes look, as an escape would; and a
    // run that does not start like a sequence of some digits may be a string.
    let strange = memchr::memchr2(0x0e, 0x0f, run).is_some()
        || matches!(run.first(), Some(b']' | b'P' | b'X' | b'^' | b'_'));
    if run.len() < LONG || strange {
        return None;
    }
    memchr::memrchr_iter(b'\n', run)
        .skip(usize::from(rows) + 1)
        .map(|at| at.saturating_sub(1))
        .take_while(|at| *at >= HEAD)
        .find(|at| run[*at] == b'\r')
}

/// Collects the printable text of output, blanks and sequences left out, up to
/// a limit.
#[derive(Debug, Default)]
pub struct Printed {
    text: Vec<u8>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    /// Inside a string that ends with BEL or ST.
    Text,
}

impl Printed {
    const LIMIT: usize = 64 * 1024;

    #[expect(clippy::match_same_arms, reason = "a table of states, in order")]
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = match (self.state, byte) {
                (_, 0x1b) => State::Escape,
                (State::Text, 0x07) => State::Ground,
                (State::Text, _) => State::Text,
                (State::Escape, b'[') => State::Csi,
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text,
                // Intermediates of a sequence of two or more bytes.
                (State::Escape, 0x20..=0x2f) => State::Escape,
                (State::Csi, 0x40..=0x7e) | (State::Escape, _) => State::Ground,
                (State::Csi, _) => State::Csi,
                (State::Ground, _) => {
                    if *byte > 0x20 && *byte != 0x7f && self.text.len() < Self::LIMIT {
                        self.text.push(*byte);
                    }
                    State::Ground
                }
            }
        }
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::screen::Screen;
    use crate::types::size::TermSize;

    #[test]
    fn text_is_what_is_left_without_sequences() {
        for (bytes, text) in [
            (&b"a b\r\nc"[..], "abc"),
            (b"\x1b[1;31mred\x1b[0m x", "redx"),
            (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"),
            (b"\x1b(Ba\x1b7\x1b[?25hb", "ab"),
            ("ä漢".as_bytes(), "ä漢"),
        ] {
            let mut whole = Printed::default();
            whole.feed(bytes);
            assert_eq!(whole.text(), text);
            let mut split = Printed::default();
            bytes.chunks(1).for_each(|byte| split.feed(byte));
            assert_eq!(split.text(), text, "in single bytes");
        }
    }

    #[test]
    fn a_cut_flood_ends_in_the_same_screen() {
        let mut flood = b"\x1b[2J\x1b[H\x1b[1mtop\r\n".to_vec();
        for line in 0..5000 {
            flood.extend_from_slice(format!("line {line} with some words\r\n").as_bytes());
        }
        flood.extend_from_slice(b"\x1b[3;1Hmiddle\x1b[24;1H");
        for line in 0..3000 {
            flood.extend_from_slice(format!("\tmore {line}\r\n").as_bytes());
        }
        let kept = without_scrolled(&flood, 24);
        assert!(kept.len() < 4096, "{}", kept.len());
        let [whole, cut] = [&flood, &kept].map(|bytes| {
            let mut screen = Screen::new(TermSize::default());
            screen.feed(bytes);
            screen.picture()
        });
        assert_eq!(whole, cut);
    }

    #[test]
    fn short_runs_and_lines_without_return_are_kept_whole() {
        for bytes in [b"a\r\nb\r\n".repeat(20), b"x\n".repeat(9000)] {
            assert_eq!(without_scrolled(&bytes, 2), bytes);
        }
    }

    #[test]
    fn modes_survive_what_is_skipped() {
        let mut flood = b"\x1b[?2004h\x1b[?1049;1004h\x1b[?25$p\x1b[31mx\r\n".to_vec();
        flood.extend(b"\x1b[32mcolour\r\n".repeat(TAIL / 8));
        let kept = tail_and_modes(&flood);
        assert!(kept.starts_with(b"\x18\x1b[?2004h\x1b[?1049;1004h\x1b["));
        assert!(kept.len() <= TAIL + 64);
    }

    #[test]
    fn a_clear_or_a_screenful_of_lines_repaints() {
        assert!(repaints(b"x\x1b[2Jy", 24));
        assert!(repaints(&b"\r\n".repeat(25), 24));
        assert!(!repaints(&b"\r\n".repeat(24), 24));
        assert!(!repaints(b"\x1b[H\x1b[K", 24));
    }
}

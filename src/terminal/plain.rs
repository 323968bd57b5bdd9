//! What can be told of output without showing it. Pure.
//!
//! A flood is not worth showing line by line: what is left of it in the end is
//! its tail, and the modes that it has switched. See ECMA-48 for what a
//! sequence is, and xterm for private modes.

/// How much of a flood is shown, in bytes.
pub const TAIL: usize = 64 * 1024;

/// Cuts a flood down to its tail, from the beginning of a line if there is
/// one, and the last setting of each private mode before it: an agent does not
/// switch those again.
pub fn skip(flood: &mut Vec<u8>) {
    let start = flood.len().saturating_sub(TAIL);
    let start = memchr::memchr(b'\n', &flood[start..]).map_or(start, |at| start + at + 1);
    // The cut may be within a sequence: CAN ends it.
    let mut kept = b"\x18".to_vec();
    for mode in last_modes(&flood[..start]) {
        kept.extend_from_slice(mode);
    }
    flood.splice(..start, kept);
}

/// The sequences that set or reset private modes, the last one of each.
fn last_modes(bytes: &[u8]) -> Vec<&[u8]> {
    const PREFIX: &[u8] = b"\x1b[?";
    let mut modes: Vec<&[u8]> = Vec::new();
    for at in memchr::memmem::find_iter(bytes, PREFIX) {
        let params = bytes[at + PREFIX.len()..].iter();
        let Some(len) = params
            .clone()
            .position(|b| !matches!(b, b'0'..=b'9' | b';'))
        else {
            continue;
        };
        let last = at + PREFIX.len() + len;
        if !matches!(bytes[last], b'h' | b'l') {
            continue;
        }
        let mode = &bytes[at..=last];
        let same = |other: &&[u8]| other[..other.len() - 1] == bytes[at..last];
        match modes.iter_mut().find(|other| same(other)) {
            Some(earlier) => *earlier = mode,
            None => modes.push(mode),
        }
    }
    modes
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
        let mut flood = b"\x1b[2J\x1b[H\x1b[?2004h\x1b[?25h\x1b[1mtop\r\n".to_vec();
        for line in 0..9000 {
            flood.extend_from_slice(format!("\tline {line} with\x1b[32m words\r\n").as_bytes());
        }
        flood.extend_from_slice("äöü\x1b[3;1Hmiddle\x1b[24;1H".as_bytes());
        let mut cut = flood.clone();
        skip(&mut cut);
        assert!(cut.len() <= TAIL + 32, "{}", cut.len());
        let [whole, cut] = [flood, cut].map(|bytes| {
            let mut screen = Screen::new(TermSize::default());
            screen.feed(&bytes);
            screen.picture()
        });
        assert_eq!(whole, cut);
    }

    #[test]
    fn the_last_setting_of_each_mode_survives() {
        let mut flood = b"\x1b[?2004l\x1b[?1049;1004h\x1b[?25$p\x1b[?2004h\x1b[31mx\r\n".to_vec();
        flood.extend(b"\x1b[?25l\x1b[32mcolour\x1b[?25h\r\n".repeat(TAIL / 8));
        skip(&mut flood);
        assert!(flood.starts_with(b"\x18\x1b[?2004h\x1b[?1049;1004h\x1b[?25h\x1b[?25l"));
        assert!(flood.len() <= TAIL + 64);
        let before = flood.len();
        skip(&mut flood);
        assert!(flood.len() <= before, "the modes do not pile up");
    }

    #[test]
    fn a_clear_or_a_screenful_of_lines_repaints() {
        assert!(repaints(b"x\x1b[2Jy", 24));
        assert!(repaints(&b"\r\n".repeat(25), 24));
        assert!(!repaints(&b"\r\n".repeat(24), 24));
        assert!(!repaints(b"\x1b[H\x1b[K", 24));
    }
}

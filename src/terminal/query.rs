//! What an agent asks its terminal. Pure.
//!
//! A question is a sequence to which terminals answer on their input; see
//! xterm's control sequences, and kitty's for its keyboard and graphics.

use super::csi::Csi;
use super::lexer::{Lexer, Piece, unfinished};

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query<'a> {
    /// DA1, DA2, DA3, by their marker: 0, `>`, `=`.
    Attributes(u8),
    /// DSR 5.
    Status,
    /// DSR 6, and with true the private one.
    Cursor(bool),
    /// DSR ?996.
    ColorScheme,
    /// DECRQM of an ANSI mode, or with true of a private one.
    Mode(bool, u16),
    /// `CSI ? u`.
    Keyboard,
    /// `CSI ? 4 m`.
    OtherKeys,
    /// XTVERSION.
    Version,
    /// `CSI 11 t` to `21 t`.
    Window(u16),
    /// DECRQSS.
    Setting(&'a [u8]),
    /// XTGETTCAP.
    Capabilities(&'a [u8]),
    /// OSC 4, 10 to 19, and what follows it.
    Colors(u16, &'a [u8]),
    /// One that terminals answer and we do not: graphics, the clipboard,
    /// locators and the like.
    Other,
}

impl<'a> Query<'a> {
    /// What an escape sequence asks, if it does.
    #[must_use]
    pub fn read(sequence: &'a [u8]) -> Option<Self> {
        match sequence.get(1)? {
            b'[' => Self::csi(sequence),
            b']' => {
                let (code, rest) = code(string(sequence));
                match code? {
                    code @ (4 | 5 | 10..=19) => {
                        let asks = rest.split(|byte| *byte == b';').any(|part| part == b"?");
                        asks.then_some(Self::Colors(code, rest))
                    }
                    52 => rest.ends_with(b";?").then_some(Self::Other),
                    _ => None,
                }
            }
            b'P' => {
                let text = string(sequence);
                if let Some(setting) = text.strip_prefix(b"$q") {
                    return Some(Self::Setting(setting));
                }
                text.strip_prefix(b"+q").map(Self::Capabilities)
            }
            b'_' => {
                let control = string(sequence).split(|byte| *byte == b';').next()?;
                let mut keys = control.strip_prefix(b"G")?.split(|byte| *byte == b',');
                keys.any(|key| key == b"a=q").then_some(Self::Other)
            }
            b'Z' => Some(Self::Attributes(0)),
            _ => None,
        }
    }

    fn csi(sequence: &[u8]) -> Option<Self> {
        // Most sequences are none of these, and are read once only.
        let marked = matches!(sequence.get(2), Some(b'<'..=b'?'));
        match sequence.last()? {
            b'c' | b'n' | b'p' | b't' | b'w' | b'x' | b'y' | b'|' => {}
            b'S' | b'm' | b'q' | b'u' if marked => {}
            _ => return None,
        }
        let csi = Csi::read(sequence)?;
        let first = csi.params.or(0, 0);
        match (csi.marker, csi.intermediate, csi.last) {
            (marker @ (0 | b'>' | b'='), 0, b'c') if first == 0 => Some(Self::Attributes(marker)),
            (0, 0, b'n') if first == 5 => Some(Self::Status),
            (marker @ (0 | b'?'), 0, b'n') if first == 6 => Some(Self::Cursor(marker == b'?')),
            (b'?', 0, b'n') if first == 996 => Some(Self::ColorScheme),
            (b'?', 0, b'n') => Some(Self::Other),
            (0, b'$', b'p') => Some(Self::Mode(false, first)),
            (b'?', b'$', b'p') => Some(Self::Mode(true, first)),
            (b'?', 0, b'u') => Some(Self::Keyboard),
            (b'?', 0, b'm') => Some(if first == 4 {
                Self::OtherKeys
            } else {
                Self::Other
            }),
            (b'>', 0, b'q') if first == 0 => Some(Self::Version),
            (0, 0, b't') if (11..=21).contains(&first) => Some(Self::Window(first)),
            (b'?', 0, b'S') => Some(Self::Other),
            // DECREQTPARM, DECRQCRA, DECRQPSR, DECRQLP.
            (0, 0, b'x') if first < 2 => Some(Self::Other),
            (0, b'*', b'y') | (0, b'$', b'w') | (0, b'\'', b'|') => Some(Self::Other),
            _ => None,
        }
    }
}

/// What stands in a string between its introducer and its end.
#[must_use]
pub fn string(sequence: &[u8]) -> &[u8] {
    let text = sequence.get(2..).unwrap_or_default();
    text.strip_suffix(b"\x07").unwrap_or(text)
}

/// The number at the beginning of an OSC, and what follows it.
#[must_use]
pub fn code(text: &[u8]) -> (Option<u16>, &[u8]) {
    let end = text.iter().position(|byte| *byte == b';');
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let number = str::from_utf8(number).ok().and_then(|n| n.parse().ok());
    (number, rest.strip_prefix(b";").unwrap_or_default())
}

/// The colours that an OSC 4 or 10 to 12 names, and what it says of each; those
/// of OSC 10 begin with 256.
pub fn colors(code: u16, params: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut parts = params.split(|byte| *byte == b';');
    let mut next = code;
    std::iter::from_fn(move || {
        if code == 4 {
            let index = str::from_utf8(parts.next()?).ok()?.parse().ok()?;
            return (index < 256).then_some((index, parts.next()?));
        }
        let color = next.checked_sub(10)?;
        next += 1;
        (color < 3).then_some((256 + color, parts.next()?))
    })
}

/// What ends a string.
const ST: &[u8] = b"\x1b\\";

/// Takes the questions out of output, for terminals that only look on.
///
/// What is not whole is held back: a [`super::Keyframe`] shows what went into
/// the sieve until then and has not been held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sieve {
    lexer: Lexer,
    /// The last piece was a string that was taken out, and its ST goes as well.
    ended: bool,
    /// What was shown last has yet to be ended: a string, or a part of a
    /// sequence that is too long.
    open: bool,
}

impl Sieve {
    /// One that goes on in the middle of output, where `lexer` has come to.
    #[must_use]
    pub fn after(lexer: &Lexer) -> Self {
        Self {
            lexer: lexer.clone(),
            ..Self::default()
        }
    }

    /// Adds to `shown` what is to be shown of the output so far.
    pub fn sift(&mut self, output: &[u8], shown: &mut Vec<u8>) {
        let Self { lexer, ended, open } = self;
        lexer.feed(output, |piece| {
            let query = match piece {
                Piece::Sequence(sequence) => Query::read(sequence),
                _ => None,
            };
            match (piece, query) {
                (Piece::Sequence(ST), _) if std::mem::take(ended) => {}
                (Piece::Sequence(sequence), Some(query)) => {
                    *ended = is_open(sequence);
                    if std::mem::take(open) {
                        // The question was its end.
                        shown.extend_from_slice(ST);
                    }
                    if let Query::Colors(code, params) = query {
                        show_set(code, params, shown);
                    }
                }
                _ => {
                    *ended = false;
                    if *open && matches!(piece, Piece::Text(_)) {
                        // An ESC that has yet to come was its end.
                        shown.extend_from_slice(ST);
                    }
                    *open = match piece {
                        Piece::Sequence(sequence) => is_open(sequence),
                        Piece::Part(_) => true,
                        _ => false,
                    };
                    show(piece, shown);
                }
            }
        });
    }
}

/// True for a string that an ST is to follow: BEL ends those of one kind alone.
fn is_open(sequence: &[u8]) -> bool {
    match sequence.get(1) {
        Some(b']') => !sequence.ends_with(b"\x07"),
        Some(b'P' | b'X' | b'^' | b'_') => true,
        _ => false,
    }
}

/// Adds the colours that are set along with those that are asked for.
fn show_set(code: u16, params: &[u8], shown: &mut Vec<u8>) {
    for (color, value) in colors(code, params).filter(|(_, value)| *value != b"?") {
        let order = match color.checked_sub(256) {
            Some(dynamic) => format!("\x1b]{};", 10 + dynamic),
            None => format!("\x1b]4;{color};"),
        };
        shown.extend([order.as_bytes(), value, ST].concat());
    }
}

/// Adds a piece, and ends what is broken in it: what follows in the output may
/// be taken out, or come later.
fn show(piece: Piece<'_>, shown: &mut Vec<u8>) {
    match piece {
        Piece::Text(text) => {
            let (whole, rest) = text.split_at(text.len() - unfinished(text).0);
            shown.extend_from_slice(whole);
            for _ in rest.utf8_chunks() {
                shown.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
        Piece::Broken(bytes) => {
            shown.extend_from_slice(bytes);
            if !bytes.ends_with(b"\x18") && !bytes.ends_with(b"\x1a") {
                shown.push(0x18);
            }
        }
        Piece::Sequence(bytes) | Piece::Part(bytes) => shown.extend_from_slice(bytes),
    }
}

/// Tells in which output there are questions, and nothing more.
#[derive(Debug, Default)]
pub struct Watch(Lexer);

impl Watch {
    /// True if this output ends a question, wherever that began.
    pub fn asks(&mut self, output: &[u8]) -> bool {
        let mut asks = false;
        self.0.feed(output, |piece| {
            asks |= matches!(piece, Piece::Sequence(it) if Query::read(it).is_some());
        });
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    const QUESTIONS: [(&[u8], Query<'_>); 24] = [
        (b"\x1b[c", Query::Attributes(0)),
        (b"\x1b[0c", Query::Attributes(0)),
        (b"\x1bZ", Query::Attributes(0)),
        (b"\x1b[>c", Query::Attributes(b'>')),
        (b"\x1b[=0c", Query::Attributes(b'=')),
        (b"\x1b[5n", Query::Status),
        (b"\x1b[6n", Query::Cursor(false)),
        (b"\x1b[?6n", Query::Cursor(true)),
        (b"\x1b[?996n", Query::ColorScheme),
        (b"\x1b[4$p", Query::Mode(false, 4)),
        (b"\x1b[?2026$p", Query::Mode(true, 2026)),
        (b"\x1b[?u", Query::Keyboard),
        (b"\x1b[?4m", Query::OtherKeys),
        (b"\x1b[>0q", Query::Version),
        (b"\x1b[>q", Query::Version),
        (b"\x1b[14t", Query::Window(14)),
        (b"\x1bP$qm", Query::Setting(b"m")),
        (b"\x1bP+q544e", Query::Capabilities(b"544e")),
        (b"\x1b]4;0;?;1;?\x07", Query::Colors(4, b"0;?;1;?")),
        (b"\x1b]11;?\x07", Query::Colors(11, b"?")),
        (b"\x1b]10;?", Query::Colors(10, b"?")),
        (b"\x1b]52;c;?\x07", Query::Other),
        (b"\x1b_Gi=1,s=1,v=1,a=q,t=d,f=24;AAAA", Query::Other),
        (b"\x1b[?1;1;0S", Query::Other),
    ];

    #[test]
    fn questions_are_told_from_orders() {
        for (sequence, query) in QUESTIONS {
            assert_eq!(Query::read(sequence), Some(query), "{sequence:?}");
        }
        for order in [
            &b"\x1b[1c"[..],
            b"\x1b[u",
            b"\x1b[>1u",
            b"\x1b[1 q",
            b"\x1b[>4;2m",
            b"\x1b[?1;2c",
            b"\x1b[22;0t",
            b"\x1b[3S",
            b"\x1b[!p",
            b"\x1b[0n",
            b"\x1b]11;rgb:00/00/00\x07",
            b"\x1b]0;why?\x07",
            b"\x1b]52;c;eA==\x07",
            b"\x1bPq#0;2;0;0;0",
            b"\x1b_Ga=T,f=100;AAAA",
            b"\x1b\\",
            b"\x1bM",
        ] {
            assert_eq!(Query::read(order), None, "{order:?}");
        }
    }

    #[test]
    fn what_else_a_question_does_is_done_without_it() {
        for (output, shown) in [
            (&b"\x1bPx\x1b[6ny"[..], &b"\x1bPx\x1b\\y"[..]),
            (b"\x1bPx\x1b\n[6ny", b"\x1bPx\x1b\\\ny"),
            (b"\x1b\nPx\x1b[6ny", b"\n\x1bPx\x1b\\y"),
            (b"\xe6\x1b[?u\xbc", "\u{fffd}\u{fffd}".as_bytes()),
            (b"\x1b]11;#123;?\x07y", b"\x1b]11;#123\x1b\\y"),
            (b"\x1b]4;1;?;2;#321\x1b\\y", b"\x1b]4;2;#321\x1b\\y"),
        ] {
            let mut told = Vec::new();
            Sieve::default().sift(output, &mut told);
            let text = String::from_utf8_lossy;
            assert_eq!(text(&told), text(shown), "{:?}", text(output));
        }
    }

    #[test]
    fn a_sieve_takes_out_the_questions_however_they_are_cut() {
        let mut dice = Dice::new(7);
        for _ in 0..500 {
            let (mut output, mut expected) = (Vec::new(), Vec::new());
            for _ in 0..dice.below(12) {
                let word: &[u8] = [
                    &b"text"[..],
                    b"\x1b[31m",
                    b"\x1b]0;t\x1b\\",
                    b"\x1b[H",
                    "漢".as_bytes(),
                ][dice.below(5)];
                output.extend_from_slice(word);
                expected.extend_from_slice(word);
                let (question, _) = QUESTIONS[dice.below(QUESTIONS.len())];
                output.extend_from_slice(question);
                if matches!(question[1], b']' | b'P' | b'_') && question.last() != Some(&7) {
                    output.extend_from_slice(b"\x1b\\");
                }
            }
            let mut sieve = Sieve::default();
            let mut shown = Vec::new();
            for part in dice.split(&output) {
                sieve.sift(part, &mut shown);
            }
            assert_eq!(shown, expected, "{:?}", String::from_utf8_lossy(&output));
        }
    }
}

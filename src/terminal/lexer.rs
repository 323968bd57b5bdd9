//! Terminal output in pieces: text, and escape sequences as wholes. Pure.
//!
//! The states are those of <https://vt100.net/emu/dec_ansi_parser>, in UTF-8. A
//! sequence or a character that is not whole yet is held back, so that whatever
//! has been told is whole. Control characters right after an ESC are told before
//! it, as terminals obey them: so a sequence's second byte says what it is.
//!
//! *Invariant*: the pieces, joined, are the input less what is held, in that
//! order; how the input was cut makes no difference to what is held, or to what
//! was told.

/// More of a sequence than this is not held: it is told in parts.
const LIMIT: usize = 4096;

const ESC: u8 = 0x1b;

/// A piece of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Characters, all of them whole, and control characters.
    Text(&'a [u8]),
    /// An escape sequence from its ESC on; of a string all but an ST, which is
    /// a sequence of its own.
    Sequence(&'a [u8]),
    /// A sequence that was broken off.
    Broken(&'a [u8]),
    /// A part of a sequence that is too long.
    Part(&'a [u8]),
}

/// Where in the output the next byte stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// In a character that has this many bytes to come.
    Character(u8),
    Escape,
    /// After intermediates.
    Escape2,
    Csi,
    /// A string that BEL ends as well.
    Osc,
    /// A string that only ST ends: DCS, SOS, PM, APC.
    Str,
}

/// What a byte does to the piece that is being read.
enum Step {
    /// It goes on, in this state.
    On(State),
    /// It is a control character, to be obeyed before the piece.
    First,
    /// This was its last byte.
    End,
    /// It was broken off by this byte, which belongs to it.
    Cancelled,
    /// It ended before this byte, as a whole or not.
    Before { whole: bool },
}

/// Cuts output into pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lexer {
    state: State,
    held: Vec<u8>,
    /// A part of the present sequence was told already.
    long: bool,
}

impl Lexer {
    /// Reads on, and tells every piece that is complete.
    pub fn feed(&mut self, chunk: &[u8], mut tell: impl FnMut(Piece<'_>)) {
        // Where the piece that is being read begins in the chunk.
        let mut from = 0;
        let mut at = 0;
        while at < chunk.len() {
            if self.state == State::Text {
                let end = memchr::memchr(ESC, &chunk[at..]).map(|n| at + n);
                let stop = end.unwrap_or(chunk.len());
                let (kept, missing) = match end {
                    Some(_) => (0, 0),
                    None => unfinished(&chunk[at..]),
                };
                from = stop - kept;
                if from > at {
                    tell(Piece::Text(&chunk[at..from]));
                }
                if end.is_some() {
                    self.state = State::Escape;
                    at = stop + 1;
                } else {
                    if kept > 0 {
                        self.state = State::Character(missing);
                    }
                    at = stop;
                }
                continue;
            }
            let (end, whole) = match self.step(chunk[at]) {
                Step::On(state) => {
                    self.state = state;
                    at += 1;
                    if self.held.len() + at - from >= LIMIT {
                        self.held.extend_from_slice(&chunk[from..at]);
                        tell(Piece::Part(&self.held));
                        self.held.clear();
                        self.long = true;
                        from = at;
                    }
                    continue;
                }
                Step::First => {
                    tell(Piece::Text(&chunk[at..=at]));
                    at += 1;
                    self.held.clear();
                    self.held.push(ESC);
                    from = at;
                    continue;
                }
                Step::End => (at + 1, true),
                Step::Cancelled => (at + 1, false),
                Step::Before { whole } => (at, whole),
            };
            let bytes = if self.held.is_empty() {
                &chunk[from..end]
            } else {
                self.held.extend_from_slice(&chunk[from..end]);
                &self.held[..]
            };
            if !bytes.is_empty() {
                tell(match self.state {
                    State::Character(_) => Piece::Text(bytes),
                    _ if self.long => Piece::Part(bytes),
                    _ if whole => Piece::Sequence(bytes),
                    _ => Piece::Broken(bytes),
                });
            }
            self.held.clear();
            self.long = false;
            self.state = State::Text;
            (at, from) = (end, end);
        }
        if self.state != State::Text {
            self.held.extend_from_slice(&chunk[from..]);
        }
    }

    /// What makes a terminal swallow the rest of a sequence that is too long,
    /// for one that has not seen its beginning.
    #[must_use]
    pub fn rejoin(&self) -> &'static [u8] {
        match self.state {
            _ if !self.long => b"",
            State::Osc => b"\x1b]9999;",
            State::Str => b"\x1b_",
            // A parameter after an intermediate makes it no sequence.
            State::Csi => b"\x1b[!0",
            _ => b"\x1b ",
        }
    }

    fn step(&self, byte: u8) -> Step {
        use State::{Character, Csi, Escape, Escape2, Osc, Str, Text};
        match (self.state, byte) {
            (Character(1), 0x80..=0xbf) => Step::End,
            (Character(n), 0x80..=0xbf) => Step::On(Character(n - 1)),
            (Character(_), _) => Step::Before { whole: true },
            (Osc | Str, ESC) => Step::Before { whole: true },
            (_, ESC) => Step::Before { whole: false },
            (_, 0x18 | 0x1a) => Step::Cancelled,
            (Osc, 0x07) => Step::End,
            (state @ (Osc | Str), _) => Step::On(state),
            (_, 0x80..) => Step::Before { whole: false },
            (Escape, 0x00..=0x1f | 0x7f) => Step::First,
            (state, 0x00..=0x1f | 0x7f) => Step::On(state),
            (Escape | Escape2, 0x20..=0x2f) => Step::On(Escape2),
            (Escape, b'[') => Step::On(Csi),
            (Escape, b']') => Step::On(Osc),
            (Escape, b'P' | b'X' | b'^' | b'_') => Step::On(Str),
            (Csi, 0x20..=0x3f) => Step::On(Csi),
            (Escape | Escape2 | Csi | Text, _) => Step::End,
        }
    }
}

/// How many bytes at the end of a text are a character that is not whole, and
/// how many it lacks.
pub(super) fn unfinished(text: &[u8]) -> (usize, u8) {
    for (kept, byte) in text.iter().rev().take(3).enumerate() {
        let length = match byte {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let kept = kept + 1;
        return match u8::try_from(kept) {
            Ok(n) if n < length => (kept, length - n),
            _ => (0, 0),
        };
    }
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::fuzz::controls_first;
    use crate::types::dice::Dice;

    fn lex(lexer: &mut Lexer, chunk: &[u8]) -> Vec<(char, Vec<u8>)> {
        let mut pieces: Vec<(char, Vec<u8>)> = Vec::new();
        lexer.feed(chunk, |piece| {
            pieces.push(match piece {
                Piece::Text(bytes) => ('t', bytes.to_vec()),
                Piece::Sequence(bytes) => ('s', bytes.to_vec()),
                Piece::Broken(bytes) => ('b', bytes.to_vec()),
                Piece::Part(bytes) => ('p', bytes.to_vec()),
            });
        });
        pieces
    }

    #[test]
    fn output_falls_into_text_and_sequences() {
        for (bytes, pieces) in [
            (&b"a\r\nb"[..], &[('t', &b"a\r\nb"[..])][..]),
            (
                b"a\x1b[1;31mb\x1b(0c",
                &[
                    ('t', b"a"),
                    ('s', b"\x1b[1;31m"),
                    ('t', b"b"),
                    ('s', b"\x1b(0"),
                    ('t', b"c"),
                ],
            ),
            (
                b"\x1b]0;t\x07\x1b]8;;u\x1b\\\x1bP$qm\x1b\\x",
                &[
                    ('s', b"\x1b]0;t\x07"),
                    ('s', b"\x1b]8;;u"),
                    ('s', b"\x1b\\"),
                    ('s', b"\x1bP$qm"),
                    ('s', b"\x1b\\"),
                    ('t', b"x"),
                ],
            ),
            (
                b"\x1b[1\x1b[m\x1b[2\x18y\x1b]0;\x1a",
                &[
                    ('b', b"\x1b[1"),
                    ('s', b"\x1b[m"),
                    ('b', b"\x1b[2\x18"),
                    ('t', b"y"),
                    ('b', b"\x1b]0;\x1a"),
                ],
            ),
            (
                b"\x1b[1\n;2H\x1b[\xff",
                &[('s', b"\x1b[1\n;2H"), ('b', b"\x1b["), ('t', b"\xff")],
            ),
            ("ä漢\x1b[".as_bytes(), &[('t', "ä漢".as_bytes())]),
            (
                b"\x1b\n\0P+q\x1b\r[6n",
                &[
                    ('t', b"\n"),
                    ('t', b"\0"),
                    ('s', b"\x1bP+q"),
                    ('t', b"\r"),
                    ('s', b"\x1b[6n"),
                ],
            ),
            (b"a\xe6\xbc", &[('t', b"a")]),
            (b"\xe6\xbc\x1bM", &[('t', b"\xe6\xbc"), ('s', b"\x1bM")]),
        ] {
            let pieces: Vec<_> = pieces.iter().map(|(k, b)| (*k, b.to_vec())).collect();
            assert_eq!(lex(&mut Lexer::default(), bytes), pieces, "{bytes:?}");
        }
    }

    #[test]
    fn nothing_is_lost_and_cuts_make_no_difference() {
        let mut dice = Dice::new(1);
        for _ in 0..3000 {
            let output = dice.output(60);
            let mut whole = Lexer::default();
            let told = lex(&mut whole, &output);
            let mut cut = Lexer::default();
            let mut parts = Vec::new();
            for part in dice.split(&output) {
                parts.extend(lex(&mut cut, part));
            }
            let sequences = |told: &[(char, Vec<u8>)]| {
                let mut joined: Vec<(char, Vec<u8>)> = Vec::new();
                for (kind, bytes) in told {
                    match joined.last_mut() {
                        Some((last, text)) if *last == *kind && *kind == 't' => {
                            text.extend_from_slice(bytes);
                        }
                        _ => joined.push((*kind, bytes.clone())),
                    }
                }
                joined
            };
            assert_eq!(sequences(&told), sequences(&parts), "{output:?}");
            assert_eq!(whole.held, cut.held, "{output:?}");
            let mut all: Vec<u8> = told.into_iter().flat_map(|(_, bytes)| bytes).collect();
            all.extend_from_slice(&whole.held);
            assert_eq!(all, controls_first(&output));
        }
    }

    #[test]
    fn what_is_too_long_is_not_held() {
        let mut lexer = Lexer::default();
        let mut text = b"\x1b]52;c;".to_vec();
        text.resize(3 * LIMIT, b'x');
        let pieces = lex(&mut lexer, &text);
        assert!(pieces.iter().all(|(kind, _)| *kind == 'p'));
        assert!(lexer.held.len() < LIMIT);
        assert_eq!(lexer.rejoin(), b"\x1b]9999;");
        let pieces = lex(&mut lexer, b"x\x07after");
        assert_eq!(pieces.last(), Some(&('t', b"after".to_vec())));
        assert_eq!(lexer.rejoin(), b"");
    }
}

//! Cuts a stream into whole events, so that another stream can go on where one
//! breaks off. Pure.

use super::scan::Scan;
use crate::proxy::events;

/// The longest event that is held until it is whole.
const LONGEST: usize = 1024 * 1024;

/// What has come of a stream and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    held: Vec<u8>,
    /// An event that is too long to be held is passing.
    passing: Option<(Line, Scan)>,
}

/// Where in its lines a passing event is.
#[derive(Debug, Clone, Copy)]
struct Line {
    is_at_start: bool,
    /// Behind a carriage return, whose line feed may be still to come.
    is_after_cr: bool,
}

/// What can go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole event.
    Event(Vec<u8>),
    /// A part of a long one; what follows has to be of the same stream. The
    /// last part comes with the id of the message that it was.
    Part(Vec<u8>, Option<String>),
}

impl Cutter {
    /// Adds what has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Takes the next piece.
    pub(super) fn next(&mut self) -> Option<Piece> {
        if let Some((line, scan)) = &mut self.passing {
            if self.held.is_empty() {
                return None;
            }
            let end = line.end(&self.held);
            let length = end.unwrap_or(self.held.len());
            scan.read(&self.held[..length]);
            let id = end.and_then(|_| self.passing.take()?.1.id());
            return Some(Piece::Part(self.take(length), id));
        }
        if let Some(length) = events::end(&self.held) {
            return Some(Piece::Event(self.take(length)));
        }
        if self.held.len() < LONGEST {
            return None;
        }
        let part = self.take(self.held.len());
        let is_after_cr = part.ends_with(b"\r");
        let line = Line {
            is_at_start: is_after_cr || part.ends_with(b"\n"),
            is_after_cr,
        };
        let mut scan = Scan::default();
        scan.read(&part);
        self.passing = Some((line, scan));
        Some(Piece::Part(part, None))
    }

    /// Puts events back that were taken too early.
    pub(super) fn put_back(&mut self, mut events: Vec<u8>) {
        events.append(&mut self.held);
        self.held = events;
    }

    /// True if a part has gone on whose rest has not.
    pub(super) fn is_inside(&self) -> bool {
        self.passing.is_some()
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        // What is left is as long as it is, whatever has passed before.
        let rest = self.held.split_off(length);
        std::mem::replace(&mut self.held, rest)
    }
}

impl Line {
    /// Goes on to the end of the event: where that is in `bytes`, if there.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            let is_break = byte == b'\n' || byte == b'\r';
            if byte == b'\n' && self.is_after_cr {
                self.is_after_cr = false;
                continue;
            }
            if is_break && self.is_at_start {
                let is_crlf = bytes[at..].starts_with(b"\r\n");
                return Some(at + 1 + usize::from(is_crlf));
            }
            self.is_at_start = is_break;
            self.is_after_cr = byte == b'\r';
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    fn cut(pieces: &[&[u8]]) -> (Vec<Piece>, bool) {
        let (mut cutter, mut cut) = (Cutter::default(), Vec::new());
        for piece in pieces {
            cutter.push(piece);
            cut.extend(std::iter::from_fn(|| cutter.next()));
        }
        (cut, cutter.is_inside())
    }

    #[test]
    fn only_whole_events_go_on() {
        let event = |text: &str| Piece::Event(text.as_bytes().to_vec());
        let (pieces, is_inside) = cut(&[b"data: a\n", b"\n: b\n\nda", b"ta"]);
        assert_eq!(pieces, [event("data: a\n\n"), event(": b\n\n")]);
        assert!(!is_inside);
    }

    #[test]
    fn a_long_event_tells_what_it_answered() {
        let long = format!("data: {{\"result\":\"{}\",", "x".repeat(LONGEST));
        let (pieces, _) = cut(&[long.as_bytes(), b"\"id\":7}\n", b"\n"]);
        let ids: Vec<_> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Part(_, id) => id.as_deref(),
                Piece::Event(_) => panic!("{pieces:?}"),
            })
            .collect();
        assert_eq!(ids, [None, None, Some("7")]);
    }

    #[test]
    fn a_long_event_passes_and_ends_where_it_ends() {
        let mut dice = Dice::new(19);
        for end in ["\n", "\r\n", "\r"] {
            let long = format!("data: {}{end}", "x".repeat(LONGEST));
            let rest = format!("data: y{end}{end}");
            for at in 0..rest.len() {
                let (one, two) = rest.split_at(at);
                let (pieces, is_inside) = cut(&[long.as_bytes(), one.as_bytes()]);
                assert!(matches!(pieces[0], Piece::Part(..)));
                // A lone carriage return is the end of a line already.
                assert_eq!(is_inside, !one.ends_with("\r\n\r"), "{one:?}");
                let follows = format!("{two}data: z{end}{end}");
                let parts = dice.split(follows.as_bytes());
                let mut all = vec![long.as_bytes(), one.as_bytes()];
                all.extend(parts);
                let (pieces, is_inside) = cut(&all);
                assert!(!is_inside);
                let Some(Piece::Event(last)) = pieces.last() else {
                    panic!("{pieces:?}");
                };
                let last = String::from_utf8_lossy(last);
                assert_eq!(last.trim(), "data: z", "{at} of {rest:?}");
            }
        }
    }
}

//! Server-sent events out of chunks as they come, none of them kept: an event
//! may be longer than memory. Pure.
//!
//! The format is the HTML standard's (section 9.2.6).

use std::time::Duration;

/// A part of a stream, told as soon as it is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// More of the event's data; its lines are joined by line feeds.
    Data(&'a [u8]),
    /// How long to wait before the stream is opened again.
    Retry(Duration),
    /// The event is whole. `id`: where to go on after it, if it says so.
    End {
        id: Option<String>,
        is_message: bool,
    },
}

/// The longest value of a field that is not data.
const LONGEST: usize = 1024;

/// The longest name of a field that we know.
const LONGEST_NAME: usize = 5;

/// Where in a stream we are.
#[derive(Debug, Default)]
pub(super) struct Parser {
    at: At,
    name: Vec<u8>,
    value: Vec<u8>,
    after_return: bool,
    has_data: bool,
    is_other: bool,
    id: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Name,
    /// After the colon, where one blank does not count.
    Colon,
    Value,
}

impl Parser {
    /// Hands what `chunk` holds to `sink`.
    pub(super) fn feed(&mut self, mut chunk: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = chunk.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) else {
                return self.part(chunk, sink);
            };
            self.part(&chunk[..end], sink);
            self.line(sink);
            self.after_return = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
        }
    }

    /// A part of a line, without its end.
    fn part(&mut self, mut part: &[u8], sink: &mut impl FnMut(Piece<'_>)) {
        if self.at == At::Name {
            let colon = memchr::memchr(b':', part);
            let name = &part[..colon.unwrap_or(part.len())];
            // One byte more than any name that we know: it is none of them.
            let room = LONGEST_NAME + 1 - self.name.len();
            self.name.extend_from_slice(&name[..name.len().min(room)]);
            let Some(colon) = colon else { return };
            part = &part[colon + 1..];
            self.at = At::Colon;
            self.begin(sink);
        }
        if self.at == At::Colon && !part.is_empty() {
            part = part.strip_prefix(b" ").unwrap_or(part);
            self.at = At::Value;
        }
        if part.is_empty() {
            return;
        }
        if self.name == b"data" {
            sink(Piece::Data(part));
        } else if self.value.len() + part.len() <= LONGEST {
            self.value.extend_from_slice(part);
        } else {
            // Too long to be believed: the field counts as unknown.
            self.name.clear();
        }
    }

    /// The name of a field is known.
    fn begin(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        if self.name == b"data" && std::mem::replace(&mut self.has_data, true) {
            sink(Piece::Data(b"\n"));
        }
    }

    /// The line is whole.
    fn line(&mut self, sink: &mut impl FnMut(Piece<'_>)) {
        let is_empty = self.at == At::Name && self.name.is_empty();
        if is_empty {
            sink(Piece::End {
                id: self.id.take(),
                is_message: self.has_data && !self.is_other,
            });
            (self.has_data, self.is_other) = (false, false);
            return;
        }
        if self.at == At::Name {
            self.begin(sink);
        }
        let value = str::from_utf8(&self.value).unwrap_or_default();
        match self.name.as_slice() {
            b"id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            b"event" => self.is_other = !matches!(value, "" | "message"),
            b"retry" => {
                if let Ok(pause) = value.parse() {
                    sink(Piece::Retry(Duration::from_millis(pause)));
                }
            }
            _ => {}
        }
        self.at = At::Name;
        self.name.clear();
        self.value.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a stream says, whichever way it is cut: `data`, `!data` for
    /// another kind of event, `#id`, `~retry`.
    fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
        let (mut parser, mut said, mut data) = (Parser::default(), Vec::new(), Vec::new());
        for chunk in chunks {
            parser.feed(chunk, &mut |piece| match piece {
                Piece::Data(more) => data.extend_from_slice(more),
                Piece::Retry(pause) => said.push(format!("~{}", pause.as_millis())),
                Piece::End { id, is_message } => {
                    let data = String::from_utf8(std::mem::take(&mut data)).expect("text");
                    if is_message {
                        said.push(data);
                    } else if !data.is_empty() {
                        said.push(format!("!{data}"));
                    }
                    said.extend(id.map(|id| format!("#{id}")));
                }
            });
        }
        said
    }

    #[test]
    fn events_are_found_however_they_are_cut() {
        for (stream, said) in [
            ("", &[][..]),
            (": open\n\n", &[]),
            ("data: a\n\ndata:b\n\n", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", &["a", "b", "c"]),
            ("data: one\ndata:  two\ndata\ndata:\n\n", &["one\n two\n\n"]),
            ("id: 7\ndata: a\nevent: message\n\n", &["a", "#7"]),
            ("id: 8\ndata:\nretry: 50\n\n", &["~50", "", "#8"]),
            ("id: 9\n\nid\n\n", &["#9", "#"]),
            ("id: a\0b\nretry: soon\n\n", &[]),
            ("event: ping\ndata: a\n\ndata: b\n\n", &["!a", "b"]),
            ("datas: a\ndat: b\n:data: c\n data: d\n\n", &[]),
            ("data: ü\n\ndata: unfinished\nid: 3\n", &["ü"]),
        ] {
            let bytes = stream.as_bytes();
            assert_eq!(read(std::iter::once(bytes)), said, "{stream:?}");
            for size in 1..4 {
                assert_eq!(read(bytes.chunks(size)), said, "{stream:?} by {size}");
            }
        }
    }

    #[test]
    fn a_field_without_an_end_is_not_kept() {
        let long = "x".repeat(10 * LONGEST);
        let stream = format!("{long}\nid: {long}\n{long}: {long}\ndata: a\n\n");
        let mut parser = Parser::default();
        let mut ids = Vec::new();
        for chunk in stream.as_bytes().chunks(100) {
            parser.feed(chunk, &mut |piece| {
                if let Piece::End { id, .. } = piece {
                    ids.push(id);
                }
            });
            assert!(parser.name.len() + parser.value.len() <= LONGEST + LONGEST_NAME + 1);
        }
        assert_eq!(ids, [None]);
    }
}

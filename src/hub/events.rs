//! Server-sent events, out of chunks as they come. Pure.
//!
//! The format is the HTML standard's (section 9.2.6): lines of `field:value`,
//! an empty line ends an event, `data` lines of one event are joined.

/// The part of a stream that is no whole event yet.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Vec<String>,
    bytes: usize,
}

/// An event that does not end: this is no stream of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT} bytes")]
pub(super) struct TooLong;

const MAX_EVENT: usize = 1024 * 1024;

impl Parser {
    /// The data of every event that `chunk` completes.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.bytes += part.len();
            if self.bytes > MAX_EVENT {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events.extend(
                    self.take(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])),
                );
            }
        }
        Ok(events)
    }

    /// One whole line; the event that it ends.
    fn take(&mut self, line: &str) -> Option<String> {
        if let Some(data) = line.strip_prefix("data:") {
            self.data
                .push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
        if !line.is_empty() {
            return None;
        }
        self.bytes = 0;
        let data = std::mem::take(&mut self.data);
        (!data.is_empty()).then(|| data.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_they_are_cut() {
        for (stream, events) in [
            ("", &[][..]),
            (": open\n\n", &[]),
            ("id: 1\ndata: {\"a\":1}\n\ndata: b\n\n", &["{\"a\":1}", "b"]),
            ("data:x\r\n\r\n", &["x"]),
            ("data: one\ndata: two\n\n", &["one\ntwo"]),
            ("data: unfinished\n", &[]),
            ("event: other\nretry: 5\n\n", &[]),
            ("data: ü\n\n", &["ü"]),
        ] {
            let bytes = stream.as_bytes();
            assert_eq!(Parser::default().feed(bytes).expect("short"), events);
            let mut parser = Parser::default();
            let one_by_one: Vec<String> = bytes
                .chunks(1)
                .flat_map(|byte| parser.feed(byte).expect("short"))
                .collect();
            assert_eq!(one_by_one, events, "{stream:?}");
        }
    }

    #[test]
    fn an_event_has_an_end() {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(&vec![b'x'; MAX_EVENT]), Ok(vec![]));
        assert_eq!(parser.feed(b"x"), Err(TooLong));
    }
}

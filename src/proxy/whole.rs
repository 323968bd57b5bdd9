//! Whole events out of a stream that may break anywhere. Pure.

use std::time::Duration;

use super::events;

/// The longest event that is held until it is whole, in bytes.
const LONGEST: usize = 1024 * 1024;

/// What came of a stream and is not whole yet, and where to go on.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pending: Vec<u8>,
    /// The event that has begun is too long to be held: some of it was passed
    /// on already.
    pub(super) is_torn: bool,
    /// The id of the last whole event that had one.
    pub(super) last_id: Option<String>,
    /// How long its server wants us to wait before the next stream.
    pub(super) retry: Duration,
}

impl Whole {
    /// What follows the event `last_id`.
    pub(super) fn after(last_id: Option<&str>) -> Self {
        Self {
            last_id: last_id.map(str::to_owned),
            ..Self::default()
        }
    }

    pub(super) fn feed(&mut self, content: &[u8]) {
        self.pending.extend_from_slice(content);
    }

    /// All that may be passed on: events that are whole, parts of one that is
    /// too long.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let mut whole = 0;
        while let Some(length) = events::end(&self.pending[whole..]) {
            let event = events::read(&self.pending[whole..whole + length]);
            if !self.is_torn {
                if let Some(id) = event.id {
                    self.last_id = Some(id.to_owned()).filter(|id| !id.is_empty());
                }
                self.retry = event.retry.unwrap_or(self.retry);
            }
            self.is_torn = false;
            whole += length;
        }
        let rest = self.pending.len() - whole;
        if rest > LONGEST || self.is_torn && rest > 0 {
            self.is_torn = true;
            whole += rest;
        }
        let rest = self.pending.split_off(whole);
        std::mem::replace(&mut self.pending, rest)
    }

    /// The stream is over: what was not whole will come again, or never.
    pub(super) fn drop_partial(&mut self) {
        self.pending = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_events_come_out_and_every_byte_of_them() {
        let stream = ": hi\n\nid: 1\ndata: a\r\n\r\nretry: 70\ndata: b\n\nid: 2\ndata: c\nda";
        for size in [1, 3, 10, stream.len()] {
            let mut whole = Whole::default();
            let mut out = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                whole.feed(piece);
                let events = whole.take();
                assert!(events.is_empty() || events.ends_with(b"\n") || events.ends_with(b"\r"));
                out.extend(events);
            }
            let text = String::from_utf8(out).expect("text");
            assert_eq!(
                text,
                stream.split_at(stream.len() - "id: 2\ndata: c\nda".len()).0
            );
            assert_eq!(whole.last_id.as_deref(), Some("1"));
            assert_eq!(whole.retry, Duration::from_millis(70));
            whole.drop_partial();
            whole.feed(b"id\ndata: d\n\n");
            assert_eq!(whole.take(), b"id\ndata: d\n\n");
            assert_eq!(whole.last_id, None);
        }
    }

    #[test]
    fn one_that_is_too_long_passes_in_parts() {
        let mut whole = Whole::default();
        let long = vec![b'x'; LONGEST];
        whole.feed(b"data: ");
        assert_eq!(whole.take(), b"");
        whole.feed(&long);
        assert_eq!(whole.take().len(), LONGEST + 6);
        assert!(whole.is_torn);
        whole.feed(b"more\nid: 9\n");
        assert_eq!(whole.take(), b"more\nid: 9\n");
        assert!(whole.is_torn);
        whole.feed(b"end: 1\n\ndata: b\n\ndata");
        assert_eq!(whole.take(), b"end: 1\n\ndata: b\n\n");
        assert!(!whole.is_torn);
        assert_eq!(whole.last_id, None, "of which only a part was seen");
    }
}

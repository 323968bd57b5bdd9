//! Server-sent events within bytes that are here (the HTML standard, 9.2.6):
//! where one ends, and what it says. Pure.

use std::borrow::Cow;
use std::time::Duration;

/// What an event says, as far as it matters to us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// Its lines joined; None: an event without data is none for its reader.
    pub(super) data: Option<Cow<'a, [u8]>>,
    /// Where to go on after it.
    pub(super) id: Option<&'a str>,
    /// How long to wait before the stream is opened again.
    pub(super) retry: Option<Duration>,
}

/// The length of the first event: up to and with the first empty line after
/// something else.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut begun = false;
    while at < bytes.len() {
        let line = memchr::memchr2(b'\n', b'\r', &bytes[at..])?;
        let next = at + line + 1 + usize::from(bytes[at + line..].starts_with(b"\r\n"));
        if line == 0 && begun {
            return Some(next);
        }
        begun |= line > 0;
        at = next;
    }
    None
}

/// Reads one event.
pub(super) fn read(event: &[u8]) -> Event<'_> {
    let mut read = Event::default();
    for line in event.split(|&b| b == b'\n' || b == b'\r') {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || str::from_utf8(value).ok();
        match &line[..colon] {
            b"data" => match &mut read.data {
                None => read.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            b"id" if !value.contains(&0) => read.id = text(),
            b"retry" => {
                let pause = text().and_then(|text| text.parse().ok());
                read.retry = pause.map(Duration::from_millis);
            }
            _ => {}
        }
    }
    read
}

/// A message as an event, which is one line whatever the JSON: between its
/// parts a blank does as well as a line break.
pub(super) fn message(json: &str) -> Vec<u8> {
    let line = json.replace(['\n', '\r'], " ");
    format!("event: message\ndata: {line}\n\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line() {
        for (bytes, length) in [
            ("", None),
            ("data: a", None),
            ("data: a\n", None),
            ("\n\n", None),
            ("data: a\n\n", Some(9)),
            ("data: a\n\ndata: b\n\n", Some(9)),
            ("\ndata: a\n\n", Some(10)),
            ("data: a\r\n\r\nx", Some(11)),
            ("data: a\r\rx", Some(9)),
            ("data: a\r\n\r", Some(10)),
            (": ping\n\n", Some(8)),
        ] {
            assert_eq!(end(bytes.as_bytes()), length, "{bytes:?}");
        }
    }

    #[test]
    fn its_fields_are_read() {
        for (event, data, id, retry) in [
            ("data: a\n\n", Some("a"), None, None),
            (
                "data:a\r\ndata:  b\r\ndata\r\n\r\n",
                Some("a\n b\n"),
                None,
                None,
            ),
            (
                "id: 7\nevent: message\ndata:\nretry: 50\n\n",
                Some(""),
                Some("7"),
                Some(50),
            ),
            ("id\n\n", None, Some(""), None),
            (
                "id: a\0\nretry: x\ndatas: y\n: data: z\n\n",
                None,
                None,
                None,
            ),
        ] {
            let expected = Event {
                data: data.map(|data| data.as_bytes().into()),
                id,
                retry: retry.map(Duration::from_millis),
            };
            assert_eq!(read(event.as_bytes()), expected, "{event:?}");
        }
    }
}

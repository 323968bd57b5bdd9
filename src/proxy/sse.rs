//! The opening of the HTTP+SSE transport (MCP 2024-11-05): its stream begins
//! with an event `endpoint` that says where messages are to be posted. Pure.
//!
//! *Invariant*: what is not of the upstream's own origin is no endpoint.

use std::ops::Range;

use crate::types::upstream::Endpoint;

/// The most that may come before the end of the event.
pub(super) const LONGEST: usize = 16 * 1024;

/// What the beginning of a stream says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Not enough of it is here.
    Open,
    /// Where in it the endpoint stands.
    Endpoint(Range<usize>),
    /// It has no endpoint, or not one that can be used.
    Bad(&'static str),
}

/// Looks for the endpoint in the first bytes of a stream; `whole` if they are
/// all.
pub(super) fn opening(stream: &[u8], whole: bool) -> Opening {
    let mut event = Event::default();
    let mut at = if stream.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    while let Some(length) = memchr::memchr2(b'\n', b'\r', &stream[at..]) {
        let line = at..at + length;
        if length == 0 && event.is_endpoint {
            return match (event.data, event.is_split) {
                (Some(data), false) if !data.is_empty() => Opening::Endpoint(data),
                _ => Opening::Bad("its endpoint is not one line"),
            };
        }
        if length == 0 {
            event = Event::default();
        } else {
            event.read(stream, line.clone());
        }
        at = line.end + 1 + usize::from(stream[line.end..].starts_with(b"\r\n"));
    }
    if whole {
        Opening::Bad("its stream ended before it said where to post messages")
    } else if stream.len() >= LONGEST {
        Opening::Bad("its stream does not say where to post messages")
    } else {
        Opening::Open
    }
}

/// An event, as far as it was read.
#[derive(Default)]
struct Event {
    is_endpoint: bool,
    data: Option<Range<usize>>,
    /// Its data is more than one line.
    is_split: bool,
}

impl Event {
    fn read(&mut self, stream: &[u8], line: Range<usize>) {
        let text = &stream[line.clone()];
        let colon = memchr::memchr(b':', text).unwrap_or(text.len());
        let (field, rest) = text.split_at(colon);
        let value = rest.strip_prefix(b":").unwrap_or(rest);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.is_endpoint = value == b"endpoint",
            b"data" => {
                self.is_split |= self.data.is_some();
                self.data = Some(line.end - value.len()..line.end);
            }
            _ => {}
        }
    }
}

/// The path and query that `endpoint`, as announced by the stream at `sse`,
/// stands for.
///
/// # Errors
/// If it is of another origin, or no URL.
pub(super) fn resolve(sse: &Endpoint, endpoint: &[u8]) -> Result<String, &'static str> {
    const NO_URL: &str = "the endpoint that it announces is no URL";
    let text = str::from_utf8(endpoint).map_err(|_| NO_URL)?;
    let (path, base) = (sse.path.split('?').next().unwrap_or("/"), sse.base());
    let has_scheme = text
        .split(['/', '?', '#'])
        .next()
        .is_some_and(|first| first.contains(':'));
    let url = if has_scheme {
        text.to_owned()
    } else if text.starts_with("//") {
        let scheme = if sse.is_tls() { "https" } else { "http" };
        format!("{scheme}:{text}")
    } else if text.starts_with('/') {
        format!("{base}{text}")
    } else if text.starts_with('?') {
        format!("{base}{path}{text}")
    } else {
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        format!("{base}{folder}/{text}")
    };
    let url: Endpoint = url.parse().map_err(|_| NO_URL)?;
    if url.is_at(sse) {
        Ok(url.path)
    } else {
        Err("the endpoint that it announces is at another host")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    #[test]
    fn the_endpoint_is_found_and_nothing_that_looks_like_it() {
        let split = Opening::Bad("its endpoint is not one line");
        for (stream, found) in [
            ("event: endpoint\ndata: /m?s=1\n\n", "/m?s=1"),
            ("event:endpoint\r\ndata:/m\r\n\r\n", "/m"),
            ("data: /m\revent: endpoint\r\r", "/m"),
            ("\u{feff}event: endpoint\ndata: /m\n\n", "/m"),
            (": ping\n\nevent: endpoint\nid: 1\ndata: /m\n\n", "/m"),
            (
                "event: message\ndata: event: endpoint\n\nevent: endpoint\ndata: /m\n\n",
                "/m",
            ),
            ("\n\nevent: x\nevent: endpoint\ndata:  /m \n\nmore", " /m "),
        ] {
            match opening(stream.as_bytes(), false) {
                Opening::Endpoint(at) => assert_eq!(&stream[at], found, "{stream:?}"),
                other => panic!("{stream:?}: {other:?}"),
            }
        }
        for stream in [
            "",
            "event: endpoint\ndata: /m\n",
            "event: endpoint\n: data: /m\n",
            "event: endpoints\ndata: /m\n\n",
            "event:  endpoint\ndata: /m\n\n",
            "xevent: endpoint\ndata: /m\n\n",
            "event: endpoint\nevent: message\ndata: /m\n\n",
        ] {
            assert_eq!(opening(stream.as_bytes(), false), Opening::Open, "{stream}");
            let whole = opening(stream.as_bytes(), true);
            assert!(matches!(whole, Opening::Bad(_)), "{stream}");
        }
        for stream in [
            "event: endpoint\n\n",
            "event: endpoint\ndata\n\n",
            "event: endpoint\ndata: /a\ndata: /b\n\n",
        ] {
            assert_eq!(opening(stream.as_bytes(), false), split, "{stream}");
        }
    }

    #[test]
    fn the_wait_for_it_has_an_end() {
        for filler in [&b"x"[..], b": ping\n\n"] {
            let stream = filler.repeat(LONGEST);
            assert_eq!(opening(&stream[..LONGEST - 1], false), Opening::Open);
            assert!(matches!(
                opening(&stream[..LONGEST], false),
                Opening::Bad(_)
            ));
        }
    }

    #[test]
    fn it_is_found_as_soon_as_it_is_whole() {
        let mut dice = Dice::new(5);
        let ends = ["\n", "\r\n", "\r"];
        for _ in 0..500 {
            let end = ends[dice.below(3)];
            let before = [": x", "data: y", "event: message", ""];
            let before: Vec<&str> = (0..dice.below(4))
                .flat_map(|_| [before[dice.below(4)], end, end])
                .collect();
            let before = before.concat();
            let event = format!("{before}event: endpoint{end}data: /m{end}{end}");
            let whole = event.len() - end.len() + 1;
            for length in 0..=event.len() {
                let found = opening(&event.as_bytes()[..length], false);
                let is_found = matches!(found, Opening::Endpoint(_));
                assert_eq!(is_found, length >= whole, "{length} of {event:?}");
            }
        }
    }

    #[test]
    fn endpoints_are_resolved_within_their_origin() {
        for (sse, endpoint, path) in [
            (
                "http://h:1/sse",
                "/messages/?session_id=a",
                Some("/messages/?session_id=a"),
            ),
            ("http://h:1/sse", "http://h:1/m?a=b", Some("/m?a=b")),
            ("http://h:1/sse", "HTTP://H:1/m", Some("/m")),
            ("http://h/sse", "http://h:80", Some("/")),
            ("https://h/sse", "https://h:443/m", Some("/m")),
            ("https://h/sse", "//h/m", Some("/m")),
            (
                "http://h:1/a/sse?k=v",
                "messages?s=1",
                Some("/a/messages?s=1"),
            ),
            ("http://h:1/a/sse?k=v", "?s=1", Some("/a/sse?s=1")),
            ("http://h:1", "m", Some("/m")),
            ("http://[::1]:1/sse", "http://[::1]:1/m", Some("/m")),
            (
                "http://h:1/sse",
                "/m?next=http://x/",
                Some("/m?next=http://x/"),
            ),
            ("http://h:1/sse", "http://h:2/m", None),
            ("http://h:1/sse", "https://h:1/m", None),
            ("http://h:1/sse", "http://x:1/m", None),
            ("http://h:1/sse", "//x:1/m", None),
            ("http://h:1/sse", "http://h:1@x/m", None),
            ("http://h:1/sse", "file:///m", None),
            ("http://h:1/sse", "/a b", None),
            ("http://h:1/sse", "/a\u{0}", None),
        ] {
            let sse: Endpoint = sse.parse().expect(sse);
            let resolved = resolve(&sse, endpoint.as_bytes());
            assert_eq!(resolved.ok().as_deref(), path, "{endpoint}");
        }
        let sse = Endpoint::loopback(1, "/sse");
        assert!(resolve(&sse, b"/\xff").is_err());
        assert!(resolve(&sse, b"/a\r\nX: y").is_err());
    }
}

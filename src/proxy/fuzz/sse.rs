//! Streams of events, in any pieces: where the endpoint is, and whether an
//! answer says that our token is stale. Pure.

use crate::proxy::headers::Content;
use crate::proxy::sse::{Opening, opening, resolve};
use crate::proxy::stale::{self, Verdict};
use crate::types::upstream::Endpoint;

use super::{cut, prefixes};

/// Tries a stream; the first four bytes say where it is cut.
///
/// # Panics
/// If something does not hold.
pub fn sse(data: &[u8]) {
    let (cuts, stream) = cut(data);
    let mut found = None;
    for prefix in prefixes(stream, cuts) {
        let opening = opening(prefix, false);
        match (&found, &opening) {
            (None, Opening::Open) => {}
            (None, _) => found = Some(opening),
            // What follows changes nothing.
            (Some(before), after) => assert_eq!(before, after, "{prefix:?}"),
        }
    }
    if let Some(Opening::Endpoint(at)) = &found {
        let data = &stream[at.clone()];
        assert_eq!(read(stream).as_deref(), Some(data));
        check_path(data);
    }
    judged(cuts, stream);
}

/// A path that comes of an endpoint can be asked for, and at its own host.
fn check_path(endpoint: &[u8]) {
    for sse in ["http://127.0.0.1:8201/sse", "https://h/a/sse?k=v"] {
        let Ok(sse) = sse.parse::<Endpoint>() else {
            unreachable!("it is a URL")
        };
        if let Ok(path) = resolve(&sse, endpoint) {
            assert!(path.starts_with('/'), "{path:?}");
            let ends = |b: u8| b.is_ascii_control() || b == b' ';
            assert!(!path.bytes().any(ends), "it stays one word: {path:?}");
            let again = resolve(&sse, path.as_bytes());
            // A path that begins like an authority is none.
            if !path.starts_with("//") {
                assert_eq!(again.as_deref(), Ok(path.as_str()));
            }
        }
    }
}

/// A verdict stands, whatever follows.
fn judged(cuts: &[u8], stream: &[u8]) {
    let mut found = Verdict::Open;
    for prefix in prefixes(stream, cuts) {
        let verdict = stale::judge(Content::Events, prefix, false);
        if found != Verdict::Open {
            assert_eq!(verdict, found, "{prefix:?}");
        }
        found = verdict;
    }
    stale::judge(Content::Events, stream, true);
}

/// The data of the first event `endpoint`, as the standard reads a stream: all
/// lines first, then the events (HTML, 9.2.6).
fn read(stream: &[u8]) -> Option<Vec<u8>> {
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    let mut text = Vec::new();
    for (at, &byte) in stream.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && stream[at - 1] == b'\r' => {}
            b'\r' => text.push(b'\n'),
            _ => text.push(byte),
        }
    }
    let (mut event, mut data): (&[u8], Vec<&[u8]>) = (b"", Vec::new());
    for line in text.split(|&b| b == b'\n') {
        if line.is_empty() {
            if event == b"endpoint" {
                return Some(data.join(&b'\n'));
            }
            (event, data) = (b"", Vec::new());
            continue;
        }
        let mut parts = line.splitn(2, |&b| b == b':');
        let (field, value) = (parts.next()?, parts.next().unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => event = value,
            b"data" => data.push(value),
            _ => {}
        }
    }
    None
}

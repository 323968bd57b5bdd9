//! Where the members of JSON objects are in a text with comments. Pure.
//!
//! Comments, commas before a closing brace, and a byte order mark are blanked
//! first: what is left has every byte in its place, and `serde_json` is the
//! judge of it. No editor of such documents that we tried keeps the bytes
//! around an edit, so this finds places and `list` splices.
//!
//! *Invariant*: a text has been through `serde_json` before it is scanned, so
//! the scanner meets valid JSON only. Of members with one name the last
//! counts, as in every parser.

use std::ops::Range;

use serde_json::Value;

use super::document::Refusal;
use super::list::{List, Span, line};

/// A document that is an object.
pub(super) struct Scan {
    /// The text without comments, byte for byte in its place.
    plain: String,
    /// Commas before a closing brace or bracket, in order.
    trailing: Vec<usize>,
}

/// An object's braces and members.
pub(super) struct Object {
    pub(super) list: List,
    members: Vec<(String, Range<usize>)>,
}

impl Object {
    /// The index of the member of that name, and where its value is.
    pub(super) fn member(&self, name: &str) -> Option<(usize, Range<usize>)> {
        let index = self.members.iter().rposition(|(other, _)| other == name)?;
        Some((index, self.members[index].1.clone()))
    }
}

impl Scan {
    /// Reads a document.
    ///
    /// # Errors
    /// It does not parse, or is no object: what is wrong, and the line.
    pub(super) fn new(text: &str) -> Result<Self, Refusal> {
        let scan = Self::of_checked(text)?;
        let value: Value = serde_json::from_str(&scan.plain).map_err(|error| {
            let said = error.to_string();
            said.split(" column ").next().unwrap_or(&said).to_owned()
        })?;
        if value.is_object() {
            return Ok(scan);
        }
        let at = blank_end(&scan.plain, 0);
        Err(format!("expected an object at line {}", line(text, at)))
    }

    /// Reads a document that [`new`](Self::new) has read before, or that was
    /// made from such a one: quicker.
    pub(super) fn of_checked(text: &str) -> Result<Self, Refusal> {
        blank(text)
    }

    /// The document's object.
    pub(super) fn root(&self) -> Object {
        self.object(blank_end(&self.plain, 0))
    }

    /// True if an object starts there.
    pub(super) fn opens(&self, at: usize) -> bool {
        self.plain[at..].starts_with('{')
    }

    /// The object whose brace is at `open`.
    pub(super) fn object(&self, open: usize) -> Object {
        let bytes = self.plain.as_bytes();
        let (mut spans, mut members) = (Vec::new(), Vec::new());
        let mut at = blank_end(&self.plain, open + 1);
        while bytes[at] == b'"' {
            let start = at;
            let key_end = value_end(bytes, start);
            let colon = blank_end(&self.plain, key_end);
            let from = blank_end(&self.plain, colon + 1);
            let end = value_end(bytes, from);
            at = blank_end(&self.plain, end);
            let comma = if bytes[at] == b',' {
                let comma = at;
                at = blank_end(&self.plain, at + 1);
                Some(comma)
            } else {
                let next = self.trailing.partition_point(|comma| *comma < end);
                self.trailing.get(next).copied().filter(|comma| *comma < at)
            };
            let name = serde_json::from_str(&self.plain[start..key_end]);
            members.push((name.unwrap_or_default(), from..end));
            spans.push(Span { start, end, comma });
        }
        let list = List {
            open,
            close: at,
            members: spans,
        };
        Object { list, members }
    }

    /// The value that stands there.
    pub(super) fn value(&self, at: Range<usize>) -> Value {
        serde_json::from_str(&self.plain[at]).unwrap_or_default()
    }

    /// The object that has the member at `keys`, its index, and its value.
    pub(super) fn find(&self, keys: &[String]) -> Option<(Object, usize, Range<usize>)> {
        let (last, outer) = keys.split_last()?;
        let mut object = self.root();
        for key in outer {
            let (_, value) = object.member(key)?;
            if !self.opens(value.start) {
                return None;
            }
            object = self.object(value.start);
        }
        let (index, value) = object.member(last)?;
        Some((object, index, value))
    }
}

/// Blanks what is not JSON, newlines aside.
fn blank(text: &str) -> Result<Scan, Refusal> {
    let mut plain = text.as_bytes().to_vec();
    let mut trailing = Vec::new();
    // The last two bytes that count, and where the last is.
    let (mut last, mut comma, mut before) = (0, 0, 0);
    let mut at = 0;
    if text.starts_with('\u{feff}') {
        at = '\u{feff}'.len_utf8();
        plain[..at].fill(b' ');
    }
    while at < plain.len() {
        let rest = &text.as_bytes()[at..];
        let length = match rest {
            [b'/', b'/', ..] => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
            [b'/', b'*', ..] => match memchr::memmem::find(&rest[2..], b"*/") {
                Some(end) => end + 4,
                None => return Err(format!("a comment does not end at line {}", line(text, at))),
            },
            [b'"', ..] => value_end(rest, 0),
            _ => 1,
        };
        let piece = &mut plain[at..at + length];
        match piece[0] {
            b'/' if length > 1 => {
                for byte in piece.iter_mut().filter(|byte| **byte != b'\n') {
                    *byte = b' ';
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            byte => {
                let follows_value = !matches!(before, 0 | b',' | b'{' | b'[' | b':');
                if matches!(byte, b'}' | b']') && last == b',' && follows_value {
                    plain[comma] = b' ';
                    trailing.push(comma);
                }
                (before, last, comma) = (last, byte, at);
            }
        }
        at += length;
    }
    let plain = String::from_utf8(plain).map_err(|error| error.to_string())?;
    Ok(Scan { plain, trailing })
}

fn blank_end(text: &str, from: usize) -> usize {
    text.len() - text[from..].trim_start_matches(super::list::BLANK).len()
}

/// Where the value that starts at `from` ends.
fn value_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            // A number or a word ends where something else starts.
            b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
        if depth == 0 && !in_string && matches!(bytes[at - 1], b'"' | b'}' | b']') {
            break;
        }
    }
    at.min(bytes.len())
}

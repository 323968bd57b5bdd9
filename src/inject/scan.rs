//! Where the members of JSON objects are in a text. Pure.
//!
//! *Invariant*: a text has been through `serde_json` before it is scanned, so
//! the scanner meets valid JSON only. Of members with one name the last
//! counts, as in every parser.

use std::ops::Range;

use serde_json::Value;

/// Why a document is not touched: what is wrong, and in which line.
pub(super) type Refusal = String;

/// An object in a text: where its braces are, and its members.
pub(super) struct Object {
    pub(super) open: usize,
    pub(super) close: usize,
    pub(super) members: Vec<Member>,
}

#[derive(Clone)]
pub(super) struct Member {
    name: String,
    /// Where the key starts, at its quote.
    pub(super) key: usize,
    pub(super) value: Range<usize>,
}

impl Object {
    /// The member of that name.
    pub(super) fn member(&self, name: &str) -> Option<Member> {
        self.members
            .iter()
            .rfind(|member| member.name == name)
            .cloned()
    }
}

/// The document's object, if it is one.
pub(super) fn root(text: &str) -> Result<Object, Refusal> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        said.split(" column ").next().unwrap_or(&said).to_owned()
    })?;
    let open = blank_end(text, 0);
    if value.is_object() {
        Ok(scan(text, open))
    } else {
        Err(format!("expected an object at line {}", line(text, open)))
    }
}

/// The member at `keys` and the object that has it.
pub(super) fn find(text: &str, keys: &[String]) -> Result<Option<(Object, Member)>, Refusal> {
    let mut object = root(text)?;
    for (depth, key) in keys.iter().enumerate() {
        let Some(member) = object.member(key) else {
            return Ok(None);
        };
        if depth + 1 == keys.len() {
            return Ok(Some((object, member)));
        }
        if !text[member.value.start..].starts_with('{') {
            return Ok(None);
        }
        object = scan(text, member.value.start);
    }
    Ok(None)
}

/// The object whose brace opens at `open`.
pub(super) fn scan(text: &str, open: usize) -> Object {
    let bytes = text.as_bytes();
    let mut members = Vec::new();
    let mut at = blank_end(text, open + 1);
    while bytes[at] == b'"' {
        let key = at;
        let key_end = value_end(bytes, key);
        let colon = blank_end(text, key_end);
        let start = blank_end(text, colon + 1);
        let value = start..value_end(bytes, start);
        at = blank_end(text, value.end);
        members.push(Member {
            name: serde_json::from_str(&text[key..key_end]).unwrap_or_default(),
            key,
            value,
        });
        if bytes[at] == b',' {
            at = blank_end(text, at + 1);
        }
    }
    Object {
        open,
        close: at,
        members,
    }
}

fn blank_end(text: &str, from: usize) -> usize {
    let blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
    text.len() - text[from..].trim_start_matches(blank).len()
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
            return at;
        }
    }
    at
}

/// The line that has `at`, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

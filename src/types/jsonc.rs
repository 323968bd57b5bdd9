//! JSON as people write it: a byte order mark, comments and trailing commas
//! are taken. Pure.

use std::borrow::Cow;

use serde_json::Value;

/// Reads a document; blank is `null`. Of members with one name the last counts.
///
/// # Errors
/// In words: what is wrong, and at which line. No value is in it.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8".to_owned())?;
    let plain = plain(text);
    if plain.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&plain).map_err(|error| error.to_string())
}

/// True if a strict reader of JSON reads the same.
#[must_use]
pub fn is_strict(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| matches!(plain(text), Cow::Borrowed(_)))
}

/// The text in strict JSON: what is too much becomes blanks, and every line
/// stays where it is.
fn plain(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut extra: Vec<(usize, usize)> = Vec::new();
    // A comma after which only blanks and comments came so far.
    let mut comma = None;
    // A comma stands here for nothing.
    let mut is_open = true;
    let mut at = 0;
    if text.starts_with('\u{feff}') {
        at = '\u{feff}'.len_utf8();
        extra.push((0, at));
    }
    while at < bytes.len() {
        let end = match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => {
                (comma, is_open) = (None, false);
                string_end(bytes, at)
            }
            (b'/', Some(b'/')) => {
                let end = memchr::memchr2(b'\n', b'\r', &bytes[at..]);
                let end = end.map_or(bytes.len(), |length| at + length);
                extra.push((at, end));
                end
            }
            (b'/', Some(b'*')) => {
                let end = memchr::memmem::find(&bytes[at + 2..], b"*/");
                // One that never ends is a mistake, and stays.
                let Some(length) = end else { break };
                extra.push((at, at + length + 4));
                at + length + 4
            }
            (b',', _) => {
                comma = (!is_open).then_some(at);
                is_open = true;
                at + 1
            }
            (b'}' | b']', _) => {
                extra.extend(comma.take().map(|comma| (comma, comma + 1)));
                is_open = false;
                at + 1
            }
            (b' ' | b'\t' | b'\n' | b'\r', _) => at + 1,
            (byte, _) => {
                comma = None;
                is_open = matches!(byte, b'{' | b'[');
                at + 1
            }
        };
        at = end;
    }
    if extra.is_empty() {
        return text.into();
    }
    let mut plain: Vec<u8> = bytes.to_owned();
    for (start, end) in extra {
        for byte in &mut plain[start..end] {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(plain).map_or_else(|_| text.into(), Cow::Owned)
}

/// Where the string that begins at `start` ends.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_people_write_into_json_is_read() {
        for (text, value) in [
            ("", Value::Null),
            (" \n\t", Value::Null),
            ("\u{feff}", Value::Null),
            ("// nothing\n/* at all */", Value::Null),
            ("\u{feff}{\"a\": 1}", json!({"a": 1})),
            (
                "{\n // ä\n \"a\": [1, 2, ], /* b */ }",
                json!({"a": [1, 2]}),
            ),
            ("{\"a\": 1, /* x */ // y\r\n }", json!({"a": 1})),
            (
                r#"{"a": "// no, /* no */ ,}", "b": "\",]"}"#,
                json!({"a": "// no, /* no */ ,}", "b": "\",]"}),
            ),
            ("{\"a\": 1, \"a\": 2}", json!({"a": 2})),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(value), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_line() {
        for (text, says) in [
            ("{\n\"a\": }", "line 2"),
            ("{,}", "line 1"),
            ("[1,,]", "line 1"),
            ("{\"a\": 1 /* ", "line 1"),
            ("{\"a", "line 1"),
            ("/", "line 1"),
            ("{\"a\\", "line 1"),
            (&"[".repeat(500), "recursion limit"),
        ] {
            let said = parse(text.as_bytes()).expect_err(text);
            assert!(said.contains(says), "{text:?}: {said}");
        }
        assert_eq!(parse(b"{\"\xff\": 1}"), Err("it is no UTF-8".to_owned()));
    }

    #[test]
    fn a_document_with_nothing_of_it_is_strict() {
        assert!(is_strict(br#"{"a": [1, "//, }"]}"#));
        for text in ["\u{feff}{}", "{} // x", "[1,]"] {
            assert!(!is_strict(text.as_bytes()), "{text:?}");
        }
    }
}

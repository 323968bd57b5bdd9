//! Settings of the user's as an agent reads them: JSON with comments, or blanks
//! alone, which say nothing. Pure.

use serde_json::{Map, Value};

use super::document;
use super::json_scan::Scan;
use super::plan::Format;

/// The settings in `text`.
///
/// # Errors
/// It does not parse, or is no object: what is wrong, and the line.
pub fn settings(text: &str) -> Result<Map<String, Value>, String> {
    if document::is_blank(Format::Json, text) {
        return Ok(Map::new());
    }
    match Scan::new(text)?.value(0..text.len()) {
        Value::Object(settings) => Ok(settings),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_settings_say_nothing_and_comments_are_skipped() {
        for text in ["", " \r\n\t", "\u{feff}", "\u{feff}\n", "{}", "// mine\n{}"] {
            assert_eq!(settings(text), Ok(Map::new()), "{text:?}");
        }
        let found = settings("\u{feff}{\"a\": 1, /* mine */}").expect("read");
        assert_eq!(Value::Object(found), serde_json::json!({ "a": 1 }));
        assert!(settings("[]").is_err() && settings("{").is_err());
    }
}

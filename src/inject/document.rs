//! One member put into a document of the user's or taken out of it, whatever
//! it is written in, with every other byte left as it is. Pure.

use serde_json::Value;

use super::json_scan::Scan;
use super::plan::Format;
use super::toml_scan::table;
use super::{json_splice, toml_splice};

/// Why a document is not touched: what is wrong, and in which line.
pub(super) type Refusal = String;

/// A document and what was done to it.
#[derive(Debug, PartialEq)]
pub(super) struct Put {
    pub(super) text: String,
    /// What stood there before.
    pub(super) previous: Option<Previous>,
    /// How many of the objects around it had to be made.
    pub(super) made: usize,
}

/// A member that ours stands in for.
#[derive(Debug, PartialEq)]
pub(super) struct Previous {
    pub(super) text: String,
    pub(super) value: Value,
}

/// Reads a document before something is put into it.
///
/// # Errors
/// It does not parse, or is no object.
pub(super) fn check(format: Format, text: &str) -> Result<(), Refusal> {
    match format {
        Format::Json => Scan::new(text).map(drop),
        Format::Toml => table(text).map(drop),
    }
}

/// Sets the member at `keys`, in a document that was checked, or to which
/// others have been put since.
///
/// # Errors
/// Something else where an object belongs; an entry that the format cannot
/// hold.
pub(super) fn put(
    format: Format,
    text: &str,
    keys: &[String],
    entry: &Value,
) -> Result<Put, Refusal> {
    match format {
        Format::Json => json_splice::put(text, keys, entry),
        Format::Toml => toml_splice::put(text, keys, entry),
    }
}

/// Says that a document to which members were put says what it did, and them.
///
/// # Errors
/// It does not: the format has no room for them there.
pub(super) fn verify(
    format: Format,
    before: &str,
    after: &str,
    keys: &[&[String]],
) -> Result<(), Refusal> {
    match format {
        // An object takes any member.
        Format::Json => Ok(()),
        Format::Toml => toml_splice::verify(before, after, keys),
    }
}

/// The value at `keys`, if there is one.
///
/// # Errors
/// A document that does not parse.
pub(super) fn get(format: Format, text: &str, keys: &[String]) -> Result<Option<Value>, Refusal> {
    match format {
        Format::Json => json_splice::get(text, keys),
        Format::Toml => toml_splice::get(text, keys),
    }
}

/// Undoes [`put`]: what it found comes back; else the member at `keys` goes,
/// and up to `made` objects around it as long as they are empty.
///
/// # Errors
/// A document that does not parse.
pub(super) fn take(
    format: Format,
    text: &str,
    keys: &[String],
    previous: Option<&str>,
    made: usize,
) -> Result<String, Refusal> {
    match (format, previous) {
        (Format::Json, None) => json_splice::take(text, keys, made),
        (Format::Json, Some(previous)) => json_splice::replace(text, keys, previous),
        (Format::Toml, None) => toml_splice::take(text, keys),
        (Format::Toml, Some(previous)) => toml_splice::restore(text, keys, previous),
    }
}

/// A document with nothing in it, for a file that is not there or blank.
pub(super) fn empty(format: Format) -> &'static str {
    match format {
        Format::Json => "{\n}\n",
        Format::Toml => "",
    }
}

/// True for a file that holds no document yet: nothing, or blanks alone behind a
/// byte order mark. A TOML document may be just that.
pub(super) fn is_blank(format: Format, text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    format == Format::Json && text.trim().is_empty()
}

/// True if nothing is left in a document, not even a comment.
pub(super) fn is_empty(format: Format, text: &str) -> bool {
    let mut text = text.split_whitespace();
    match format {
        Format::Json => text.collect::<String>() == "{}",
        Format::Toml => text.next().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::random::{BOTH, CASES, comments, edit, keys, said};
    use super::*;
    use crate::types::dice::Dice;

    #[test]
    fn any_document_is_the_same_after_putting_and_taking() {
        for format in BOTH {
            let (mut dice, mut done) = (Dice::new(1), 0);
            for _ in 0..CASES {
                let (text, entry) = (dice.document(format), dice.entry());
                let before = said(format, &text);
                let Ok(put) = put(format, &text, &keys("one"), &entry) else {
                    let servers = before.get("servers").expect(&text);
                    assert!(!servers.is_object(), "{text}");
                    continue;
                };
                let mut wanted = before;
                wanted["servers"]["one"] = entry.clone();
                assert_eq!(said(format, &put.text), wanted, "{text:?}");
                let previous = put.previous.as_ref().map(|previous| previous.text.as_str());
                let back = take(format, &put.text, &keys("one"), previous, put.made);
                assert_eq!(back.as_deref(), Ok(text.as_str()), "{:?}", put.text);
                done += 1;
            }
            assert!(done > CASES / 2, "{done}");
        }
    }

    #[test]
    fn edits_in_between_survive_and_only_the_entry_goes() {
        for format in BOTH {
            let mut dice = Dice::new(1);
            for _ in 0..CASES {
                let (text, entry, what) = (dice.document(format), dice.entry(), dice.below(4));
                let Ok(put) = put(format, &text, &keys("one"), &entry) else {
                    continue;
                };
                let previous = put.previous.as_ref().map(|previous| previous.text.as_str());
                if what == 0 && previous.is_some_and(|previous| previous.contains("1.50")) {
                    continue;
                }
                let now = edit(format, what, &put.text);
                assert_eq!(get(format, &now, &keys("one")), Ok(Some(entry)), "{now}");
                let left = take(format, &now, &keys("one"), previous, put.made).expect(&now);
                let wanted = edit(format, what, &text);
                let (mut says, mut wants) = (said(format, &left), said(format, &wanted));
                if what == 3 {
                    // A rewrite forgets that there was an empty table besides.
                    for said in [&mut says, &mut wants] {
                        let empty = said.get("servers") == Some(&json!({}));
                        said.as_object_mut()
                            .filter(|_| empty)
                            .map(|said| said.remove("servers"));
                    }
                }
                assert_eq!(says, wants, "{text:?} {now:?} {left:?}");
                if what < 3 {
                    assert_eq!(comments(&left), comments(&wanted), "{now:?} {left:?}");
                }
            }
        }
    }
}

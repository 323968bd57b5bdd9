//! What is wrong with a configuration, shown where it is wrong. Pure.
//!
//! *Invariant*: no value of a key that may hold a secret is shown.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::mask::Masked;
use crate::types::secret;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For a mistake in a file: `FILE:LINE:COLUMN: …`, the line, and a caret.
    pub message: String,
    /// The way out, where there is one to tell.
    pub hint: Option<String>,
}

impl Error {
    pub(super) fn new(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            hint: None,
        }
    }

    pub(super) fn hint(self, hint: impl fmt::Display) -> Self {
        Self {
            hint: Some(hint.to_string()),
            ..self
        }
    }

    /// A mistake that the parser found in `text`.
    pub(super) fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let said = error.message().trim_end().replace('\n', ", ");
        let (said, hint) = plainer(&said);
        Self {
            message: at(path, text, span, &said),
            hint,
        }
    }

    /// A mistake in what `path` holds, without its line; the key is the last that
    /// the parser names.
    pub(super) fn in_values(path: &Path, error: &toml::de::Error) -> Self {
        let said = error.to_string().trim_end().replace('\n', ", ");
        let (said, hint) = plainer(&said);
        Self {
            message: format!("{}: {said}", path.display()),
            hint,
        }
    }

    /// A mistake of ours to find, at `span` of `text`.
    pub(super) fn at(path: &Path, text: &str, span: Range<usize>, said: &str) -> Self {
        Self::new(at(path, text, span, said))
    }
}

/// `FILE:LINE:COLUMN: …`, the line, and a caret.
fn at(path: &Path, text: &str, span: Range<usize>, said: &str) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let end = start + line.len();
    let masked = Masked::new(text);
    let number = before.matches('\n').count() + 1;
    let column = before[start..].chars().count();
    let wrong = masked.shown(span.start.min(end)..span.end.clamp(span.start.min(end), end));
    let width = wrong.chars().count().max(1);
    // A tab stays a tab under a tab: the caret stands where the eye looks.
    let indent: String = masked
        .shown(start..span.start.clamp(start, end))
        .chars()
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let gutter = " ".repeat(number.to_string().len());
    format!(
        "{path}:{number}:{column}: {said}\n{gutter} |\n{number} | {line}\n{gutter} | {indent}{caret}",
        path = path.display(),
        column = column + 1,
        said = secret::without_tokens(said),
        line = masked.shown(start..end),
        caret = "^".repeat(width),
    )
}

/// What the parser said, without the value that it was said of.
pub(super) fn without_value(said: &str) -> String {
    let mut said = said.to_owned();
    for kind in ["string \"", "floating point `", "integer `"] {
        let Some(start) = said.find(&format!(": {kind}")) else {
            continue;
        };
        let value = start + 2 + kind.len();
        let close = if kind.ends_with('"') { '"' } else { '`' };
        let Some(end) = said.rfind(&format!("{close}, expected ")) else {
            continue;
        };
        let is_short = said.get(value..end).is_some_and(|value| {
            value.len() < SHORT && value.bytes().all(|byte| byte.is_ascii_digit())
        });
        if end >= value && !is_short {
            said.replace_range(value - 2..=end, "");
        }
    }
    secret::without_tokens(&said)
}

/// Digits of a number that is told.
const SHORT: usize = 6;

/// What serde said, in plainer words: for an unknown key or value with the
/// nearest of the known ones as a hint, or all of them if none is near.
fn plainer(said: &str) -> (String, Option<String>) {
    let kind = if said.starts_with("unknown field `") {
        "key"
    } else if said.starts_with("unknown variant `") {
        "value"
    } else {
        let said = without_value(said);
        let said = said.replace("expected u16", "expected 0 to 65535");
        // Every list of ours is one of strings.
        return (
            said.replace("expected a sequence", "expected a list of strings"),
            None,
        );
    };
    let mut quoted = said.split('`').skip(1).step_by(2);
    let unknown = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let hint = match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    (format!("unknown {kind} `{unknown}`"), Some(hint))
}

/// The known word that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

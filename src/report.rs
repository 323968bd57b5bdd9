//! What the user reads before the terminal is raw and after it: one line that
//! says what was tried and what is wrong, and a hint that says the way out.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::json;

use crate::types::exit::Exit;

/// An error with the exit code it ends in and, perhaps, the way out.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
    pub hint: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit,
            error: error.into(),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {:#}", self.error)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Whether errors are told as JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Has errors told as JSON from now on: the command line asks for it.
pub fn errors_as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Tells the user why we end; a program, which asked for JSON, in one line of
/// it: `{"error", "hint", "code"}`, where `code` is the exit code.
pub fn failure(failure: &Failure) {
    if AS_JSON.load(Ordering::Relaxed) {
        note(json!({
            "error": format!("{:#}", failure.error),
            "hint": failure.hint,
            "code": failure.exit.code(),
        }));
    } else {
        note(failure);
    }
}

/// The error and the hint that another process of ours has told, in either form.
#[must_use]
pub fn told(said: &str) -> (String, Option<String>) {
    let as_json = said.lines().rev().find_map(|line| {
        let told: serde_json::Value = serde_json::from_str(line).ok()?;
        let hint = told["hint"].as_str().map(str::to_owned);
        Some((told["error"].as_str()?.to_owned(), hint))
    });
    as_json.unwrap_or_else(|| {
        let mut lines = said.lines();
        let error = lines.find_map(|line| line.strip_prefix("error: "));
        let hint = lines.find_map(|line| line.strip_prefix("hint: "));
        let error = error.unwrap_or(said.trim());
        (error.to_owned(), hint.map(str::to_owned))
    })
}

/// A remark that ends nothing.
pub fn warning(text: impl fmt::Display) {
    note(format_args!("warning: {text}"));
}

/// A line of progress or news. A terminal that has gone away is no error.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// One JSON document that was asked for.
pub fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(text),
        Err(error) => warning(format_args!("cannot print it as JSON: {error}")),
    }
}

/// How a value that is one word in JSON is spelled.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

/// A line of what was asked for. A reader that has gone away is no error.
pub fn line(text: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

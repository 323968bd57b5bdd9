//! What the user reads before the terminal is raw and after it: one line that
//! says what was tried and what is wrong, and a hint that says the way out.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

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

/// Tells the user why we end.
pub fn failure(failure: &Failure) {
    note(failure);
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

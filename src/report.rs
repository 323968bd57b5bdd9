//! What the user reads before the terminal is raw and after it: one line that
//! says what was tried and what is wrong, and a hint that says the way out.
//!
//! *Invariant*: words on standard error hold nobody up: a terminal or a pipe that
//! is not read is given a moment. What was asked for, on standard output, waits
//! for its reader; that it could not be written is known at the end.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::types::exit::Exit;
use crate::types::text::is_control;

/// How long standard error may take a line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Standard error takes nothing: it is not tried again.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Why standard output has lost something.
static LOST: OnceLock<io::Error> = OnceLock::new();

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

/// A line of progress or news, without what could act on a terminal. One that
/// has gone away, or is not read, is no error.
pub fn note(text: impl fmt::Display) {
    let text = text.to_string();
    let clean = text
        .chars()
        .filter(|&c| c == '\n' || c == '\t' || !is_control(c));
    let mut line: String = clean.collect();
    line.push('\n');
    if STALLED.load(Ordering::Relaxed) {
        return;
    }
    let (done, written) = mpsc::channel();
    let write = move || {
        // Not by the handle that all share: who waits here would lock it.
        let file = io::stderr().as_fd().try_clone_to_owned().map(File::from);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
        let _ = done.send(());
    };
    let writer = thread::Builder::new().name("stderr".into()).spawn(write);
    if writer.is_ok() && written.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
        STALLED.store(true, Ordering::Relaxed);
    }
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

/// A line of what was asked for.
pub fn line(text: impl fmt::Display) {
    if is_lost() {
        return;
    }
    let mut out = io::stdout();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        lose(error);
    }
}

/// Notes that something could not be written to standard output.
pub fn lose(error: io::Error) {
    // The first says why.
    let _ = LOST.set(error);
}

/// True if something could not be written to standard output: whoever goes on
/// printing may stop.
#[must_use]
pub fn is_lost() -> bool {
    LOST.get().is_some()
}

/// The exit of a verb that ends in `exit`: it has not done what it was asked for
/// if that could not be written. A reader that has gone away needs no words.
#[must_use]
pub fn complete(exit: Exit) -> Exit {
    match LOST.get() {
        Some(error) if exit == Exit::Done => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                note(format_args!(
                    "error: cannot write to standard output: {error}"
                ));
            }
            Exit::NotDone
        }
        _ => exit,
    }
}

//! The log of a process: plain text in a file of ours, never on the terminal.

use std::path::Path;

use anyhow::{Context, Result};
use tracing::Level;

use crate::paths;

/// Starts logging to `path`, appended, mode 0600. `level` is the value of
/// `WRAPPER_LOG`: error, warn, info (also for anything else), debug or trace.
///
/// # Errors
/// If the file cannot be opened, or the process logs already.
pub fn init(path: &Path, level: Option<&str>) -> Result<()> {
    let file = paths::private_log(path)
        .with_context(|| format!("cannot open the log {}", path.display()))?;
    let level = level
        .and_then(|text| text.parse().ok())
        .unwrap_or(Level::INFO);
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(level)
        .with_writer(std::sync::Mutex::new(file))
        .finish();
    tracing::subscriber::set_global_default(log).context("cannot start logging")
}

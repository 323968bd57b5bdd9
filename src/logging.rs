//! The log of a process: plain text, in a file of ours while a terminal is
//! somebody else's, on standard error for a hub in the foreground.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt;

use crate::paths;

/// Warnings and errors logged so far.
static WARNINGS: AtomicUsize = AtomicUsize::new(0);

/// Starts logging to `path`, appended, mode 0600; panics go there as well.
/// `level` is the value of `WRAPPER_LOG`: error, warn, info (also for anything
/// else), debug or trace.
///
/// # Errors
/// If the file cannot be opened, or the process logs already.
pub fn to_file(path: &Path, level: Option<&str>) -> Result<()> {
    start(level, open(path)?)?;
    panics_too();
    Ok(())
}

/// As [`to_file`], and to standard error: for a service manager.
///
/// # Errors
/// As [`to_file`].
pub fn to_both(path: &Path, level: Option<&str>) -> Result<()> {
    start(level, open(path)?.and(|| Stderr))?;
    panics_too();
    Ok(())
}

fn open(path: &Path) -> Result<Counted> {
    let file = paths::private_log(path)
        .with_context(|| format!("cannot open the log {}", path.display()))?;
    Ok(Counted(Mutex::new(file)))
}

fn panics_too() {
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Starts logging to standard error.
///
/// # Errors
/// If the process logs already.
pub fn to_stderr(level: Option<&str>) -> Result<()> {
    start(level, || Stderr)
}

/// How many warnings and errors the file has got from this process.
#[must_use]
pub fn warnings() -> usize {
    WARNINGS.load(Ordering::Relaxed)
}

fn start<W>(level: Option<&str>, writer: W) -> Result<()>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = level
        .and_then(|text| text.parse().ok())
        .unwrap_or(Level::INFO);
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(level)
        .with_writer(writer)
        .finish();
    tracing::subscriber::set_global_default(log).context("cannot start logging")
}

/// Standard error, where nobody may be reading: a line that it has no room for is
/// left out, as a log may hold nobody up.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let out = io::stderr();
        let mut room = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut room, PollTimeout::ZERO) {
            Ok(0) => Ok(bytes.len()),
            _ => out.lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that counts the warnings written to it.
struct Counted(Mutex<File>);

impl<'a> MakeWriter<'a> for Counted {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        if *meta.level() <= Level::WARN {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
        Line(&self.0)
    }
}

/// One line on its way into the file.
struct Line<'a>(&'a Mutex<File>);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

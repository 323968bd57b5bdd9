//! What a session changed and how to put it back, kept in its directory so
//! that the next start can do it if this session is killed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Format;
use crate::paths;

/// Written before the first change.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Files of ours.
    pub(super) owned: Vec<PathBuf>,
    pub(super) merged: Vec<Merged>,
}

/// A member of a file that is not ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Merged {
    /// The file itself, no link.
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) keys: Vec<String>,
    pub(super) entry: Value,
    /// What had our name, as it was written.
    pub(super) previous: Option<String>,
    /// How many objects around the entry were made for it, or for that of
    /// another session that it shares them with.
    pub(super) made: usize,
    /// Set if the file was made for a session: the directories that were made
    /// for it, innermost first.
    pub(super) made_file: Option<Vec<PathBuf>>,
}

/// Another session's journal.
pub(super) struct Sibling {
    pub(super) journal: Journal,
    /// Its session runs.
    pub(super) alive: bool,
}

/// Held while files that sessions share are read and written: one session at a
/// time, over all that have their directories in one place.
pub(super) fn turn(session_dir: &Path) -> Result<File> {
    let place = session_dir.parent().unwrap_or(session_dir);
    let lock = File::open(place).and_then(|dir| dir.lock().map(|()| dir));
    lock.with_context(|| format!("cannot lock {}", place.display()))
}

/// Writes a session's journal. The file that is returned keeps the session
/// alive in the eyes of others: they find it locked, until its process ends.
pub(super) fn write(session_dir: &Path, journal: &Journal) -> Result<File> {
    let path = path(session_dir);
    let written = || -> io::Result<File> {
        paths::private_file(&path, &serde_json::to_vec(journal)?)?;
        let file = File::open(&path)?;
        file.lock()?;
        Ok(file)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a session's journal and whether that session is alive; none if it
/// changed nothing.
pub(super) fn read(session_dir: &Path) -> Result<Option<Sibling>> {
    let path = path(session_dir);
    let read = || -> io::Result<Sibling> {
        let file = File::open(&path)?;
        Ok(Sibling {
            journal: serde_json::from_reader(io::BufReader::new(&file))?,
            alive: file.try_lock().is_err(),
        })
    };
    match read() {
        Ok(sibling) => Ok(Some(sibling)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The journals of the other sessions.
pub(super) fn siblings(session_dir: &Path) -> Vec<Sibling> {
    let others = session_dir.parent().map(fs::read_dir);
    let others = others.into_iter().flatten().flatten().flatten();
    others
        .map(|entry| entry.path())
        .filter(|dir| dir.file_name() != session_dir.file_name())
        .filter_map(|dir| {
            read(&dir).unwrap_or_else(|error| {
                tracing::warn!("another session's journal: {error:#}");
                None
            })
        })
        .collect()
}

/// Forgets what was put back.
pub(super) fn remove(session_dir: &Path) {
    let path = path(session_dir);
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove the journal");
    }
}

fn path(session_dir: &Path) -> PathBuf {
    session_dir.join("undo.json")
}

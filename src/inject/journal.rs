//! What a session changed and how to put it back, kept in its directory so
//! that the next start can do it if this session is killed. An undo that
//! failed is kept in `<state>/owed` until it has succeeded.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Format;
use super::{peers, raw_path};
use crate::paths;

/// Written before the first change.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Files of ours.
    #[serde(with = "raw_path::list")]
    pub(super) owned: Vec<PathBuf>,
    pub(super) merged: Vec<Merged>,
    /// Temporary files beside the user's, named before they are made.
    #[serde(default, with = "raw_path::list")]
    pub(super) drafts: Vec<PathBuf>,
}

/// A member of a file that is not ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Merged {
    /// The file itself, no link.
    #[serde(with = "raw_path")]
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
    #[serde(with = "raw_path::option")]
    pub(super) made_file: Option<Vec<PathBuf>>,
    /// Set if the file held blanks alone: those.
    #[serde(default)]
    pub(super) blank: Option<String>,
}

/// Another session's journal.
#[derive(Debug, Clone)]
pub(super) struct Sibling {
    pub(super) journal: Journal,
    /// Its session runs.
    pub(super) alive: bool,
}

/// Where one session's journal is: in its directory, or among those whose undo
/// is owed.
#[derive(Debug, Clone)]
pub(super) struct Record {
    id: String,
    /// `undo.json`, or `owed/<id>.json`.
    file: PathBuf,
    /// The directory that has `sessions` and `owed`.
    root: PathBuf,
}

/// Holds the locks of a turn.
#[derive(Debug)]
pub(super) struct Turn {
    _locks: Vec<File>,
}

impl Record {
    /// The journal of a session, by its directory.
    pub(super) fn of(session_dir: &Path) -> Self {
        let name = session_dir.file_name().unwrap_or_default();
        let sessions = session_dir.parent().unwrap_or(session_dir);
        Self {
            id: name.to_string_lossy().into_owned(),
            file: session_dir.join(paths::JOURNAL),
            root: sessions.parent().unwrap_or(sessions).to_owned(),
        }
    }

    /// The owed journals below a root.
    pub(super) fn owed(root: &Path) -> Vec<Self> {
        let entries = fs::read_dir(root.join(OWED)).into_iter();
        let files = entries.flatten().flatten().map(|entry| entry.path());
        let mut records: Vec<Self> = files
            .filter(|file| file.extension().is_some_and(|end| end == "json"))
            .filter_map(|file| {
                Some(Self {
                    id: file.file_stem()?.to_string_lossy().into_owned(),
                    root: root.to_owned(),
                    file,
                })
            })
            .collect();
        records.sort_by(|a, b| a.file.cmp(&b.file));
        records
    }

    /// The temporary file beside a file of the user's.
    pub(super) fn draft(&self, path: &Path) -> PathBuf {
        path.with_file_name(format!(".wrapper-{}.tmp", self.id))
    }

    /// Where a write in place is written down before it begins.
    pub(super) fn rewrite(&self) -> PathBuf {
        self.file.with_extension("write")
    }

    /// Held while files that sessions share are read and written: one session
    /// at a time, over all that know of each other.
    pub(super) fn turn(&self) -> Result<Turn> {
        let mut locks = Vec::new();
        for root in peers::lock_order(&self.root) {
            let place = root.join("sessions");
            let lock = File::open(&place).and_then(|dir| dir.lock().map(|()| dir));
            locks.push(lock.with_context(|| format!("cannot lock {}", place.display()))?);
        }
        Ok(Turn { _locks: locks })
    }

    /// Writes the journal. The file that is returned keeps the session alive in
    /// the eyes of others: they find it locked, until its process ends.
    pub(super) fn write(&self, journal: &Journal) -> Result<File> {
        let path = &self.file;
        let written = || -> io::Result<File> {
            paths::private_file(path, &serde_json::to_vec(journal)?)?;
            let file = File::open(path)?;
            file.lock()?;
            Ok(file)
        };
        written().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads the journal and whether its session is alive; none if it changed
    /// nothing.
    pub(super) fn read(&self) -> Result<Option<Sibling>> {
        let read = || -> io::Result<Sibling> {
            let file = File::open(&self.file)?;
            Ok(Sibling {
                journal: serde_json::from_reader(io::BufReader::new(&file))?,
                alive: !self.is_owed() && file.try_lock().is_err(),
            })
        };
        match read() {
            Ok(sibling) => Ok(Some(sibling)),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => {
                Err(error).with_context(|| format!("cannot read {}", self.file.display()))
            }
        }
    }

    /// The journals of the other sessions, the owed ones among them.
    pub(super) fn siblings(&self) -> Vec<Sibling> {
        let roots = peers::roots(&self.root).into_iter();
        let records = roots.flat_map(|root| {
            let sessions = fs::read_dir(root.join("sessions")).into_iter();
            let sessions = sessions.flatten().flatten();
            let mut records: Vec<Self> = sessions.map(|entry| Self::of(&entry.path())).collect();
            records.extend(Self::owed(&root));
            records
        });
        records
            .filter(|other| other.file != self.file)
            .filter_map(|other| {
                other.read().unwrap_or_else(|error| {
                    tracing::warn!("another session's journal: {error:#}");
                    None
                })
            })
            .collect()
    }

    /// Forgets what was put back.
    pub(super) fn remove(&self) {
        for path in [self.rewrite(), self.file.clone()] {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot remove the journal");
            }
        }
        if self.is_owed()
            && let Some(dir) = self.file.parent()
        {
            // Unless another undo is owed.
            let _ = fs::remove_dir(dir);
        }
    }

    /// Keeps what is left to undo, outside of the session's directory, which
    /// goes. On a full disk the journal is moved as it is: what was undone
    /// already is not found again.
    pub(super) fn owe(&self, rest: &Journal) -> Result<()> {
        let owed = self.root.join(OWED);
        let kept = Self {
            file: owed.join(format!("{}.json", self.id)),
            ..self.clone()
        };
        let moved = || -> io::Result<()> {
            paths::private_dir(&owed)?;
            let shorter = paths::private_file(&kept.file, &serde_json::to_vec(rest)?);
            if kept.file == self.file {
                return Ok(());
            }
            match fs::rename(self.rewrite(), kept.rewrite()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            match shorter {
                Ok(()) => fs::remove_file(&self.file),
                Err(_) => fs::rename(&self.file, &kept.file),
            }
        };
        moved().with_context(|| format!("cannot keep {}", kept.file.display()))
    }

    /// True if the session has ended and its undo has failed.
    fn is_owed(&self) -> bool {
        self.file
            .file_name()
            .is_some_and(|name| name != paths::JOURNAL)
    }
}

/// The directory of owed journals.
const OWED: &str = "owed";

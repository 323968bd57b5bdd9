//! Carries a plan out, and puts everything back.
//!
//! *Invariant*: the journal is written before the first change, and the guard
//! and the next start after a kill put back by the same code.

use std::cell::LazyCell;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::journal::{self, Journal, Merged, Sibling};
use super::merge;
use super::plan::{InjectPlan, PlannedFile};
use crate::paths;

/// What was applied. Dropped, it is put back: files of ours go, and of the
/// user's files our entry, if it is still ours; what could not be put back is
/// left as it is and logged.
#[must_use]
#[derive(Debug)]
pub struct Applied {
    session_dir: PathBuf,
    journal: Journal,
    /// Locked: this session lives.
    _alive: File,
}

impl InjectPlan {
    /// Writes the planned files. `session_dir` exists, beside those of the
    /// other sessions of this user.
    ///
    /// # Errors
    /// A file that cannot be written, or a user's file that is no plain JSON
    /// object. Everything is then as it was.
    pub fn apply(&self, session_dir: &Path) -> Result<Applied> {
        let turn = journal::turn(session_dir)?;
        let siblings = LazyCell::new(|| journal::siblings(session_dir));
        let mut journal = Journal::default();
        for file in &self.files {
            match file {
                PlannedFile::Owned { path, .. } => journal.owned.push(path.clone()),
                PlannedFile::Merged {
                    path, keys, entry, ..
                } => {
                    journal
                        .merged
                        .extend(merge::prepare(path, keys, entry, &siblings)?);
                }
            }
        }
        let applied = Applied {
            session_dir: session_dir.to_owned(),
            _alive: journal::write(session_dir, &journal)?,
            journal,
        };
        let written = self
            .write_owned()
            .and_then(|()| applied.journal.merged.iter().try_for_each(merge::write));
        // The guard takes a turn of its own if it falls here.
        drop(turn);
        written.map(|()| applied)
    }

    /// Says what [`apply`](Self::apply) would say of the user's files, while
    /// nobody knows of the session yet and nothing is written.
    ///
    /// # Errors
    /// A user's file that is no plain JSON object, or cannot be read.
    pub fn check(&self) -> Result<()> {
        self.files.iter().try_for_each(|file| match file {
            PlannedFile::Merged {
                path, keys, entry, ..
            } => merge::prepare(path, keys, entry, &[]).map(drop),
            PlannedFile::Owned { .. } => Ok(()),
        })
    }

    /// Writes the files of ours alone: again, when what they say has changed.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_owned(&self) -> Result<()> {
        self.files.iter().try_for_each(|file| match file {
            PlannedFile::Owned { path, body } => {
                paths::private_file(path, body.expose().as_bytes())
                    .with_context(|| format!("cannot write {}", path.display()))
            }
            PlannedFile::Merged { .. } => Ok(()),
        })
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        match journal::turn(&self.session_dir) {
            Ok(_turn) => put_back(&self.session_dir, &self.journal),
            Err(error) => tracing::warn!("injected files are not put back: {error:#}"),
        }
    }
}

/// Puts back what a session left behind that was killed; true if there is
/// nothing left to do, false if that session is alive.
///
/// # Errors
/// A journal that cannot be read.
pub fn undo_journal(session_dir: &Path) -> Result<bool> {
    let _turn = journal::turn(session_dir)?;
    match journal::read(session_dir)? {
        None => Ok(true),
        Some(Sibling { alive: true, .. }) => Ok(false),
        Some(Sibling { journal, .. }) => {
            put_back(session_dir, &journal);
            Ok(true)
        }
    }
}

/// Puts back all of a journal, and forgets it. Needs a turn.
fn put_back(session_dir: &Path, journal: &Journal) {
    for path in &journal.owned {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a file of ours");
        }
    }
    if !journal.merged.is_empty() {
        let siblings = journal::siblings(session_dir);
        for merged in journal.merged.iter().rev() {
            if in_use(merged, &siblings) {
                continue;
            }
            if let Err(error) = merge::put_back(merged) {
                tracing::warn!("{error:#}");
            }
        }
    }
    journal::remove(session_dir);
}

/// True if a session that lives has the same entry in the same place.
fn in_use(merged: &Merged, siblings: &[Sibling]) -> bool {
    let same = |other: &Merged| {
        let entry: &Value = &other.entry;
        other.same_place(&merged.path, &merged.keys) && *entry == merged.entry
    };
    siblings
        .iter()
        .any(|sibling| sibling.alive && sibling.journal.merged.iter().any(same))
}

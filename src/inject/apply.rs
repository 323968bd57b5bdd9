//! Carries a plan out, and puts everything back.
//!
//! *Invariant*: the journal is written before the first change, and the guard
//! and the next start after a kill put back by the same code.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::journal::{self, Journal, Merged, Sibling};
use super::merge::{self, Edit};
use super::plan::{Format, InjectPlan, PlannedFile};
use super::user_file;
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
    alive: Arc<File>,
    /// Waits for the disk in the agent's stead.
    syncing: Option<Syncing>,
}

/// A thread that waits for the disk, and what ends it before it begins.
type Syncing = (Sender<()>, JoinHandle<()>);

/// The disk is not waited for while the agent starts: that would hold up
/// whatever else is written, our log among it.
const LATER: Duration = Duration::from_millis(300);

/// The entries of a plan that go into one file: its path without links, what
/// it is written in, and each with its keys.
type Group<'a> = (PathBuf, Format, Vec<(&'a [String], &'a Value)>);

impl InjectPlan {
    /// Writes the planned files. `session_dir` exists, beside those of the
    /// other sessions of this user.
    ///
    /// # Errors
    /// A file that cannot be written, or a user's file that cannot be merged.
    /// Everything is then as it was.
    pub fn apply(&self, session_dir: &Path) -> Result<Applied> {
        let turn = journal::turn(session_dir)?;
        let groups = self.groups()?;
        let siblings = match groups.as_slice() {
            [] => Vec::new(),
            _ => journal::siblings(session_dir),
        };
        let edits = prepare(groups, &siblings)?;
        let owned = self.files.iter().filter_map(|file| match file {
            PlannedFile::Owned { path, .. } => Some(path.clone()),
            PlannedFile::Merged { .. } => None,
        });
        let journal = Journal {
            owned: owned.collect(),
            merged: edits.iter().flat_map(|edit| edit.merged.clone()).collect(),
        };
        let mut applied = Applied {
            session_dir: session_dir.to_owned(),
            alive: Arc::new(journal::write(session_dir, &journal)?),
            journal,
            syncing: None,
        };
        let written = self
            .write_owned()
            .and_then(|()| edits.iter().map(merge::write).collect::<Result<Vec<_>>>());
        // The guard takes a turn of its own if it falls here.
        drop(turn);
        applied.sync(written?.into_iter().flatten().collect());
        Ok(applied)
    }

    /// Says what [`apply`](Self::apply) would say of the user's files, while
    /// nobody knows of the session yet and nothing is written.
    ///
    /// # Errors
    /// A user's file that cannot be read, merged or replaced.
    pub fn check(&self) -> Result<()> {
        prepare(self.groups()?, &[]).map(drop)
    }

    /// The entries for the user's files, file by file.
    fn groups(&self) -> Result<Vec<Group<'_>>> {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: Option<(&Path, PathBuf)> = None;
        for file in &self.files {
            let PlannedFile::Merged {
                path,
                format,
                keys,
                entry,
            } = file
            else {
                continue;
            };
            // As a rule all are of one file.
            let real = match &known {
                Some((last, real)) if last == path => real.clone(),
                _ => user_file::real(path)
                    .map_err(|error| merge::refused(path, &error.to_string()))?,
            };
            known = Some((path, real.clone()));
            match groups.iter_mut().find(|(other, ..)| *other == real) {
                Some((.., entries)) => entries.push((keys, entry)),
                None => groups.push((real, *format, vec![(keys, entry)])),
            }
        }
        Ok(groups)
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

impl Applied {
    /// Sees to it that a power cut leaves neither a file of the user's empty,
    /// nor what was in it lost. A disk takes longer than a launch may.
    fn sync(&mut self, files: Vec<File>) {
        if files.is_empty() {
            return;
        }
        let journal = Arc::clone(&self.alive);
        let (end, ended) = mpsc::channel();
        let sync = move || {
            // At the end all is put back, and synchronized by that.
            if ended.recv_timeout(LATER) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let mut files = iter::once(&*journal).chain(&files);
            if let Err(error) = files.try_for_each(File::sync_all) {
                tracing::warn!(%error, "cannot wait for the disk");
            }
        };
        match thread::Builder::new().name("sync".into()).spawn(sync) {
            Ok(thread) => self.syncing = Some((end, thread)),
            Err(error) => tracing::warn!(%error, "merged files are not synchronized"),
        }
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.syncing.take() {
            drop(end);
            if thread.join().is_err() {
                tracing::warn!("merged files may not be on the disk");
            }
        }
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
        let mut files: Vec<&Path> = Vec::new();
        for Merged { path, .. } in &journal.merged {
            if !files.contains(&path.as_path()) {
                files.push(path);
            }
        }
        for path in files {
            let ours = journal.merged.iter().filter(|ours| ours.path == path);
            if let Err(error) = merge::put_back(path, &ours.collect::<Vec<_>>(), &siblings) {
                tracing::warn!("{error:#}");
            }
        }
    }
    journal::remove(session_dir);
}

fn prepare(groups: Vec<Group>, siblings: &[Sibling]) -> Result<Vec<Edit>> {
    let edits = groups.into_iter();
    edits
        .map(|(path, format, entries)| merge::prepare(&path, format, &entries, siblings))
        .collect()
}

//! Carries a plan out, and puts everything back.
//!
//! *Invariant*: the journal is written before the first change, and the guard
//! and the next start after a kill put back by the same code. What cannot be
//! put back is owed: every start tries it again.

use std::collections::BTreeSet;
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

use super::journal::{Journal, Merged, Record, Sibling};
use super::merge::{self, Edit, Refused};
use super::plan::{Format, InjectPlan, PlannedFile};
use super::{in_place, user_file};
use crate::paths;

/// What was applied. Dropped, it is put back: files of ours go, and of the
/// user's files our entry, if it is still ours; what could not be put back is
/// logged, and owed.
#[must_use]
#[derive(Debug)]
pub struct Applied {
    record: Record,
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
        let record = Record::of(session_dir);
        let turn = record.turn()?;
        let groups = self.groups()?;
        let siblings = match groups.as_slice() {
            [] => Vec::new(),
            _ => record.siblings(),
        };
        let edits = prepare(groups, &siblings)?;
        let owned = self.files.iter().filter_map(|file| match file {
            PlannedFile::Owned { path, .. } => Some(path.clone()),
            PlannedFile::Merged { .. } => None,
        });
        let journal = Journal {
            owned: owned.collect(),
            merged: edits.iter().flat_map(|edit| edit.merged.clone()).collect(),
            drafts: edits.iter().map(|edit| record.draft(&edit.path)).collect(),
        };
        let mut applied = Applied {
            alive: Arc::new(record.write(&journal)?),
            record: record.clone(),
            journal,
            syncing: None,
        };
        let write = |edit| merge::write(edit, &record);
        let written = self
            .write_owned()
            .and_then(|()| edits.iter().map(write).collect::<Result<Vec<_>>>());
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
    pub fn check(&self) -> Result<(), Refused> {
        prepare(self.groups()?, &[]).map(drop)
    }

    /// True if it adds to files of the user's.
    #[must_use]
    pub fn merges(&self) -> bool {
        let is_merged = |file: &PlannedFile| matches!(file, PlannedFile::Merged { .. });
        self.files.iter().any(is_merged)
    }

    /// The entries for the user's files, file by file.
    fn groups(&self) -> Result<Vec<Group<'_>>, Refused> {
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
                _ => user_file::real(path).map_err(|error| Refused::by(path, &error))?,
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
        let result = self.record.turn().and_then(|_turn| {
            let owed = put_back(&self.record, self.journal.clone())?;
            for Owed { file, why } in owed {
                tracing::warn!(file = %file.display(), why, "our entry is not taken out yet");
            }
            Ok(())
        });
        if let Err(error) = result {
            tracing::warn!("injected files are not put back: {error:#}");
        }
    }
}

/// A file that an ended session has not been taken out of yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owed {
    pub file: PathBuf,
    /// What it was tried with, and what is wrong.
    pub why: String,
}

/// Puts back what a session left behind that was killed; true if its directory
/// is not needed any more, false if that session is alive. What cannot be put
/// back is owed from then on.
///
/// # Errors
/// A journal that cannot be read or kept.
pub fn undo_journal(session_dir: &Path) -> Result<bool> {
    let record = Record::of(session_dir);
    let _turn = record.turn()?;
    match record.read()? {
        None => Ok(true),
        Some(Sibling { alive: true, .. }) => Ok(false),
        Some(Sibling { journal, .. }) => put_back(&record, journal).map(|_| true),
    }
}

/// Tries again to put back what could not be put back before, each once.
/// Returns the files that still have an entry of ours. `state` is where all
/// sessions are.
///
/// # Errors
/// A journal that cannot be read or kept.
pub fn settle(state: &Path) -> Result<Vec<Owed>> {
    let mut files = BTreeSet::new();
    for record in Record::owed(state) {
        let _turn = record.turn()?;
        // Somebody else may have been quicker.
        if let Some(Sibling { journal, .. }) = record.read()? {
            files.extend(put_back(&record, journal)?);
        }
    }
    Ok(files.into_iter().collect())
}

/// Puts back all of a journal, and forgets it; returns what could not be put
/// back, which is kept. Needs a turn.
fn put_back(record: &Record, mut journal: Journal) -> Result<Vec<Owed>> {
    let mut rest = Journal::default();
    if let Err(error) = in_place::mend(&record.rewrite()) {
        tracing::warn!(%error, "a write that was cut short is not taken back");
        rest.merged.clone_from(&journal.merged);
    }
    for path in std::mem::take(&mut journal.owned) {
        if let Err(error) = fs::remove_file(&path)
            && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a file of ours");
            rest.owned.push(path);
        }
    }
    for path in &journal.drafts {
        if let Err(error) = user_file::sweep(path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a draft");
            rest.drafts.push(path.clone());
        }
    }
    let mut owed = Vec::new();
    if !journal.merged.is_empty() {
        let siblings = record.siblings();
        let mut files: Vec<PathBuf> = Vec::new();
        for Merged { path, .. } in &journal.merged {
            if !files.contains(path) {
                files.push(path.clone());
            }
        }
        for path in files {
            let merged = journal.merged.clone();
            let ours: Vec<&Merged> = merged.iter().filter(|ours| ours.path == path).collect();
            let mut may_draft = |draft: &Path| {
                if journal.drafts.iter().any(|known| known == draft) {
                    return Ok(());
                }
                journal.drafts.push(draft.to_owned());
                record.write(&journal).map(drop)
            };
            let undone = merge::put_back(&path, &ours, &siblings, record, &mut may_draft);
            if let Err(error) = undone {
                let why = format!("{error:#}");
                tracing::debug!(why, "an undo is owed");
                owed.push(Owed {
                    file: path.clone(),
                    why,
                });
                rest.merged.extend(ours.into_iter().cloned());
            }
        }
    }
    if rest.merged.is_empty() && rest.owned.is_empty() && rest.drafts.is_empty() {
        record.remove();
    } else {
        record.owe(&rest)?;
    }
    Ok(owed)
}

fn prepare(groups: Vec<Group>, siblings: &[Sibling]) -> Result<Vec<Edit>, Refused> {
    let edits = groups.into_iter();
    edits
        .map(|(path, format, entries)| merge::prepare(&path, format, &entries, siblings))
        .collect()
}

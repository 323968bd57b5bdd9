//! Entries of ours in a file of the user's.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::document;
use super::entries::{Place, enter, leave};
use super::journal::{Merged, Record, Sibling};
use super::plan::Format;
use super::user_file::{self, Change};
use crate::paths;

/// How often a file is tried that somebody else writes to at the same time.
const TRIES: usize = 5;

/// What merging will do to one file. Nothing is written yet.
#[derive(Debug)]
pub(super) struct Edit {
    /// The file itself, no link.
    pub(super) path: PathBuf,
    found: Option<String>,
    text: String,
    pub(super) merged: Vec<Merged>,
}

/// Works out how `entries`, each at its keys, get into a file.
///
/// # Errors
/// A file that cannot be read, merged or replaced.
pub(super) fn prepare(
    path: &Path,
    format: Format,
    entries: &[(&[String], &Value)],
    siblings: &[Sibling],
) -> Result<Edit, Refused> {
    let refuse = |error: io::Error| Refused::by(path, &error);
    let found = user_file::read(path).map_err(refuse)?;
    let missing = match found {
        Some(_) => Vec::new(),
        None => user_file::missing_dirs(path),
    };
    let place = Place {
        path,
        format,
        text: found.as_deref(),
        missing: &missing,
    };
    let siblings = aligned(siblings, path);
    let (text, merged) =
        enter(place, entries, &siblings).map_err(|why| Refused::new(path, &why))?;
    // Where all stands there for good, nothing is written.
    if found.as_ref() != Some(&text) {
        user_file::writable(path).map_err(refuse)?;
    }
    Ok(Edit {
        path: path.to_owned(),
        found,
        text,
        merged,
    })
}

/// Writes what was prepared, unless it stands there; returns the file, whose
/// bytes are not on the disk yet.
///
/// # Errors
/// A file that cannot be replaced, or that changed since it was read.
pub(super) fn write(edit: &Edit, record: &Record) -> Result<Option<File>> {
    let Edit {
        path, found, text, ..
    } = edit;
    if found.as_ref() == Some(text) {
        return Ok(None);
    }
    if let (None, Some(dir)) = (found, path.parent()) {
        paths::private_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let change = Change {
        path,
        found: found.as_deref(),
        text,
        sync: false,
    };
    match change.write(record) {
        Ok(None) => Err(Refused::new(path, "somebody else wrote to it just now").into()),
        Ok(file) => Ok(file),
        Err(error) => Err(Refused::by(path, &error).into()),
    }
}

/// Takes the entries of one session out of one file, also where `path` has
/// become a link to it. `may_draft` is told of a draft before it is made.
///
/// # Errors
/// A file that cannot be read, or replaced, or does not parse; it is left as
/// it is.
pub(super) fn put_back(
    path: &Path,
    merged: &[&Merged],
    siblings: &[Sibling],
    record: &Record,
    may_draft: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let refuse = |error: io::Error| Refused::by(path, &error);
    let siblings = aligned(siblings, path);
    let file = user_file::real(path).map_err(refuse)?;
    for _ in 0..TRIES {
        let Some(found) = user_file::read(&file).map_err(refuse)? else {
            return Ok(());
        };
        let left = match leave(&found, merged, &siblings) {
            Ok(left) => left,
            // Whatever it is, none of ours is in it.
            Err(_) if !merged.iter().any(|ours| may_be_in(&found, ours)) => return Ok(()),
            Err(why) => return Err(Refused::new(path, &why).into()),
        };
        let text = match (left, merged.first()) {
            // The link is not ours to break.
            (None, Some(ours)) if file != path => document::empty(ours.format).to_owned(),
            (None, _) => {
                let dirs = merged.iter().find_map(|ours| ours.made_file.as_deref());
                return Ok(user_file::remove(&file, dirs.unwrap_or_default()).map_err(refuse)?);
            }
            (Some(text), _) => text,
        };
        if text == found {
            return Ok(());
        }
        may_draft(&record.draft(&file))?;
        let change = Change {
            path: &file,
            found: Some(&found),
            text: &text,
            // Nobody waits for this one.
            sync: true,
        };
        if change.write(record).map_err(refuse)?.is_some() {
            return Ok(());
        }
    }
    Err(Refused::new(path, "somebody else keeps writing to it").into())
}

/// The journals of others, with every path to this file spelled as `path`.
fn aligned(siblings: &[Sibling], path: &Path) -> Vec<Sibling> {
    let mut siblings = siblings.to_vec();
    let all = siblings.iter_mut();
    for theirs in all.flat_map(|sibling| &mut sibling.journal.merged) {
        if theirs.path != path && user_file::is_same(&theirs.path, path) {
            path.clone_into(&mut theirs.path);
        }
    }
    siblings
}

/// True unless a text that does not parse lacks the entry's very name.
fn may_be_in(text: &str, ours: &Merged) -> bool {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let name = ours.keys.last().filter(|name| name.chars().all(bare));
    name.is_none_or(|name| text.contains(name.as_str()))
}

/// A file of the user's that stays as it is.
#[derive(Debug, thiserror::Error)]
#[error("cannot merge {}: {why}: the file was left as it was", .path.display())]
pub struct Refused {
    path: PathBuf,
    why: String,
    /// The file may not be written: the agent has to be told by another way.
    pub is_read_only: bool,
}

impl Refused {
    pub(super) fn new(path: &Path, why: &str) -> Self {
        Self {
            path: path.to_owned(),
            why: why.to_owned(),
            is_read_only: false,
        }
    }

    pub(super) fn by(path: &Path, error: &io::Error) -> Self {
        let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
        Self {
            is_read_only: kinds.contains(&error.kind()),
            ..Self::new(path, &error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_that_changed_since_it_was_read_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("settings.json");
        let (keys, entry) = (["servers".to_owned(), "one".to_owned()], json!({}));
        let entries: [(&[String], &Value); 1] = [(&keys, &entry)];
        for meanwhile in [Some("{\"theirs\": 1}"), None] {
            for before in [Some("{\"a\": 1}"), None] {
                let set = |text| match text {
                    Some(text) => fs::write(&path, text).expect("written"),
                    None => drop(fs::remove_file(&path)),
                };
                set(before);
                let edit = prepare(&path, Format::Json, &entries, &[]).expect("prepared");
                set(meanwhile);
                let record = Record::of(&dir.path().join("sessions/a"));
                assert_eq!(write(&edit, &record).is_err(), meanwhile != before);
                if meanwhile != before {
                    assert_eq!(fs::read_to_string(&path).ok().as_deref(), meanwhile);
                }
                let beside = fs::read_dir(dir.path()).expect("listed").count();
                assert_eq!(beside, usize::from(path.exists()));
            }
        }
    }
}

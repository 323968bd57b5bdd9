//! Entries of ours in a file of the user's.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::entries::{Place, enter, leave};
use super::journal::{Merged, Sibling};
use super::plan::Format;
use super::user_file;
use crate::paths;

/// How often a file is tried that somebody else writes to at the same time.
const TRIES: usize = 5;

/// What merging will do to one file. Nothing is written yet.
#[derive(Debug)]
pub(super) struct Edit {
    /// The file itself, no link.
    path: PathBuf,
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
) -> Result<Edit> {
    let refuse = |error: io::Error| refused(path, &error.to_string());
    let found = user_file::read(path).map_err(refuse)?;
    user_file::writable(path).map_err(refuse)?;
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
    let (text, merged) = enter(place, entries, siblings).map_err(|why| refused(path, &why))?;
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
pub(super) fn write(edit: &Edit) -> Result<Option<File>> {
    let Edit {
        path, found, text, ..
    } = edit;
    if found.as_ref() == Some(text) {
        return Ok(None);
    }
    if let (None, Some(dir)) = (found, path.parent()) {
        paths::private_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let written =
        user_file::draft(path, text).and_then(|draft| draft.settle(path, found.as_deref()));
    match written {
        Ok(None) => Err(refused(path, "somebody else wrote to it just now")),
        Ok(file) => Ok(file),
        Err(error) => Err(refused(path, &error.to_string())),
    }
}

/// Takes the entries of one session out of one file.
///
/// # Errors
/// A file that cannot be read, or replaced, or does not parse; it is left as
/// it is.
pub(super) fn put_back(path: &Path, merged: &[&Merged], siblings: &[Sibling]) -> Result<()> {
    let refuse = |error: io::Error| refused(path, &error.to_string());
    for _ in 0..TRIES {
        let Some(found) = user_file::read(path).map_err(refuse)? else {
            return Ok(());
        };
        let Some(text) = leave(&found, merged, siblings).map_err(|why| refused(path, &why))? else {
            let dirs = merged.iter().find_map(|ours| ours.made_file.as_deref());
            return user_file::remove(path, dirs.unwrap_or_default()).map_err(refuse);
        };
        if text == found {
            return Ok(());
        }
        let draft = user_file::draft(path, &text).map_err(refuse)?;
        // Nobody waits for this one.
        draft.sync().map_err(refuse)?;
        if draft.settle(path, Some(&found)).map_err(refuse)?.is_some() {
            return Ok(());
        }
    }
    Err(refused(path, "somebody else keeps writing to it"))
}

/// The error of a file that stays as it is.
pub(super) fn refused(path: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "cannot merge {}: {why}: the file was left as it was",
        path.display()
    )
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
                assert_eq!(write(&edit).is_err(), meanwhile != before);
                if meanwhile != before {
                    assert_eq!(fs::read_to_string(&path).ok().as_deref(), meanwhile);
                }
                let beside = fs::read_dir(dir.path()).expect("listed").count();
                assert_eq!(beside, usize::from(path.exists()));
            }
        }
    }
}

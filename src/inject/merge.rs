//! Our entry in a file of the user's: how it gets in, and out again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::journal::{Merged, Sibling};
use super::scan::Refusal;
use super::splice::{self, Put};
use crate::paths;

/// What merging `entry` will do to the file at `path`; none if it stands there
/// for good already. Nothing is written.
///
/// Where another session's entry stands there, what that session found is what
/// this one will leave: whoever ends last restores it.
pub(super) fn prepare(
    path: &Path,
    keys: &[String],
    entry: &Value,
    siblings: &[Sibling],
) -> Result<Option<Merged>> {
    let (path, before) = read(path)?;
    let prepared = || -> Result<Option<Merged>, Refusal> {
        let text = before.as_deref().unwrap_or("{}\n");
        let there = value_at(text, keys)?;
        let others = siblings.iter().flat_map(|sibling| &sibling.journal.merged);
        let found = others
            .filter(|other| other.same_place(&path, keys))
            .find(|other| there.as_ref() == Some(&other.entry))
            .cloned();
        if there.as_ref() == Some(entry) {
            return Ok(found);
        }
        let Put {
            text: after,
            previous,
            made,
        } = splice::put(text, keys, entry)?;
        Ok(Some(match found {
            Some(found) => Merged {
                entry: entry.clone(),
                after,
                ..found
            },
            None => Merged {
                keys: keys.to_owned(),
                entry: entry.clone(),
                dirs: missing_dirs(&path),
                before: before.clone(),
                after,
                previous,
                made,
                path: path.clone(),
            },
        }))
    };
    prepared().map_err(|why| refused(&path, &why))
}

/// Writes what was prepared, unless it stands there.
pub(super) fn write(merged: &Merged) -> Result<()> {
    let (path, now) = read(&merged.path)?;
    let there = match &now {
        Some(text) => value_at(text, &merged.keys).map_err(|why| refused(&path, &why))?,
        None => None,
    };
    if there.as_ref() == Some(&merged.entry) {
        return Ok(());
    }
    if let Some(dir) = merged.dirs.first() {
        paths::private_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    replace(&path, &merged.after)
}

/// Takes our entry out: the file as it was, if nobody else has written to it;
/// else the entry alone, and only if it is still ours.
pub(super) fn put_back(merged: &Merged) -> Result<()> {
    let (path, Some(now)) = read(&merged.path)? else {
        return Ok(());
    };
    let text = if now == merged.after {
        merged.before.clone()
    } else {
        let without = || -> Result<Option<String>, Refusal> {
            if value_at(&now, &merged.keys)?.as_ref() != Some(&merged.entry) {
                return Ok(None);
            }
            Ok(Some(match &merged.previous {
                Some(previous) => splice::replace(&now, &merged.keys, previous)?,
                None => splice::take(&now, &merged.keys, merged.made)?,
            }))
        };
        match without().map_err(|why| refused(&path, &why))? {
            None => return Ok(()),
            // Only ours was in it.
            Some(text) if merged.before.is_none() && text.trim() == "{}" => None,
            Some(text) => Some(text),
        }
    };
    match text {
        Some(text) => replace(&path, &text),
        None => remove(&path, &merged.dirs),
    }
}

fn value_at(text: &str, keys: &[String]) -> Result<Option<Value>, Refusal> {
    let value = splice::get(text, keys)?;
    Ok(value.and_then(|value| serde_json::from_str(value).ok()))
}

fn refused(path: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "cannot merge {}: {why}: the file was left as it was",
        path.display()
    )
}

/// The file behind `path`, and its text if it exists.
fn read(path: &Path) -> Result<(PathBuf, Option<String>)> {
    let refuse = |error: io::Error| refused(path, &error.to_string());
    let real = real(path).map_err(refuse)?;
    match fs::read_to_string(&real) {
        Ok(text) => Ok((real, Some(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((real, None)),
        Err(error) => Err(refuse(error)),
    }
}

/// `path` with links followed, as far as it exists. A link to nowhere is an
/// error: its file is not ours to make.
fn real(path: &Path) -> io::Result<PathBuf> {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Err(error), Some(dir), Some(name))
            if error.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            Ok(real(dir)?.join(name))
        }
        (real, ..) => real,
    }
}

/// The directories above `path` that do not exist, innermost first.
fn missing_dirs(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    above
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .map(Path::to_owned)
        .collect()
}

/// Replaces a file whole, through a temporary one beside it; mode and owner
/// stay.
fn replace(path: &Path, text: &str) -> Result<()> {
    let written = || -> io::Result<()> {
        let dir = path.parent().ok_or(ErrorKind::InvalidInput)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(path) {
            keep_owner(file.as_file(), &old)?;
            file.as_file().set_permissions(old.permissions())?;
        }
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|error| refused(path, &error.to_string()))
}

fn keep_owner(file: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))
}

/// Removes a file of ours, and the directories made for it if they are empty.
fn remove(path: &Path, dirs: &[PathBuf]) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    for dir in dirs {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => break,
            removed => removed.with_context(|| format!("cannot remove {}", dir.display()))?,
        }
    }
    Ok(())
}

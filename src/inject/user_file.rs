//! Files of the user's: read whole, replaced whole, and never lost.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};
use tempfile::NamedTempFile;

use super::list::line;

/// The text of a file, if it exists.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    let bytes = match fs::metadata(path) {
        // Reading a pipe would wait for its writer.
        Ok(data) if !data.is_file() => return Err(refusal("it is not a file")),
        Ok(_) => fs::read(path)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    String::from_utf8(bytes).map(Some).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
        refusal(format!(
            "it is not UTF-8 at line {}",
            line(&text, text.len())
        ))
    })
}

/// `path` with links followed, as far as it exists. A link to nowhere is an
/// error: its file is not ours to make.
pub(super) fn real(path: &Path) -> io::Result<PathBuf> {
    match (fs::canonicalize(path), path.parent(), path.file_name()) {
        (Err(error), Some(dir), Some(name)) if error.kind() == ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(refusal("it is a link to nowhere"));
            }
            Ok(real(dir)?.join(name))
        }
        (real, ..) => real,
    }
}

/// Says why a file cannot be replaced or made, as far as can be seen without
/// trying. What nobody may write is not written by root either: the user
/// meant it.
pub(super) fn writable(path: &Path) -> io::Result<()> {
    if let Some(data) = there(path)? {
        if read_only(&data) {
            return Err(refusal("it is read-only: `chmod u+w` lets it be merged"));
        }
        // Its owner would change with it.
        if !geteuid().is_root() && data.uid() != geteuid().as_raw() {
            return Err(refusal("it belongs to another user"));
        }
        access(path, AccessFlags::W_OK)?;
    }
    for dir in path.ancestors().skip(1) {
        let Some(data) = there(dir)? else { continue };
        if !data.is_dir() {
            return Err(refusal(format!("{} is no directory", dir.display())));
        }
        if read_only(&data) || access(dir, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            return Err(refusal(format!("{} is not writable", dir.display())));
        }
        break;
    }
    Ok(())
}

/// The directories above `path` that do not exist, innermost first.
pub(super) fn missing_dirs(path: &Path) -> Vec<PathBuf> {
    let above = path.ancestors().skip(1);
    above
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .map(Path::to_owned)
        .collect()
}

/// What a file will say, in a temporary one beside it.
pub(super) struct Draft(NamedTempFile);

/// Writes a draft, with the mode and the owner of the file that it is for.
pub(super) fn draft(path: &Path, text: &str) -> io::Result<Draft> {
    let dir = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    if let Some(old) = there(path)? {
        keep_owner(file.as_file(), &old)?;
        file.as_file().set_permissions(old.permissions())?;
    }
    Ok(Draft(file))
}

impl Draft {
    /// Waits until it is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.as_file().sync_data()
    }

    /// Replaces the file, or makes it; returns it. None if the file no longer
    /// says what was `found` in it: it stays as somebody else has left it.
    pub(super) fn settle(self, path: &Path, found: Option<&str>) -> io::Result<Option<File>> {
        if read(path)?.as_deref() != found {
            return Ok(None);
        }
        Ok(Some(self.0.persist(path)?))
    }
}

/// Removes a file of ours, and the directories made for it if they are empty.
pub(super) fn remove(path: &Path, dirs: &[PathBuf]) -> io::Result<()> {
    fs::remove_file(path)?;
    for dir in dirs {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => break,
            removed => removed?,
        }
    }
    Ok(())
}

fn there(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_only(data: &Metadata) -> bool {
    data.mode() & 0o222 == 0
}

fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))
}

fn refusal(why: impl Into<String>) -> io::Error {
    io::Error::other(why.into())
}

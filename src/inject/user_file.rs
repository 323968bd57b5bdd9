//! Files of the user's: read whole, replaced whole, and never lost.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, geteuid};

use super::journal::Record;
use super::list::line;
use super::{attributes, in_place};

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

/// True if both paths lead to one file, over links of either kind.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path| fs::metadata(path).map(|data| (data.dev(), data.ino()));
    one == other || matches!((file(one), file(other)), (Ok(one), Ok(other)) if one == other)
}

/// Says why a file cannot be replaced or made, as far as can be seen without
/// trying. What nobody may write is not written by root either: the user
/// meant it.
pub(super) fn writable(path: &Path) -> io::Result<()> {
    if let Some(data) = there(path)? {
        if read_only(&data) {
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "it is read-only",
            ));
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
            return Err(io::Error::new(
                ErrorKind::PermissionDenied,
                format!("{} is not writable", dir.display()),
            ));
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

/// A file, what was `found` in it, and what it is to say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    /// No link.
    pub(super) path: &'a Path,
    pub(super) found: Option<&'a str>,
    pub(super) text: &'a str,
    /// Waits until it is on the disk.
    pub(super) sync: bool,
}

impl Change<'_> {
    /// Replaces the file, or makes it; returns it. None if the file no longer
    /// says what was found in it: it stays as somebody else has left it.
    ///
    /// Mode, owner and extended attributes stay, access lists among them. A file
    /// that has a second name, or that cannot be replaced with all of that, is
    /// written in place.
    ///
    /// # Errors
    /// A file that cannot be written; it says what it said.
    pub(super) fn write(self, record: &Record) -> io::Result<Option<File>> {
        let old = there(self.path)?;
        let keeps_place = old.as_ref().is_some_and(|old| old.nlink() > 1);
        let beside = record.draft(self.path);
        let draft = if keeps_place {
            None
        } else {
            Draft::of(self, old.as_ref(), &beside)?
        };
        if read(self.path)?.as_deref() != self.found {
            return Ok(None);
        }
        let in_place = || {
            let found = self.found.unwrap_or_default();
            in_place::write(self.path, found, self.text, &record.rewrite()).map(Some)
        };
        match draft {
            None => in_place(),
            Some(draft) => match draft.settle(self.path) {
                // Something is mounted on it.
                Err(error) if old.is_some() && is(&error, Errno::EBUSY) => in_place(),
                settled => settled.map(Some),
            },
        }
    }
}

/// What a file will say, in a temporary one beside it. Dropped, it is gone.
struct Draft<'a> {
    at: &'a Path,
    file: Option<File>,
}

impl<'a> Draft<'a> {
    /// None if it cannot have what the old file has besides its text.
    fn of(change: Change, old: Option<&Metadata>, at: &'a Path) -> io::Result<Option<Self>> {
        let make = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(at)
        };
        let file = match make() {
            // A session that was killed has left it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(at)?;
                make()
            }
            made => made,
        }?;
        let mut draft = Self {
            at,
            file: Some(file),
        };
        let Some(file) = &mut draft.file else {
            return Ok(None);
        };
        file.write_all(change.text.as_bytes())?;
        if let Some(old) = old {
            let kept = keep_owner(file, old)
                .and_then(|()| file.set_permissions(old.permissions()))
                .and_then(|()| attributes::copy(change.path, file));
            if let Err(error) = kept {
                tracing::debug!(%error, path = %change.path.display(), "written in place");
                return Ok(None);
            }
        }
        if change.sync {
            file.sync_data()?;
        }
        Ok(Some(draft))
    }

    fn settle(mut self, path: &Path) -> io::Result<File> {
        fs::rename(self.at, path)?;
        self.file.take().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = fs::remove_file(self.at)
        {
            tracing::warn!(path = %self.at.display(), %error, "cannot remove a draft");
        }
    }
}

/// Removes a file of ours, and the directories made for it if they are empty.
pub(super) fn remove(path: &Path, dirs: &[PathBuf]) -> io::Result<()> {
    fs::remove_file(path)?;
    for dir in dirs {
        if let Err(error) = fs::remove_dir(dir) {
            // Somebody has put something there, or has removed it.
            tracing::debug!(path = %dir.display(), %error, "a directory stays");
            break;
        }
    }
    Ok(())
}

/// Removes a draft that a killed session has left.
pub(super) fn sweep(draft: &Path) -> io::Result<()> {
    match fs::remove_file(draft) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(error)
        }
        _ => Ok(()),
    }
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

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

fn refusal(why: impl Into<String>) -> io::Error {
    io::Error::other(why.into())
}

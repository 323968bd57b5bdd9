//! Files that are written in place, as they have a second name or cannot be
//! replaced. What they said is written down first: a write that is cut short
//! is taken back by the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::raw_path;
use crate::paths;

/// A write in place that is about to begin.
#[derive(Debug, Serialize, Deserialize)]
struct Rewrite {
    #[serde(with = "raw_path")]
    path: PathBuf,
    old: String,
    new: String,
}

/// Writes `new` over `old`, after noting both at `note`; waits for the disk.
///
/// # Errors
/// A file that cannot be written: it says what it said, or the note stays.
pub(super) fn write(path: &Path, old: &str, new: &str, note: &Path) -> io::Result<File> {
    let file = open(path)?;
    reserve(&file, new.len())?;
    let rewrite = Rewrite {
        path: path.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
    };
    paths::private_file(note, &serde_json::to_vec(&rewrite)?)?;
    let written = overwrite(&file, new).and_then(|()| file.sync_data());
    if let Err(error) = written {
        overwrite(&file, old)?;
        fs::remove_file(note)?;
        return Err(error);
    }
    fs::remove_file(note)?;
    Ok(file)
}

/// Takes back a write that was cut short, if one was.
///
/// # Errors
/// A note that cannot be read, a file that cannot be written.
pub(super) fn mend(note: &Path) -> io::Result<()> {
    let text = match fs::read(note) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let Rewrite { path, old, new } = serde_json::from_slice(&text)?;
    match fs::read(&path) {
        Ok(found) if is_torn(&found, old.as_bytes(), new.as_bytes()) => {
            overwrite(&open(&path)?, &old)?;
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_file(note)
}

/// True for the start of `new` with the rest of `old` behind it.
fn is_torn(found: &[u8], old: &[u8], new: &[u8]) -> bool {
    let same = found.iter().zip(new).take_while(|(a, b)| a == b).count();
    found != new && found[same..] == *old.get(same..).unwrap_or_default()
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(flags).open(path)
}

/// Asks for the room before anything is written over.
fn reserve(file: &File, length: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use nix::errno::Errno;
        use nix::fcntl::{FallocateFlags, fallocate};
        let length = i64::try_from(length).map_err(io::Error::other)?;
        match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length.max(1)) {
            // It cannot tell in advance.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINTR) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, length);
        Ok(())
    }
}

fn overwrite(file: &File, text: &str) -> io::Result<()> {
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_was_cut_short_is_taken_back_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, note) = (dir.path().join("file"), dir.path().join("note"));
        for (old, new) in [("{\"a\": 1}", "{\"a\": 1, \"b\": 2}"), ("long old", "new")] {
            let torn = |k: usize| format!("{}{}", &new[..k], old.get(k..).unwrap_or_default());
            let cases = (0..new.len()).map(|k| (torn(k), old));
            let whole = [(new.to_owned(), new), ("theirs".to_owned(), "theirs")];
            for (found, wanted) in cases.chain(whole) {
                let rewrite = Rewrite {
                    path: path.clone(),
                    old: old.into(),
                    new: new.into(),
                };
                fs::write(&note, serde_json::to_vec(&rewrite).expect("JSON")).expect("noted");
                fs::write(&path, &found).expect("written");
                mend(&note).expect("mended");
                assert_eq!(fs::read_to_string(&path).expect("read"), wanted, "{found}");
                assert!(!note.exists());
            }
        }
        write(&path, "theirs", "ours", &note).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), "ours");
        assert!(!note.exists());
    }
}

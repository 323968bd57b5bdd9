//! The session directories: made, held, listed, and cleared of the dead.
//!
//! *Invariant*: a session's process holds a lock on `<dir>/lock` for as long as
//! it lives, and the kernel lets it go however the process ends. So a
//! directory whose lock can be had belongs to nobody: no pid is believed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use tracing::warn;

use super::protocol::Session;
use crate::paths;
use crate::types::identity::SessionId;

/// What a session's process holds.
const LOCK: &str = "lock";

/// One session's directory, held by this process; removed when dropped.
#[derive(Debug)]
pub struct SessionDir {
    pub id: SessionId,
    pub path: PathBuf,
    _lock: Flock<File>,
}

impl SessionDir {
    /// Makes `<root>/sessions/<id>` (0700) and holds it.
    ///
    /// # Errors
    /// If the directory or its lock cannot be made.
    pub fn make(root: &Path, id: SessionId) -> Result<Self> {
        let sessions = root.join("sessions");
        let path = sessions.join(id.as_str());
        let tried = || format!("cannot make the session directory {}", path.display());
        // Under its name only once it is held, or a successor might clear it.
        let unborn = sessions.join(format!(".{id}"));
        paths::private_dir(&unborn).with_context(tried)?;
        let lock = hold(&unborn).with_context(tried)?;
        fs::rename(&unborn, &path).with_context(tried)?;
        Ok(Self {
            id,
            path,
            _lock: lock,
        })
    }
}

impl Drop for SessionDir {
    fn drop(&mut self) {
        // What could be neither undone nor kept elsewhere is left to a successor.
        if self.path.join(paths::JOURNAL).exists() {
            let _ = fs::remove_file(self.path.join(NOTE));
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            warn!(%error, path = %self.path.display(), "cannot remove the session directory");
        }
    }
}

/// Session directories by whether their process lives.
#[derive(Debug, Default)]
pub struct Roster {
    pub alive: Vec<PathBuf>,
    pub dead: Vec<Dead>,
}

/// A directory whose process is gone, held so that one successor clears it.
#[derive(Debug)]
pub struct Dead {
    pub path: PathBuf,
    _lock: Flock<File>,
}

impl Dead {
    /// Removes the directory: what it had to undo has been undone.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// Looks through `<root>/sessions`; none there is an empty roster.
#[must_use]
pub fn roster(root: &Path) -> Roster {
    let mut roster = Roster::default();
    sweep_unborn(root);
    for path in dirs(root) {
        match hold(&path) {
            Ok(lock) => roster.dead.push(Dead { path, _lock: lock }),
            Err(_) => roster.alive.push(path),
        }
    }
    roster
}

/// The session directories below `root`, of the living and of the dead.
#[must_use]
pub fn dirs(root: &Path) -> Vec<PathBuf> {
    let mut paths = entries(root);
    paths.retain(|path| !is_unborn(path));
    paths
}

fn entries(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root.join("sessions")) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

/// True for the draft of a directory, which has no name of its own yet.
fn is_unborn(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// True while the process of the session in `dir` lives. Nothing is held: a
/// second look sees the same.
#[must_use]
pub fn is_alive(dir: &Path) -> bool {
    match File::open(dir.join(LOCK)) {
        Ok(file) => Flock::lock(file, FlockArg::LockSharedNonblock).is_err(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The directories whose processes are gone.
pub(super) fn dead(root: &Path) -> Vec<PathBuf> {
    let mut dirs = dirs(root);
    dirs.retain(|dir| !is_alive(dir));
    dirs
}

/// How old a draft of a directory is that nobody is making any more.
const STALE: Duration = Duration::from_secs(60);

/// Removes the directories of sessions that were killed before they had one.
fn sweep_unborn(root: &Path) {
    let is_stale = |path: &PathBuf| {
        let made = fs::symlink_metadata(path).and_then(|data| data.modified());
        made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > STALE))
    };
    for path in entries(root) {
        if is_unborn(&path)
            && is_stale(&path)
            && let Ok(_lock) = hold(&path)
            && let Err(error) = fs::remove_dir_all(&path)
        {
            warn!(%error, path = %path.display(), "cannot remove what a killed session has left");
        }
    }
}
/// What a session is known by when it cannot say so itself.
const NOTE: &str = "session.json";

/// Writes down in `dir` which session it is.
///
/// # Errors
/// If it cannot be written there.
pub fn note(dir: &Path, session: &Session) -> Result<()> {
    let path = dir.join(NOTE);
    let text = serde_json::to_vec(session)?;
    paths::private_file(&path, &text).with_context(|| format!("cannot write {}", path.display()))
}

/// What was written down in `dir`, if anything.
#[must_use]
pub fn noted(dir: &Path) -> Option<Session> {
    serde_json::from_slice(&fs::read(dir.join(NOTE)).ok()?).ok()
}

/// Waits until the process of a session has let go of `dir`; blocks.
///
/// # Errors
/// If that cannot be seen.
pub fn outlast(dir: &Path) -> Result<()> {
    let path = dir.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    let waited = Flock::lock(file, FlockArg::LockShared).map_err(|(_, error)| error);
    waited
        .map(drop)
        .with_context(|| format!("cannot wait for {}", path.display()))
}

/// Keeps the newest `keep` of the logs in `dir`.
pub fn trim_logs(dir: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut logs: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "log"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    logs.sort();
    let old = logs.len().saturating_sub(keep);
    for (_, path) in &logs[..old] {
        if let Err(error) = fs::remove_file(path) {
            warn!(%error, path = %path.display(), "cannot remove an old log");
        }
    }
}

/// Takes the lock of a session directory, or says why not.
fn hold(dir: &Path) -> Result<Flock<File>> {
    let path = dir.join(LOCK);
    let file = paths::private_log(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_tells_the_living_from_the_dead() {
        let root = tempfile::tempdir().expect("a directory");
        let alive = SessionDir::make(root.path(), SessionId::random()).expect("made");
        let corpse = root.path().join("sessions/0123456789ab");
        fs::create_dir(&corpse).expect("made");

        let found = roster(root.path());
        assert_eq!(found.alive, std::slice::from_ref(&alive.path));
        assert_eq!(found.dead.len(), 1);
        assert_eq!(found.dead[0].path, corpse);
        // Held by the first, it is nobody else's to clear.
        assert!(roster(root.path()).dead.is_empty());
        for dead in found.dead {
            dead.remove().expect("removed");
        }
        assert!(!corpse.exists());

        let path = alive.path.clone();
        drop(alive);
        assert!(!path.exists());
    }

    #[test]
    fn the_newest_logs_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        for (age, name) in [(30, "a.log"), (10, "b.log"), (20, "c.log"), (40, "d.txt")] {
            let file = File::create(dir.path().join(name)).expect("made");
            let time =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age);
            file.set_modified(time).expect("dated");
        }
        trim_logs(dir.path(), 2);
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .expect("listed")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["b.log", "c.log", "d.txt"]);
    }
}

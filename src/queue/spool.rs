//! The directory that taken files are kept in: made, held, and inherited from
//! the dead.
//!
//! *Invariant*: a wrapper holds the lock in its spool for as long as it lives.
//! A spool is listed only once it is held, so one whose lock can be had is a
//! dead wrapper's: no name and no pid is believed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use tracing::{debug, info, warn};

use super::journal::{self, Journal, Offsets};
use super::names::Owner;
use super::taken::{Rest, Taken};
use crate::paths;
use crate::types::identity::{InstanceName, SessionId};

/// How many spools are kept besides ours: those of the living, and what the
/// dead have left to a name that nobody has taken since.
const KEPT: usize = 50;

/// A wrapper's own spool.
#[derive(Debug)]
pub(super) struct Spool {
    /// All spools of one data directory.
    root: PathBuf,
    dir: PathBuf,
    pub(super) owner: Owner,
    pub(super) journal: Journal,
    /// The number of the next file.
    next: u64,
    _lock: Flock<File>,
}

impl Spool {
    /// Makes and holds a spool below `data_dir`.
    pub(super) fn make(data_dir: &Path, session: &SessionId, owner: Owner) -> Result<Self> {
        let root = data_dir.join(".wrapper-queues");
        let make = || -> Result<Self> {
            paths::private_dir(&root)?;
            let prefix = format!(".{session}-");
            let unborn = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(&root)?;
            let lock = hold(unborn.path())?;
            paths::private_dir(&taken(unborn.path()))?;
            write(unborn.path(), &owner)?;
            let journal = Journal::open(&acked(unborn.path()))?;
            let hidden = unborn.path().file_name().unwrap_or_default();
            let dir = root.join(hidden.to_string_lossy().trim_start_matches('.'));
            fs::rename(unborn.path(), &dir)?;
            // Nothing is left under the name that it would remove.
            let _ = unborn.keep();
            Ok(Self {
                root: root.clone(),
                dir,
                owner,
                journal,
                next: 1,
                _lock: lock,
            })
        };
        make().with_context(|| format!("cannot make a spool in `{}`", root.display()))
    }

    /// Where taken files are.
    pub(super) fn taken(&self) -> PathBuf {
        taken(&self.dir)
    }

    /// False if it was removed under our feet.
    pub(super) fn is_there(&self) -> bool {
        self.taken().is_dir()
    }

    /// True if no file is left.
    pub(super) fn is_spent(&self) -> bool {
        is_empty(&self.dir)
    }

    /// Goes on where another one, which was removed, has stopped.
    pub(super) fn follows(&mut self, removed: &Self) {
        self.next = removed.next;
    }

    /// Takes on another name.
    pub(super) fn rename(&mut self, name: InstanceName, since: u64) -> Result<()> {
        self.owner.rename(name, since);
        write(&self.dir, &self.owner)
            .with_context(|| format!("cannot write the owner of `{}`", self.dir.display()))
    }

    /// True if another wrapper has had a name from later on than `since`.
    pub(super) fn is_superseded(&self, name: &InstanceName, since: u64) -> bool {
        self.others()
            .iter()
            .any(|(_, owner)| owner.supersedes(name, since))
    }

    /// Takes a file away from where it is appended to, under the next number;
    /// none if somebody else was faster.
    pub(super) fn take(
        &mut self,
        path: &Path,
        name: &InstanceName,
    ) -> io::Result<Option<(u64, Taken)>> {
        let (number, to) = self.place(name);
        match fs::rename(path, &to) {
            Ok(()) => {
                self.next += 1;
                Ok(Some((number, Taken::new(name.clone(), to, 0))))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_there() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where the next file goes.
    fn place(&self, name: &InstanceName) -> (u64, PathBuf) {
        let file = format!("{:010}-{name}", self.next);
        (self.next, self.taken().join(file))
    }

    /// Takes over what dead wrappers have left to our name, the oldest first,
    /// and clears away those that have left nothing to anybody, or have waited
    /// for long.
    pub(super) fn adopt(&mut self) -> Vec<(u64, Taken)> {
        let (mut adopted, mut others) = (Vec::new(), Vec::new());
        for (dir, owner) in self.others() {
            let is_heir = self.owner.inherits(&owner);
            if !is_heir && !is_spent(&dir).is_ok_and(|is_spent| is_spent) {
                others.push(dir);
                continue;
            }
            let Ok(lock) = hold(&dir) else {
                continue;
            };
            let cleared = self
                .empty(&dir, &mut adopted)
                .and_then(|()| fs::remove_dir_all(&dir));
            match cleared {
                Ok(()) => info!(spool = %dir.display(), "took over from a dead wrapper"),
                Err(error) => {
                    warn!(%error, spool = %dir.display(), "cannot take over from a dead wrapper");
                }
            }
            drop(lock);
        }
        let surplus = others.len().saturating_sub(KEPT);
        others[..surplus].iter().for_each(|dir| give_up(dir));
        adopted
    }

    /// Moves a dead wrapper's files into our spool. How far each was delivered
    /// is noted before, so that whoever inherits from us knows as well.
    fn empty(&mut self, dir: &Path, adopted: &mut Vec<(u64, Taken)>) -> io::Result<()> {
        let offsets = journal::read(&acked(dir))?;
        for (number, path, name) in files(dir)? {
            let read = offsets.get(&number).copied().unwrap_or_default();
            let (number, to) = self.place(&name);
            self.next += 1;
            self.journal.note(&Offsets::from([(number, read)]))?;
            fs::rename(&path, &to)?;
            let mut taken = Taken::new(name, to, read);
            taken.inherit();
            adopted.push((number, taken));
        }
        Ok(())
    }

    /// The other spools and their owners, the oldest first.
    fn others(&self) -> Vec<(PathBuf, Owner)> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries.flatten(),
            Err(error) => {
                warn!(%error, path = %self.root.display(), "cannot look for other spools");
                return Vec::new();
            }
        };
        let mut others: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|dir| *dir != self.dir && !is_hidden(dir))
            .filter_map(|dir| match read(&dir) {
                Ok((born, owner)) => Some((born, dir, owner)),
                Err(error) => {
                    // It may be on its way out.
                    debug!(%error, spool = %dir.display(), "cannot read another spool");
                    None
                }
            })
            .collect();
        others.sort_by_key(|(born, ..)| *born);
        others
            .into_iter()
            .map(|(_, dir, owner)| (dir, owner))
            .collect()
    }

    /// Removes the spool: all of it was delivered.
    pub(super) fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            warn!(%error, path = %self.dir.display(), "cannot remove the spool");
        }
    }
}

fn taken(dir: &Path) -> PathBuf {
    dir.join("taken")
}

fn acked(dir: &Path) -> PathBuf {
    dir.join("acked")
}

fn write(dir: &Path, owner: &Owner) -> io::Result<()> {
    paths::private_file(&dir.join("owner.json"), &serde_json::to_vec(owner)?)
}

/// When a spool was made, and whose it is.
fn read(dir: &Path) -> io::Result<(SystemTime, Owner)> {
    let owner = serde_json::from_slice(&fs::read(dir.join("owner.json"))?)?;
    Ok((fs::metadata(dir.join("lock"))?.modified()?, owner))
}

fn is_hidden(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(taken(dir)).is_ok_and(|mut files| files.next().is_none())
}

/// True if all that a dead wrapper took was delivered, and nobody adds to it.
fn is_spent(dir: &Path) -> io::Result<bool> {
    let offsets = journal::read(&acked(dir))?;
    for (number, path, name) in files(dir)? {
        let read = offsets.get(&number).copied().unwrap_or_default();
        if Taken::new(name, path, read).rest(false)? != Rest::Final(read) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a dead wrapper's spool that nobody has asked for.
fn give_up(dir: &Path) {
    if let Ok(_lock) = hold(dir) {
        match fs::remove_dir_all(dir) {
            Ok(()) => warn!(spool = %dir.display(), "gave up mentions that nobody asked for"),
            Err(error) => warn!(%error, spool = %dir.display(), "cannot remove an old spool"),
        }
    }
}

/// Takes the lock of a spool, or says why not.
fn hold(dir: &Path) -> io::Result<Flock<File>> {
    let file = paths::private_log(&dir.join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error.into())
}

/// The files of a spool in the order in which they were taken.
fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf, InstanceName)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(taken(dir))? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let parsed = file
            .split_once('-')
            .and_then(|(number, name)| Some((number.parse().ok()?, name.parse().ok()?)));
        if let Some((number, name)) = parsed {
            files.push((number, path, name));
        } else {
            warn!(path = %path.display(), "no file of a queue");
        }
    }
    files.sort();
    Ok(files)
}

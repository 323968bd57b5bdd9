//! A queue file that was taken: read from where its entries are done, line by
//! line, for as long as somebody may append to it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use nix::libc;

use super::entry::LINE;
use super::lease;
use crate::types::identity::InstanceName;

/// How long a file is kept that nobody writes to: a server that had found it
/// under its old name, and was about to open it, has done so by then.
const GRACE: Duration = Duration::from_secs(1);

/// The same where the system does not tell who writes.
const QUIET: Duration = Duration::from_secs(10);

/// A file in the spool.
#[derive(Debug)]
pub(super) struct Taken {
    /// The name that it was the queue of.
    pub(super) name: InstanceName,
    pub(super) path: PathBuf,
    /// All before is handed out, or no entry.
    pub(super) read: u64,
    /// What follows without an end of line, in bytes.
    pub(super) tail: u64,
    /// Entries that were handed out and not acknowledged.
    pub(super) waiting: usize,
    /// In a line that is too long.
    is_skipping: bool,
    /// What was written for whoever had the name before.
    inherited: Option<Inherited>,
}

/// A file that was written before we had its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inherited {
    Fresh,
    Old,
}

/// Why an entry is not for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// It has waited for too long.
    Old,
    /// A prompt of its own, for another agent.
    Foreign,
}

/// How long entries wait for the next of their name.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A line without its end.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// The offset behind it.
    pub(super) end: u64,
    /// It is the first of its file.
    pub(super) is_first: bool,
}

/// What is to be expected of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nobody writes to it any more: this is its length.
    Final(u64),
    /// Somebody has it open.
    Written,
    /// Not known before this time has passed.
    After(Duration),
}

impl Taken {
    /// A file whose entries before `read` are done.
    pub(super) fn new(name: InstanceName, path: PathBuf, read: u64) -> Self {
        Self {
            name,
            path,
            read,
            tail: 0,
            waiting: 0,
            is_skipping: false,
            inherited: None,
        }
    }

    /// Notes that the file was written for whoever had the name before us.
    pub(super) fn inherit(&mut self) {
        let written = fs::symlink_metadata(&self.path).and_then(|meta| meta.modified());
        let age = written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        self.inherited = Some(match age {
            Ok(age) if age < LONGEST_WAIT => Inherited::Fresh,
            _ => Inherited::Old,
        });
    }

    /// Why an entry of this file is not for us, with a prompt of its own or
    /// without.
    pub(super) fn stale(&self, is_prompt: bool) -> Option<Stale> {
        match self.inherited? {
            Inherited::Old => Some(Stale::Old),
            Inherited::Fresh => is_prompt.then_some(Stale::Foreign),
        }
    }

    /// Opens the file itself: no link is followed, no pipe is waited for.
    fn open(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.path)?;
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("not a regular file"))
        }
    }

    /// The whole lines that are new, and how many too long ones were passed
    /// over. What is read uses up `room`, in bytes, and ends with it.
    pub(super) fn lines(&mut self, room: &mut u64) -> io::Result<(Vec<Line>, usize)> {
        let (mut lines, mut skipped) = (Vec::new(), 0);
        if fs::symlink_metadata(&self.path)?.len() == self.read + self.tail {
            return Ok((lines, skipped));
        }
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        while *room > 0 {
            let mut line = Vec::new();
            let n = (&mut reader).take(LINE).read_until(b'\n', &mut line)? as u64;
            let is_whole = line.pop_if(|last| *last == b'\n').is_some();
            if !is_whole && n < LINE && !self.is_skipping {
                self.tail = n;
                break;
            }
            if n == 0 {
                break;
            }
            let is_first = self.read == 0;
            self.read += n;
            self.tail = 0;
            *room = room.saturating_sub(n);
            if self.is_skipping {
                self.is_skipping = !is_whole;
            } else if is_whole {
                let end = self.read;
                lines.push(Line {
                    bytes: line,
                    end,
                    is_first,
                });
            } else {
                self.is_skipping = true;
                skipped += 1;
            }
        }
        Ok((lines, skipped))
    }

    /// What follows the last whole line.
    pub(super) fn torn(&self) -> io::Result<Vec<u8>> {
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.take(self.tail).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Counts what follows the last whole line as read; returns its end.
    pub(super) fn pass_tail(&mut self) -> u64 {
        self.read += std::mem::take(&mut self.tail);
        self.read
    }

    /// Deletes the file: all of it was delivered.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }

    /// Whether the file may still grow. On a remote file system the kernel
    /// does not know.
    pub(super) fn rest(&self, is_remote: bool) -> io::Result<Rest> {
        let file = self.open()?;
        // The taking changed the status as well.
        let changed = changed(&file.metadata()?);
        // A clock that was set back starts the wait anew.
        let age = SystemTime::now()
            .duration_since(changed)
            .unwrap_or_default();
        let is_written = if is_remote {
            None
        } else {
            lease::is_written(&file)
        };
        let grace = match is_written {
            Some(true) => return Ok(Rest::Written),
            Some(false) => GRACE,
            None => QUIET,
        };
        Ok(match grace.checked_sub(age) {
            Some(left) if !left.is_zero() => Rest::After(left),
            // Asked after the writers are gone.
            _ => Rest::Final(file.metadata()?.len()),
        })
    }
}

/// When a file was last written to or renamed.
fn changed(meta: &fs::Metadata) -> SystemTime {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(meta.ctime()).unwrap_or_default();
    let nanos = u32::try_from(meta.ctime_nsec()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

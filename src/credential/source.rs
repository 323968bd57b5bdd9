//! The sources that are read on the spot: a literal, a variable, a file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;

use super::parse::{self, Given, LONGEST};
use crate::paths::Env;
use crate::types::identity::Token;

/// How old a file's last change must be before it counts as read for good: two
/// changes closer together than its clock ticks look like one.
const SETTLED: Duration = Duration::from_secs(1);

/// What changes when a file does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: [i64; 4],
}

/// A file as it was read.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) given: Result<Given, String>,
    /// None: it has changed so lately that it has to be read again.
    pub(super) stamp: Option<Stamp>,
    /// Users other than its owner can read it.
    pub(super) is_open: bool,
}

pub(super) fn literal(token: &Token, header: Option<&str>) -> Result<Given, String> {
    parse::token(token.expose().as_bytes(), header).map_err(|why| format!("its `token`: {why}"))
}

pub(super) fn variable(name: &str, env: &Env, header: Option<&str>) -> Result<Given, String> {
    use std::os::unix::ffi::OsStrExt;
    let value = env.get(std::ffi::OsStr::new(name));
    let value = value.ok_or_else(|| format!("the variable `{name}` is not set"))?;
    parse::token(value.as_bytes(), header).map_err(|why| format!("the variable `{name}`: {why}"))
}

/// Reads a regular file.
///
/// # Errors
/// If it cannot be read.
pub(super) fn file(path: &Path, header: Option<&str>) -> Result<Content, String> {
    let read = || -> io::Result<(Metadata, Vec<u8>)> {
        // A pipe would hold the whole session until somebody writes to it.
        let flags = OFlag::O_NONBLOCK.bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok((meta, content(file)?))
    };
    let shown = path.display();
    let (meta, bytes) = read().map_err(|error| format!("cannot read {shown}: {error}"))?;
    let is_settled = meta
        .modified()
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok())
        .is_some_and(|age| age >= SETTLED);
    Ok(Content {
        given: parse::token(&bytes, header).map_err(|why| format!("{shown}: {why}")),
        stamp: is_settled.then(|| Stamp::of(&meta)),
        is_open: meta.mode() & 0o044 != 0,
    })
}

/// True if the file is still what was read.
pub(super) fn is_unchanged(path: &Path, stamp: Option<&Stamp>) -> bool {
    stamp.is_some_and(|stamp| path.metadata().is_ok_and(|meta| Stamp::of(&meta) == *stamp))
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed: [
                meta.mtime(),
                meta.mtime_nsec(),
                meta.ctime(),
                meta.ctime_nsec(),
            ],
        }
    }
}

/// All of it, or one byte more than may be.
fn content(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

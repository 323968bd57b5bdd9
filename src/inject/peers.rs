//! State directories that know of each other: sessions with different
//! `WRAPPER_STATE_DIR` may share one settings file.
//!
//! A state directory that is not the user's own has the link `common` to that
//! one, whose `peers` has a link to each of the others.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths;

/// The link to the user's own state directory.
const COMMON: &str = "common";

/// The directory of links to the others.
const PEERS: &str = "peers";

/// Lets the sessions of `state` and of `common`, the user's own state
/// directory, know of each other.
///
/// # Errors
/// A link that cannot be made.
pub fn introduce(state: &Path, common: &Path) -> Result<()> {
    if state == common {
        return Ok(());
    }
    let linked = || -> io::Result<()> {
        paths::private_dir(&common.join(PEERS))?;
        paths::private_dir(&common.join("sessions"))?;
        link(state, &common.join(PEERS).join(name(state)))?;
        link(common, &state.join(COMMON))
    };
    linked().with_context(|| {
        format!(
            "cannot make {} known to sessions of {}",
            state.display(),
            common.display()
        )
    })
}

/// All state directories that `root` knows of, itself first.
pub(super) fn roots(root: &Path) -> Vec<PathBuf> {
    let mut roots = vec![root.to_owned()];
    let common = fs::read_link(root.join(COMMON)).unwrap_or_else(|_| root.to_owned());
    let peers = fs::read_dir(common.join(PEERS)).into_iter();
    let links: Vec<PathBuf> = peers.flatten().flatten().map(|link| link.path()).collect();
    let mut add = |other: PathBuf| {
        if !roots.contains(&other) {
            roots.push(other);
        }
    };
    add(common);
    for link in links {
        match fs::read_link(&link) {
            Ok(peer) if peer.exists() => add(peer),
            // It is gone, and so are its sessions.
            _ => drop(fs::remove_file(&link)),
        }
    }
    roots
}

/// The state directories that are locked for a turn, in this order.
pub(super) fn lock_order(root: &Path) -> Vec<PathBuf> {
    match fs::read_link(root.join(COMMON)) {
        Ok(common) if common.join("sessions").is_dir() => vec![common, root.to_owned()],
        _ => vec![root.to_owned()],
    }
}

fn link(target: &Path, at: &Path) -> io::Result<()> {
    match symlink(target, at) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::read_link(at)? == target {
                return Ok(());
            }
            fs::remove_file(at)?;
            symlink(target, at)
        }
        linked => linked,
    }
}

/// A name for a directory that no other has.
fn name(dir: &Path) -> String {
    use std::fmt::Write;
    let mut name = String::new();
    for byte in <sha2::Sha256 as sha2::Digest>::digest(dir.as_os_str().as_bytes())
        .iter()
        .take(12)
    {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

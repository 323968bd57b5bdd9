//! The processes of one run: found by a mark in their environment, or by the
//! run's directory on their command line.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::unistd::Pid;

/// Set for the first process of a run, and so for all that come of it.
pub(crate) const MARK: &str = "REAL_AGENTS_RUN";

/// A process of a run.
pub(crate) struct Member {
    pub(crate) pid: Pid,
    pub(crate) command: String,
    /// As it was when the program started.
    pub(crate) environment: Vec<u8>,
}

impl Member {
    /// A variable of its environment.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let mut set = self.environment.split(|byte| *byte == 0);
        set.find_map(|set| {
            let value = std::str::from_utf8(set).ok()?.strip_prefix(name)?;
            value.strip_prefix('=').map(ToOwned::to_owned)
        })
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command: String = self.command.chars().take(120).collect();
        write!(f, "{} {command}", self.pid)
    }
}

/// The processes of the run in `root` that live. Some start with an
/// environment of their own: a directory of the run tells.
pub(crate) fn members(root: &Path) -> Result<Vec<Member>> {
    let root = root.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list the processes")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile, or is another user's, has none.
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let member = Member {
            pid: Pid::from_raw(pid),
            command: String::from_utf8_lossy(&read("cmdline")).replace('\0', " "),
            environment: read("environ"),
        };
        if member.variable(MARK).is_some_and(|run| run == root) || member.command.contains(&root) {
            found.push(member);
        }
    }
    Ok(found)
}

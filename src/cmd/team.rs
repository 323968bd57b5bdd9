//! The team file that a verb means, and the mark by which its sessions are
//! known, whatever they are called by now.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};

use crate::config::TEAM_FILE;
use crate::control::find::{self, Found};
use crate::control::protocol::Session;
use crate::report::Failure;
use crate::types::exit::Exit;

/// A team file, by the path that all its sessions are marked with.
#[derive(Debug)]
pub(super) struct TeamFile(pub(super) PathBuf);

impl TeamFile {
    /// The file that was named, else the nearest one from here upwards.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .context("cannot tell the current directory")
            .map_err(failed)?;
        let found = match named {
            Some(path) => Some(here.join(path)),
            None => (here.ancestors())
                .map(|dir| dir.join(TEAM_FILE))
                .find(|path| path.is_file()),
        };
        let Some(path) = found else {
            let error = anyhow!("there is no {TEAM_FILE} here or in a directory above");
            return Err(failed(error).hint(
                "write one: `[[session]]` and `agent = \"claude\"` begin it; or name another file",
            ));
        };
        Ok(Self(true_path(&path)))
    }

    /// Holds the file, so that no other `up` starts the same sessions.
    pub(super) fn hold(&self) -> Result<Flock<File>> {
        let tried = || format!("cannot read {}", self.0.display());
        let file = File::open(&self.0).with_context(tried)?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .with_context(tried)
    }

    /// The mark of a member.
    pub(super) fn mark(&self, member: &str) -> String {
        format!("{}#{member}", self.0.display())
    }

    /// The member that a session was started for, if it is of this file.
    pub(super) fn member<'a>(&self, session: &'a Session) -> Option<&'a str> {
        let (file, member) = session.team.as_ref()?.rsplit_once('#')?;
        (file == self.0.display().to_string()).then_some(member)
    }

    /// The sessions that were started for it.
    pub(super) async fn sessions(&self, state: &Path) -> Vec<Found> {
        let mut all = find::everyone(state, None).await;
        all.retain(|found| self.member(&found.session).is_some());
        all
    }
}

/// The path without links, as far as it exists: a file that is gone may have
/// sessions all the same.
fn true_path(path: &Path) -> PathBuf {
    let whole = fs::canonicalize(path);
    let by_parent = || {
        let dir = fs::canonicalize(path.parent()?).ok()?;
        Some(dir.join(path.file_name()?))
    };
    whole
        .ok()
        .or_else(by_parent)
        .unwrap_or_else(|| path.to_owned())
}

pub(super) fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::NotDone, error)
}

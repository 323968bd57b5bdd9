//! Checkouts of repositories, by the user's own `git`: made once, verbatim,
//! and kept below `<state>/sources`.
//!
//! ```text
//! sources/tools-1a2b3c4d/            one repository, by its address
//!     0123…cdef/                     a commit, checked out
//!     tags/v1.2  branches/main       what they were when last asked
//!     lock                           held while one is fetched
//!     tmp-…/                         one that is being fetched
//! ```
//!
//! *Invariant*: a directory with a commit's name is whole: it was renamed to
//! that name once the checkout was done. Whoever holds the lock may remove
//! every `tmp-…` that it finds: their owners are dead.

mod program;
mod repository;
mod said;

use std::path::{Path, PathBuf};
use std::thread;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use self::repository::Repository;
use crate::paths::Env;
use crate::types::identity::ServerName;
use crate::types::source::Git;

/// The directory that a server's `${MCP_ROOT}` stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkout {
    pub(super) root: PathBuf,
    /// The remote could not be asked.
    pub(super) warning: Option<String>,
}

/// A checkout for each of `wanted`, in their order; those that are there are
/// taken as they are, the others are fetched, all at a time.
pub(super) fn checkouts(
    wanted: &[(&ServerName, &Git)],
    env: &Env,
    state: &Path,
) -> Vec<Result<Checkout, String>> {
    let kept = |git: &Git| {
        let repository = Repository::of(&git.url, state);
        let commit = repository.known(&git.at)?;
        Some(repository.checkout(git, &commit, None))
    };
    let mut found: Vec<_> = wanted.iter().map(|(_, git)| kept(git)).collect();
    if found.iter().all(Option::is_some) {
        return found.into_iter().flatten().collect();
    }
    let bars = MultiProgress::new();
    thread::scope(|scope| {
        let missing: Vec<_> = (wanted.iter().zip(&mut found))
            .filter(|(_, found)| found.is_none())
            .map(|((name, git), found)| {
                let bar = bar(&bars, name);
                let fetch = move || {
                    let checkout = Repository::of(&git.url, state).get(git, env, &bar);
                    bar.finish_and_clear();
                    checkout
                };
                (found, scope.spawn(fetch))
            })
            .collect();
        for (found, thread) in missing {
            let fetched = thread.join();
            *found = Some(fetched.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
    });
    found.into_iter().flatten().collect()
}

/// The checkout as it would be, with nothing touched and nobody asked.
pub(super) fn foreseen(git: &Git, state: &Path) -> Checkout {
    Repository::of(&git.url, state).foreseen(git)
}

/// A line on a terminal, and nothing elsewhere.
fn bar(bars: &MultiProgress, name: &ServerName) -> ProgressBar {
    let bar = bars.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_string());
    bar.set_message("waiting");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

//! What is kept of one repository: its commits, its notes, its lock.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Checkout;
use super::program::Program;
use crate::paths::{self, Env};
use crate::servers::project::Digest;
use crate::types::source::{Git, GitUrl, Ref, is_commit};

/// What is kept of one repository.
pub(super) struct Repository<'a> {
    url: &'a GitUrl,
    dir: PathBuf,
}

impl<'a> Repository<'a> {
    pub(super) fn of(url: &'a GitUrl, state: &Path) -> Self {
        let digest = Digest::of(url.as_str().as_bytes());
        let name = format!("{}-{}", slug(url.as_str()), &digest.as_str()[..8]);
        let dir = state.join("sources").join(name);
        Self { url, dir }
    }

    /// The commit that is meant, if its checkout is there and the remote need
    /// not be asked: a branch moves, a tag and a commit do not.
    pub(super) fn known(&self, at: &Ref) -> Option<String> {
        let commit = match at {
            Ref::Commit(commit) => commit.clone(),
            Ref::Tag(_) => self.remembered(at)?,
            Ref::Branch(_) => return None,
        };
        self.dir.join(&commit).is_dir().then_some(commit)
    }

    /// The checkout as far as it is known without asking anybody; one that is
    /// not there yet is called by its tag or branch.
    pub(super) fn foreseen(&self, git: &Git) -> Checkout {
        let name = self.remembered(&git.at).unwrap_or_else(|| match &git.at {
            Ref::Commit(name) | Ref::Tag(name) | Ref::Branch(name) => encoded(name),
        });
        let root = self.dir.join(name);
        Checkout {
            root: match &git.subdir {
                Some(subdir) => root.join(subdir.as_path()),
                None => root,
            },
            warning: None,
        }
    }

    /// Where it is noted what a tag or a branch was.
    fn note(&self, at: &Ref) -> Option<PathBuf> {
        let (kind, name) = match at {
            Ref::Commit(_) => return None,
            Ref::Tag(name) => ("tags", name),
            Ref::Branch(name) => ("branches", name),
        };
        Some(self.dir.join(kind).join(encoded(name)))
    }

    /// The commit that a tag or a branch was when it was last asked for.
    fn remembered(&self, at: &Ref) -> Option<String> {
        let noted = fs::read_to_string(self.note(at)?).ok()?;
        is_commit(&noted).then_some(noted)
    }

    fn remember(&self, at: &Ref, commit: &str) -> Result<(), String> {
        let Some(note) = self.note(at) else {
            return Ok(());
        };
        let dir = note.parent().unwrap_or(&self.dir);
        paths::private_dir(dir)
            .and_then(|()| paths::private_file(&note, commit.as_bytes()))
            .map_err(|error| format!("cannot write {}: {error}", note.display()))
    }

    /// The checkout of what is wanted, fetched if it is not there.
    pub(super) fn get(&self, git: &Git, env: &Env, bar: &ProgressBar) -> Result<Checkout, String> {
        paths::private_dir(&self.dir)
            .map_err(|error| format!("cannot make {}: {error}", self.dir.display()))?;
        let program = Program::new(env, bar, &self.dir);
        let failed = |what: String| format!("cannot fetch {}: {what}", self.url.as_str());
        let moved = match &git.at {
            Ref::Branch(branch) => match program.ask(self.url, branch, &self.dir) {
                Ok(commit) => Some(commit),
                Err(error) => {
                    let last = self.remembered(&git.at);
                    let last = last.filter(|commit| self.dir.join(commit).is_dir());
                    let commit = last.ok_or_else(|| failed(error.clone()))?;
                    let warning = format!(
                        "{}; `branch:{branch}` is what it was before, {}",
                        failed(error),
                        &commit[..12]
                    );
                    return self.checkout(git, &commit, Some(warning));
                }
            },
            Ref::Commit(_) | Ref::Tag(_) => None,
        };
        let commit = self.fetched(git, moved, &program).map_err(failed)?;
        self.checkout(git, &commit, None)
    }

    /// Makes the checkout under the lock, unless somebody else has meanwhile.
    fn fetched(
        &self,
        git: &Git,
        moved: Option<String>,
        program: &Program<'_>,
    ) -> Result<String, String> {
        let _turn = self.turn()?;
        let there = |commit: &String| self.dir.join(commit).is_dir();
        if let Some(commit) = moved.filter(there).or_else(|| self.known(&git.at)) {
            self.remember(&git.at, &commit)?;
            return Ok(commit);
        }
        self.sweep();
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(&self.dir)
            .map_err(|error| {
                format!("cannot make a directory in {}: {error}", self.dir.display())
            })?;
        let commit = program.check_out(self.url, &git.at, temporary.path())?;
        let place = self.dir.join(&commit);
        if !place.is_dir() {
            fs::rename(temporary.path(), &place)
                .map_err(|error| format!("cannot make {}: {error}", place.display()))?;
        }
        self.remember(&git.at, &commit)?;
        Ok(commit)
    }

    /// Held by one launch at a time; the others wait, and find it done.
    fn turn(&self) -> Result<File, String> {
        let lock = self.dir.join("lock");
        paths::private_log(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| format!("cannot lock {}: {error}", lock.display()))
    }

    /// Removes what launches left that were killed.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
                && let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != ErrorKind::NotFound
            {
                // A git whose launch was killed may write on for a moment.
                tracing::warn!(path = %path.display(), %error, "cannot remove a half-done checkout");
            }
        }
    }

    /// The directory in the checkout of a commit, which must not lead out.
    pub(super) fn checkout(
        &self,
        git: &Git,
        commit: &str,
        warning: Option<String>,
    ) -> Result<Checkout, String> {
        let top = self.dir.join(commit);
        let Some(subdir) = &git.subdir else {
            return Ok(Checkout { root: top, warning });
        };
        let root = top.join(subdir.as_path());
        let is_below = (root.canonicalize().ok().zip(top.canonicalize().ok()))
            .is_some_and(|(root, top)| root.starts_with(top) && root.is_dir());
        if is_below {
            Ok(Checkout { root, warning })
        } else {
            Err(format!(
                "`subdir`: there is no directory {} in {} of {}",
                subdir.as_path().display(),
                &commit[..12],
                self.url.as_str()
            ))
        }
    }
}

/// What the directories of half-done checkouts start with.
const TEMPORARY: &str = "tmp-";

/// A name of a tag or a branch as the name of a file.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// The last word of a repository's address, for human eyes.
fn slug(url: &str) -> String {
    let last = url.trim_end_matches('/').rsplit(['/', ':']).next();
    let last = last.unwrap_or_default();
    let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let slug: String = last
        .strip_suffix(".git")
        .unwrap_or(last)
        .chars()
        .map(word)
        .collect();
    let slug: String = slug.trim_matches('-').chars().take(32).collect();
    if slug.is_empty() {
        "repository".to_owned()
    } else {
        slug
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_known_by_its_last_word_and_its_address() {
        for (url, name) in [
            ("https://x.dev/a/tools.git", "tools"),
            ("git@x.dev:tools.git/", "tools"),
            ("x.dev:a b", "a-b"),
            ("file:///srv/.git", "repository"),
        ] {
            assert_eq!(slug(url), name, "{url}");
            let url: GitUrl = url.parse().expect(url);
            let dir = Repository::of(&url, Path::new("/s")).dir;
            let dir = dir.to_str().expect("text");
            assert!(dir.starts_with(&format!("/s/sources/{name}-")), "{dir}");
            assert_eq!(dir.len(), "/s/sources/-".len() + name.len() + 8);
        }
        assert_eq!(encoded("release/v1.2"), "release%2Fv1%2E2");
    }
}

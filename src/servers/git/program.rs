//! One run of `git`: what it inherits, what it is asked, what it says.
//!
//! *Invariant*: git asks nobody anything, starts nothing that outlives it, and
//! works in the directory it is told, whatever repository we were started in.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use indicatif::ProgressBar;

use super::said::Said;
use crate::paths::{self, Env};
use crate::types::source::{GitUrl, Ref, is_commit};

/// Variables that say in which repository git works, and how: those of
/// `git rev-parse --local-env-vars`, but for `GIT_CONFIG_*`, by which a user
/// may pass a credential.
const LOCAL: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_TEMPLATE_DIR",
    "GIT_WORK_TREE",
];

/// Files as they are in the commit; no hook, no daemon, no housekeeping.
const SETTINGS: &[&str] = &[
    "advice.detachedHead=false",
    "core.autocrlf=false",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
];

/// How ssh is run unless the user says how: it asks nothing, gives up on a
/// host that is silent, and leaves no shared connection behind that would keep
/// git's output open.
const SSH: &str = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ControlMaster=no";

pub(super) struct Program<'a> {
    env: &'a Env,
    /// Shows what git is doing.
    bar: &'a ProgressBar,
    /// The user has said how ssh is run.
    has_ssh: bool,
}

impl<'a> Program<'a> {
    /// The user's git; `dir` is any directory that is there.
    pub(super) fn new(env: &'a Env, bar: &'a ProgressBar, dir: &Path) -> Self {
        let chosen = ["GIT_SSH_COMMAND", "GIT_SSH"];
        let mut program = Self {
            env,
            bar,
            has_ssh: chosen.iter().any(|name| paths::var(env, name).is_some()),
        };
        let asked = ["config", "--get", "core.sshCommand"];
        program.has_ssh = program.has_ssh || program.run(dir, &asked).is_ok();
        program
    }

    /// The commit that a branch of the remote is at.
    pub(super) fn ask(&self, url: &GitUrl, branch: &str, dir: &Path) -> Result<String, String> {
        let name = format!("refs/heads/{branch}");
        let said = self.run(dir, &["ls-remote", "--", url.as_str(), &name])?;
        // A pattern matches at the end: `x/refs/heads/main` as well.
        let mut lines = said.lines().filter_map(|line| line.split_once('\t'));
        match lines.find(|(_, found)| *found == name) {
            Some((commit, _)) if is_commit(commit) => Ok(commit.to_owned()),
            _ => Err(format!("it has no branch `{branch}`")),
        }
    }

    /// Fetches what is wanted into an empty directory and checks it out; the
    /// commit that it is. One commit alone where the server gives one, all of
    /// the repository else.
    pub(super) fn check_out(&self, url: &GitUrl, at: &Ref, dir: &Path) -> Result<String, String> {
        let git = |args: &[&str]| self.run(dir, args);
        let fetch = |more: &[&str], refs: &[&str]| {
            let start = [
                "fetch",
                "--progress",
                "--no-tags",
                "--no-recurse-submodules",
            ];
            let address = ["--", url.as_str()];
            git(&[&start, more, &address, refs].concat())
        };
        git(&["init", "--quiet", "--template="])?;
        let (wanted, commit) = match at {
            Ref::Commit(commit) => {
                if fetch(&["--depth=1"], &[commit]).is_err() {
                    fetch(
                        &[],
                        &[
                            "+refs/heads/*:refs/all/heads/*",
                            "+refs/tags/*:refs/all/tags/*",
                        ],
                    )?;
                }
                (commit.clone(), format!("{commit}^{{commit}}"))
            }
            Ref::Tag(name) | Ref::Branch(name) => {
                let wanted = match at {
                    Ref::Tag(_) => format!("refs/tags/{name}"),
                    _ => format!("refs/heads/{name}"),
                };
                if fetch(&["--depth=1"], &[&wanted]).is_err() {
                    fetch(&[], &[&wanted])?;
                }
                (wanted, "FETCH_HEAD^{commit}".to_owned())
            }
        };
        let found = git(&["rev-parse", "--verify", "--quiet", &commit])
            .map_err(|_| format!("it has no commit `{wanted}`"))?;
        let found = found.trim();
        if !is_commit(found) {
            return Err(format!("`{wanted}` is no SHA-1 commit"));
        }
        git(&["checkout", "--progress", "--force", "--detach", found])?;
        Ok(found.to_owned())
    }

    /// Runs git to its end; what it printed, or why it failed.
    fn run(&self, dir: &Path, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("git");
        command.env_clear().envs(self.env);
        for name in LOCAL {
            command.env_remove(name);
        }
        command.env("GIT_TERMINAL_PROMPT", "0");
        if !self.has_ssh {
            command.env("GIT_SSH_COMMAND", SSH);
        }
        // No repository further up is taken for ours.
        command.env("GIT_CEILING_DIRECTORIES", dir.parent().unwrap_or(dir));
        command.current_dir(dir);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "`git` is not on PATH: install it".to_owned(),
            _ => format!("cannot run `git`: {error}"),
        })?;
        // What git prints here fits into a pipe: its output waits for its end.
        let mut said = Said::default();
        let told = (child.stderr.take()).map_or(Ok(()), |stderr| {
            said.listen(stderr, |line| self.bar.set_message(line.to_owned()))
        });
        let failed = |error: io::Error| format!("cannot run `git`: {error}");
        let output = child.wait_with_output().map_err(failed)?;
        told.map_err(failed)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(said.reason(output.status))
        }
    }
}

//! One run of `git`: what it inherits, what it is asked, what it says.
//!
//! *Invariant*: git asks nobody anything, starts nothing that outlives it, and
//! works in the directory it is told, whatever repository we were started in.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::ProgressBar;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
    // A server that says nothing is given up, rather than waited for.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=30",
    "maintenance.auto=false",
    "submodule.recurse=false",
];

/// How ssh is run unless the user says how: it asks nothing, gives up on a
/// host that is silent, and leaves no shared connection behind that would keep
/// git's output open.
const SSH: &str = "ssh";
const SSH_OPTIONS: &str = "-o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 \
                           -o ServerAliveCountMax=2 -o ControlMaster=no";

/// Who git and ssh would ask in place of a terminal: nobody. An empty
/// `GIT_ASKPASS` goes before `core.askPass` and `SSH_ASKPASS`.
const ASK_NOBODY: &[(&str, &str)] = &[
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
];

/// How long git may say nothing at all: a server that is silent for as long is
/// given up.
const SILENCE: Duration = Duration::from_secs(90);

pub(super) struct Program<'a> {
    env: &'a Env,
    /// Shows what git is doing.
    bar: &'a ProgressBar,
    /// How ssh is run; None: by a program of the user's that is none of ours to
    /// give options to.
    ssh: Option<String>,
}

impl<'a> Program<'a> {
    /// The user's git; `dir` is any directory that is there.
    pub(super) fn new(env: &'a Env, bar: &'a ProgressBar, dir: &Path) -> Self {
        let mut program = Self {
            env,
            bar,
            ssh: None,
        };
        let named = |name| paths::var(env, name).map(|value| value.to_string_lossy().into_owned());
        let asked = ["config", "--get", "core.sshCommand"];
        let chosen = named("GIT_SSH_COMMAND").or_else(|| program.run(dir, &asked).ok());
        program.ssh = match chosen {
            Some(command) => quiet(command.trim()),
            None if named("GIT_SSH").is_some() => None,
            None => quiet(SSH),
        };
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
        command.envs(ASK_NOBODY.iter().copied());
        if let Some(ssh) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh);
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
        let watch = Watch::over(child.id());
        let told = (child.stderr.take()).map_or(Ok(()), |stderr| {
            said.listen(stderr, |line| {
                watch.heard();
                self.bar.set_message(line.to_owned());
            })
        });
        let failed = |error: io::Error| format!("cannot run `git`: {error}");
        let output = child.wait_with_output().map_err(failed)?;
        if watch.end() {
            let limit = humantime::format_duration(SILENCE);
            return Err(format!("it has said nothing for {limit}"));
        }
        told.map_err(failed)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(said.reason(output.status))
        }
    }
}

/// An ssh command that asks nothing and gives up on a silent host; None for a
/// program that may not know the options of OpenSSH. Options of the user's own
/// count before ours.
fn quiet(command: &str) -> Option<String> {
    let words = shell_words::split(command).ok()?;
    let program = Path::new(words.first()?);
    (program.file_name()? == SSH).then(|| format!("{command} {SSH_OPTIONS}"))
}

/// Ends a git that says nothing for too long.
struct Watch {
    heard: Sender<()>,
    /// True if it was ended.
    task: JoinHandle<bool>,
}

impl Watch {
    fn over(git: u32) -> Self {
        let (heard, words) = mpsc::channel();
        let task = thread::spawn(move || {
            loop {
                match words.recv_timeout(SILENCE) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Disconnected) => return false,
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
            // Not waited for yet, so the number is still its own. It ends what it
            // has started.
            let git = i32::try_from(git).map(Pid::from_raw);
            git.is_ok_and(|git| kill(git, Signal::SIGTERM).is_ok())
        });
        Self { heard, task }
    }

    fn heard(&self) {
        // Whoever listened has ended git.
        let _ = self.heard.send(());
    }

    /// True if git was ended for its silence.
    fn end(self) -> bool {
        drop(self.heard);
        self.task.join().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openssh_gets_options_of_ours() {
        for (command, has_ours) in [
            ("ssh", true),
            ("/usr/bin/ssh -i 'a key' -o BatchMode=no", true),
            ("plink -batch", false),
            ("sh -c 'ssh \"$@\"'", false),
            ("", false),
        ] {
            let quiet = quiet(command);
            assert_eq!(quiet.is_some(), has_ours, "{command}");
            let starts = quiet.is_none_or(|quiet| quiet.starts_with(command));
            assert!(starts, "{command}");
        }
    }
}

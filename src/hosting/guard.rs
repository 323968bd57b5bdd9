//! The process that ends what we host when we are killed, and the way from our
//! program to a server's, which the same program goes.
//!
//! The guard holds the reading end of a pipe, hears on it which groups there
//! are, and ends them when the pipe ends: nobody else has its other end, so it
//! ends with us, whatever becomes of us.
//!
//! *Invariant*: a group is forgotten as soon as it is gone, so that no later
//! process with its number is taken for it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::{Pid, setsid};

/// Between the polite signal and the one that cannot be refused.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How often is looked whether a group is gone.
pub(super) const PACE: Duration = Duration::from_millis(10);

/// Our end.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Our own program, which is the guard's as well; none: there is no guard.
    program: Option<PathBuf>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    groups: BTreeSet<i32>,
    process: Option<(tokio::process::Child, File)>,
}

impl Guard {
    pub(super) fn new(program: PathBuf) -> Self {
        Self {
            program: Some(program),
            ..Self::default()
        }
    }

    /// How `program` is started so that it leads a session without a terminal.
    /// Without a guard it gets only a group of its own.
    pub(super) fn command(&self, program: &OsString, args: &[String]) -> Command {
        let mut command = if let Some(ours) = &self.program {
            let mut command = Command::new(ours);
            command.arg0("wrapper").args(["hosted", "--"]).arg(program);
            command
        } else {
            let mut command = Command::new(program);
            command.process_group(0);
            command
        };
        command.args(args);
        command
    }

    /// Tells the guard of a group, and starts it for the first.
    pub(super) fn watch(&self, group: Pid) {
        let mut held = self.held();
        held.groups.insert(group.as_raw());
        self.tell(&mut held, &format!("+{group}\n"));
    }

    /// Tells the guard that a group is gone.
    pub(super) fn forget(&self, group: Pid) {
        let mut held = self.held();
        if held.groups.remove(&group.as_raw()) && held.process.is_some() {
            self.tell(&mut held, &format!("-{group}\n"));
        }
    }

    /// Lets the guard end, where there is nothing left to guard.
    pub(super) async fn close(&self) {
        let held = {
            let mut held = self.held();
            if held.groups.is_empty() {
                held.process.take()
            } else {
                None
            }
        };
        if let Some((mut child, pipe)) = held {
            drop(pipe);
            if let Err(error) = child.wait().await {
                tracing::warn!(%error, "the guard of our servers is lost");
            }
        }
    }

    fn tell(&self, held: &mut Held, line: &str) {
        if let Some((_, pipe)) = &mut held.process {
            match pipe.write_all(line.as_bytes()) {
                Ok(()) => return,
                // Somebody ended it.
                Err(error) => tracing::warn!(%error, "the guard of our servers is gone"),
            }
        }
        held.process = None;
        let Some(program) = &self.program else {
            return;
        };
        match start(program, &held.groups) {
            Ok(process) => held.process = Some(process),
            Err(error) => {
                tracing::warn!(%error, "servers have no guard: they outlive us if we are killed");
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(program: &PathBuf, groups: &BTreeSet<i32>) -> io::Result<(tokio::process::Child, File)> {
    let mut command = Command::new(program);
    command
        .arg0("wrapper")
        .arg("hosted")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = tokio::process::Command::from(command).spawn()?;
    let pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut pipe = File::from(pipe.into_owned_fd()?);
    for group in groups {
        writeln!(pipe, "+{group}")?;
    }
    Ok((child, pipe))
}

/// The guard's own life: hears of groups on standard input, and ends those
/// that are left when it ends.
///
/// # Errors
/// If standard input cannot be read: what is known then is ended all the same.
pub fn guard() -> io::Result<()> {
    // Neither our end nor our terminal's is the guard's.
    SigSet::all().thread_set_mask()?;
    setsid()?;
    let mut groups = BTreeSet::new();
    let heard = hear(io::stdin().lock(), &mut groups);
    let signal_all = |groups: &BTreeSet<i32>, signal: Option<Signal>| -> BTreeSet<i32> {
        let lives = |group: &&i32| killpg(Pid::from_raw(**group), signal).is_ok();
        groups.iter().filter(lives).copied().collect()
    };
    let mut left = signal_all(&groups, Some(Signal::SIGTERM));
    let end = Instant::now() + GRACE;
    while !left.is_empty() && Instant::now() < end {
        sleep(PACE);
        left = signal_all(&left, None);
    }
    signal_all(&left, Some(Signal::SIGKILL));
    heard
}

/// Reads `+GROUP` and `-GROUP` to the end.
fn hear(input: impl BufRead, groups: &mut BTreeSet<i32>) -> io::Result<()> {
    for line in input.lines() {
        let line = line?;
        let Some((sign, group)) = line.split_at_checked(1) else {
            continue;
        };
        // No other number is a group: 0 is ours, and -1 is everybody.
        match (sign, group.parse()) {
            ("+", Ok(group @ 2..)) => drop(groups.insert(group)),
            ("-", Ok(group)) => drop(groups.remove(&group)),
            _ => {}
        }
    }
    Ok(())
}

/// Becomes the program of a server, as the leader of a session of its own: it
/// has no terminal to spoil, and ends with the process that started it.
/// Returns only if that is not possible.
#[must_use]
pub fn become_server(words: &[OsString]) -> io::Error {
    let Some((program, args)) = words.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    if let Err(error) = setsid() {
        return error.into();
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        return error.into();
    }
    Command::new(program).args(args).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_and_go() {
        let mut groups = BTreeSet::new();
        let told = "+10\n+11\n-10\n\n+0\n+1\n+-1\n+x\n-99\n+12";
        hear(told.as_bytes(), &mut groups).expect("read");
        assert_eq!(groups, [11, 12].into());
    }
}

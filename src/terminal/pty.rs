//! The agent's terminal: a PTY, and the process group that lives in it.
//!
//! *Invariant*: a process that is dropped before it was waited for takes its
//! group with it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, tcgetpgrp};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::anchor;
use super::fd::{self, Fd};
use crate::types::exit::AgentExit;
use crate::types::size::TermSize;

/// What to run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// A path, already looked up on `PATH`.
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: std::collections::BTreeMap<OsString, OsString>,
    pub cwd: PathBuf,
}

/// Why nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start `{}`: not found", .0.display())]
    NotFound(PathBuf),
    #[error("cannot start `{}`", .0.display())]
    CannotRun(PathBuf, #[source] io::Error),
    #[error("cannot start the agent in {}: no such directory", .0.display())]
    NoDirectory(PathBuf),
    #[error("cannot open a terminal for the agent")]
    Terminal(#[source] io::Error),
}

/// Our end of an agent's terminal.
#[derive(Debug)]
pub struct Pty(Fd);

/// A running agent: the process, and the group that it leads.
#[derive(Debug)]
pub struct Process {
    /// The anchor, which ends as the agent does.
    child: Child,
    leader: Pid,
    stops: tokio::signal::unix::Signal,
}

/// What has become of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Ended(AgentExit),
    /// It waits for SIGCONT, as Ctrl-Z makes it.
    Stopped,
}

impl Pty {
    /// Starts a program as the foreground job of a new session, on a new
    /// terminal.
    ///
    /// # Errors
    /// If there is no terminal to be had, or the program does not run.
    pub fn spawn(launch: &Launch, size: TermSize) -> Result<(Self, Process), SpawnError> {
        if !launch.cwd.is_dir() {
            return Err(SpawnError::NoDirectory(launch.cwd.clone()));
        }
        let pair = nix::pty::openpty(&fd::winsize(size), None)
            .map_err(|e| SpawnError::Terminal(e.into()))?;
        let terminal = |error: Errno| SpawnError::Terminal(error.into());
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(terminal)?;
        }
        let stdio = || pair.slave.try_clone().map_err(SpawnError::Terminal);
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .env_clear()
            .envs(&launch.env)
            .current_dir(&launch.cwd)
            .stdin(Stdio::from(stdio()?))
            .stdout(Stdio::from(stdio()?))
            .stderr(Stdio::from(stdio()?));
        // Listened to before anything can stop: unheard, it would end us.
        let stops =
            signal(SignalKind::from_raw(anchor::STOPPED as _)).map_err(SpawnError::Terminal)?;
        fd::lead_session(&mut command);
        let master = Fd::new(pair.master).map_err(SpawnError::Terminal)?;
        let child = command.spawn().map_err(|error| {
            // A script whose interpreter is missing is NotFound to the kernel.
            if error.kind() == io::ErrorKind::NotFound && !launch.program.exists() {
                SpawnError::NotFound(launch.program.clone())
            } else {
                SpawnError::CannotRun(launch.program.clone(), error)
            }
        })?;
        let leader = tcgetpgrp(&master).map_err(terminal)?;
        Ok((
            Self(master),
            Process {
                child,
                leader,
                stops,
            },
        ))
    }

    /// Reads what the agent wrote; 0 when nobody holds its terminal any more.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf).await {
            // Linux says EIO once the last holder is gone.
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(0),
            result => result,
        }
    }

    /// Types into the agent's terminal, perhaps a part of `buf`.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf).await
    }

    /// True if some of what was typed was not read by the agent yet, as far as
    /// the system tells.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        match fd::unread(&self.0) {
            Ok(count) => count > 0,
            Err(error) => {
                tracing::debug!(%error, "cannot tell what the agent has read");
                false
            }
        }
    }

    /// Tells the agent a new size.
    pub fn resize(&self, size: TermSize) -> io::Result<()> {
        fd::resize(&self.0, size)
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Process {
    /// The agent's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.leader.as_raw().unsigned_abs()
    }

    /// Sends a signal to the agent's process group. False if nobody of it is
    /// left.
    pub fn signal(&self, signal: Signal) -> bool {
        send(self.leader, Some(signal))
    }

    /// Tells the anchor that the agent is ended, and that all it started ends
    /// with it.
    pub fn end_all(&self) {
        let anchor = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(anchor) = anchor
            && let Err(error) = kill(Pid::from_raw(anchor), anchor::ENDS)
        {
            tracing::debug!(%error, "the agent has ended");
        }
    }

    /// Waits until the agent has ended or stopped.
    pub async fn change(&mut self) -> io::Result<Change> {
        loop {
            tokio::select! {
                biased;
                status = self.child.wait() => return Ok(Change::Ended(exit(status?))),
                Some(()) = self.stops.recv() => {
                    if anchor::is_stopped(self.leader) {
                        return Ok(Change::Stopped);
                    }
                    tracing::info!(signal = %anchor::STOPPED, "the agent has not stopped: ignored");
                }
            }
        }
    }

    /// True while a process of the agent's group is alive.
    #[must_use]
    pub fn is_peopled(&self) -> bool {
        send(self.leader, None)
    }

    /// Waits for the agent itself, not for what it started.
    pub async fn wait(&mut self) -> io::Result<AgentExit> {
        self.child.wait().await.map(exit)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}

/// How a process ended, as the system tells it.
#[must_use]
pub fn exit(status: ExitStatus) -> AgentExit {
    let byte = |n: i32| u8::try_from(n & 0xff).unwrap_or(u8::MAX);
    match status.signal() {
        Some(signal) => AgentExit::Signal(byte(signal)),
        None => AgentExit::Code(byte(status.code().unwrap_or_default())),
    }
}

/// A group may be gone before its signal comes: that is an answer, no error.
fn send(group: Pid, signal: Option<Signal>) -> bool {
    // It had ended before the terminal could be asked for it, and 0 would be
    // our own.
    if group.as_raw() <= 0 {
        return false;
    }
    match killpg(group, signal) {
        Ok(()) | Err(Errno::EPERM) => true,
        Err(_) => false,
    }
}

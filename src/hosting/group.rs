//! A running server: its process, and the group of all that it starts.
//!
//! *Invariant*: one that is dropped takes its group with it.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep, timeout};

use super::guard::{GRACE, Guard, PACE};
use super::program::Program;

/// How long a server may take to end when its input has.
const HINT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    leader: Pid,
    guard: Arc<Guard>,
}

/// Our ends of a server's pipes.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) input: ChildStdin,
    pub(super) output: ChildStdout,
    pub(super) errors: ChildStderr,
}

impl Group {
    /// Starts a server.
    ///
    /// # Errors
    /// In words: why it does not run.
    pub(super) fn start(program: &Program, guard: &Arc<Guard>) -> Result<(Self, Pipes), String> {
        program.check()?;
        let mut command = guard.command(&program.name, &program.args);
        command
            .env_clear()
            .envs(&program.env)
            .current_dir(&program.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let name = program.name.display();
        let failed = |why: &dyn std::fmt::Display| format!("`{name}` does not start: {why}");
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let leader = Pid::from_raw(pid.ok_or_else(|| failed(&"it has no process"))?);
        guard.watch(leader);
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Self {
            child,
            leader,
            guard: Arc::clone(guard),
        };
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(failed(&"it has no pipes"));
        };
        let pipes = Pipes {
            input,
            output,
            errors,
        };
        Ok((group, pipes))
    }

    pub(super) fn pid(&self) -> u32 {
        self.leader.as_raw().unsigned_abs()
    }

    /// Waits for the process itself, not for what it started.
    pub(super) async fn wait(&mut self) -> Option<ExitStatus> {
        match self.child.wait().await {
            Ok(status) => Some(status),
            Err(error) => {
                tracing::warn!(%error, "a server cannot be waited for");
                None
            }
        }
    }

    /// Ends all of it, as gently as it lets us: its input has ended, then comes
    /// a signal that asks, then one that does not. How the process ended.
    pub(super) async fn end(mut self) -> Option<ExitStatus> {
        let hinted = timeout(HINT, self.wait()).await;
        let mut status = hinted.unwrap_or(None);
        if self.signal(Some(Signal::SIGTERM)) {
            let end = Instant::now() + GRACE;
            if status.is_none() {
                status = timeout(GRACE, self.wait()).await.unwrap_or(None);
            }
            while self.signal(None) && Instant::now() < end {
                sleep(PACE).await;
            }
            self.signal(Some(Signal::SIGKILL));
        }
        match status {
            None => self.wait().await,
            status => status,
        }
    }

    /// Sends a signal to the group. False if nobody of it is left.
    fn signal(&self, signal: Option<Signal>) -> bool {
        let sent = match killpg(self.leader, signal) {
            // It does not lead a group yet.
            Err(Errno::ESRCH) if self.child.id().is_some() => kill(self.leader, signal),
            sent => sent,
        };
        matches!(sent, Ok(()) | Err(Errno::EPERM))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Some(Signal::SIGKILL));
        self.guard.forget(self.leader);
    }
}

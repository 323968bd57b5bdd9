//! `-d`: the launch runs in a process of its own, which leaves our terminal.
//!
//! The process is ourselves once more, told by `--detached`. Until its agent
//! has started it shares our terminal for what has to be asked and our standard
//! error for what goes wrong; then it says how that went on the pipe that its
//! standard output is, and lets go of everything.

use std::fs::OpenOptions;
use std::process::Stdio;

use anyhow::{Context, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;
use tracing::warn;

use super::front::{Detached, Ended, Told};
use super::setting::block_on;
use super::signals::Signals;
use crate::report::{self, Failure};
use crate::session::State;
use crate::terminal::{anchor, pty};
use crate::types::exit::{AgentExit, Exit};
use crate::types::text::one_line;

/// Characters of what an agent has said that stand in an error.
const LONGEST: usize = 300;

/// Starts the launch that our own command line names, waits until its agent is
/// ready, asks something or has ended, and prints its name. If it comes to
/// nothing, its exit is ours: it has said why itself.
pub(super) fn start(json: bool) -> Result<Exit, Failure> {
    block_on(Exit::Failed, async {
        let mut signals = Signals::catch().map_err(failed)?;
        let program = std::env::current_exe()
            .context("cannot find our own program")
            .map_err(failed)?;
        let mut child = Command::new(program)
            .arg("--detached")
            .args(std::env::args_os().skip(1))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the session's process")
            .map_err(failed)?;
        let told = told(&mut child, &mut signals).await.map_err(failed)?;
        let (detached, ended) = match told {
            Some(Told { detached, ended }) => (Some(detached), ended),
            None => (None, None),
        };
        let exit = if detached.is_some() && ended.is_none() {
            Exit::Done
        } else {
            let status = child.wait().await.context("cannot wait").map_err(failed)?;
            Exit::Agent(pty::exit(status))
        };
        match (detached, ended) {
            (Some(detached), Some(ended)) => over(&detached, ended, exit, json)?,
            (Some(detached), None) if json => report::json(&detached),
            (Some(detached), None) => {
                report::line(&detached.name);
                if let Some(advice) = advice(&detached.name, detached.state) {
                    report::note(advice);
                }
            }
            (None, _) => {}
        }
        Ok(exit)
    })
}

/// What the user is to know of an agent that does not just wait for a prompt.
pub(super) fn advice(name: &str, state: State) -> Option<String> {
    let what = match state {
        State::Blocked => "asks something",
        State::Starting => "has not started yet",
        State::Unknown => "shows something that is not known",
        State::Idle | State::Busy | State::Suspended | State::Exited => return None,
    };
    Some(format!("`{name}` {what}: `wrapper attach {name}`"))
}

/// Tells of an agent that has ended before it was ready: in its own words.
fn over(detached: &Detached, ended: Ended, exit: Exit, json: bool) -> Result<(), Failure> {
    let Ended {
        exit: how,
        words,
        log,
    } = ended;
    if !json {
        words.iter().for_each(report::note);
    }
    let name = &detached.name;
    if how == AgentExit::Code(0) {
        if json {
            report::json(detached);
        } else {
            report::note(format_args!("`{name}` {how}"));
        }
        return Ok(());
    }
    let mut error = format!("`{name}` {how} before it was ready");
    if let (true, Some(last)) = (json, words.last()) {
        error = format!("{error}: {}", one_line(last, LONGEST));
    }
    let hint = format!("its last screen stands in its log: {log}");
    Err(Failure::new(exit, anyhow!(error)).hint(hint))
}

/// What the session says once its agent has started; None if it ends before
/// that. Whoever interrupts us interrupts it; whoever hangs up on us does not.
async fn told(child: &mut Child, signals: &mut Signals) -> anyhow::Result<Option<Told>> {
    let pipe = child.stdout.take().context("no pipe")?;
    let mut line = String::new();
    let mut reader = BufReader::new(pipe);
    let mut reading = std::pin::pin!(reader.read_line(&mut line));
    loop {
        tokio::select! {
            read = &mut reading => {
                read.context("cannot hear of the session")?;
                break;
            }
            kind = signals.next() => match child.id() {
                Some(pid) if kind != SignalKind::hangup() => {
                    // It may have ended since.
                    let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
                }
                _ => return Err(anyhow!("hung up on: the session goes on without us")),
            },
        }
    }
    if line.is_empty() {
        return Ok(None);
    }
    let told = serde_json::from_str(&line).context("cannot read what the session says")?;
    Ok(Some(told))
}

/// In the session's process: a process session of its own, so that no terminal
/// that closes ends it.
pub(super) fn leave() -> Result<(), Failure> {
    setsid()
        .context("cannot leave the terminal")
        .and_then(|_| anchor::outlive().context("cannot outlive what started it"))
        .map_err(failed)
}

/// In the session's process: lets go of what it shares with whoever started it.
pub(super) fn fall_silent() {
    let silence = || -> anyhow::Result<()> {
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .context("cannot open /dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        Ok(())
    };
    if let Err(error) = silence() {
        let error = format!("{error:#}");
        warn!(error, "the caller's standard streams are still open");
    }
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

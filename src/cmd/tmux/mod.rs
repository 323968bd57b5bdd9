//! `--tmux`: has tmux run the launch, and shows it. The session inside owns the
//! agent; tmux is but the terminal that it runs in.
//!
//! *Invariant*: tmux sessions are named to tmux by their ids alone: a name may
//! be the beginning of another's.

mod handover;
pub(super) mod pane;
pub(super) mod server;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::setting::{Setting, block_on};
use super::signals::{self, Signals};
use super::{gather, program};
use crate::cli::Run;
use crate::paths::{self, Env};
use crate::report::{self, Failure};
use crate::terminal::fd;
use crate::types::exit::{AgentExit, Exit};
use crate::types::identity::SessionId;
use crate::types::size::TermSize;
use handover::Handover;
use pane::{Running, Told};
use server::{ask, check_version, output, session_name, slug, tmux};

/// What is done outside.
const OUTSIDE: [&str; 4] = ["--tmux", "--json", "-d", "--detach"];

/// How long what tmux runs may take to ask us.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a launch may take to end once its tmux session is gone.
const END: Duration = Duration::from_secs(20);

/// Launches inside tmux what `args` ask for.
pub(super) fn run(args: &Run) -> Result<Exit, Failure> {
    let setting = Setting::load(&args.options, Exit::Failed)?;
    let spec = program::agent(args, &setting)?;
    program::find(&spec, &setting)?;
    // What has to be asked is asked here, where the user is.
    gather::gather(&setting, &spec, args)?;
    block_on(Exit::Failed, async {
        check_version().await?;
        let mut heard = Signals::catch().map_err(failed)?;
        let session = Session::start(&setting.env, &args.agent).await?;
        let begun = tokio::select! {
            biased;
            kind = heard.next() => Err(kind),
            begun = session.begin() => Ok(begun),
        };
        let (running, told) = match begun {
            Ok(Ok(Begun::Runs(running, told))) => (running, told),
            Ok(Ok(Begun::Ended(code))) => {
                report::note("the agent ended at once");
                return Ok(Exit::Agent(AgentExit::Code(code)));
            }
            Ok(Err(failure)) => {
                session.kill().await;
                return Err(failure);
            }
            Err(kind) => {
                session.kill().await;
                return Ok(Exit::Agent(signals::exit(kind)));
            }
        };
        if args.json {
            report::json(&running);
            return Ok(Exit::Done);
        }
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        if !args.detach && is_terminal {
            if paths::var(&setting.env, "TMUX").is_none() {
                return session.show(told, heard).await;
            }
            match session.switch().await {
                Ok(()) => return Ok(Exit::Done),
                // Nobody looks at this tmux: the session runs all the same.
                Err(error) => tracing::debug!(%error, "no client shows the session"),
            }
        }
        report::note(format_args!(
            "in tmux: `tmux attach -t ={}` shows it",
            running.tmux
        ));
        report::line(&running.name);
        Ok(Exit::Done)
    })
}

/// The tmux session of one launch, and the socket on which they speak.
struct Session {
    /// `$7`.
    id: String,
    listener: UnixListener,
    asked: Handover,
    _dir: tempfile::TempDir,
}

/// How a launch began.
enum Begun {
    Runs(Running, Lines<BufReader<UnixStream>>),
    Ended(u8),
}

impl Session {
    /// Has tmux start us, under a name that nobody else has: the launch knows
    /// its own only later.
    async fn start(env: &Env, agent: &str) -> Result<Self, Failure> {
        let prepared = || -> Result<_> {
            let dir = tempfile::Builder::new().prefix("wrapper-tmux-").tempdir()?;
            let socket = dir.path().join("socket");
            let listener = UnixListener::bind(&socket)?;
            let args = inner_args(std::env::args_os().skip(1), &socket);
            let cwd = std::env::current_dir()?;
            let env = env.clone();
            let program = std::env::current_exe()?;
            Ok((dir, socket, listener, Handover { cwd, args, env }, program))
        };
        let prepared = prepared().context("cannot prepare a launch inside tmux");
        let (dir, socket, listener, asked, program) = prepared.map_err(failed)?;
        let unique = format!("{agent}-{}", SessionId::random());
        let name = session_name(slug(env).as_deref(), &unique);
        let TermSize { rows, cols, .. } = fd::size(io::stdout()).unwrap_or_default();
        let (rows, cols) = (rows.to_string(), cols.to_string());
        let mut command = tmux();
        command
            .args(["new-session", "-d", "-P", "-F", "#{session_id}"])
            .args(["-s", &name, "-x", &cols, "-y", &rows, "-c", "/", "--"])
            .arg(program)
            .arg("tmux-pane")
            .arg(socket);
        let said = output(command).await.context("cannot start a tmux session");
        Ok(Self {
            id: said.map_err(failed)?,
            listener,
            asked,
            _dir: dir,
        })
    }

    /// Hands the launch over, and waits until its agent runs.
    async fn begin(&self) -> Result<Begun, Failure> {
        let mut pane = self.caller().await.map_err(failed)?;
        let handed = async {
            pane.write_all(&self.asked.encode()).await?;
            pane.shutdown().await
        };
        let handed = handed.await.context("cannot hand the launch over");
        handed.map_err(failed)?;
        let mut told = BufReader::new(self.caller().await.map_err(failed)?).lines();
        match next(&mut told).await.map_err(failed)? {
            Told::Runs(running) => Ok(Begun::Runs(running, told)),
            Told::Ended { code } => Ok(Begun::Ended(code)),
            Told::Failed { error, hint, code } => Err(Failure {
                exit: Exit::Agent(AgentExit::Code(code)),
                error: anyhow!(error),
                hint,
            }),
        }
    }

    /// The next process of ours that calls.
    async fn caller(&self) -> Result<UnixStream> {
        let called = async {
            loop {
                let (stream, _) = self.listener.accept().await?;
                let ours = stream.peer_cred()?.uid() == Uid::effective().as_raw();
                if ours {
                    return Ok(stream);
                }
            }
        };
        timeout(PATIENCE, called)
            .await
            .context("cannot launch inside tmux: what it runs does not answer")?
    }

    /// Shows the session in the caller's terminal until it ends or the user
    /// leaves it; the code is the launch's then, or 0.
    async fn show(
        &self,
        mut told: Lines<BufReader<UnixStream>>,
        mut heard: Signals,
    ) -> Result<Exit, Failure> {
        let mut client = tmux();
        let client = client.args(["attach-session", "-t", &self.id]);
        let client = client.spawn().context("cannot attach to tmux");
        let mut client = client.map_err(failed)?;
        tokio::select! {
            kind = heard.next() => {
                // tmux puts the terminal back when it is told to end.
                let pid = client.id().and_then(|pid| i32::try_from(pid).ok());
                if let Some(pid) = pid {
                    let pid = nix::unistd::Pid::from_raw(pid);
                    // It may have ended by itself.
                    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
                }
                let _ended = client.wait().await;
                return Ok(Exit::Agent(signals::exit(kind)));
            }
            ended = client.wait() => {
                ended.context("cannot wait for tmux").map_err(failed)?;
            }
        }
        if ask(&["has-session", "-t", &self.id]).await.is_ok() {
            return Ok(Exit::Done);
        }
        let last = timeout(END, next(&mut told)).await;
        match last.context("the launch inside tmux does not end") {
            Ok(Ok(Told::Ended { code } | Told::Failed { code, .. })) => {
                Ok(Exit::Agent(AgentExit::Code(code)))
            }
            Ok(Ok(Told::Runs(_))) => Ok(Exit::Done),
            Ok(Err(error)) | Err(error) => Err(failed(error)),
        }
    }

    /// Has the client of the tmux around us show the session.
    async fn switch(&self) -> Result<()> {
        ask(&["switch-client", "-t", &self.id]).await?;
        // Where the user comes from is where the end brings them back to.
        let back = ["set-option", "-t", &self.id, "detach-on-destroy", "off"];
        ask(&back).await.map(drop)
    }

    async fn kill(&self) {
        if let Err(error) = ask(&["kill-session", "-t", &self.id]).await {
            // It ends with the launch.
            tracing::debug!(%error, "the tmux session is gone");
        }
    }
}

async fn next(told: &mut Lines<BufReader<UnixStream>>) -> Result<Told> {
    let line = told.next_line().await?;
    let line = line.context("the launch inside tmux has ended without a word")?;
    serde_json::from_str(&line).context("cannot read what the launch inside tmux says")
}

/// The command line of the launch inside: the caller's, in which `--pane` has
/// taken the place of `--tmux` and of what is done outside.
fn inner_args(args: impl Iterator<Item = OsString>, socket: &Path) -> Vec<OsString> {
    let mut inner = vec!["--pane".into(), socket.into()];
    let mut is_ours = true;
    inner.extend(args.filter(|arg| {
        is_ours &= arg != "--";
        !(is_ours && OUTSIDE.iter().any(|ours| arg == ours))
    }));
    inner
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launch_inside_is_the_one_outside() {
        let args = "--tmux claude --json -d --label x -- --tmux -d".split(' ');
        let inner = inner_args(args.map(Into::into), Path::new("/s"));
        assert_eq!(
            inner.join(std::ffi::OsStr::new(" ")),
            "--pane /s claude --label x -- --tmux -d"
        );
    }
}

//! What surrounds one scenario: directories, the server, its human, and the
//! wrappers that were started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::config::{Config, programs};
use crate::human::Human;
use crate::processes::{MARK, members};
use crate::seat::Seat;
use crate::server::Server;
use crate::wait::until;

/// How long one thing may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(45);

/// Asks until there is an answer; says what there was none to.
pub(crate) async fn soon<T, F: Future<Output = Result<Option<T>>>>(
    what: impl Display,
    probe: impl FnMut() -> F,
) -> Result<T> {
    let seconds = DEADLINE.as_secs();
    match timeout(DEADLINE, until(probe)).await {
        Ok(found) => found.with_context(|| what.to_string()),
        Err(_) => Err(anyhow!("not in {seconds} s: {what}")),
    }
}

pub(crate) struct World {
    root: TempDir,
    config: Config,
    command: String,
    server: Option<Server>,
    pub(crate) human: Human,
    seats: usize,
}

impl World {
    /// Starts the server, with a data directory of its own.
    pub(crate) async fn open(config: Config, command: &str) -> Result<Self> {
        let root = tempfile::tempdir()?;
        for dir in ["home", "data"] {
            fs::create_dir(root.path().join(dir))?;
        }
        let program = programs()?.join("fake-agent");
        let data = root.path().join("data");
        config.derive(&root.path().join("config.toml"), &data, &program)?;
        let (server, human) = Server::start(command, root.path(), config.ports).await?;
        Ok(Self {
            root,
            config,
            command: command.to_owned(),
            server: Some(server),
            human,
            seats: 0,
        })
    }

    /// The agent that is played.
    pub(crate) fn agent(&self) -> &str {
        &self.config.agent
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) async fn stop_server(&mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    pub(crate) async fn start_server(&mut self) -> Result<()> {
        let (server, human) =
            Server::start(&self.command, self.root.path(), self.config.ports).await?;
        (self.server, self.human) = (Some(server), human);
        Ok(())
    }

    pub(crate) async fn restart_server(&mut self) -> Result<()> {
        self.stop_server().await?;
        self.start_server().await
    }

    /// Launches a wrapper whose agent gets these arguments, and waits until the
    /// agent is there and registered.
    pub(crate) async fn seat(&mut self, args: &[&str]) -> Result<Seat> {
        self.seats += 1;
        let dir = self.path(&format!("seat-{}", self.seats));
        fs::create_dir(&dir)?;
        let mut env = self.env();
        env.insert("FAKE_REPORT".into(), dir.join("report").into());
        let mut seat = Seat::launch(&programs()?.join("wrapper"), self.agent(), args, env, dir)?;
        seat.shows(">").await?;
        seat.pid = self.pid(&seat, "pid").await?;
        Ok(seat)
    }

    /// The `pid` or the `agent_pid` of a seat.
    pub(crate) async fn pid(&self, seat: &Seat, key: &str) -> Result<Pid> {
        let session = self.ps(seat).await?;
        let pid = session[key].as_i64().and_then(|pid| pid.try_into().ok());
        let pid = pid.with_context(|| format!("no `{key}` in {session}"))?;
        Ok(Pid::from_raw(pid))
    }

    fn env(&self) -> BTreeMap<OsString, OsString> {
        let path = |below: &str| self.path(below).into_os_string();
        let mut env: BTreeMap<OsString, OsString> = [
            ("HOME", path("home")),
            ("WRAPPER_STATE_DIR", path("state")),
            ("WRAPPER_CONFIG", path("config.toml")),
            ("WRAPPER_LOG", "debug".into()),
            ("TERM", "xterm-256color".into()),
            ("LANG", "C.UTF-8".into()),
            (MARK, self.root.path().into()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into();
        env.insert("PATH".into(), std::env::var_os("PATH").unwrap_or_default());
        env
    }

    /// What `wrapper ps` says of a seat.
    pub(crate) async fn ps(&self, seat: &Seat) -> Result<Value> {
        let output = Command::new(programs()?.join("wrapper"))
            .args(["ps", "--json"])
            .env_clear()
            .envs(self.env())
            .output()
            .await?;
        ensure!(output.status.success(), "`wrapper ps`: {output:?}");
        let all: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        let mut all = all.into_iter();
        let cwd = seat.dir.display().to_string();
        all.find(|one| one["cwd"] == cwd.as_str())
            .with_context(|| format!("`wrapper ps` has no session in {cwd}"))
    }

    /// Waits until `wrapper ps` says so of a seat.
    pub(crate) async fn says(&self, seat: &Seat, key: &str, value: &str) -> Result<()> {
        let what = format!("`wrapper ps` says `{key}`: `{value}`");
        soon(what, || async {
            let said = self.ps(seat).await?;
            let found = said.pointer(key) == Some(&json!(value));
            Ok(found.then_some(()))
        })
        .await
        .with_context(|| format!("the log: {}", self.log_end()))
    }

    /// The names that the server holds registered.
    pub(crate) async fn registered(&self) -> Result<Vec<String>> {
        let status = self.human.ask("GET /api/status", &Value::Null).await?;
        let all = status.as_object().context("no status")?;
        let names = all.iter().filter(|(_, about)| about.is_object());
        Ok(names.map(|(name, _)| name.clone()).collect())
    }

    /// Waits until exactly these are registered.
    pub(crate) async fn only(&self, names: &[&str]) -> Result<()> {
        let found = soon(format!("registered are {names:?}"), || async {
            let mut found = self.registered().await?;
            found.sort();
            Ok((found == names).then_some(()))
        });
        let done = found.await;
        let are = self.registered().await.unwrap_or_default();
        done.with_context(|| format!("registered are {are:?}"))
    }

    /// Every message after this one, as `sender: text`.
    pub(crate) async fn said(&self) -> Result<Vec<String>> {
        let all = self.human.ask("GET /api/messages?limit=1000", &Value::Null);
        let all = all.await?;
        let all = all.as_array().context("no messages")?;
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let shown = all
            .iter()
            .map(|one| text(one, "sender") + ": " + &text(one, "text"));
        Ok(shown.collect())
    }

    /// Waits until somebody has said this so often.
    pub(crate) async fn hears(&self, said: &str, times: usize) -> Result<()> {
        let found = soon(format!("{times} times `{said}`"), || async {
            let all = self.said().await?;
            let count = all.iter().filter(|one| *one == said).count();
            Ok((count >= times).then_some(()))
        });
        let done = found.await;
        let all = self.said().await.unwrap_or_default();
        done.with_context(|| format!("said was {all:?}"))
    }

    /// The end of the newest log.
    fn log_end(&self) -> String {
        let logs = fs::read_dir(self.path("state/logs")).into_iter().flatten();
        let mut texts: Vec<_> = logs
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path()).ok())
            .collect();
        texts.sort();
        let last = texts.pop().unwrap_or_default();
        let lines: Vec<&str> = last.lines().collect();
        lines[lines.len().saturating_sub(4)..].join(" / ")
    }
}

/// Ends every process of a scenario: known by a mark that only they have.
fn kill_all(root: &Path) -> Result<()> {
    for member in members(root)? {
        // It may have ended since.
        let _ = kill(member.pid, Signal::SIGKILL);
    }
    Ok(())
}

impl Drop for World {
    fn drop(&mut self) {
        // A scenario that failed is over as well.
        let _ = kill_all(self.root.path());
    }
}

//! Where it plays: a hub, a project and a home, and the sessions in them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::Failure;
use super::agent::REPORT;
use super::hub::Hub;
use super::peer::Peer;

const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");

/// Below the temporary directory.
const PROJECT: &str = "project";
const HUB: &str = "data/wrapper/hub";

/// Dropped, it stops its sessions, and those of nobody else: no other state
/// directory is known to what stops them.
pub(super) struct World {
    pub(super) sessions: Vec<Session>,
    /// Ended before what it keeps is removed.
    pub(super) hub: AnyHub,
    /// What the agents tell.
    pub(super) report: UnixDatagram,
    dir: TempDir,
}

pub(super) struct Session {
    /// As the hub calls it.
    pub(super) name: String,
    /// As its agent was told when it began.
    pub(super) first_name: String,
    pub(super) pid: u32,
}

/// Whose hub it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Ours,
    Agentchattr,
}

pub(super) enum AnyHub {
    Ours(Hub),
    Agentchattr(Peer),
}

impl AnyHub {
    fn start(kind: Kind, dir: &Path) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Ours => Self::Ours(Hub::start(program(dir), &dir.join(HUB))?),
            Kind::Agentchattr => Self::Agentchattr(Peer::start(&dir.join("agentchattr"))?),
        })
    }

    /// What a launch is told of it.
    fn options(&self) -> &[String] {
        match self {
            Self::Ours(hub) => &hub.ports,
            Self::Agentchattr(peer) => &peer.options,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Ours(hub) => hub.pid(),
            Self::Agentchattr(peer) => peer.pid(),
        }
    }

    /// Says something, as the human.
    pub(super) async fn say(&self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Ours(hub) => hub.say(text).await,
            Self::Agentchattr(peer) => peer.say(text).await,
        }
    }
}

impl World {
    pub(super) fn new(kind: Kind) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        for sub in ["home", PROJECT] {
            fs::create_dir(dir.path().join(sub))?;
        }
        let me = std::env::current_exe()?.display().to_string();
        fs::write(
            dir.path().join("config.toml"),
            format!(
                "[agents.bench]\ncommand = {me:?}\nargs = [\"agent\"]\n\
                 mcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n"
            ),
        )?;
        Ok(Self {
            sessions: Vec::new(),
            hub: AnyHub::start(kind, dir.path())?,
            report: UnixDatagram::bind(dir.path().join("report"))?,
            dir,
        })
    }

    /// Starts one more session, and waits until its agent runs.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        let output = program(self.dir.path())
            .args(["bench", "-d", "--json"])
            .args(self.hub.options())
            .current_dir(self.dir.path().join(PROJECT))
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let said: Value = serde_json::from_slice(&output.stdout)?;
        let pid = said["pid"].as_u64().ok_or("no process")?;
        let name = said["name"].as_str().ok_or("no name")?;
        self.sessions.push(Session {
            name: name.to_owned(),
            first_name: name.to_owned(),
            pid: pid.try_into()?,
        });
        Ok(())
    }

    /// Asks the sessions what they are called now: the first of agentchattr's gets
    /// another name when there is a second.
    pub(super) fn ask_names(&mut self) -> Result<(), Failure> {
        let output = program(self.dir.path()).args(["ps", "--json"]).output()?;
        let all: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        for session in &mut self.sessions {
            let found = all.iter().find(|one| one["pid"] == session.pid);
            let name = found.and_then(|one| one["name"].as_str());
            name.ok_or("a session is missing")?
                .clone_into(&mut session.name);
        }
        Ok(())
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        self.sessions.iter().map(|session| session.pid).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let stopped = program(self.dir.path())
            .args(["stop", "--all"])
            .stdin(Stdio::null())
            .output();
        match stopped {
            Ok(output) if output.status.success() => {}
            Ok(output) => println!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => println!("the sessions were not stopped: {error}"),
        }
    }
}

/// The program, told of nothing but this world.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(WRAPPER);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", dir.join("home"))
        .env("WRAPPER_CONFIG", dir.join("config.toml"))
        .env("WRAPPER_STATE_DIR", dir.join("state"))
        .env("XDG_DATA_HOME", dir.join("data"))
        .env("XDG_CONFIG_HOME", dir.join("xdg-config"))
        .env("XDG_STATE_HOME", dir.join("xdg-state"))
        .env(REPORT, dir.join("report"));
    command
}

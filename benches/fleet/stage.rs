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

const WRAPPER: &str = env!("CARGO_BIN_EXE_wrapper");

/// Below the temporary directory.
const PROJECT: &str = "project";
const HUB: &str = "data/wrapper/hub";

/// Dropped, it stops its sessions, and those of nobody else: no other state
/// directory is known to what stops them.
pub(super) struct World {
    pub(super) sessions: Vec<Session>,
    /// Ended before what it keeps is removed.
    pub(super) hub: Hub,
    /// What the agents tell.
    pub(super) report: UnixDatagram,
    dir: TempDir,
}

pub(super) struct Session {
    pub(super) name: String,
    pub(super) pid: u32,
}

impl World {
    pub(super) fn new() -> Result<Self, Failure> {
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
            hub: Hub::start(program(dir.path()), &dir.path().join(HUB))?,
            report: UnixDatagram::bind(dir.path().join("report"))?,
            dir,
        })
    }

    /// Starts one more session, and waits until its agent runs.
    pub(super) fn start(&mut self) -> Result<(), Failure> {
        let output = program(self.dir.path())
            .args(["bench", "-d", "--json"])
            .args(&self.hub.ports)
            .current_dir(self.dir.path().join(PROJECT))
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let said: Value = serde_json::from_slice(&output.stdout)?;
        let pid = said["pid"].as_u64().ok_or("no process")?;
        self.sessions.push(Session {
            name: said["name"].as_str().ok_or("no name")?.to_owned(),
            pid: pid.try_into()?,
        });
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

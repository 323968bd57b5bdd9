//! Where it plays: a hub, the configuration, the user's terminal.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use wrapper::terminal::{Launch, Process, Pty};

use super::agent::{END, REPORT};
use super::hub::Hub;
use super::{DATA, Failure, PATIENCE, SIZE, WRAPPER};

/// A hub, a configuration and a home, all below one temporary directory.
pub(super) struct World {
    /// Ended before what it keeps is removed.
    pub(super) hub: Hub,
    pub(super) me: String,
    /// What the agent tells.
    pub(super) report: UnixDatagram,
    pub(super) dir: tempfile::TempDir,
}

impl World {
    pub(super) fn new() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let me = std::env::current_exe()?.display().to_string();
        configure(dir.path(), &me)?;
        let report = UnixDatagram::bind(dir.path().join("report"))?;
        report.set_read_timeout(Some(PATIENCE))?;
        let mut program = Command::new(WRAPPER);
        program.envs(variables(dir.path()));
        Ok(Self {
            hub: Hub::start(program, &dir.path().join(DATA).join("wrapper/hub"))?,
            me,
            report,
            dir,
        })
    }

    /// A target by its name.
    pub(super) fn command(&self, target: &str) -> Launch {
        let agent = [self.me.clone(), "agent".into()];
        let command = match target {
            "bare" => agent.to_vec(),
            "relay" => [&[self.me.clone(), "relay".into()], &agent[..]].concat(),
            wrapper => {
                let (agent, more) = match wrapper {
                    "ten servers" => ("many", None),
                    "ten in settings" => ("merged", None),
                    "ten git sources" => ("sourced", None),
                    plain => ("bench", plain.split_once(' ').map(|(_, option)| option)),
                };
                let words = [agent].into_iter().chain(more);
                let words = words
                    .map(str::to_owned)
                    .chain(self.hub.ports.iter().cloned());
                [WRAPPER.to_owned()].into_iter().chain(words).collect()
            }
        };
        let mut env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        env.extend(
            variables(self.dir.path())
                .into_iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        Launch {
            program: command[0].clone().into(),
            args: command[1..].iter().map(Into::into).collect(),
            env,
            cwd: self.dir.path().to_owned(),
        }
    }
}

/// Agents with the hub alone, with ten servers more in a file of ours, in a
/// settings file of the user's, and with ten that stand in a git repository.
pub(super) fn configure(dir: &Path, me: &str) -> Result<(), Failure> {
    let by_flag = "mcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n";
    let settings = dir.join("settings.json").display().to_string();
    let own = json!({"theme": "dark", "mcpServers": {"own": {"command": "true"}}});
    fs::write(&settings, format!("{own:#}\n"))?;
    let by_settings = format!("mcp_inject = \"settings_file\"\nmcp_settings_path = {settings:?}\n");
    let agents = [
        ("bench", by_flag),
        ("many", by_flag),
        ("merged", &by_settings),
        ("sourced", by_flag),
    ]
    .map(|(name, inject)| {
        format!("[agents.{name}]\ncommand = {me:?}\nargs = [\"agent\"]\n{inject}")
    });
    let (repository, commit) = repository(dir)?;
    let servers = (0..10).map(|number| {
        format!(
            "[mcp_servers.s{number}]\nagents = [\"many\", \"merged\"]\ncommand = \"node\"\n\
             args = [\"server.js\"]\nenv = {{ API_TOKEN = \"x\" }}\n\
             [mcp_servers.g{number}]\nagents = [\"sourced\"]\ntype = \"git\"\n\
             url = {repository:?}\nref = \"{commit}\"\ncommand = \"node\"\n\
             args = [\"${{MCP_ROOT}}/server.js\"]\n"
        )
    });
    let config: String = agents.into_iter().chain(servers).collect();
    Ok(fs::write(dir.join("config.toml"), config)?)
}

/// A repository with one commit.
pub(super) fn repository(dir: &Path) -> Result<(String, String), Failure> {
    let repository = dir.join("repository");
    fs::create_dir(&repository)?;
    fs::write(repository.join("server.js"), "")?;
    let git = |args: &[&str]| -> Result<String, Failure> {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        let said = Command::new("git")
            .current_dir(&repository)
            .args(identity.iter().chain(args))
            .output()?;
        if !said.status.success() {
            return Err(String::from_utf8_lossy(&said.stderr).into());
        }
        Ok(String::from_utf8(said.stdout)?.trim().to_owned())
    };
    git(&["init", "--quiet"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message", "One file"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    Ok((repository.display().to_string(), commit))
}

pub(super) fn variables(dir: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("HOME", dir.join("home")),
        ("WRAPPER_CONFIG", dir.join("config.toml")),
        ("WRAPPER_STATE_DIR", dir.join("state")),
        ("XDG_DATA_HOME", dir.join(DATA)),
        (REPORT, dir.join("report")),
    ]
}

/// The user's terminal. Dropped, it ends what runs in it.
pub(super) struct Outer {
    pty: Pty,
    pub(super) process: Process,
    buf: Vec<u8>,
    seen: Vec<u8>,
}

impl Outer {
    pub(super) fn run(launch: &Launch) -> Result<Self, Failure> {
        let (pty, process) = Pty::spawn(launch, SIZE)?;
        Ok(Self {
            pty,
            process,
            buf: vec![0; 64 * 1024],
            seen: Vec::new(),
        })
    }

    /// Reads until a text has come, and forgets what came up to it.
    pub(super) async fn until(&mut self, text: &[u8]) -> Result<(), Failure> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.seen, text) {
                self.seen.drain(..at + text.len());
                return Ok(());
            }
            let n = timeout(PATIENCE, self.pty.read(&mut self.buf)).await??;
            self.seen.extend_from_slice(&self.buf[..n]);
            if n == 0 {
                return Err(String::from_utf8_lossy(&self.seen).into());
            }
        }
    }

    /// Reads for a while.
    pub(super) async fn rest(&mut self, time: Duration) -> Result<(), Failure> {
        match timeout(time, self.until(b"nothing says this")).await {
            Ok(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) async fn end(mut self) -> Result<(), Failure> {
        self.pty.write(END).await?;
        while timeout(PATIENCE, self.pty.read(&mut self.buf)).await?? > 0 {}
        timeout(PATIENCE, self.process.wait()).await??;
        Ok(())
    }
}

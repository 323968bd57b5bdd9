//! What surrounds an agent in one run: directories, ports, a scripted model,
//! the wrapper's verbs, the hub's REST, and every process that came of it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Set for the first process of a run, and so for all that come of it.
const MARK: &str = "REAL_AGENTS_RUN";

pub(crate) struct World {
    root: TempDir,
    /// Where this program and the wrapper are.
    bin: PathBuf,
    /// REST, MCP, and MCP over SSE.
    pub(crate) ports: [u16; 3],
    pub(crate) model: u16,
    /// Ends with this value.
    scripted: Child,
    path: OsString,
}

/// A process of this run.
pub(crate) struct Member {
    pid: Pid,
    command: String,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command: String = self.command.chars().take(120).collect();
        write!(f, "{} {command}", self.pid)
    }
}

impl World {
    /// Makes the directories and starts the model; `tools` is put on `PATH`.
    pub(crate) async fn new(tools: &Path) -> Result<Self> {
        let root = tempfile::tempdir()?;
        for dir in ["home", "project", "state", "hub"] {
            fs::create_dir(root.path().join(dir))?;
        }
        let bin = std::env::current_exe()?;
        let bin = bin
            .parent()
            .context("a program in no directory")?
            .to_owned();
        let mut path = tools.as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut model = Command::new(bin.join("fake-model"))
            .arg("--log")
            .arg(root.path().join("model.jsonl"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the scripted model")?;
        let out = model.stdout.take().context("no output of the model")?;
        let line = BufReader::new(out)
            .lines()
            .next_line()
            .await?
            .unwrap_or_default();
        let told: Value = serde_json::from_str(&line).context("the model told no port")?;
        let port = told["port"].as_u64().and_then(|port| port.try_into().ok());
        Ok(Self {
            bin,
            ports: free_ports()?,
            model: port.context("the model told no port")?,
            scripted: model,
            path,
            root,
        })
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.bin.join("wrapper")
    }

    /// The environment of a user who has nothing but this run.
    pub(crate) fn env(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("PATH", self.path.clone()),
            ("HOME", self.dir("home").into()),
            ("WRAPPER_STATE_DIR", self.dir("state").into()),
            ("WRAPPER_LOG", "debug".into()),
            ("TERM", "xterm-256color".into()),
            ("COLORTERM", "truecolor".into()),
            ("LANG", "C.UTF-8".into()),
            (MARK, self.root.path().into()),
        ]
    }

    /// A verb of the wrapper that speaks to this run's hub.
    pub(crate) fn verb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command
            .args(args)
            .env_clear()
            .envs(self.env())
            .env("AGENTCHATTR_DATA_DIR", self.dir("hub"))
            .env("AGENTCHATTR_PORT", self.ports[0].to_string())
            .env("AGENTCHATTR_MCP_HTTP_PORT", self.ports[1].to_string())
            .env("AGENTCHATTR_MCP_SSE_PORT", self.ports[2].to_string())
            .current_dir(self.root.path())
            .stdin(Stdio::null());
        command
    }

    /// What a verb prints as JSON.
    pub(crate) async fn json(&self, args: &[&str]) -> Result<Value> {
        let out = self
            .verb(args)
            .output()
            .await
            .context("cannot start the wrapper")?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.success(),
            "`wrapper {}`: {}",
            args.join(" "),
            said.trim()
        );
        serde_json::from_slice(&out.stdout).with_context(|| format!("`wrapper {}`", args.join(" ")))
    }

    /// Posts to the hub as the human.
    pub(crate) async fn post(&self, path: &str) -> Result<()> {
        let token = fs::read_to_string(self.dir("hub").join("human.token"))?;
        let port = self.ports[0];
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            token.trim()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200"), "POST {path}: {status}");
        Ok(())
    }

    /// The processes that came of this run and live, but for the model. A hub
    /// in the background has an environment of its own: its directory tells.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let root = self.root.path().display().to_string();
        let mark = format!("{MARK}={root}");
        let model = self.scripted.id();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").context("cannot list the processes")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // One that has ended meanwhile, or is another user's, has none.
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let marked = read("environ")
                .split(|byte| *byte == 0)
                .any(|var| var == mark.as_bytes());
            if (marked || command.contains(&root)) && model != u32::try_from(pid).ok() {
                let pid = Pid::from_raw(pid);
                found.push(Member { pid, command });
            }
        }
        Ok(found)
    }

    /// Ends the hub that the launch has started in the background.
    pub(crate) fn end_hub(&self) -> Result<Pid> {
        let members = self.members()?;
        let mut hubs = members
            .iter()
            .filter(|member| member.command.contains("/wrapper serve "));
        let hub = hubs.next().context("no hub runs")?;
        ensure!(hubs.next().is_none(), "two hubs run: {members:?}");
        kill(hub.pid, Signal::SIGTERM).context("cannot end the hub")?;
        Ok(hub.pid)
    }

    /// The newest log of a session, its last lines.
    pub(crate) fn log(&self) -> String {
        let logs = fs::read_dir(self.dir("state").join("logs"))
            .into_iter()
            .flatten()
            .flatten();
        let newest =
            logs.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
        let text = newest.and_then(|entry| fs::read_to_string(entry.path()).ok());
        let text = text.unwrap_or_else(|| "(there is none)".to_owned());
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for World {
    /// Nothing of a failed run may stay.
    fn drop(&mut self) {
        for member in self.members().unwrap_or_default() {
            let _ = kill(member.pid, Signal::SIGKILL);
        }
    }
}

/// Ports that were free a moment ago, all different.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

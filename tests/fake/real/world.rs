//! What surrounds an agent in one run: directories, ports, a scripted model, MCP
//! servers, the wrapper's verbs, the hub's REST, and every process that came of
//! it.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
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

use crate::processes::{self, MARK, Member};
use crate::servers::Servers;

pub(crate) struct World {
    root: TempDir,
    /// Where this program and the wrapper are.
    bin: PathBuf,
    /// REST, MCP, and MCP over SSE.
    ports: [u16; 3],
    pub(crate) model: u16,
    pub(crate) servers: Servers,
    /// Ends with this value.
    scripted: Child,
    path: OsString,
    /// Where the agent's program is.
    tools: PathBuf,
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
            servers: Servers::start().await?,
            scripted: model,
            path,
            tools: tools.to_owned(),
            root,
        })
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.bin.join("wrapper")
    }

    pub(crate) fn tools(&self) -> &Path {
        &self.tools
    }

    /// The program that is an MCP server if it is told `tool`.
    pub(crate) fn tool(&self) -> PathBuf {
        self.bin.join("fake-agent")
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
            // What an agent asks its maker goes nowhere.
            ("HTTPS_PROXY", "http://127.0.0.1:9".into()),
            ("https_proxy", "http://127.0.0.1:9".into()),
            ("NO_PROXY", "127.0.0.1,localhost".into()),
            ("no_proxy", "127.0.0.1,localhost".into()),
            (MARK, self.root.path().into()),
        ]
    }

    /// The hub's ports for REST and MCP, as everybody knows them.
    pub(crate) fn doors(&self) -> [u16; 2] {
        [self.ports[0], self.ports[1]]
    }

    /// Options by which a launch finds this run's hub, or starts it.
    pub(crate) fn options(&self) -> Vec<OsString> {
        let [rest, mcp, sse] = self.ports.map(|port| port.to_string());
        let named = [
            ("--port", rest.into()),
            ("--mcp-http-port", mcp.into()),
            ("--mcp-sse-port", sse.into()),
            ("--data-dir", self.dir("hub").into_os_string()),
        ];
        let words = named.into_iter().map(|(name, value)| [name.into(), value]);
        words.flatten().collect()
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
        // A change that is not done yet, which ends with 1, has an answer as well.
        ensure!(
            out.status.success() || !out.stdout.is_empty(),
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

    /// The processes that came of this run and live, but for the model.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let model = self.scripted.id().and_then(|pid| i32::try_from(pid).ok());
        let mut members = processes::members(self.root.path())?;
        members.retain(|member| Some(member.pid.as_raw()) != model);
        Ok(members)
    }

    /// What the model was asked, and what it answered.
    pub(crate) fn conversation(&self) -> Result<Vec<Value>> {
        lines(&self.dir("model.jsonl"))
    }

    /// The file where a server that is a command tells of each connection.
    pub(crate) fn tool_log(&self, server: &str) -> PathBuf {
        self.dir(&format!("{server}.jsonl"))
    }

    /// What such a server has told: a value for each connection.
    pub(crate) fn told(&self, server: &str) -> Result<Vec<Value>> {
        let mut told = lines(&self.tool_log(server))?;
        // It tells of notifications as well.
        told.retain(|told| told["pid"].is_u64());
        Ok(told)
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
        let logs = fs::read_dir(self.dir("state").join("logs"));
        let newest = (logs.into_iter().flatten().flatten())
            .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
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

/// The values of a file that has one a line; none of a file that is not there.
fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).with_context(|| path.display().to_string()))
        .collect()
}

/// Ports that were free a moment ago, all different.
pub(crate) fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind(("127.0.0.1", 0));
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

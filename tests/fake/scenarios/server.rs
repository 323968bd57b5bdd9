//! The server that is tried: a command line in a process group of its own.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::time::{sleep, timeout};

use crate::human::{Human, request};
use crate::processes::MARK;

/// How long a server may take to be there.
const START: Duration = Duration::from_secs(60);

/// How long it may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts it, and waits until its page is there.
    pub(crate) async fn start(
        command: &str,
        root: &Path,
        ports: [u16; 3],
    ) -> Result<(Self, Human)> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(root.join("server.log"))?;
        let child = Command::new("sh")
            .args(["-c", command])
            .env("AGENTCHATTR_DATA_DIR", root.join("data"))
            .env(MARK, root)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("cannot start a shell")?;
        let mut server = Self { child };
        let [rest, mcp, _] = ports;
        let up = async {
            loop {
                if let Some(exit) = server.child.try_wait()? {
                    let said = std::fs::read_to_string(root.join("server.log"))?;
                    bail!("the server ended with {exit}: {}", said.trim_end());
                }
                let there = request(rest, "GET /", "", "").await.is_ok();
                if there && request(mcp, "GET /mcp", "", "").await.is_ok() {
                    return Ok(());
                }
                sleep(PAUSE).await;
            }
        };
        let up = timeout(START, up).await;
        up.with_context(|| format!("the server is not up in {} s", START.as_secs()))??;
        Ok((server, Human::meet(rest, mcp).await?))
    }

    /// Ends it, and all that its command has started.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let group = Pid::from_raw(self.child.id().cast_signed());
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            // The group may be gone already.
            let _ = killpg(group, signal);
            let ended = async {
                // The leader is a zombie of its group until it is waited for.
                while self.child.try_wait().is_ok_and(|exit| exit.is_none())
                    || killpg(group, None).is_ok()
                {
                    sleep(PAUSE).await;
                }
            };
            if timeout(GRACE, ended).await.is_ok() {
                return Ok(());
            }
        }
        bail!("the server does not end")
    }
}

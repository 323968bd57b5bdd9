//! `wrapper demo`: the main job from nothing, as it happens. A hub and a
//! launch of a built-in agent, both in a temporary directory and on ports of
//! their own; two mentions, and a token that is rotated in between.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::setting::block_on;
use crate::hub::client::Events;
use crate::hub::{self, Client, api};
use crate::paths;
use crate::report::{self, Failure};
use crate::terminal::pty::{Launch, Process, Pty};
use crate::terminal::screen::Screen;
use crate::types::exit::{AgentExit, Exit};
use crate::types::identity::InstanceName;
use crate::types::size::TermSize;
use crate::types::trigger::ChannelName;
use crate::types::upstream::Endpoint;

/// The name of the agent in the demo.
const AGENT: &str = "ada";

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn run() -> Result<Exit, Failure> {
    let failed =
        |error: anyhow::Error| Failure::new(Exit::NotDone, error.context("the demo failed"));
    block_on(Exit::NotDone, async {
        let started = Instant::now();
        let demo = async {
            let dir = tempfile::Builder::new().prefix("wrapper-demo-").tempdir()?;
            show(dir.path()).await?;
            dir.close().context("cannot remove the temporary directory")
        };
        tokio::time::timeout(PATIENCE, demo)
            .await
            .context("it did not end in time")
            .and_then(|done| done)
            .map_err(failed)?;
        report::line(format_args!(
            "\nAll of that took {:.1} s; nothing of it is left. Yours: `wrapper claude`",
            started.elapsed().as_secs_f32()
        ));
        Ok(Exit::Done)
    })
}

async fn show(dir: &Path) -> Result<()> {
    let (mut serve, hub_url, mcp_url) = start_hub(dir).await?;
    step("hub", format_args!("{hub_url}, its tools at {mcp_url}"));
    let (hub, mcp): (Endpoint, Endpoint) = (hub_url.parse()?, mcp_url.parse()?);
    let human = hub::human_token(&dir.join("hub"))?;
    let client = Client::new(hub.clone());

    let mut stage = Stage::launch(dir, hub.port, mcp.port)?;
    stage.until("is ready").await?;
    let name: InstanceName = AGENT.parse()?;
    let online = client.status(&human).await?;
    ensure!(
        online
            .iter()
            .any(|(who, status)| *who == name && status.available),
        "the agent is not registered"
    );
    step(
        "agent",
        format_args!("`wrapper {AGENT}` has registered it and runs it in a terminal of its own"),
    );

    let mut chat = client.stream(&human, Some(0), None).await?;
    for text in ["@ada are you there?", "@ada and now, with another token?"] {
        let said = Instant::now();
        client.send(&human, text, &ChannelName::general()).await?;
        step("you", format_args!("{text}"));
        stage.until("use mcp to read").await?;
        step(
            "typed",
            format_args!(
                "into its terminal, {:.1} ms later: use mcp to read #general …",
                said.elapsed().as_secs_f64() * 1000.0
            ),
        );
        stage.until("calls chat_read #general").await?;
        step(
            "tool",
            format_args!("chat_read #general, through the proxy"),
        );
        stage.until("calls chat_send #general").await?;
        step("tool", format_args!("chat_send #general"));
        let answer = answer(&mut chat).await?;
        step(AGENT, format_args!("{}", answer.text));
        ensure!(
            answer.text.contains(text),
            "the answer is to something else"
        );
        if !text.contains("token") {
            client.rotate(&human, &name).await?;
            step(
                "hub",
                format_args!("has rotated its token: the one that it holds is refused from now on"),
            );
            stage.clear();
        }
    }
    let exit = stage.leave().await?;
    ensure!(exit == AgentExit::Code(0), "the launch ended with {exit:?}");
    ensure!(
        !client
            .status(&human)
            .await?
            .iter()
            .any(|(who, _)| *who == name),
        "the agent is still registered"
    );
    step(
        "end",
        format_args!("the agent has left, and is no longer registered"),
    );
    end(&mut serve).await
}

fn step(who: &str, what: std::fmt::Arguments<'_>) {
    report::line(format_args!("{who:>6}  {what}"));
}

/// The hub, and where its REST and its tools are.
async fn start_hub(dir: &Path) -> Result<(Child, String, String)> {
    let exe = std::env::current_exe()?;
    let config = json!({"command": exe, "args": ["demo-agent"]});
    let config = format!(
        "[agents.{AGENT}]\nlabel = \"Ada\"\ncommand = {}\nargs = {}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n",
        config["command"], config["args"]
    );
    paths::private_file(&dir.join("config.toml"), config.as_bytes())?;
    let mut command = Command::new(exe);
    command
        .args([
            "serve",
            "--json",
            "--port",
            "0",
            "--mcp-http-port",
            "0",
            "--mcp-sse-port",
            "0",
            "--config",
        ])
        .arg(dir.join("config.toml"));
    command
        .arg("--data-dir")
        .arg(dir.join("hub"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().context("cannot start the hub")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no pipe")?)
        .read_line(&mut line)
        .await?;
    let at: Value = serde_json::from_str(&line).context("the hub did not start")?;
    let url = |key: &str| {
        at[key]
            .as_str()
            .map(str::to_owned)
            .context("the hub does not say where it is")
    };
    Ok((child, url("url")?, url("mcp_url")?))
}

/// The next message that the agent has written.
async fn answer(chat: &mut Events<api::Message>) -> Result<api::Message> {
    while let Some(message) = chat.next().await? {
        if message.sender == AGENT && message.kind == "chat" {
            return Ok(message);
        }
    }
    bail!("the hub has ended")
}

async fn end(serve: &mut Child) -> Result<()> {
    let pid = serve
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .context("the hub has ended")?;
    kill(Pid::from_raw(pid), Signal::SIGTERM)?;
    let status = serve.wait().await?;
    ensure!(status.success(), "the hub ended with {status}");
    Ok(())
}

/// The terminal that the launch believes to be the user's.
struct Stage {
    pty: Pty,
    process: Process,
    screen: Screen,
}

impl Stage {
    fn launch(dir: &Path, port: u16, mcp_port: u16) -> Result<Self> {
        let args = [
            AGENT,
            "--port",
            &port.to_string(),
            "--mcp-http-port",
            &mcp_port.to_string(),
            "--config",
        ]
        .map(Into::into);
        let mut env = paths::env();
        env.retain(|name, _| !name.as_encoded_bytes().starts_with(b"AGENTCHATTR_"));
        env.insert("WRAPPER_STATE_DIR".into(), dir.join("state").into());
        let size = TermSize::default();
        let launch = Launch {
            program: std::env::current_exe()?,
            args: args
                .into_iter()
                .chain([
                    dir.join("config.toml").into(),
                    "--data-dir".into(),
                    dir.join("hub").into(),
                ])
                .collect(),
            env,
            cwd: dir.to_owned(),
        };
        let (pty, process) = Pty::spawn(&launch, size)?;
        Ok(Self {
            pty,
            process,
            screen: Screen::new(size),
        })
    }

    /// Waits until the terminal shows `text`.
    async fn until(&mut self, text: &str) -> Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let rows = self.screen.picture().rows;
            if rows.concat().contains(text) {
                return Ok(());
            }
            let count = self.pty.read(&mut buffer).await?;
            if count == 0 {
                bail!("the launch has ended:\n{}", rows.join("\n").trim());
            }
            self.screen.feed(&buffer[..count]);
        }
    }

    /// Forgets what has been shown.
    fn clear(&mut self) {
        self.screen = Screen::new(self.screen.size());
    }

    /// Presses Ctrl-C, which ends the demo's agent, and waits for the launch.
    async fn leave(&mut self) -> Result<AgentExit> {
        self.pty.write(b"\x03").await?;
        let mut buffer = vec![0; 16 * 1024];
        while self.pty.read(&mut buffer).await? > 0 {}
        Ok(self.process.wait().await?)
    }
}

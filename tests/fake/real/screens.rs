//! Writes down what an agent shows, in a wide terminal, in a narrow one, and in
//! one that answers what it is asked, as most do: at its first start, while it
//! works, while it asks, with a line that nobody has sent, and when it waits.
//! `tests/screens` is made of it.
//!
//! A file is named by what it shows, `dialog-command.wide.txt`. Its first line
//! is `cursor ROW COLUMN`, from 0; the rows of the screen follow.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};
use wrapper::report;

use crate::ending::show;
use crate::home::Home;
use crate::outer::Outer;
use crate::questions;
use crate::shelf::{Shelf, TERMINALS, Terminal, settled};
use crate::steps::launch;
use crate::wait::{SETTLED, step, until};
use crate::world::World;

/// A server of whose tools no agent was told that it may call them.
const GUEST: &str = "guest";

/// Ends a line and those before it, in every agent.
const CLEAR: &[u8] = b"\x15\x7f\x15\x7f\x15\x7f\x15";

/// Writes `DIR/<agent>-<version>/<state>-<what>.<size>.txt`.
pub(crate) async fn run(agent: &str, agents: &Path, dir: &Path) -> Result<()> {
    let installed = agents.join(agent).join("installed");
    let package = fs::read_to_string(&installed)
        .with_context(|| format!("cannot read {}", installed.display()))?;
    let version = package.trim().rsplit_once('@').context("no version")?.1;
    let dir = dir.join(format!("{agent}-{version}"));
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let tools = agents.join(agent).join("node_modules/.bin");
    for Terminal(name, size, open) in TERMINALS {
        for new_home in [true, false] {
            let world = World::new(&tools).await?;
            let outer = open(&questions::launch(agent, &world, new_home)?, size)?;
            let shelf = Shelf::new(&dir, name, &world);
            let first = step(agent, "asks at its first start", shelf.first(agent, &outer));
            first.await.inspect_err(|_| show(&outer, &world))?;
        }
        let world = World::new(&tools).await?;
        let mut home = Home::furnish(agent, &world)?;
        home.env.extend(questions::env(agent));
        let guest = format!("--mcp={GUEST}={}", world.servers.url(GUEST));
        let options = ["--offline", "--trust-project", &guest];
        let outer = open(&launch(agent, &world, &home, &options), size)?;
        let shelf = Shelf::new(&dir, name, &world);
        let result = shelf.all(agent, &outer).await;
        result.inspect_err(|_| show(&outer, &world))?;
    }
    Ok(())
}

/// Writes `DIR/<agent>.raw`: what an agent writes to a wide terminal when it
/// starts, answers a prompt and asks before a command.
pub(crate) async fn output(agent: &str, agents: &Path, dir: &Path) -> Result<()> {
    let world = World::new(&agents.join(agent).join("node_modules/.bin")).await?;
    let mut home = Home::furnish(agent, &world)?;
    home.env.extend(questions::env(agent));
    let Terminal(name, size, open) = TERMINALS[0];
    let options = ["--offline", "--trust-project"];
    let outer = open(&launch(agent, &world, &home, &options), size)?;
    let screens = world.dir("screens");
    fs::create_dir_all(&screens).with_context(|| format!("cannot make {}", screens.display()))?;
    let shelf = Shelf::new(&screens, name, &world);
    let drive = async {
        step(agent, "starts", shelf.start(agent, &outer)).await?;
        outer.prompt("take 2 seconds").await?;
        outer.shown(&["hello"]).await?;
        settled(&outer).await;
        step(agent, "asks before a command", shelf.commands(&outer)).await
    };
    drive.await.inspect_err(|_| show(&outer, &world))?;
    let path = dir.join(format!("{agent}.raw"));
    let bytes = shelf.same(&outer.bytes());
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

impl Shelf<'_> {
    /// What an agent asks at a first start, up to that for a login.
    async fn first(&self, agent: &str, outer: &Outer) -> Result<()> {
        let mut asked = BTreeSet::new();
        for at in 0..12 {
            settled(outer).await;
            let text = outer.text();
            let question = questions::asked(agent, &text);
            let question = question.filter(|question| !asked.contains(question.name));
            if let Some(question) = question {
                self.keep(&format!("dialog-{}", question.name), outer)?;
                asked.insert(question.name);
                if question.name == questions::LOGIN {
                    return Ok(());
                }
                for key in question.keys {
                    outer.press(key.as_bytes()).await?;
                    settled(outer).await;
                }
            } else if questions::is_ready(agent, &text) {
                return Ok(());
            } else if !text.is_empty() && !questions::is_starting(agent, &text) {
                report::line(format_args!("{agent}: a screen without a name:\n{text}"));
                self.keep(&format!("unnamed-{at}"), outer)?;
            }
        }
        Ok(())
    }

    /// Everything from a start without questions to the end.
    async fn all(&self, agent: &str, outer: &Outer) -> Result<()> {
        step(agent, "starts", self.start(agent, outer)).await?;
        step(agent, "has drafts", self.drafts(outer)).await?;
        step(agent, "is busy", self.busy(outer)).await?;
        step(agent, "asks before a command", self.commands(outer)).await?;
        step(agent, "runs a command", self.command(outer)).await?;
        step(agent, "asks before a tool", self.tool(outer)).await?;
        step(agent, "asks for a model", self.models(agent, outer)).await
    }

    async fn start(&self, agent: &str, outer: &Outer) -> Result<()> {
        self.keep("starting-blank", outer)?;
        until(|| async {
            let text = outer.text();
            if questions::is_starting(agent, &text) {
                self.keep("starting-loading", outer)?;
            }
            Ok(questions::is_ready(agent, &text).then_some(()))
        })
        .await?;
        settled(outer).await;
        settled(outer).await;
        self.keep("idle-fresh", outer)
    }

    async fn drafts(&self, outer: &Outer) -> Result<()> {
        for (what, keys) in [
            ("line", "half a line"),
            (
                "lines",
                "\x1b[200~one line\nand another\nand a third\x1b[201~",
            ),
            ("shell", "!ls -l"),
            ("slash", "/mo"),
        ] {
            for key in keys.split_inclusive(|_| !keys.starts_with('\x1b')) {
                outer.press(key.as_bytes()).await?;
                sleep(SETTLED / 20).await;
            }
            settled(outer).await;
            self.keep(&format!("draft-{what}"), outer)?;
            outer.press(CLEAR).await?;
            settled(outer).await;
            if what == "shell" {
                outer.press(b"\x1b").await?;
                settled(outer).await;
            }
        }
        self.keep("idle-cleared", outer)
    }

    async fn busy(&self, outer: &Outer) -> Result<()> {
        outer.prompt("take 9 seconds").await?;
        sleep(3 * SETTLED).await;
        self.keep("busy-model", outer)?;
        outer.press(b"typed while busy").await?;
        outer.shown(&["typed while busy"]).await?;
        self.keep("draft-while-busy", outer)?;
        outer.press(CLEAR).await?;
        outer.shown(&["hello"]).await?;
        settled(outer).await;
        self.keep("idle-answered", outer)?;
        // An answer of the past that looks like a question of now.
        outer.prompt("1. Yes\n2. No").await?;
        settled(outer).await;
        self.keep("idle-list", outer)
    }

    async fn commands(&self, outer: &Outer) -> Result<()> {
        outer.prompt("run command touch made-it").await?;
        self.asks(outer, "dialog-command", &questions::PERMISSION)
            .await?;
        outer.press(b"\x1b").await?;
        settled(outer).await;
        // Kilo wants to be told what to do in its place.
        if outer.text().contains("esc cancel") {
            self.keep("dialog-reject", outer)?;
            outer.press(b"\r").await?;
            settled(outer).await;
        }
        self.keep("idle-declined", outer)
    }

    async fn command(&self, outer: &Outer) -> Result<()> {
        // Some do not wait for a command that they know to wait.
        let command = "run command timeout 9 tail -f /dev/null";
        outer.prompt(command).await?;
        self.asks(outer, "dialog-wait", &questions::PERMISSION)
            .await?;
        outer.press(b"\r").await?;
        sleep(3 * SETTLED).await;
        self.keep("busy-command", outer)?;
        outer.shown(&["done"]).await?;
        settled(outer).await;
        self.keep("idle-command-done", outer)
    }

    async fn tool(&self, outer: &Outer) -> Result<()> {
        let call = format!("call the tools {GUEST}.word");
        outer.prompt(&call).await?;
        self.asks(outer, "dialog-tool", &questions::PERMISSION)
            .await?;
        outer.press(b"\x1b").await?;
        settled(outer).await;
        Ok(())
    }

    async fn models(&self, agent: &str, outer: &Outer) -> Result<()> {
        outer.press(questions::models(agent).as_bytes()).await?;
        settled(outer).await;
        outer.press(b"\r").await?;
        self.asks(outer, "dialog-model", &questions::MODELS).await?;
        outer.press(b"\x1b").await?;
        // Some wait for what may belong to the key.
        until(|| async {
            let shown = outer.text();
            let is_open = questions::MODELS.iter().any(|words| shown.contains(words));
            Ok((!is_open).then_some(()))
        })
        .await?;
        settled(outer).await;
        self.keep("idle-at-last", outer)
    }

    /// Waits for a question, by its words. Not everybody has every one.
    async fn asks(&self, outer: &Outer, what: &str, words: &[&str]) -> Result<()> {
        let asked = outer.shown(words);
        if timeout(60 * SETTLED, asked).await.is_err() {
            report::line(format_args!("no {what}:\n{}", outer.text()));
            return Ok(());
        }
        settled(outer).await;
        self.keep(what, outer)
    }
}

//! What one agent goes through, from its launch to its end.

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use wrapper::report;
use wrapper::terminal::Launch;
use wrapper::types::exit::AgentExit;

use crate::home::{self, Home};
use crate::outer::Outer;
use crate::world::World;

/// How long one step may take, on a machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(90);

/// How long a screen takes to be the next one, and to stay it.
const SETTLED: Duration = Duration::from_secs(1);

/// Between two looks at what sends no event.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs one agent; what it showed and logged is told if it fails.
pub(crate) async fn run(agent: &str, agents: &Path) -> Result<()> {
    let tools = agents.join(agent).join("node_modules/.bin");
    ensure!(
        tools.join(agent).exists(),
        "{} is not installed",
        tools.join(agent).display()
    );
    let world = World::new(&tools).await?;
    let home = home::furnish(
        agent,
        &world.dir("home"),
        &world.dir("project"),
        world.model,
    )?;
    let before = home.kept.as_ref().map(fs::read).transpose()?;
    let mut outer = Outer::run(&launch(agent, &world, &home))?;
    let result = live(agent, &world, &mut outer).await;
    if result.is_err() {
        report::line(format_args!(
            "--- screen\n{}\n--- log\n{}\n---",
            outer.text(),
            world.log()
        ));
    }
    let hub = result?;
    step(agent, "leaves nothing behind", async {
        leave(agent, &world, hub).await?;
        let after = home.kept.as_ref().map(fs::read).transpose()?;
        ensure!(before == after, "its settings are not as they were");
        Ok(())
    })
    .await
}

/// The agent's life; returns the hub that runs at the end.
async fn live(agent: &str, world: &World, outer: &mut Outer) -> Result<Child> {
    let name = step(agent, "registers", async {
        tokio::select! {
            name = registered(agent, world) => name,
            exit = outer.wait() => bail!("the wrapper ended with {:?}", exit?),
        }
    })
    .await?;
    step(agent, "answers a mention", mention(&name, world, "first")).await?;
    step(agent, "answers after its token was rotated", async {
        world.post(&format!("/api/rotate/{name}")).await?;
        mention(&name, world, "second").await
    })
    .await?;
    step(
        agent,
        "lets no mention approve a command",
        dialog(&name, world, outer),
    )
    .await?;
    let hub = step(agent, "answers after the hub was restarted", async {
        let old = world.end_hub()?;
        until(|| async { Ok(kill(old, None).is_err().then_some(())) }).await?;
        let hub = world
            .verb(&["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the hub")?;
        until(|| async { Ok(world.json(&["who", "--json"]).await.ok()) }).await?;
        mention(&name, world, "third").await?;
        Ok(hub)
    })
    .await?;
    step(agent, "ends with 0 when it is told to", ended(outer)).await?;
    Ok(hub)
}

fn launch(agent: &str, world: &World, home: &Home) -> Launch {
    let [rest, mcp, sse] = world.ports.map(|port| OsString::from(port.to_string()));
    let mut env = world.env();
    env.extend(home.env.iter().map(|(name, value)| (*name, value.into())));
    Launch {
        program: world.program(),
        args: vec![
            agent.into(),
            "--port".into(),
            rest,
            "--mcp-http-port".into(),
            mcp,
            "--mcp-sse-port".into(),
            sse,
            "--data-dir".into(),
            world.dir("hub").into(),
        ],
        env: env
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        cwd: world.dir("project"),
    }
}

/// The name under which the agent is in the chat.
async fn registered(agent: &str, world: &World) -> Result<String> {
    until(|| async {
        // Until the launch has started its hub, there is none to ask.
        let Ok(who) = world.json(&["who", "--json"]).await else {
            return Ok(None);
        };
        let all = who.as_array().context("`wrapper who --json` is no array")?;
        let own = all
            .iter()
            .find(|one| one["base"] == agent && one["online"] == true);
        Ok(own
            .and_then(|own| own["name"].as_str())
            .map(ToOwned::to_owned))
    })
    .await
}

/// Has the agent ask for permission to run a command, mentions it meanwhile,
/// declines, and waits for the answer to the mention.
async fn dialog(name: &str, world: &World, outer: &Outer) -> Result<()> {
    const COMMAND: &str = "run command touch approved";
    const QUESTIONS: [&str; 3] = ["Do you want to", "Would you like to", "Allow execution"];
    outer.paste(COMMAND).await?;
    shown(outer, &[COMMAND]).await?;
    sleep(SETTLED).await;
    outer.press(b"\r").await?;
    shown(outer, &QUESTIONS).await?;
    let word = ask(name, world, "declined").await?;
    // That nothing happens can only be seen by waiting for it.
    let early = timeout(3 * SETTLED, answered(name, world, &word)).await;
    ensure!(early.is_err(), "it answered while a question was open");
    shown(outer, &QUESTIONS).await?;
    outer.press(b"\x1b").await?;
    answered(name, world, &word).await?;
    let approved = world.dir("project").join("approved").exists();
    ensure!(!approved, "the command was approved");
    Ok(())
}

/// Waits until one of these stands on the screen.
async fn shown(outer: &Outer, texts: &[&str]) -> Result<()> {
    until(|| async {
        let screen = outer.text();
        Ok(texts.iter().any(|text| screen.contains(text)).then_some(()))
    })
    .await
}

/// Mentions the agent, and waits for its answer.
async fn mention(name: &str, world: &World, word: &str) -> Result<()> {
    let word = ask(name, world, word).await?;
    answered(name, world, &word).await
}

/// Asks the agent to say a word that nobody else knows.
async fn ask(name: &str, world: &World, word: &str) -> Result<String> {
    let word = format!("{word}-{}", wrapper::types::identity::SessionId::random());
    world
        .json(&[
            "say",
            "--json",
            &format!("@{name} say it again, please: echo:{word}"),
        ])
        .await?;
    Ok(word)
}

/// Waits until the agent has said the word.
async fn answered(name: &str, world: &World, word: &str) -> Result<()> {
    until(|| async {
        let read = world.json(&["read", "--json", "-n", "50"]).await?;
        let all = read
            .as_array()
            .context("`wrapper read --json` is no array")?;
        let answer = format!("heard {word}");
        Ok(all
            .iter()
            .any(|one| one["sender"] == name && one["text"] == answer.as_str())
            .then_some(()))
    })
    .await
}

/// Presses Ctrl-C until the agent has ended.
async fn ended(outer: &mut Outer) -> Result<()> {
    loop {
        outer.press(b"\x03").await?;
        if let Ok(exit) = timeout(Duration::from_millis(700), outer.wait()).await {
            let exit = exit?;
            ensure!(exit == AgentExit::Code(0), "it ended with {exit:?}");
            return Ok(());
        }
    }
}

/// Nobody is online, and after the hub's end nothing is alive.
async fn leave(agent: &str, world: &World, mut hub: Child) -> Result<()> {
    until(|| async {
        let who = world.json(&["who", "--json"]).await?;
        let online = who.as_array().into_iter().flatten();
        Ok(online
            .into_iter()
            .all(|one| one["base"] != agent || one["online"] != true)
            .then_some(()))
    })
    .await?;
    let pid = hub
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .context("the hub has ended")?;
    kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM)?;
    let status = hub.wait().await?;
    ensure!(status.success(), "the hub ended with {status}");
    let alive = until(|| async { Ok(Some(world.members()?).filter(Vec::is_empty)) });
    if timeout(Duration::from_secs(10), alive).await.is_err() {
        return Err(anyhow!("still alive: {:?}", world.members()?));
    }
    Ok(())
}

/// Asks until there is an answer.
async fn until<T, F: Future<Output = Result<Option<T>>>>(
    mut probe: impl FnMut() -> F,
) -> Result<T> {
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        sleep(PAUSE).await;
    }
}

/// One line of the report.
async fn step<T>(agent: &str, what: &str, doing: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    let done = timeout(DEADLINE, doing)
        .await
        .unwrap_or_else(|_| Err(anyhow!("nothing happened for {} s", DEADLINE.as_secs())));
    let verdict = if done.is_ok() { "ok" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f64();
    report::line(format_args!(
        "{agent:<7} {what:<36} {verdict} ({seconds:.1} s)"
    ));
    done.with_context(|| what.to_owned())
}

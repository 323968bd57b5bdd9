//! What one agent goes through, from its launch to its end.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use tokio::process::Child;
use tokio::time::timeout;
use wrapper::report;
use wrapper::terminal::Launch;
use wrapper::types::exit::AgentExit;

use crate::chat;
use crate::home::Home;
use crate::live;
use crate::outer::Outer;
use crate::refusals;
use crate::tools;
use crate::trust;
use crate::wait::{step, until};
use crate::world::World;

/// Agents that go through everything, with questions and half-written lines;
/// the others take too long.
const DIALOGS: [&str; 3] = ["claude", "codex", "gemini"];

/// Runs one agent; what it showed and logged is told if it fails.
pub(crate) async fn run(agent: &str, agents: &Path) -> Result<()> {
    let tools = agents.join(agent).join("node_modules/.bin");
    ensure!(
        tools.join(agent).exists(),
        "{} is not installed",
        tools.join(agent).display()
    );
    let world = World::new(&tools).await?;
    let home = Home::furnish(agent, &world)?;
    let before = home.content()?;
    let mut outer = Outer::run(&launch(agent, &world, &home, &["--trust-project"]))?;
    let hub = live(agent, &world, &mut outer).await;
    let hub = hub.inspect_err(|_| show(&outer, &world))?;
    step(agent, "leaves nothing behind", async {
        leave(agent, &world, hub).await?;
        for (before, after) in before.iter().zip(home.content()?) {
            ensure!(*before == after, "was:\n{before}\n\nis:\n{after}");
        }
        Ok(())
    })
    .await?;
    if agent == "claude" {
        trust::run(agent, &world, &home).await?;
    }
    if DIALOGS.contains(&agent) {
        refusals::run(agent, &world, &home).await?;
    }
    Ok(())
}

/// Shows where it has failed.
pub(crate) fn show(outer: &Outer, world: &World) {
    report::line(format_args!(
        "--- screen\n{}\n--- log\n{}\n---",
        outer.text(),
        world.log()
    ));
}

/// The agent's life; returns the hub that runs at the end.
async fn live(agent: &str, world: &World, outer: &mut Outer) -> Result<Child> {
    let name = step(agent, "registers", async {
        tokio::select! {
            name = chat::registered(agent, world) => name,
            exit = outer.wait() => bail!("the wrapper ended with {:?}", exit?),
        }
    })
    .await?;
    step(
        agent,
        "answers a mention that came as it started",
        chat::mention(&name, world, "first"),
    )
    .await?;
    step(
        agent,
        "has every server once, and its answer",
        tools::answer(world, outer),
    )
    .await?;
    step(agent, "tells its servers of the session", async {
        tools::know_the_session(agent, &name, world)
    })
    .await?;
    step(agent, "keeps the secrets of its servers", async {
        tools::keep_secrets(world)
    })
    .await?;
    step(agent, "answers after its token was rotated", async {
        world.post(&format!("/api/rotate/{name}")).await?;
        chat::mention(&name, world, "second").await
    })
    .await?;
    if DIALOGS.contains(&agent) {
        let what = "lets no mention approve a command";
        step(agent, what, chat::dialog(&name, world, outer)).await?;
        let what = "has no mention in a line of the user's";
        step(agent, what, chat::draft(&name, world, outer)).await?;
        let what = "answers a mention that came while it worked";
        step(agent, what, chat::busy(&name, world, outer)).await?;
    }
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
        chat::mention(&name, world, "third").await?;
        Ok(hub)
    })
    .await?;
    step(agent, "has connected to every server once", async {
        tools::connected(world, 1)?.context("one was never connected")
    })
    .await?;
    step(
        agent,
        "has a server's answer after its restart",
        tools::answer_after_a_restart(world, outer),
    )
    .await?;
    if DIALOGS.contains(&agent) {
        change(agent, &name, world, outer).await?;
    }
    step(agent, "ends with 0 when it is told to", ended(outer)).await?;
    Ok(hub)
}

/// Its servers and their credentials change, and it hears mentions as before.
async fn change(agent: &str, name: &str, world: &World, outer: &Outer) -> Result<()> {
    let moved = live::moved(name, world, outer);
    step(agent, "has a server at another URL", moved).await?;
    let renewed = live::renewed(name, world, outer);
    step(agent, "has a credential renewed", renewed).await?;
    let added = live::added(name, world, outer);
    step(agent, "has a server that is new", added).await?;
    let heard = chat::mention(name, world, "fourth");
    step(agent, "answers after all that", heard).await
}

/// How the user starts an agent, with these options of ours.
pub(crate) fn launch(agent: &str, world: &World, home: &Home, options: &[&str]) -> Launch {
    let mut env = world.env();
    env.extend(home.env.iter().map(|(name, value)| (*name, value.into())));
    let own = home.args.iter().map(Into::into);
    Launch {
        program: world.program(),
        args: [agent.into()]
            .into_iter()
            .chain(world.options())
            .chain(options.iter().map(Into::into))
            .chain(["--".into()])
            .chain(own)
            .collect(),
        env: env
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        cwd: world.dir("project"),
    }
}

/// Presses Ctrl-C until the agent has ended.
pub(crate) async fn ended(outer: &mut Outer) -> Result<()> {
    loop {
        // Once it has left its screen, the terminal would make a signal of it.
        if outer.takes_pastes() {
            outer.press(b"\x03").await?;
        }
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
    nobody(world).await
}

/// Waits until nothing of this run is alive.
pub(crate) async fn nobody(world: &World) -> Result<()> {
    let alive = until(|| async { Ok(Some(world.members()?).filter(Vec::is_empty)) });
    if timeout(Duration::from_secs(10), alive).await.is_err() {
        return Err(anyhow!("still alive: {:?}", world.members()?));
    }
    Ok(())
}

//! What one agent goes through, from its launch to its end: in the user's
//! terminal, and once more in the background, with terminals that attach.
//!
//! The second time leaves out what passes between the session and the hub or the
//! servers, and never comes near a terminal: rotated tokens and how they are
//! refused, a hub or a server that restarts, servers and credentials that change,
//! and a mention while the agent works. Whether a project's servers may be used
//! is asked before a launch leaves its terminal, so that is as in the foreground.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use tokio::process::Child;
use wrapper::terminal::Launch;

use crate::chat;
use crate::ending::{ended, leave};
use crate::ground::Ground;
use crate::home::Home;
use crate::keys;
use crate::live;
use crate::outer::Outer;
use crate::questions;
use crate::refusals;
use crate::tools;
use crate::trust;
use crate::viewer;
use crate::wait::{step, until};
use crate::world::World;

/// Agents that go through everything, with questions and half-written lines;
/// the others take too long.
const DIALOGS: [&str; 3] = ["claude", "codex", "gemini"];

/// Runs one agent, each way in a world of its own.
pub(crate) async fn run(agent: &str, agents: &Path) -> Result<()> {
    let tools = agents.join(agent).join("node_modules/.bin");
    ensure!(
        tools.join(agent).exists(),
        "{} is not installed",
        tools.join(agent).display()
    );
    for ground in [Ground::Fore, Ground::Back] {
        pass(agent, &tools, ground).await?;
    }
    Ok(())
}

/// Runs an agent one way; what it showed and logged is told if it fails.
async fn pass(agent: &str, tools: &Path, ground: Ground) -> Result<()> {
    let world = World::new(tools).await?;
    let mut home = Home::furnish(agent, &world)?;
    home.env.extend(questions::env(agent));
    let before = home.content()?;
    let mut outer = Outer::run(&launch(agent, &world, &home, ground.options()))?;
    let live = live(agent, ground, &world, &mut outer).await;
    if live.is_err() {
        ground.show(agent, &world, &outer).await;
    }
    let hub = live?;
    step(&ground.label(agent), "leaves nothing behind", async {
        leave(agent, &world, hub).await?;
        for (before, after) in before.iter().zip(home.content()?) {
            ensure!(*before == after, "was:\n{before}\n\nis:\n{after}");
        }
        Ok(())
    })
    .await?;
    if ground == Ground::Fore {
        if agent == "claude" {
            trust::run(agent, &world, &home).await?;
        }
        if DIALOGS.contains(&agent) {
            refusals::run(agent, &world, &home).await?;
        }
    }
    Ok(())
}

/// The agent's life; the hub that runs at its end, if it is not the launch's.
async fn live(
    agent: &str,
    ground: Ground,
    world: &World,
    outer: &mut Outer,
) -> Result<Option<Child>> {
    let label = &*ground.label(agent);
    let registered = ground.registered(agent, world, outer);
    let name = &*step(label, "registers", registered).await?;
    let what = "answers a mention that came as it started";
    step(label, what, chat::mention(name, world, "first")).await?;
    if ground == Ground::Back {
        let what = "shows itself to who attaches";
        step(label, what, viewer::attach(name, world, outer)).await?;
    }
    let what = "has every server once, and its answer";
    step(label, what, tools::answer(world, outer)).await?;
    step(label, "tells its servers of the session", async {
        tools::know_the_session(agent, name, world)
    })
    .await?;
    step(label, "keeps the secrets of its servers", async {
        tools::keep_secrets(world)
    })
    .await?;
    if DIALOGS.contains(&agent) {
        let what = "lets no mention approve a command";
        step(label, what, chat::dialog(name, world, outer)).await?;
        let what = "has no mention in a line of the user's";
        step(label, what, chat::draft(name, world, outer)).await?;
    }
    keys::heard(agent, label, name, world, outer).await?;
    match ground {
        Ground::Fore => watched(agent, name, world, outer).await.map(Some),
        Ground::Back => unwatched(label, name, world, outer).await.map(|()| None),
    }
}

/// The rest of a life in the user's terminal; returns the hub that runs at its
/// end.
async fn watched(agent: &str, name: &str, world: &World, outer: &mut Outer) -> Result<Child> {
    step(agent, "answers after its token was rotated", async {
        world.post(&format!("/api/rotate/{name}")).await?;
        chat::mention(name, world, "second").await
    })
    .await?;
    if DIALOGS.contains(&agent) {
        let what = "answers a mention that came while it worked";
        step(agent, what, chat::busy(name, world, outer)).await?;
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
        chat::mention(name, world, "third").await?;
        Ok(hub)
    })
    .await?;
    connected_once(agent, world).await?;
    let what = "has a server's answer after its restart";
    step(agent, what, tools::answer_after_a_restart(world, outer)).await?;
    if DIALOGS.contains(&agent) {
        change(agent, name, world, outer).await?;
    }
    step(agent, "ends with 0 when it is told to", ended(outer)).await?;
    Ok(hub)
}

/// The rest of a life in the background: terminals come and go.
async fn unwatched(label: &str, name: &str, world: &World, outer: &mut Outer) -> Result<()> {
    let what = "shows who types all that it does";
    step(label, what, viewer::follows(name, world, outer)).await?;
    let what = "lets go of who detaches";
    step(label, what, viewer::detach(name, world, outer)).await?;
    let what = "answers a mention while nobody looks";
    step(label, what, chat::mention(name, world, "second")).await?;
    let what = "takes a prompt while nobody looks";
    let word = step(label, what, viewer::prompt(name, world)).await?;
    step(label, "shows that to who attaches again", async {
        viewer::attach(name, world, outer).await?;
        outer.shown(&[&word]).await
    })
    .await?;
    connected_once(label, world).await?;
    step(label, "is restarted before who looks on", async {
        viewer::restart(name, world, outer).await?;
        chat::mention(name, world, "third").await
    })
    .await?;
    step(label, "is stopped", viewer::stop(name, world, outer)).await
}

async fn connected_once(label: &str, world: &World) -> Result<()> {
    step(label, "has connected to every server once", async {
        tools::connected(world, 1)?.context("one was never connected")
    })
    .await
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

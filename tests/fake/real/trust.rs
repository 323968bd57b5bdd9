//! The question whether a project's servers may be used: asked by us, once, and
//! not by the agent as well.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::{Context, Result, ensure};
use tokio::time::{sleep, timeout};

use crate::ending::{ended, nobody, show};
use crate::home::Home;
use crate::outer::Outer;
use crate::steps::launch;
use crate::tools::{connected, connections};
use crate::wait::{SETTLED, step, until};
use crate::world::World;

/// Our question.
const OURS: &str = "Use these servers?";

/// What claude's own question says, of one server or of many.
const ITS_OWN: &str = "found in this project";

/// The project's servers, and those that have nothing to do with it.
const PROJECT: [&str; 2] = ["web", "shed"];
const OTHERS: [&str; 3] = ["own", "tracker", "vault"];

/// Launches the agent again in a world where every server was connected once.
pub(crate) async fn run(agent: &str, world: &World, home: &Home) -> Result<()> {
    let outer = || Outer::run(&launch(agent, world, home, &["--offline"]));
    let mut first = outer()?;
    let what = "asks once before it uses a project";
    let asked = step(agent, what, asked(world, &mut first)).await;
    asked.inspect_err(|_| show(&first, world))?;
    let mut second = outer()?;
    let what = "remembers what the user said";
    let remembered = step(agent, what, remembered(world, &mut second)).await;
    remembered.inspect_err(|_| show(&second, world))?;
    // With another content it is another question.
    let path = world.dir("project").join(".mcp.json");
    let file = OpenOptions::new().append(true).open(&path);
    file.and_then(|mut file| writeln!(file))
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut third = outer()?;
    let what = "starts nothing that was refused";
    let refused = step(agent, what, refused(world, &mut third)).await;
    refused.inspect_err(|_| show(&third, world))
}

async fn asked(world: &World, outer: &mut Outer) -> Result<()> {
    outer.shown(&[OURS]).await?;
    outer.press(b"y\r").await?;
    answers(world, outer).await?;
    until(|| async { connected(world, 2) }).await?;
    ended(outer).await?;
    nobody(world).await
}

async fn remembered(world: &World, outer: &mut Outer) -> Result<()> {
    answers(world, outer).await?;
    until(|| async { connected(world, 3) }).await?;
    ended(outer).await?;
    nobody(world).await
}

async fn refused(world: &World, outer: &mut Outer) -> Result<()> {
    outer.shown(&[OURS]).await?;
    outer.press(b"n\r").await?;
    answers(world, outer).await?;
    until(|| async {
        let mut all = true;
        for server in OTHERS {
            all &= connections(world, server)? == 4;
        }
        Ok(all.then_some(()))
    })
    .await?;
    ended(outer).await?;
    nobody(world).await?;
    for server in PROJECT {
        let count = connections(world, server)?;
        ensure!(count == 3, "`{server}` was started, though refused");
    }
    Ok(())
}

/// The agent takes a prompt, so it asks nothing.
async fn answers(world: &World, outer: &Outer) -> Result<()> {
    let before = world.conversation()?.len();
    // What comes before that is for the terminal to echo, or for nobody.
    until(|| async { Ok(outer.takes_pastes().then_some(())) }).await?;
    sleep(SETTLED).await;
    outer.prompt("good morning").await?;
    let answered = || async {
        ensure!(!outer.text().contains(ITS_OWN), "the agent asks by itself");
        let talk = world.conversation()?;
        let new = talk.iter().skip(before);
        let mut hello = new.filter(|asked| asked["answer"] == "Text(\"hello\")");
        Ok(hello.next().map(|_| ()))
    };
    loop {
        if let Ok(answered) = timeout(5 * SETTLED, until(answered)).await {
            return answered;
        }
        // While it starts an agent may show a paste and lose the Enter.
        outer.press(b"\r").await?;
    }
}

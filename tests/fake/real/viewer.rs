//! Terminals that attach to a session in the background, and what happens while
//! there is none.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wrapper::control::protocol;
use wrapper::terminal::Launch;
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::SessionId;

use crate::outer::Outer;
use crate::wait::until;
use crate::world::World;

/// Looks at a session from another terminal, in the place of `outer`, whose
/// window closes: nothing of that may reach the session.
pub(crate) async fn attach(name: &str, world: &World, outer: &mut Outer) -> Result<()> {
    let env = world.env().into_iter();
    *outer = Outer::run(&Launch {
        program: world.program(),
        args: vec!["attach".into(), name.into()],
        env: env.map(|(name, value)| (name.into(), value)).collect(),
        cwd: world.dir("home"),
    })?;
    agrees(name, world, outer).await?;
    Ok(())
}

/// A terminal that was typed into shows what the agent has written since, and
/// the agent has its size.
pub(crate) async fn follows(name: &str, world: &World, outer: &Outer) -> Result<()> {
    let rows = agrees(name, world, outer).await?;
    let own = outer.picture().rows.len();
    ensure!(rows == own, "the agent has {rows} rows, not {own}");
    Ok(())
}

/// Waits until the terminal shows what the agent does, its cursor in the same
/// place, and takes pastes as the agent has asked; how many rows the agent has.
async fn agrees(name: &str, world: &World, outer: &Outer) -> Result<usize> {
    until(|| async {
        let screen = world.json(&["screen", name, "--json"]).await?;
        let mut screen: protocol::Screen = serde_json::from_value(screen)?;
        let shown = outer.picture();
        // Until somebody has typed the agent's may be the smaller one.
        let rows = screen.rows.len();
        screen.rows.resize(shown.rows.len(), String::new());
        let is_same = screen.rows == shown.rows
            && (screen.cursor.row, screen.cursor.column) == shown.cursor
            && shown.bracketed_paste;
        Ok((is_same && !screen.text.is_empty()).then_some(rows))
    })
    .await
}

/// Leaves by the keys for that. The terminal is as it was, and the agent runs.
pub(crate) async fn detach(name: &str, world: &World, outer: &mut Outer) -> Result<()> {
    let before = session(name, world).await?;
    ensure!(before["attached"] == true, "`wrapper ps` says {before}");
    outer.press(b"\x1cd").await?;
    outer.shown(&[&format!("detached from {name};")]).await?;
    let exit = outer.wait().await?;
    ensure!(exit == AgentExit::Code(0), "it detached with {exit:?}");
    let left = outer.picture();
    ensure!(
        !left.alternate && !left.bracketed_paste,
        "the terminal is still the agent's"
    );
    let after = until(|| async {
        let session = session(name, world).await?;
        Ok(Some(session).filter(|session| session["attached"] == false))
    })
    .await?;
    ensure!(
        before["agent_pid"] == after["agent_pid"] && after["agent_pid"].is_u64(),
        "the agent was {before}, and is {after}"
    );
    Ok(())
}

/// A prompt that is sent while nobody looks reaches the model; a word of it,
/// which the agent shows from then on.
pub(crate) async fn prompt(name: &str, world: &World) -> Result<String> {
    let word = SessionId::random().to_string();
    let text = format!("{word} good morning");
    let receipt = world.json(&["send", name, &text, "--json"]).await?;
    ensure!(
        receipt["outcome"] == "submitted",
        "it became of it: {receipt}"
    );
    until(|| async {
        let talk = world.conversation()?;
        Ok(talk
            .iter()
            .any(|asked| asked.to_string().contains(&word))
            .then_some(()))
    })
    .await?;
    Ok(word)
}

/// The agent starts again while a terminal looks on, which is told so, stays,
/// and shows it.
pub(crate) async fn restart(name: &str, world: &World, outer: &Outer) -> Result<()> {
    let before = session(name, world).await?;
    let seen = outer.bytes().len();
    let after = world.json(&["restart", name, "--json"]).await?;
    ensure!(
        after["agent_pid"].is_u64() && after["agent_pid"] != before["agent_pid"],
        "the agent was {before}, and is {after}"
    );
    let line = b"wrapper: the agent starts again\r\n";
    let is_told = |bytes: &[u8]| bytes.windows(line.len()).any(|part| part == line);
    until(|| async { Ok(is_told(&outer.bytes()[seen..]).then_some(())) }).await?;
    agrees(name, world, outer).await?;
    Ok(())
}

/// Ends the session; whoever looks on is told so, and has the terminal back.
pub(crate) async fn stop(name: &str, world: &World, outer: &mut Outer) -> Result<()> {
    let stopped = world.json(&["stop", name, "--json"]).await?;
    let exit = &stopped[0]["exit"];
    // An agent that has to be killed leaves its own house in disorder.
    ensure!(
        stopped[0]["name"] == name && exit.is_object() && exit["signal"] != 9,
        "`wrapper stop` says {stopped}"
    );
    let told = format!("{name} has ended: the agent");
    outer.shown(&[&told]).await?;
    let exit = outer.wait().await?;
    ensure!(exit == AgentExit::Code(0), "the viewer ended with {exit:?}");
    let running = world.json(&["ps", "--json"]).await?;
    ensure!(
        running == Value::Array(Vec::new()),
        "still there: {running}"
    );
    Ok(())
}

/// A session, as `wrapper ps` tells of it.
async fn session(name: &str, world: &World) -> Result<Value> {
    let all = world.json(&["ps", "--json"]).await?;
    let all = all.as_array().context("`wrapper ps --json` is no array")?;
    let own = all.iter().find(|session| session["name"] == name);
    own.cloned()
        .with_context(|| format!("no `{name}` in {all:?}"))
}

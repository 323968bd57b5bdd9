//! What an agent does in the chat: it is there, and answers when it is mentioned.

use anyhow::{Context, Result, ensure};
use tokio::time::timeout;
use wrapper::types::identity::SessionId;

use crate::outer::Outer;
use crate::wait::{SETTLED, until};
use crate::world::World;

/// The name under which the agent is in the chat.
pub(crate) async fn registered(agent: &str, world: &World) -> Result<String> {
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
pub(crate) async fn dialog(name: &str, world: &World, outer: &Outer) -> Result<()> {
    const QUESTIONS: [&str; 3] = ["Do you want to", "Would you like to", "Allow execution"];
    outer.prompt("run command touch approved").await?;
    outer.shown(&QUESTIONS).await?;
    let word = ask(name, world, "declined").await?;
    // That nothing happens can only be seen by waiting for it.
    let early = timeout(3 * SETTLED, answered(name, world, &word)).await;
    ensure!(early.is_err(), "it answered while a question was open");
    outer.shown(&QUESTIONS).await?;
    outer.press(b"\x1b").await?;
    answered(name, world, &word).await?;
    let approved = world.dir("project").join("approved").exists();
    ensure!(!approved, "the command was approved");
    Ok(())
}

/// Mentions the agent while a line stands there that the user has begun, and
/// waits for the answer after the user has dropped the line.
pub(crate) async fn draft(name: &str, world: &World, outer: &Outer) -> Result<()> {
    const LINE: &str = "half a line of mine";
    outer.press(LINE.as_bytes()).await?;
    outer.shown(&[LINE]).await?;
    let word = ask(name, world, "undrafted").await?;
    // That nothing happens can only be seen by waiting for it.
    let early = timeout(3 * SETTLED, answered(name, world, &word)).await;
    ensure!(early.is_err(), "it answered while a line was begun");
    let shown = outer.text();
    let merged = shown.contains(&format!("{LINE}use mcp"));
    ensure!(shown.contains(LINE) && !merged, "the line was touched");
    outer.press(b"\x15").await?;
    answered(name, world, &word).await
}

/// Mentions the agent while it works.
pub(crate) async fn busy(name: &str, world: &World, outer: &Outer) -> Result<()> {
    outer.prompt("take 5 seconds").await?;
    mention(name, world, "busy").await
}

/// Mentions the agent, and waits for its answer.
pub(crate) async fn mention(name: &str, world: &World, word: &str) -> Result<()> {
    let word = ask(name, world, word).await?;
    answered(name, world, &word).await
}

/// Asks the agent to say a word that nobody else knows.
async fn ask(name: &str, world: &World, word: &str) -> Result<String> {
    let word = format!("{word}-{}", SessionId::random());
    world
        .json(&[
            "say",
            "--json",
            &format!("@{name} say it again, please: echo:{word}"),
        ])
        .await?;
    Ok(word)
}

/// Leaves a word in the chat, which agents say when they read it. Wakes nobody.
pub(crate) async fn leave(world: &World, word: &str) -> Result<String> {
    let word = format!("{word}-{}", SessionId::random());
    let text = format!("for whoever reads this: echo:{word}");
    world.json(&["say", "--json", &text]).await?;
    Ok(word)
}

/// Waits until the agent has said the word.
pub(crate) async fn answered(name: &str, world: &World, word: &str) -> Result<()> {
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

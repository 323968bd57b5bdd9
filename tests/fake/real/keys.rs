//! The keys with which a user answers a question, and those that leave nothing
//! in the line: after each the next mention is typed at once.

use anyhow::{Result, ensure};
use tokio::time::{Duration, sleep, timeout};

use crate::chat;
use crate::outer::Outer;
use crate::questions::PERMISSION;
use crate::wait::{SETTLED, step, until};
use crate::world::World;

/// How long a key is looked at by itself: what follows it at once might belong
/// to the same sequence.
const ALONE: Duration = Duration::from_millis(1500);

/// A line that is begun, in no word that anybody else says.
const LINE: &str = "xyz";

const UP: &[u8] = b"\x1b[A";
const DOWN: &[u8] = b"\x1b[B";
const RIGHT: &[u8] = b"\x1b[C";
const ENTER: &[u8] = b"\r";
const ESC: &[u8] = b"\x1b";

/// One way to answer the question whether a command may be run.
struct Answer {
    /// What is pressed, as it is called in the report.
    name: &'static str,
    keys: &'static [&'static [u8]],
    /// The command is run.
    allows: bool,
}

/// Answers a question of the agent's in each way that it has, and presses keys
/// where nothing is asked; a mention follows each time.
pub(crate) async fn heard(
    agent: &str,
    label: &str,
    name: &str,
    world: &World,
    outer: &Outer,
) -> Result<()> {
    for (at, answer) in answers(agent).iter().enumerate() {
        let what = format!("hears the next after {} to a question", answer.name);
        step(label, &what, async {
            answered(answer, at, world, outer).await?;
            chat::mention(name, world, "after-a-key").await
        })
        .await?;
    }
    step(label, "hears the next after Esc, Enter", async {
        alone(&[ESC, ENTER], outer).await?;
        chat::mention(name, world, "after-esc").await
    })
    .await?;
    step(label, "hears the next after a line that is gone", async {
        outer.press(LINE.as_bytes()).await?;
        outer.shown(&[LINE]).await?;
        alone(&[ESC], outer).await?;
        cleared(outer).await?;
        chat::mention(name, world, "after-a-line").await
    })
    .await
}

/// How an agent takes an answer.
fn answers(agent: &str) -> Vec<Answer> {
    let by = |name, keys, allows| Answer { name, keys, allows };
    let (key, second): (_, &'static [&'static [u8]]) = match agent {
        "codex" => (by("y", &[b"y"], true), &[DOWN, DOWN, ENTER]),
        "opencode" | "kilo" => (by("Enter", &[ENTER], true), &[RIGHT, RIGHT, ENTER]),
        "claude" | "qwen" => (by("1", &[b"1"], true), &[DOWN, DOWN, DOWN, ENTER]),
        _ => (by("1", &[b"1"], true), &[DOWN, DOWN, ENTER]),
    };
    let esc: &'static [&'static [u8]] = match agent {
        // It asks what to do in its place.
        "kilo" => &[ESC, ENTER],
        _ => &[ESC],
    };
    let arrows = match agent {
        // Its `No` wants to be told more.
        "copilot" => by("arrows", &[DOWN, UP, ENTER], true),
        _ => by("arrows", second, false),
    };
    vec![
        key,
        by("Enter", &[ENTER], true),
        arrows,
        by("Esc", esc, false),
    ]
}

/// Has the agent ask, and answers.
async fn answered(answer: &Answer, at: usize, world: &World, outer: &Outer) -> Result<()> {
    let file = format!("key-{at}");
    outer.prompt(&format!("run command touch {file}")).await?;
    outer.shown(&PERMISSION).await?;
    for key in answer.keys {
        sleep(SETTLED).await;
        outer.press(key).await?;
    }
    until(|| async {
        let shown = outer.text();
        let is_asked = PERMISSION.iter().any(|words| shown.contains(words));
        let is_run = world.dir("project").join(&file).exists();
        ensure!(
            answer.allows || !is_run,
            "{} has allowed the command",
            answer.name
        );
        Ok((!is_asked && is_run == answer.allows).then_some(()))
    })
    .await
}

/// Drops the line. An agent that was held up reads the key and the Esc before it
/// as one, and keeps the line.
async fn cleared(outer: &Outer) -> Result<()> {
    let is_gone = || async { Ok((!outer.text().contains(LINE)).then_some(())) };
    loop {
        outer.press(b"\x15").await?;
        if let Ok(gone) = timeout(3 * SETTLED, until(is_gone)).await {
            return gone;
        }
    }
}

/// Presses keys, each by itself.
async fn alone(keys: &[&[u8]], outer: &Outer) -> Result<()> {
    for key in keys {
        outer.press(key).await?;
        sleep(ALONE).await;
    }
    Ok(())
}

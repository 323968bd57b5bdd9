//! The keys with which a user answers a question, and those that leave nothing
//! in the line: after each the next mention is typed at once.

use anyhow::{Result, ensure};
use tokio::time::{Duration, sleep};

use crate::chat;
use crate::outer::Outer;
use crate::questions::PERMISSION;
use crate::wait::{SETTLED, step, until};
use crate::world::World;

/// How long a key is looked at by itself: what follows it at once might belong
/// to the same sequence.
const ALONE: Duration = Duration::from_millis(1500);

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
        outer.press(b"abc").await?;
        outer.shown(&["abc"]).await?;
        alone(&[ESC, b"\x15"], outer).await?;
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
    vec![
        key,
        by("Enter", &[ENTER], true),
        by("arrows", second, false),
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

/// Presses keys, each by itself.
async fn alone(keys: &[&[u8]], outer: &Outer) -> Result<()> {
    for key in keys {
        outer.press(key).await?;
        sleep(ALONE).await;
    }
    Ok(())
}

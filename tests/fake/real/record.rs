//! Writes down what an agent sends to an MCP server: when it connects, when it
//! calls a tool, when the server has forgotten its MCP session, when its stream
//! has ended, and when it is told to go. `tests/it/matrix.rs` plays it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use crate::ending::{ended, show};
use crate::home::Home;
use crate::outer::Outer;
use crate::servers::Asked;
use crate::steps::launch;
use crate::wait::{SETTLED, step, until};
use crate::world::World;

/// The server that the agent connects to by itself: with no proxy in between.
const SERVER: &str = "own";

/// Writes `DIR/<agent>.jsonl`, a line for each request.
pub(crate) async fn run(agent: &str, agents: &Path, dir: &Path) -> Result<()> {
    let world = World::new(&agents.join(agent).join("node_modules/.bin")).await?;
    let home = Home::furnish(agent, &world)?;
    let options = ["--offline", "--trust-project"];
    let mut outer = Outer::run(&launch(agent, &world, &home, &options))?;
    let lines = step(agent, "is recorded", record(&world, &mut outer)).await;
    let lines = lines.inspect_err(|_| show(&outer, &world))?;
    let path = dir.join(format!("{agent}.jsonl"));
    std::fs::write(&path, lines).with_context(|| format!("cannot write {}", path.display()))
}

async fn record(world: &World, outer: &mut Outer) -> Result<String> {
    let mut lines = String::new();
    let mut told = 0;
    let mut tell = |phase: &str| {
        let requests = world.servers.requests(SERVER);
        for asked in &requests[told..] {
            lines.push_str(&line(phase, asked).to_string());
            lines.push('\n');
        }
        told = requests.len();
    };
    until(|| async {
        let listed = world.servers.asked(SERVER, "tools/list");
        Ok((outer.takes_pastes() && !listed.is_empty()).then_some(()))
    })
    .await?;
    // What else belongs to the connection comes within this time.
    sleep(4 * SETTLED).await;
    tell("connect");
    call(world, outer, 1).await?;
    tell("call");
    world.servers.forget(SERVER);
    sleep(SETTLED).await;
    tell("its stream broke");
    call(world, outer, 2).await?;
    sleep(SETTLED).await;
    tell("forgotten");
    let open = world.servers.end_streams(SERVER);
    sleep(4 * SETTLED).await;
    if open > 0 {
        tell("its stream ended");
    }
    call(world, outer, 3).await?;
    tell("call");
    ended(outer).await?;
    tell("exit");
    ensure!(told > 0, "it has never connected");
    Ok(lines)
}

/// Has the agent call the server's tool, whatever comes of it.
async fn call(world: &World, outer: &Outer, times: usize) -> Result<()> {
    let text = format!("call the tools {SERVER}.word");
    // While it starts an agent may drop a paste, or show it and lose the Enter.
    while timeout(5 * SETTLED, outer.prompt(&text)).await.is_err() {}
    let done = || async {
        let talk = world.conversation()?;
        let done = talk
            .iter()
            .filter(|asked| asked["answer"] == "Text(\"done\")");
        Ok((done.count() >= times).then_some(()))
    };
    loop {
        if let Ok(done) = timeout(5 * SETTLED, until(done)).await {
            return done;
        }
        outer.press(b"\r").await?;
    }
}

/// What matters of a request, and nothing of this machine. MCP sessions are
/// numbered as the server answered.
fn line(phase: &str, asked: &Asked) -> Value {
    let mut headers = Map::new();
    for (name, value) in &asked.headers {
        let matters = ["accept", "content-type", "last-event-id"].contains(&name.as_str());
        if matters || name.as_str().starts_with("mcp-") {
            headers.insert(name.to_string(), value.to_str().unwrap_or_default().into());
        }
    }
    let (method, mut body) = (asked.method.as_str(), asked.message.clone());
    scrub(&mut body);
    json!({"phase": phase, "method": method, "headers": headers, "body": body})
}

/// Replaces times and random ids, which would be others the next time.
fn scrub(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(scrub),
        Value::Object(members) => members.values_mut().for_each(scrub),
        Value::Number(number) if number.as_u64() > Some(1_000_000_000) => *value = 0.into(),
        Value::String(text) => {
            let uuid = text.get(..36).is_some_and(|start| {
                let dash = |at: &usize| [8, 13, 18, 23].contains(at);
                let mut all = start.bytes().enumerate();
                all.all(|(at, byte)| dash(&at) == (byte == b'-'))
            });
            if uuid {
                let same = |c: char| if c.is_ascii_hexdigit() { '0' } else { c };
                *text = text.chars().map(same).collect();
            }
        }
        _ => {}
    }
}

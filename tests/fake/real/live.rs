//! Servers that are changed while an agent runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::outer::Outer;
use crate::tools;
use crate::wait::until;
use crate::world::World;

/// The server that is new to a running agent.
pub(crate) const FRESH: &str = "fresh";

/// A credential that lives for 5 s, each another one.
const SOURCE: &str = r#"#!/bin/sh
n=$(($(cat "$0.count" 2>/dev/null || echo 0) + 1))
echo $n >"$0.count"
end=$(date -u -d "@$(($(date +%s) + 5))" +%Y-%m-%dT%H:%M:%SZ)
echo "{\"status\":{\"token\":\"token-$n\",\"expirationTimestamp\":\"$end\"}}"
"#;

/// A known server gets another URL, which the next call goes to.
pub(crate) async fn moved(name: &str, world: &World, outer: &Outer) -> Result<()> {
    let url = world.servers.url("moved");
    let outcome = set(world, &[name, "tracker", "--url", &url]).await?;
    ensure!(outcome == "applied", "the outcome was {outcome}");
    tools::called(world, outer, "tracker.word", "moved").await
}

/// A server has a credential that lives shortly: every call has one that holds.
pub(crate) async fn renewed(name: &str, world: &World, outer: &Outer) -> Result<()> {
    let source = world.dir("home").join("token.sh");
    fs::write(&source, SOURCE)?;
    fs::set_permissions(&source, fs::Permissions::from_mode(0o755))?;
    let url = world.servers.url("renewed");
    let source = source.to_str().context("a path that is no text")?;
    let args = [name, "tracker", "--url", &url, "--auth-command", source];
    let outcome = set(world, &args).await?;
    ensure!(outcome == "applied", "the outcome was {outcome}");
    let tokens = || {
        let calls = world.servers.asked("renewed", "tools/call");
        let sent = calls.iter().map(|call| {
            let header = call.headers.get("authorization");
            header.map(|value| format!("{value:?}")).unwrap_or_default()
        });
        sent.collect::<Vec<String>>()
    };
    tools::called(world, outer, "tracker.word", "renewed").await?;
    // The model takes its time: the credential ends meanwhile.
    outer.prompt("take 6 seconds").await?;
    until(|| async { Ok(world.conversation()?.iter().any(is_pause).then_some(())) }).await?;
    tools::called(world, outer, "tracker.word", "renewed").await?;
    let tokens = tokens();
    ensure!(
        tokens.len() == 2
            && tokens[0] != tokens[1]
            && tokens.iter().all(|token| token.contains("Bearer token-")),
        "the calls had {tokens:?}"
    );
    Ok(())
}

fn is_pause(asked: &Value) -> bool {
    asked.to_string().contains("take 6 seconds")
}

/// A server is new: its tools stand beside the hub's, or an agent that has not
/// taken notice has it after a restart.
pub(crate) async fn added(name: &str, world: &World, outer: &Outer) -> Result<()> {
    let url = world.servers.url(FRESH);
    let tool = match set(world, &[name, FRESH, "--url", &url]).await?.as_str() {
        "applied" => format!("agentchattr.{FRESH}__word"),
        "pending-restart" => {
            world.json(&["restart", name, "--json"]).await?;
            format!("{FRESH}.word")
        }
        outcome => bail!("the outcome was {outcome}"),
    };
    tools::called(world, outer, &tool, FRESH).await
}

/// What `wrapper mcp set` answers.
async fn set(world: &World, args: &[&str]) -> Result<String> {
    let verdict = world
        .json(&[&["mcp", "set", "--json"], args].concat())
        .await?;
    let outcome = verdict["outcome"].as_str();
    Ok(outcome.with_context(|| verdict.to_string())?.to_owned())
}

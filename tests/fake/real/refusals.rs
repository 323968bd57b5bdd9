//! An agent whose token is rotated while it runs, on hubs that refuse the old
//! one in every way that there is.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use axum::http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::chat;
use crate::ending::{ended, nobody, show};
use crate::front::Front;
use crate::home::Home;
use crate::outer::Outer;
use crate::steps::launch;
use crate::wait::{step, until};
use crate::world::{World, free_ports};

const WAYS: [Option<StatusCode>; 5] = [
    Some(StatusCode::UNAUTHORIZED),
    Some(StatusCode::FORBIDDEN),
    Some(StatusCode::NOT_FOUND),
    Some(StatusCode::CONFLICT),
    None,
];

/// Launches the agent once more, with a front between it and its hub.
pub(crate) async fn run(agent: &str, world: &World, home: &Home) -> Result<()> {
    let [rest, mcp, sse] = free_ports()?;
    let mut hub = world
        .verb(&["serve"])
        .env("AGENTCHATTR_PORT", rest.to_string())
        .env("AGENTCHATTR_MCP_HTTP_PORT", mcp.to_string())
        .env("AGENTCHATTR_MCP_SSE_PORT", sse.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the hub")?;
    let front = Front::start(world.doors(), [rest, mcp]).await?;
    until(|| async { Ok(world.json(&["who", "--json"]).await.ok()) }).await?;
    let mut outer = Outer::run(&launch(agent, world, home, &["--trust-project"]))?;
    let refused = refused(agent, world, &mut outer, &front).await;
    refused.inspect_err(|_| show(&outer, world))?;
    let pid = hub.id().and_then(|pid| i32::try_from(pid).ok());
    kill(
        Pid::from_raw(pid.context("the hub has ended")?),
        Signal::SIGTERM,
    )?;
    hub.wait().await?;
    nobody(world).await
}

async fn refused(agent: &str, world: &World, outer: &mut Outer, front: &Front) -> Result<()> {
    let name = chat::registered(agent, world).await?;
    chat::mention(&name, world, "zeroth").await?;
    for way in WAYS {
        let said = way.map_or("a text".to_owned(), |status| status.as_u16().to_string());
        let what = format!("answers after {said} for its token");
        step(agent, &what, async {
            let word = chat::leave(world, &said.replace(' ', "-")).await?;
            front.refuse_by(way);
            world.post(&format!("/api/rotate/{name}")).await?;
            outer.prompt("use mcp to read #general").await?;
            chat::answered(&name, world, &word).await?;
            ensure!(front.has_refused(), "no token was refused");
            Ok(())
        })
        .await?;
    }
    ended(outer).await
}

//! How a run ends: nothing of it is left, or it is told where it has failed.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use tokio::process::Child;
use tokio::time::timeout;
use wrapper::report;
use wrapper::types::exit::AgentExit;

use crate::outer::Outer;
use crate::wait::until;
use crate::world::World;

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

/// Nobody is online, and after the hub's end nothing is alive. Without a hub
/// it is the launch's that ends.
pub(crate) async fn leave(agent: &str, world: &World, hub: Option<Child>) -> Result<()> {
    until(|| async {
        let who = world.json(&["who", "--json"]).await?;
        let online = who.as_array().into_iter().flatten();
        Ok(online
            .into_iter()
            .all(|one| one["base"] != agent || one["online"] != true)
            .then_some(()))
    })
    .await?;
    world.end_hub()?;
    if let Some(mut hub) = hub {
        let status = hub.wait().await?;
        ensure!(status.success(), "the hub ended with {status}");
    }
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

/// Shows where it has failed.
pub(crate) fn show(outer: &Outer, world: &World) {
    report::line(format_args!(
        "--- screen\n{}\n--- log\n{}\n---",
        outer.text(),
        world.log()
    ));
}

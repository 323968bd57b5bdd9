//! The end of a wrapper: nothing of it stays registered, and nothing is lost.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::world::{World, soon};

/// Killed when a prompt is pasted and not yet submitted: the agent ends as well,
/// and the next wrapper has the mention.
pub(crate) async fn kill_in_delivery(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let seat = world.seat(&["--slow-echo", "3000"]).await?;
    let pid = world.pid(&seat, "agent_pid").await?;
    world
        .human
        .say("general", &format!("@{agent} hello"))
        .await?;
    seat.sees("paste", 1).await?;
    seat.signal(Signal::SIGKILL)?;
    ensure!(seat.prompts().is_empty(), "it was submitted already");
    over(pid).await?;
    let next = world.seat(&[]).await?;
    next.prompted("#general").await?;
    world.only(&[&agent]).await?;
    next.leave().await
}

pub(crate) async fn exit(world: &mut World) -> Result<()> {
    let seat = world.seat(&[]).await?;
    seat.leave().await?;
    gone(world).await
}

pub(crate) async fn sigterm(world: &mut World) -> Result<()> {
    signalled(world, Signal::SIGTERM).await
}

async fn signalled(world: &mut World, signal: Signal) -> Result<()> {
    let mut seat = world.seat(&[]).await?;
    seat.signal(signal)?;
    seat.ended().await?;
    gone(world).await
}

/// By the signal, and by a terminal that is closed.
pub(crate) async fn sighup(world: &mut World) -> Result<()> {
    signalled(world, Signal::SIGHUP).await?;
    world.seat(&[]).await?.hang_up().await?;
    gone(world).await
}

/// Nobody can deregister then: the server's timeout does, and the agent does
/// not go on alone.
pub(crate) async fn sigkill(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let mut seat = world.seat(&[]).await?;
    let pid = world.pid(&seat, "agent_pid").await?;
    seat.signal(Signal::SIGKILL)?;
    seat.ended().await?;
    over(pid).await?;
    let next = world.seat(&[]).await?;
    world.only(&[&agent]).await?;
    world.says(&next, "/name", &agent).await?;
    next.leave().await
}

/// Nobody is registered, at once and by the wrapper's own word.
async fn gone(world: &World) -> Result<()> {
    let left = world.registered().await?;
    ensure!(left.is_empty(), "still registered: {left:?}");
    let said = world.said().await?;
    let lost = said
        .iter()
        .find(|said| said.contains("disconnected (timeout)"));
    lost.map_or(Ok(()), |lost| Err(anyhow::anyhow!("{lost}")))
        .context("the server gave it up")
}

/// Waits until an agent has ended with its wrapper.
async fn over(pid: Pid) -> Result<()> {
    soon("the agent ends with its wrapper", || async {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // One that nobody waits for is over as well.
        Ok((state.is_empty() || state.contains(") Z ")).then_some(()))
    })
    .await
}

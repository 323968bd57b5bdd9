//! One name, one session: the server remembers renames for longer than names
//! last, and follows them past names that somebody bears.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::identity::saying;
use crate::seat::Seat;
use crate::world::World;

/// Within this time every wrapper has heard from the server what it is called.
const HEARD: Duration = Duration::from_secs(7);

/// An instance stops, starts within the grace of its name, and gets a sibling.
pub(crate) async fn second_after_stop(world: &mut World) -> Result<()> {
    world.seat(&[]).await?.leave().await?;
    let first = world.seat(&["--call", &saying("I am 1")]).await?;
    let agent = world.agent().to_owned();
    world.says(&first, "/name", &agent).await?;
    let second = world.seat(&["--call", &saying("I am 2")]).await?;
    are_two(world, first, second).await
}

/// The first of two leaves, and a third comes.
pub(crate) async fn third_after_first(world: &mut World) -> Result<()> {
    let first = world.seat(&[]).await?;
    let second = world.seat(&["--call", &saying("I am 1")]).await?;
    let agent = world.agent().to_owned();
    world.says(&second, "/name", &format!("{agent}-2")).await?;
    first.leave().await?;
    world.says(&second, "/name", &agent).await?;
    let third = world.seat(&["--call", &saying("I am 2")]).await?;
    are_two(world, second, third).await
}

/// An instance is killed; the next has its name once the server gives the dead
/// one up, and gets a sibling.
pub(crate) async fn second_after_kill(world: &mut World) -> Result<()> {
    kill(world.seat(&[]).await?).await?;
    let first = world.seat(&["--call", &saying("I am 1")]).await?;
    alone(world, &first).await?;
    let second = world.seat(&["--call", &saying("I am 2")]).await?;
    are_two(world, first, second).await
}

/// An instance stops, starts within the grace of its name, and is killed: the
/// server gives the dead one up.
pub(crate) async fn kill_after_stop(world: &mut World) -> Result<()> {
    world.seat(&[]).await?.leave().await?;
    kill(world.seat(&[]).await?).await?;
    let next = world.seat(&[]).await?;
    alone(world, &next).await?;
    next.leave().await
}

async fn kill(mut seat: Seat) -> Result<()> {
    seat.signal(Signal::SIGKILL)?;
    seat.ended().await.map(drop)
}

/// Waits until nobody but this one is registered, under the plain name.
async fn alone(world: &World, seat: &Seat) -> Result<()> {
    let agent = world.agent().to_owned();
    world.only(&[&agent]).await?;
    world.says(seat, "/name", &agent).await
}

/// Each has a name of its own, is woken by it alone, and speaks under it.
async fn are_two(world: &World, first: Seat, second: Seat) -> Result<()> {
    let names = [1, 2].map(|n| format!("{}-{n}", world.agent()));
    // A wrong name would be believed by then.
    tokio::time::sleep(HEARD).await;
    let seats = [&first, &second].into_iter().zip(&names);
    for (seat, name) in seats.clone() {
        world.says(seat, "/name", name).await?;
    }
    world.only(&[&names[0], &names[1]]).await?;
    for ((seat, name), n) in seats.zip(1..) {
        let channel = format!("for-{n}");
        let text = format!("@{name} who are you?");
        world.human.say(&channel, &text).await?;
        seat.prompted(&format!("#{channel}")).await?;
        world.hears(&format!("{name}: I am {n}"), 1).await?;
    }
    for (seat, other) in [(&first, "#for-2"), (&second, "#for-1")] {
        let prompts = seat.prompts();
        let strayed = prompts.iter().any(|prompt| prompt.contains(other));
        ensure!(!strayed, "typed into another agent: {prompts:?}");
    }
    first.leave().await?;
    second.leave().await
}

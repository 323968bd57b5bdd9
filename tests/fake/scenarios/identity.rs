//! One name for life: whatever the server forgets, and whoever comes and goes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::seat::Seat;
use crate::world::{World, soon};

/// A suspend that is longer than the server's patience.
const SUSPEND: Duration = Duration::from_secs(20);

/// What an agent says when it is asked.
pub(crate) fn saying(text: &str) -> String {
    let arguments = json!({"sender": "x", "channel": "general", "message": text});
    format!("chat_send={arguments}")
}

/// A call that runs over a crash timeout is answered, under the old name.
pub(crate) async fn crash_timeout(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let seat = world.seat(&["--live"]).await?;
    seat.sees("connected", 1).await?;
    let go = world.path("go");
    let arguments = json!({"sender": "x", "channel": "general", "message": "in time"});
    let line = format!("/when {} agentchattr chat_send {arguments}\r", go.display());
    seat.press(&line).await?;
    seat.shows("/when").await?;
    seat.signal(Signal::SIGSTOP)?;
    world.only(&[]).await?;
    fs::write(&go, "")?;
    // The call reaches a port whose owner stands still, and waits there.
    tokio::time::sleep(Duration::from_secs(1)).await;
    seat.signal(Signal::SIGCONT)?;
    let calls = seat.sees("result", 1).await?;
    ensure!(
        calls[0].to_string().contains("Sent (id="),
        "the call: {}",
        calls[0]
    );
    world.hears(&format!("{agent}: in time"), 1).await?;
    world.only(&[&agent]).await?;
    world.says(&seat, "/name", &agent).await?;
    seat.leave().await
}

/// After a suspend the instance has its name back before its next call is
/// answered, and is woken by it.
pub(crate) async fn suspend(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let seat = world.seat(&["--call", &saying("awake")]).await?;
    seat.signal(Signal::SIGSTOP)?;
    tokio::time::sleep(SUSPEND).await;
    seat.signal(Signal::SIGCONT)?;
    let awake = format!("{agent}: awake");
    seat.press("speak\r").await?;
    world.hears(&awake, 1).await?;
    world.only(&[&agent]).await?;
    world
        .human
        .say("general", &format!("@{agent} are you there?"))
        .await?;
    world.hears(&awake, 2).await?;
    seat.leave().await
}

pub(crate) async fn restart_one(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let seat = world.seat(&["--call", &saying("here")]).await?;
    let here = format!("{agent}: here");
    give_role(world, &agent, "a reviewer").await?;
    seat.press("speak\r").await?;
    world.hears(&here, 1).await?;
    world.restart_server().await?;
    seat.press("speak\r").await?;
    world.hears(&here, 2).await?;
    world.only(&[&agent]).await?;
    keeps_role(world, &agent, "a reviewer").await?;
    world
        .human
        .say("general", &format!("@{agent} are you there?"))
        .await?;
    world.hears(&here, 3).await?;
    seat.leave().await
}

/// No two of a family swap their names.
pub(crate) async fn restart_three(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let names = [1, 2, 3].map(|n| format!("{agent}-{n}"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut seats = Vec::new();
    for n in 1..=3 {
        seats.push(
            world
                .seat(&["--call", &saying(&format!("I am {n}"))])
                .await?,
        );
    }
    world.only(&names).await?;
    for (seat, name) in seats.iter().zip(&names) {
        world.says(seat, "/name", name).await?;
        give_role(world, name, &format!("the role of {name}")).await?;
    }
    world.restart_server().await?;
    // The last is in a hurry, and still not the first.
    for seat in seats.iter().rev() {
        seat.press("speak\r").await?;
    }
    for (name, n) in names.iter().zip(1..) {
        world.hears(&format!("{name}: I am {n}"), 1).await?;
    }
    world.only(&names).await?;
    for (seat, name) in seats.iter().zip(&names) {
        world.says(seat, "/name", name).await?;
        keeps_role(world, name, &format!("the role of {name}")).await?;
    }
    for ((seat, name), n) in seats.iter().zip(&names).zip(1..) {
        world
            .human
            .say("general", &format!("@{name} who are you?"))
            .await?;
        seat.prompted("#general").await?;
        world.hears(&format!("{name}: I am {n}"), 2).await?;
    }
    for seat in seats {
        seat.leave().await?;
    }
    Ok(())
}

/// The first is renamed when a second comes, and again when it leaves; it gets
/// what was meant for it under every name.
pub(crate) async fn second_instance(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let numbered = format!("{agent}-1");
    let one = world.seat(&["--call", &saying("I am the first")]).await?;
    // Written into the queue of a name that is about to be another.
    world.human.say("early", &format!("@{agent} hello")).await?;
    let two = world.seat(&["--call", &saying("I am the second")]).await?;
    world.says(&one, "/name", &numbered).await?;
    world.says(&two, "/name", &format!("{agent}-2")).await?;
    one.prompted("#early").await?;
    world
        .human
        .say("general", &format!("@{numbered} hello"))
        .await?;
    world
        .hears(&format!("{numbered}: I am the first"), 1)
        .await?;
    two.leave().await?;
    world.says(&one, "/name", &agent).await?;
    world.human.say("late", &format!("@{agent} hello")).await?;
    one.prompted("#late").await?;
    world.hears(&format!("{agent}: I am the first"), 1).await?;
    one.leave().await
}

pub(crate) async fn human_rename(world: &mut World) -> Result<()> {
    let agent = world.agent().to_owned();
    let seat = world.seat(&["--call", &saying("here")]).await?;
    world
        .human
        .say("before", &format!("@{agent} hello"))
        .await?;
    let label = json!({"label": "Gem Star!"});
    let renamed = world
        .human
        .ask(&format!("POST /api/label/{agent}"), &label)
        .await?;
    ensure!(renamed["new_name"] == "gem-star", "{renamed}");
    world.human.say("after", "@gem-star hello").await?;
    seat.prompted("#before").await?;
    seat.prompted("#after").await?;
    world.says(&seat, "/name", "gem-star").await?;
    world.human.say("last", "@gem-star hello").await?;
    seat.prompted("#last").await?;
    world.hears("gem-star: here", 1).await?;
    named_back_after_restart(world, &seat).await?;
    seat.leave().await
}

/// A name that a human gave outlives the server.
async fn named_back_after_restart(world: &mut World, seat: &Seat) -> Result<()> {
    world.restart_server().await?;
    world.only(&["gem-star"]).await?;
    world.says(seat, "/name", "gem-star").await
}

async fn give_role(world: &World, name: &str, role: &str) -> Result<()> {
    let role = json!({"role": role});
    let given = world
        .human
        .ask(&format!("POST /api/roles/{name}"), &role)
        .await;
    given.map(drop)
}

async fn keeps_role(world: &World, name: &str, role: &str) -> Result<()> {
    let found = soon(format!("{name} has its role"), || async {
        let roles = world.human.ask("GET /api/roles", &json!({})).await?;
        Ok((roles[name] == role).then_some(()))
    });
    let done = found.await;
    let roles = world.human.ask("GET /api/roles", &json!({})).await?;
    done.with_context(|| format!("roles are {roles}"))
}

//! Sessions that were killed, or whose hub was away when they ended: the next
//! launch has their name, and what waits for them, at once.

use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wrapper::control::roster;
use wrapper::hub::Client;
use wrapper::hub::client::Entry;
use wrapper::types::upstream::Endpoint;

use super::background::{number, signal, stop};
use super::support::agentchattr::Agentchattr;
use super::support::eventually;
use super::support::world::World;

/// Starts one in the background; what `ps` says of it.
fn start(world: &World, args: &[&str]) -> Value {
    let launch = [&["fake", "-d", "--json"], args].concat();
    let started = world.json(&launch);
    let all = world.json(&["ps", "--json"]);
    let mut all = all.as_array().expect("an array").iter();
    let found = all.find(|one| one["id"] == started["id"]);
    found.expect("it runs").clone()
}

/// Kills one, and waits until its agent is gone as well.
fn strike(world: &World, session: &Value) {
    signal(number(session, "pid"), Signal::SIGKILL);
    let pids = ["pid", "agent_pid"].map(|key| number(session, key).to_string());
    eventually("its end", || {
        let left = world.processes();
        let is_there = |(pid, _): &(i32, String)| pids.contains(&pid.to_string());
        // It lets go of its directory last.
        let socket = Path::new(session["socket"].as_str().expect("a path"));
        let is_held = roster::is_alive(socket.parent().expect("a directory"));
        (!left.iter().any(is_there) && !is_held).then_some(())
    });
}

/// What `who` says: names that are online.
fn online(world: &World) -> Vec<String> {
    let all = world.json(&["who", "--json"]);
    let all = all.as_array().expect("an array").iter();
    let online = all.filter(|one| one["online"] == true);
    online
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// Waits for the prompt of `#general`; sees that there is only the one when
/// another mention has come.
fn prompted_once(world: &World, name: &str) {
    let wait_for = |channel: &str| {
        eventually(channel, || {
            let all = world.prompts();
            all.iter().any(|one| one.contains(channel)).then_some(all)
        })
    };
    wait_for("#general");
    let bye = format!("@{name} bye");
    world.json(&["say", "--json", "--channel", "last", &bye]);
    let all = wait_for("#last");
    let count = all.iter().filter(|one| one.contains("#general")).count();
    assert_eq!(count, 1, "{all:?}");
}

#[test]
fn a_killed_session_has_its_name_and_its_mentions_back_at_once() {
    let world = World::with_hub();
    let first = start(&world, &[]);
    strike(&world, &first);
    world.json(&["say", "--json", "@fake hi"]);
    let second = start(&world, &[]);
    assert_eq!(second["name"], "fake");
    prompted_once(&world, "fake");
    stop(&world, "fake");
    // And nothing of it comes again.
    let third = start(&world, &[]);
    assert_eq!(third["name"], "fake");
    world.json(&["say", "--json", "--channel", "third", "@fake bye"]);
    eventually("the third's prompt", || {
        let all = world.prompts();
        all.last()
            .is_some_and(|last| last.contains("#third"))
            .then_some(())
    });
    let general = |one: &String| one.contains("#general");
    assert_eq!(world.prompts().into_iter().filter(general).count(), 1);
    stop(&world, "fake");
}

#[test]
fn a_killed_session_is_offline_once_somebody_looks_and_its_mentions_wait() {
    let world = World::with_hub();
    strike(&world, &start(&world, &[]));
    assert_eq!(world.json(&["ps", "--json"]), json!([]));
    assert_eq!(online(&world), [""; 0], "the dead are offline");
    world.json(&["say", "--json", "@fake hi"]);
    let next = start(&world, &[]);
    assert_eq!(next["name"], "fake");
    prompted_once(&world, "fake");
    stop(&world, "fake");
}

#[test]
fn a_hub_that_was_killed_as_well_reserves_the_name_for_its_owner() {
    let mut world = World::with_hub();
    let first = start(&world, &[]);
    world.kill_hub();
    strike(&world, &first);
    world.start_hub();
    world.json(&["say", "--json", "@fake hi"]);
    let next = start(&world, &[]);
    assert_eq!(next["name"], "fake");
    prompted_once(&world, "fake");
    stop(&world, "fake");
}

#[test]
fn a_session_that_ends_while_the_hub_is_away_leaves_its_name_to_the_next() {
    let mut world = World::with_hub();
    world.configure(&format!(
        "[server]\nautostart = false\n[agents.fake]\ncommand = {:?}\n",
        super::support::world::FAKE
    ));
    start(&world, &[]);
    world.kill_hub();
    stop(&world, "fake");
    world.start_hub();
    let next = start(&world, &[]);
    assert_eq!(next["name"], "fake");
    let left = world.path("state/left");
    assert_eq!(std::fs::read_dir(left).expect("kept").count(), 0);
    stop(&world, "fake");
}

#[test]
fn a_mention_waits_for_an_agent_that_is_not_running_and_say_tells() {
    let world = World::with_hub();
    let said = world.verb(&["say", "@fake hi, @nobody"]);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{told}");
    for line in [
        "not running: fake (the mention waits",
        "not known: @nobody (",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert_eq!(online(&world), [""; 0]);
    start(&world, &[]);
    prompted_once(&world, "fake");
    let said = world.json(&["say", "--json", "@fake again"]);
    assert_eq!(said["reached"], json!(["fake"]));
    stop(&world, "fake");
}

#[test]
fn each_of_several_killed_sessions_is_followed_once_and_by_its_like() {
    let world = World::with_hub();
    std::fs::create_dir(world.path("other")).expect("made");
    let other = world.path("other").display().to_string();
    let first = start(&world, &[]);
    let second = start(&world, &["--cwd", &other]);
    let third = start(&world, &[]);
    for session in [&first, &second, &third] {
        strike(&world, session);
    }
    for n in 1..=3 {
        let name = if n == 1 {
            "@fake".into()
        } else {
            format!("@fake-{n}")
        };
        let channel = format!("for-{n}");
        world.json(&["say", "--json", "--channel", &channel, &name]);
    }
    let names = [&["--cwd", other.as_str()][..], &[], &[], &[]];
    let names = names.map(|args| start(&world, args)["name"].clone());
    assert_eq!(names, ["fake-2", "fake", "fake-3", "fake-4"]);
    let all = eventually("three prompts", || {
        let all = world.prompts();
        (all.len() >= 3).then_some(all)
    });
    for n in 1..=3 {
        let channel = format!("#for-{n}");
        let count = all.iter().filter(|one| one.contains(&channel)).count();
        assert_eq!(count, 1, "{channel}: {all:?}");
    }
    assert!(world.verb(&["stop", "--all"]).status.success());
}

#[tokio::test]
async fn no_token_of_the_hub_stands_in_a_file_of_the_session() {
    let world = World::with_hub();
    let session = start(&world, &[]);
    let dir = world
        .path("state/sessions")
        .join(session["id"].as_str().expect("an id"));
    let note = std::fs::read_to_string(dir.join("instance.json")).expect("noted");
    let note: Value = serde_json::from_str(&note).expect("JSON");
    assert!(note.get("token").is_none(), "{note}");
    // What it has is no key: a registration without the human's token gets
    // another name.
    let uid = note["uid"].as_str().expect("a uid").to_owned();
    let base = "fake".parse().expect("a base");
    let entry = Entry {
        base: &base,
        label: None,
        family: None,
        previous: None,
        human: None,
        succeeds: &[uid],
        agents: &[],
    };
    let client = Client::new(Endpoint::loopback(world.port, "/"));
    let entered = client.enter(&entry).await.expect("registered");
    assert_eq!(entered.identity.name.as_str(), "fake-2");
    stop(&world, "fake");
}

#[test]
fn a_suspended_session_that_stop_has_to_kill_is_deregistered() {
    let world = World::with_hub();
    let session = start(&world, &[]);
    signal(number(&session, "pid"), Signal::SIGSTOP);
    assert!(
        world
            .verb(&["stop", "--grace", "0s", "fake"])
            .status
            .success()
    );
    assert_eq!(world.json(&["who", "--json"]), json!([]));
    let left = world.path("state/left");
    let left = std::fs::read_dir(left).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nobody is to follow it");
}

#[tokio::test]
async fn what_stays_online_on_another_server_is_said() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let session = start(&world, &[]);
    strike(&world, &session);
    let said = world.verb(&["ps"]).stderr;
    let said = String::from_utf8_lossy(&said);
    let told = format!(
        "`fake` was killed: http://127.0.0.1:{} shows it online",
        server.ports[0]
    );
    assert!(said.contains(&told), "{said}");
}

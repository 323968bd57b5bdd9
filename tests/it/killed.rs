//! Sessions and agents that are killed, whatever they are at: what is told of
//! them, and that nothing of them runs on.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::background::{are_gone, in_state, number, signal, stop};
use super::support::eventually;
use super::support::world::{FAKE, World};

/// A world whose agent has a server that we run for it.
fn world() -> World {
    let world = World::new();
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n\
         [mcp_servers.theirs]\ncommand = {FAKE:?}\nargs = [\"tool\"]\nhosted = true\n"
    ));
    world
}

/// What an agent is at, by its arguments, and what `ps` says of it.
const STATES: [(&str, &[&str]); 3] = [
    ("idle", &["--live"]),
    ("busy", &["--busy"]),
    ("blocked", &["--dialog", "rm"]),
];

/// Starts one in the background, and waits until it is at that.
fn at(world: &World, state: &str, args: &[&str]) -> Value {
    let launch = [&["fake", "-d", "--offline", "--"], args].concat();
    assert!(world.verb(&launch).status.success(), "{state}");
    if args.contains(&"--live") {
        world.reported("tools");
    }
    in_state(world, "fake", state)
}

/// Sees that a killed session has left nothing, and that its name is free.
fn is_over(world: &World, what: &str) {
    eventually(&format!("{what}: nobody runs on"), || {
        world.processes().is_empty().then_some(())
    });
    assert_eq!(world.sessions().len(), 1, "{what}: there is a corpse");
    assert_eq!(
        world.json(&["ps", "--json"]),
        serde_json::json!([]),
        "{what}"
    );
    assert!(world.sessions().is_empty(), "{what}: it is cleared up");
    let next = world.json(&["fake", "-d", "--offline", "--json"]);
    assert_eq!(next["name"], "fake", "{what}");
    stop(world, "fake");
}

#[test]
fn a_killed_session_takes_all_with_it_whatever_its_agent_is_at() {
    for (state, args) in STATES {
        let world = world();
        let session = at(&world, state, args);
        signal(number(&session, "pid"), Signal::SIGKILL);
        is_over(&world, state);
    }
}

#[test]
fn a_session_that_is_killed_between_two_lives_is_over() {
    let world = world();
    // Ready the first time, and never again.
    let (program, mark) = (world.path("program"), world.path("mark"));
    let script =
        format!("#!/bin/sh\n[ -e {mark:?} ] && exit 9\ntouch {mark:?}\nexec {FAKE} \"$@\"\n");
    std::fs::write(&program, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("set");
    world.configure(&format!("[agents.fake]\ncommand = {program:?}\n"));
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    let session = in_state(&world, "fake", "idle");
    signal(number(&session, "agent_pid"), Signal::SIGKILL);
    let session = eventually("there is no agent", || {
        let all = world.json(&["ps", "--json"]);
        let session = all.get(0)?.clone();
        (session["agent_pid"].is_null() && session["restarts"] != 0).then_some(session)
    });
    assert_eq!(session["state"], "starting");
    signal(number(&session, "pid"), Signal::SIGKILL);
    std::fs::remove_file(&mark).expect("removed");
    is_over(&world, "between two lives");
}

#[test]
fn a_killed_agent_is_started_again_and_told_of_as_it_is() {
    for (state, args) in STATES {
        let world = world();
        let session = at(&world, state, args);
        let agent = number(&session, "agent_pid");
        signal(agent, Signal::SIGKILL);
        let next = eventually("another agent", || {
            let all = world.json(&["ps", "--json"]);
            let next = all.get(0)?.clone();
            (next["restarts"] == 1 && !next["agent_pid"].is_null()).then_some(next)
        });
        assert_eq!(
            (&next["id"], &next["pid"]),
            (&session["id"], &session["pid"])
        );
        assert_ne!(next["agent_pid"], session["agent_pid"], "{state}");
        are_gone(&world, &[agent]);
        in_state(&world, "fake", state);
        stop(&world, "fake");
        eventually(&format!("{state}: nobody runs on"), || {
            world.processes().is_empty().then_some(())
        });
    }
}

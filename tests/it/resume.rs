//! Agents that go on with what they were at.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::background::{in_state, number, signal, stop};
use super::support::eventually;
use super::support::world::{FAKE, World};

const WAYS: &str = "resume_args = [\"--resume\", \"latest\"]\n\
    session_args = [\"--session-id\", \"{uuid}\"]\n\
    resume_session_args = [\"--resume\", \"{uuid}\"]\n";

fn world(keys: &str) -> World {
    let world = World::new();
    world.configure(&format!("[agents.fake]\ncommand = {FAKE:?}\n{keys}"));
    world
}

/// The arguments of the n-th start of an agent, once there is one.
#[track_caller]
fn start(world: &World, n: usize) -> Vec<String> {
    let argv = eventually(&format!("start {n}"), || {
        let report = world.report().into_iter();
        let mut starts = report.filter_map(|mut entry| Some(entry.get_mut("start")?.take()));
        starts.nth(n - 1)
    });
    let words = argv["argv"].as_array().expect("argv").iter();
    words
        .map(|word| word.as_str().expect("text").to_owned())
        .collect()
}

fn detach(world: &World, args: &[&str]) -> Value {
    world.json(&[&["fake", "-d", "--offline", "--json"], args].concat())
}

#[test]
fn each_session_goes_on_with_its_own_conversation_and_all_else_as_it_was() {
    let world = world(WAYS);
    let args = ["--", "--permission-mode", "plan", "hello there"];
    let one = detach(&world, &args);
    let first = start(&world, 1);
    assert_eq!(first[0], "--session-id");
    assert_eq!(first[1].len(), 36, "{first:?}");
    assert_eq!(first[2..], args[1..]);
    let two = detach(&world, &args);
    let second = start(&world, 2);
    assert_ne!(first[1], second[1]);

    let id = |session: &Value| session["id"].as_str().expect("an id").to_owned();
    let resumed = |of: &[String]| [&["--resume".to_owned(), of[1].clone()], &of[2..]].concat();
    world.json(&["restart", &id(&one), "--json"]);
    assert_eq!(start(&world, 3), resumed(&first));
    world.json(&["restart", &id(&two), "--json"]);
    assert_eq!(start(&world, 4), resumed(&second));

    // A crash is no reason to forget.
    let all = world.json(&["ps", "--json"]);
    let mut all = all.as_array().expect("an array").iter();
    let crashed = all.find(|session| session["id"] == one["id"]);
    signal(
        number(crashed.expect("there"), "agent_pid"),
        Signal::SIGKILL,
    );
    assert_eq!(start(&world, 5), resumed(&first));
    assert!(world.verb(&["stop", "--all"]).status.success());
}

#[test]
fn the_last_conversation_here_is_gone_on_with_unless_it_may_be_anothers() {
    let world = world("resume_args = [\"--resume\", \"latest\"]\n");
    let one = detach(&world, &[]);
    assert!(start(&world, 1).is_empty());
    let id = one["id"].as_str().expect("an id");
    world.json(&["restart", id, "--json"]);
    assert_eq!(start(&world, 2), ["--resume", "latest"]);
    detach(&world, &[]);
    world.json(&["restart", id, "--json"]);
    assert!(start(&world, 4).is_empty(), "it could be the other's");
    assert!(world.verb(&["stop", "--all"]).status.success());
}

#[test]
fn what_ended_well_or_cannot_be_gone_on_with_begins_afresh() {
    let keys = format!("restart = \"always\"\n{WAYS}");
    let ended = world(&keys);
    detach(&ended, &[]);
    in_state(&ended, "fake", "idle");
    ended.json(&["send", "fake", "/exit 0", "--json", "--no-wait"]);
    let (first, second) = (start(&ended, 1), start(&ended, 2));
    assert_eq!(second[0], "--session-id");
    assert_ne!(first[1], second[1]);
    stop(&ended, "fake");

    // An agent that finds nothing to go on with.
    let refusing = World::new();
    let program = refusing.path("program");
    let script =
        format!("#!/bin/sh\ncase \"$*\" in *--resume*) exit 1;; esac\nexec {FAKE} \"$@\"\n");
    std::fs::write(&program, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).expect("set");
    refusing.configure(&format!("[agents.fake]\ncommand = {program:?}\n{WAYS}"));
    detach(&refusing, &[]);
    in_state(&refusing, "fake", "idle");
    refusing.verb(&["restart", "fake"]);
    let (first, second) = (start(&refusing, 1), start(&refusing, 2));
    assert_eq!(second[0], "--session-id");
    assert_ne!(first[1], second[1], "the old one is taken");
    assert_eq!(in_state(&refusing, "fake", "idle")["restarts"], 2);
    stop(&refusing, "fake");
}

#[test]
fn a_launch_goes_on_with_the_last_conversation_if_there_is_one_to_be_had() {
    let able = world(WAYS);
    let shown = able.json(&["fake", "--resume", "--dry-run", "--json", "--offline"]);
    assert_eq!(shown["run"][1], "--resume");
    assert_eq!(shown["run"][2], "latest");
    detach(&able, &["--resume"]);
    assert_eq!(start(&able, 1), ["--resume", "latest"]);
    let unable = world("");
    for (world, args, says) in [
        (
            &unable,
            &["--resume"][..],
            "agent `fake` has no `resume_args`",
        ),
        (&able, &["--resume"], "`fake` runs here, and has it open"),
        (
            &able,
            &["--resume", "--", "--session-id=x"],
            "its own arguments say what to go on with",
        ),
    ] {
        let output = world.verb(&[&["fake", "-d", "--offline"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains(says) && said.contains("\nhint: "), "{said}");
    }
    stop(&able, "fake");
    // The user's own word on it stands, at every life.
    detach(&able, &["--", "--session-id", "x"]);
    assert_eq!(start(&able, 2), ["--session-id", "x"]);
    able.json(&["restart", "fake", "--json"]);
    assert_eq!(start(&able, 3), ["--session-id", "x"]);
    stop(&able, "fake");
}

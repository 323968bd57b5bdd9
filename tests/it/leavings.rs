//! What an agent has left when it was ended: processes that made a session of
//! their own, that ignore signals, that were left by others in turn.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::background::{are_gone, number, signal, stop};
use super::support::eventually;
use super::support::world::World;

/// Each leaves a process that notes its number, in a way of its own.
const WAYS: [(&str, &str); 4] = [
    (
        "a session of its own",
        "setsid sh -c 'echo $$ > NOTE; exec sleep 1000' &",
    ),
    (
        "deaf to signals",
        "setsid sh -c 'trap \"\" HUP TERM INT; echo $$ > NOTE; while :; do sleep 1; done' &",
    ),
    (
        "left twice",
        "setsid sh -c 'setsid sh -c \"echo \\$\\$ > NOTE; exec sleep 1000\" & exit' &",
    ),
    (
        "stopped",
        "setsid sh -c 'echo $$ > NOTE; kill -STOP $$; exec sleep 1000' &",
    ),
];

/// Starts an agent that leaves one behind for each way; their numbers.
fn start(world: &World) -> Vec<i32> {
    let notes: Vec<_> = (0..WAYS.len())
        .map(|n| world.path(&format!("note-{n}")))
        .collect();
    let lines = WAYS
        .iter()
        .zip(&notes)
        .map(|((_, line), note)| line.replace("NOTE", &note.to_string_lossy()));
    let script = format!(
        "{}\nprintf 'ready\\n> '\nexec cat",
        lines.collect::<Vec<_>>().join("\n")
    );
    let path = world.path("agent.sh");
    fs::write(&path, script).expect("written");
    world.configure(&format!(
        "[agents.odd]\ncommand = \"sh\"\nargs = [\"{}\"]\n",
        path.display()
    ));
    assert!(world.verb(&["odd", "-d", "--offline"]).status.success());
    let pid = |note| {
        eventually("a process of the agent's", || {
            fs::read_to_string(note).ok()?.trim().parse().ok()
        })
    };
    notes.iter().map(pid).collect()
}

#[test]
fn all_that_an_agent_started_ends_with_it() {
    let world = World::new();
    let pids = start(&world);
    stop(&world, "odd");
    are_gone(&world, &pids);
}

#[test]
fn all_that_an_agent_started_ends_if_we_are_killed() {
    let world = World::new();
    let pids = start(&world);
    let session = world.json(&["ps", "--json"]);
    signal(number(&session[0], "pid"), Signal::SIGKILL);
    are_gone(&world, &pids);
    world.verb(&["ps"]);
}

#[test]
fn a_process_of_somebody_else_is_left_alone() {
    let world = World::new();
    let mut other = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("started");
    let pids = start(&world);
    stop(&world, "odd");
    are_gone(&world, &pids);
    let pid = Pid::from_raw(other.id().cast_signed());
    assert!(kill(pid, None).is_ok());
    assert!(other.try_wait().expect("asked").is_none());
    other.kill().expect("killed");
    other.wait().expect("gone");
}

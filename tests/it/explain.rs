//! Why an agent's state is what it is: of a session, and of a screen that was
//! written down; and manifests of the user's own.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::eventually;
use super::support::world::World;

/// A manifest for the fake agent, whose mark is `>`.
const OWN: &str = "\
[input]
marks = [\">\"]

[[rule]]
name = \"may I\"
state = \"dialog\"
rows = 1
any = [\"may i$\"]
";

fn recorded(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/screens").join(name).display().to_string()
}

/// Puts a manifest of the user's in its place.
fn manifest(world: &World, text: &str) -> PathBuf {
    let dir = world.path("xdg-config/wrapper/manifests");
    fs::create_dir_all(&dir).expect("made");
    let path = dir.join("fake.toml");
    fs::write(&path, text).expect("written");
    path
}

#[tokio::test]
async fn a_session_tells_which_rule_decides() {
    let world = World::new();
    manifest(&world, OWN);
    let args = ["fake", "--offline", "--", "--oddly", "--dialog", "rm -rf"];
    let mut terminal = world.launch(&args);
    terminal.shows("may I").await;
    let explained = world.json(&["explain", "fake", "--json"]);
    assert_eq!(explained["state"], "blocked");
    assert_eq!(explained["manifest"], true);
    assert_eq!(explained["waits_for"], "dialog open: may I");
    let rule = &explained["rules"][0];
    for (key, value) in [
        ("state", json!("dialog")),
        ("rule", json!("may I")),
        ("priority", json!(400)),
        ("region", json!("current")),
        ("text", json!(["rm -rf, may I"])),
    ] {
        assert_eq!(rule[key], value, "{rule}");
    }
    assert_eq!(world.json(&["ps", "--json"])[0]["state"], "blocked");
    // What it shows can be judged anew, by the words of the session's answer.
    let file = world.path("screen.txt");
    let screen = explained["screen"].as_str().expect("a screen");
    fs::write(&file, screen).expect("written");
    let file = file.display().to_string();
    let again = world.json(&["explain", "--screen", &file, "--agent", "fake", "--json"]);
    assert_eq!(again["rules"], explained["rules"]);

    terminal.keys(b"\r").await;
    eventually("the question is gone", || {
        let now = world.json(&["explain", "fake", "--json"]);
        (now["state"] == "idle" && now["waits_for"] == Value::Null).then_some(())
    });
    let out = world.verb(&["explain", "fake"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    for line in [
        "state    idle\n",
        "rule     an empty line: idle",
        "prompt   would be typed",
    ] {
        assert!(said.contains(line), "{said}");
    }
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[test]
fn a_screen_that_was_written_down_is_judged_for_any_agent() {
    let world = World::new();
    let screen = recorded("claude-2.1.197/dialog-command.wide.txt");
    let explain = |agent| world.json(&["explain", "--screen", &screen, "--agent", agent, "--json"]);
    let claude = explain("claude");
    assert_eq!(claude["state"], "blocked");
    assert_eq!(claude["waits_for"], "dialog open: permission");
    let other = explain("other");
    assert_eq!(other["manifest"], false);
    assert_eq!(other["waits_for"], "dialog open: choice");
}

#[test]
fn what_cannot_be_read_is_told() {
    let world = World::new();
    let file = world.path("screen.txt");
    fs::write(&file, "> abc\n").expect("written");
    let file = file.display().to_string();
    let path = manifest(&world, "queues = true\nmarks = [\">\"]\n");
    let missing = world.path("nothing").display().to_string();
    let path = path.display().to_string();
    for (args, code, says) in [
        (
            ["--screen", &file, "--agent", "fake"],
            1,
            &["line 1 is not `cursor ROW COLUMN`"][..],
        ),
        (
            ["--screen", &missing, "--agent", "fake"],
            1,
            &["cannot read", "nothing"],
        ),
        (["--screen", &file, "--json", "--json"], 2, &["--agent"]),
    ] {
        let out = world.verb(&[&["explain"], &args[..]].concat());
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(says.iter().all(|part| said.contains(part)), "{said}");
    }
    // A manifest with a mistake is named, and not used.
    let screen = recorded("gemini-0.61.0/dialog-command.wide.txt");
    let out = world.verb(&["explain", "--screen", &screen, "--agent", "fake"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let warned =
        format!("cannot use the manifest {path}: line 2, `marks = [\">\"]`: unknown field");
    assert!(said.contains(&warned) && out.status.success(), "{said}");
}

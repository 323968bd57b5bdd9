//! The lines of docs/control.md, as whoever reads it runs them.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::support::eventually;
use super::support::mcp::Mcp;
use super::support::world::{FAKE, World};

/// What stands between the fences of shell in a document, line by line.
fn lines(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    blocks.flat_map(str::lines).collect()
}

/// A bash in which `setting` was said; what a line prints there.
fn run(world: &World, setting: &str, line: &str) -> String {
    // The documents' jq need not be here: it prints, or makes the credential.
    let jq = r#"jq() { if [ "$1" = -n ]; then echo "{\"token\":\"$NEW_TOKEN\"}"; else cat; fi; }"#;
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{jq}\n{setting}\n{line}")]);
    bash.env("HOME", world.path("home")).env("NEW_TOKEN", "t");
    let output = bash.output().expect("bash runs");
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_line_about_the_control_socket_works() {
    let world = World::with_hub();
    let docs = Mcp::start().await;
    let state = world.path("home/.local/state");
    fs::create_dir_all(&state).expect("made");
    std::os::unix::fs::symlink(world.path("state"), state.join("wrapper")).expect("made");
    let started = world.verb(&["fake", "-d"]);
    assert!(started.status.success(), "{started:?}");

    let document = include_str!("../../docs/control.md")
        .replace(
            "https://example.com",
            &format!("http://127.0.0.1:{}", docs.port),
        )
        .replace("\"npx\"", &format!("{FAKE:?}"))
        .replace("[\"-y\",\"notes-mcp\"]", "[\"tool\"]");
    let mut lines = lines(&document);
    let ask = lines.remove(1);
    let id = &world.json(&["ps", "--json"])[0]["id"];
    assert!(lines.remove(0).starts_with("S=$(wrapper ps --json | "));
    let setting = format!("S={id}; {ask}");

    // The session ends last, after who follows it has seen it.
    lines.sort_by_key(|line| {
        let last = ["/v1/restart", "/v1/events", "/v1/stop"];
        let place = last.iter().position(|path| line.ends_with(path));
        place.map_or(0, |at| at + 1)
    });
    let [first @ .., events, end] = &lines[..] else {
        panic!("{lines:?}");
    };
    for line in first {
        let said = run(&world, &setting, line);
        let answer: Value =
            serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line}: {said}"));
        assert!(answer.get("error").is_none(), "{line}: {said}");
    }
    // Its end is asked for once somebody follows.
    let both = format!("{events} | {{ read -r; {end} >&2; cat; }}");
    let followed = run(&world, &setting, &both);
    assert!(
        followed.contains("event: session\n") && followed.contains("event: exit\n"),
        "{followed}"
    );
    eventually("the session leaves", || {
        world.sessions().is_empty().then_some(())
    });
}

//! What the shell shows of verbs that are not done.

use std::fs;

use serde_json::{Value, json};

use super::support::world::World;

#[test]
fn an_error_of_every_verb_is_json_on_stderr_where_json_is_asked_for() {
    let world = World::new();
    for (args, code) in [
        (&["ps", "--json", "--nonsense"][..], 2),
        (&["--json", "mcp", "list"], 2),
        (&["stop", "nobody", "--json"], 1),
        (&["send", "nobody", "hi", "--json"], 1),
        (&["mcp", "get", "nobody", "x", "--json"], 1),
        (&["read", "--json"], 1),
        (&["who", "--json"], 1),
        (&["logs", "nobody", "--json"], 1),
        (&["up", "no-such-file", "--json"], 1),
        (&["nobody", "-d", "--json"], 125),
    ] {
        let output = world.verb(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told: Value = serde_json::from_str(said.trim())
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"));
        assert_eq!(told["code"], json!(code), "{args:?}: {told}");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        let error = told["error"].as_str().expect("an error");
        assert!(!error.is_empty() && !error.starts_with("error:"), "{told}");
        let hint = &told["hint"];
        assert!(hint.is_null() || hint.is_string(), "{told}");
    }
    // Without it, and for the agent's own `--json`, they are words.
    for args in [&["stop", "nobody"][..], &["nobody", "--", "--json"]] {
        let output = world.verb(args);
        assert!(output.stderr.starts_with(b"error: "), "{output:?}");
    }
}

#[test]
fn a_word_that_is_no_agent_is_told_of_the_verbs() {
    let world = World::new();
    for (word, says) in [
        ("ls", "did you mean `wrapper ps`?"),
        ("version", "did you mean `wrapper --version`?"),
        ("zzz", "`wrapper --help` shows the verbs"),
    ] {
        let output = world.verb(&[word]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{word}: {said}");
    }
}

#[test]
fn two_ports_that_are_one_are_told() {
    let world = World::new();
    world.configure("[server]\nport = 7000\n[mcp]\nhttp_port = 7000\n");
    let output = std::process::Command::new(super::support::world::WRAPPER)
        .arg("config")
        .env("WRAPPER_CONFIG", world.path("config.toml"))
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let wanted = "`server.port` and `mcp.http_port` are both 7000";
    assert!(
        said.contains(wanted) && said.contains("config.toml: "),
        "{said}"
    );
}

#[test]
fn a_team_whose_directory_is_not_there_names_its_line() {
    let world = World::new();
    let file = world.path("project/team.toml");
    fs::write(&file, "[[session]]\nagent = \"fake\"\ncwd = \"gone\"\n").expect("written");
    let output = world.verb(&["up", "team.toml"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("team.toml:3: `cwd`: no such directory: "),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_word_about_a_projects_servers_can_be_taken_back() {
    let world = World::new();
    let said = world.verb(&["trust"]);
    assert!(said.status.success() && said.stdout.is_empty(), "{said:?}");
    let dir = world.path("project").canonicalize().expect("a directory");
    let trust = wrapper::servers::trust::Trust::new(&world.path("state"));
    let digest = wrapper::servers::project::Digest::of(b"x");
    let answer = wrapper::servers::trust::Answer::No;
    trust.remember(&dir, &digest, answer).expect("remembered");
    let listed = world.json(&["trust", "list", "--json"]);
    assert_eq!(listed, json!([{"directory": dir, "answer": "no"}]));
    let forgotten = world.verb(&["trust", "forget", "."]);
    assert!(forgotten.status.success(), "{forgotten:?}");
    assert_eq!(world.json(&["trust", "--json"]), json!([]));
    assert_eq!(trust.remembered(&dir, &digest).expect("good"), None);
    assert_eq!(world.verb(&["trust", "forget", "."]).status.code(), Some(1));
}

#[test]
fn a_store_that_is_garbage_is_set_aside_and_the_hub_starts() {
    let mut world = World::new();
    let dir = world.path("data/wrapper/hub");
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join("hub.db"), "garbage ".repeat(1000)).expect("written");
    world.start_hub();
    assert!(world.verb(&["say", "hi"]).status.success());
    assert_eq!(world.json(&["read", "--json"])[0]["text"], "hi");
    let kept = fs::read_dir(&dir).expect("a directory").flatten();
    let mut names = kept.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let broken = names
        .find(|name| name.starts_with("hub.db.broken-"))
        .expect("kept");
    let kept = fs::read_to_string(dir.join(broken)).expect("text");
    assert!(kept.starts_with("garbage "), "{kept}");
}

#[test]
fn who_has_a_head() {
    let world = World::with_hub();
    let none = world.verb(&["who"]);
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    assert!(world.verb(&["fake", "-d"]).status.success());
    let who = world.verb(&["who"]);
    let text = String::from_utf8_lossy(&who.stdout).into_owned();
    let mut lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next(), Some(vec!["NAME", "STATE", "LABEL"]), "{text}");
    let one = lines.next().expect("a line");
    assert_eq!((one[0], one[2]), ("fake", "Fake"), "{text}");
    let listed = world.json(&["ps", "--json"]);
    let socket = listed[0]["socket"].as_str().expect("a socket");
    assert!(socket.ends_with("/control.sock"), "{socket}");
    assert!(world.verb(&["stop", "fake"]).status.success());
}

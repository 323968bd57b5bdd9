//! Teams: the sessions of a file, started and stopped together.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use super::support::agentchattr::Agentchattr;
use super::support::eventually;
use super::support::world::{FAKE, World};

/// A world whose team is ended with it.
struct Team<'a>(&'a World);

impl<'a> Team<'a> {
    fn of(world: &'a World, text: &str) -> Self {
        fs::write(world.path("project/wrapper-team.toml"), text).expect("written");
        Self(world)
    }

    /// `up`: the outcomes by member, and whether all run.
    fn up(&self) -> (Vec<Value>, bool) {
        let output = self.0.verb(&["up", "--json"]);
        let told = serde_json::from_slice(&output.stdout);
        let told = told.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (told, output.status.success())
    }

    fn down(&self) -> Output {
        self.0.verb(&["down"])
    }
}

impl Drop for Team<'_> {
    fn drop(&mut self) {
        self.0.verb(&["stop", "--all"]);
    }
}

fn outcomes<'a>(told: &'a [Value]) -> Vec<(&'a str, &'a str)> {
    let pair = |one: &'a Value| {
        let word = |key: &str| -> &'a str { one[key].as_str().expect("a word") };
        (word("member"), word("outcome"))
    };
    told.iter().map(pair).collect()
}

fn running(world: &World) -> Vec<Value> {
    let all = world.json(&["ps", "--json"]);
    all.as_array().expect("an array").clone()
}

const TWO: &str = "[[session]]\nagent = \"fake\"\nlabel = \"Writes\"\ncwd = \"sub\"\nargs = [\"--clears\"]\n\
    env = { TEAM_VARIABLE = \"1\" }\nprompt = \"begin with the parser\"\nrestart = \"never\"\n\n\
    [[session]]\nname = \"reviewer\"\nagent = \"fake\"\n";

#[test]
fn a_team_is_started_once_and_stopped_together() {
    let world = World::with_hub();
    fs::create_dir(world.path("project/sub")).expect("made");
    let team = Team::of(&world, TWO);
    let alone = world.verb(&["fake", "-d"]);
    assert!(alone.status.success(), "{alone:?}");
    let (told, all) = team.up();
    assert!(all, "{told:#?}");
    assert_eq!(
        outcomes(&told),
        [("fake", "started"), ("reviewer", "started")]
    );
    let sessions = running(&world);
    assert_eq!(sessions.len(), 3, "{sessions:#?}");
    let of = |member: usize| {
        let mut found = sessions
            .iter()
            .filter(|one| one["id"] == told[member]["id"]);
        found.next().expect("it runs").clone()
    };
    let writer = of(0);
    assert_eq!(writer["label"], "Writes");
    assert_eq!(writer["cwd"], json!(world.path("project/sub")));
    assert_eq!(of(1)["cwd"], json!(world.path("project")));
    let start = |key: &str, value: &Value| {
        let report = world.report();
        let mut starts = report.iter().filter_map(|entry| entry.get("start"));
        starts.any(|start| start[key].as_array().is_some_and(|all| all.contains(value)))
    };
    assert!(start("argv", &json!("--clears")));
    assert!(start("env", &json!("TEAM_VARIABLE")));
    eventually("the prompt is typed", || {
        let report = world.report();
        let mut pastes = report.iter().filter_map(|entry| entry["paste"].as_str());
        pastes
            .any(|text| text.contains("begin with the parser"))
            .then_some(())
    });

    let (again, all) = team.up();
    assert!(all, "{again:#?}");
    assert_eq!(
        outcomes(&again),
        [("fake", "running"), ("reviewer", "running")]
    );
    assert_eq!(again[0]["id"], told[0]["id"]);
    // A line each, for eyes.
    let said = world.verb(&["up"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.starts_with("running  fake"), "{said}");

    let down = team.down();
    assert!(down.status.success(), "{down:?}");
    let left = running(&world);
    assert_eq!(left.len(), 1, "{left:#?}");
    assert!(left[0]["team"].is_null(), "{left:#?}");
    let down = team.down();
    assert!(down.status.success(), "{down:?}");
}

#[test]
fn what_does_not_start_is_told_and_started_the_next_time() {
    let world = World::with_hub();
    let missing = world.path("agent");
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\n\n[agents.late]\ncommand = {missing:?}\n"
    ));
    let team = Team::of(
        &world,
        "[[session]]\nagent = \"late\"\n[[session]]\nagent = \"fake\"\n",
    );
    let (told, all) = team.up();
    assert!(!all);
    assert_eq!(outcomes(&told), [("late", "failed"), ("fake", "started")]);
    let why = told[0]["reason"].as_str().expect("a reason");
    assert!(
        why.starts_with("cannot start `") && why.contains("not found"),
        "{why}"
    );
    std::os::unix::fs::symlink(FAKE, &missing).expect("made");
    let (told, all) = team.up();
    assert!(all, "{told:#?}");
    assert_eq!(outcomes(&told), [("late", "started"), ("fake", "running")]);
}

#[test]
fn a_member_is_known_by_another_name() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let team = Team::of(&world, "[[session]]\nagent = \"fake\"\n");
    let (told, all) = team.up();
    assert!(all, "{told:#?}");
    assert_eq!(told[0]["name"], "fake");
    // Whoever comes second renames the first, on agentchattr's server.
    let second = world.verb(&["fake", "-d"]);
    assert!(second.status.success(), "{second:?}");
    eventually("the first has another name", || {
        let names = running(&world);
        names
            .iter()
            .any(|one| one["name"] == "fake-1")
            .then_some(())
    });
    let (told, _) = team.up();
    assert_eq!(outcomes(&told), [("fake", "running")]);
    assert_eq!(told[0]["name"], "fake-1");
    let down = team.down();
    assert!(down.status.success(), "{down:?}");
    assert_eq!(running(&world).len(), 1);
    drop(team);
    drop(server);
}

#[test]
fn teams_of_two_files_are_two() {
    let world = World::with_hub();
    let team = Team::of(&world, "[[session]]\nagent = \"fake\"\n");
    let other = world.path("other.toml");
    fs::copy(world.path("project/wrapper-team.toml"), &other).expect("copied");
    let other = other.to_str().expect("text");
    let (_, all) = team.up();
    assert!(all);
    let up = world.verb(&["up", other]);
    assert!(up.status.success(), "{up:?}");
    assert_eq!(
        String::from_utf8_lossy(&up.stdout),
        "started  fake, as fake-2\n"
    );
    fs::remove_file(other).expect("removed");
    // A file that is gone is still known by where it was.
    let down = world.verb(&["down", other]);
    assert!(down.status.success(), "{down:?}");
    let left = running(&world);
    assert_eq!(left.len(), 1);
    let mark = left[0]["team"].as_str().expect("a mark");
    assert!(
        Path::new(mark).ends_with("wrapper-team.toml#fake"),
        "{mark}"
    );
}

#[test]
fn of_a_file_with_a_mistake_nothing_is_started() {
    let world = World::with_hub();
    for (text, said, hint) in [
        (
            "[[session]]\nagent = \"fake\"\npromt = \"x\"\n",
            "wrapper-team.toml:3:1: unknown key `promt`",
            "did you mean `prompt`?",
        ),
        (
            "[[session]]\nagent = \"fake\"\n[[session]]\nagent = \"fkae\"\n",
            "wrapper-team.toml:4:9: no agent `fkae`",
            "did you mean `fake`?",
        ),
    ] {
        let team = Team::of(&world, text);
        let output = world.verb(&["up"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said) && error.contains(hint), "{error}");
        assert!(
            output.stdout.is_empty() && world.sessions().is_empty(),
            "{output:?}"
        );
        drop(team);
    }
    fs::remove_file(world.path("project/wrapper-team.toml")).expect("removed");
    let output = world.verb(&["up"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.starts_with("error: there is no wrapper-team.toml here"),
        "{error}"
    );
}

#[test]
fn a_member_answers_to_its_name_in_the_team_and_to_its_label() {
    let world = World::with_hub();
    fs::create_dir(world.path("project/sub")).expect("made");
    let team = Team::of(&world, TWO);
    assert!(team.up().1);
    let name = |asked: &str| world.json(&["send", "--json", "--timeout", "20s", asked, "hello"]);
    let all = running(&world);
    let id = |key: &str, value: &str| {
        let found = all
            .iter()
            .find(|one| one[key].as_str().is_some_and(|is| is.ends_with(value)));
        found.expect(value)["id"].clone()
    };
    assert_eq!(name("reviewer")["session"], id("team", "#reviewer"));
    assert_eq!(name("Writes")["session"], id("label", "Writes"));
    let said = |args: &[&str]| String::from_utf8(world.verb(args).stdout).expect("text");
    for verb in ["ps", "who"] {
        let shown = said(&[verb]);
        for word in ["Writes", "reviewer"] {
            assert!(shown.contains(word), "{verb}: {shown}");
        }
    }
    let who = world.json(&["who", "--json"]);
    assert_eq!(who[0]["label"], "Writes", "{who}");
    assert!(team.down().status.success());
}

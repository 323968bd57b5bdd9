//! What `wrapper doctor` finds, and that it leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;

use super::support::world::{FAKE, World};

/// The checks, by name; and whether all is well.
fn examined(world: &World, args: &[&str]) -> (Vec<Value>, bool) {
    let output = world.verb(&[&["doctor", "--json"], args].concat());
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (checks, output.status.code() == Some(0))
}

#[track_caller]
fn check<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let mut found = checks.iter().filter(|check| check["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("{name}: {checks:#?}"))
}

#[track_caller]
fn says(checks: &[Value], name: &str, state: &str, text: &str) {
    let check = check(checks, name);
    assert_eq!(check["state"], state, "{check}");
    assert!(
        check["text"]
            .as_str()
            .is_some_and(|said| said.contains(text)),
        "{check}"
    );
    assert_eq!(state == "ok", check["cure"].is_null(), "{check}");
}

fn fake(world: &World, more: &str) {
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\n{more}"
    ));
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn where_all_is_well_it_says_so_and_leaves_nothing() {
    let world = World::with_hub();
    let (checks, well) = examined(&world, &["fake"]);
    assert!(well, "{checks:#?}");
    says(&checks, "configuration", "ok", "valid");
    says(&checks, "state", "ok", "takes sessions");
    says(&checks, "hub", "ok", "ours");
    says(&checks, "fake", "ok", FAKE);
    says(&checks, "fake: inject", "ok", "`proxy_file`");
    assert!(!world.path("state").exists());
    assert!(world.online().is_empty() && world.report().is_empty());
    // A line each, for eyes.
    let output = world.verb(&["doctor", "fake"]);
    assert_eq!(lines(&output).len(), checks.len(), "{output:?}");
    assert!(
        lines(&output)[0].starts_with("ok       configuration: "),
        "{output:?}"
    );
}

#[test]
fn every_server_is_asked_by_the_way_of_a_session() {
    let world = World::with_hub();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    fake(
        &world,
        &format!(
            "\n[mcp_servers.tool]\ncommand = {FAKE:?}\nargs = [\"tool\"]\n\
         [mcp_servers.ours]\ncommand = {FAKE:?}\nargs = [\"tool\"]\nhosted = true\n\
         [mcp_servers.gone]\ncommand = \"no-such-program\"\n\
         [mcp_servers.away]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{port}/mcp\"\n\
         [mcp_servers.shut]\ntype = \"remote\"\nurl = \"http://127.0.0.1:{port}/mcp\"\nauth = {{ command = [\"false\"] }}\n\
         [mcp_servers.later]\ntype = \"git\"\nurl = \"https://127.0.0.1/x.git\"\nref = \"v1\"\ncommand = \"${{MCP_ROOT}}/x\"\n"
        ),
    );
    let (checks, well) = examined(&world, &["fake"]);
    assert!(well, "the agent starts without them: {checks:#?}");
    says(&checks, "fake: tool", "ok", "answers, with");
    says(&checks, "fake: ours", "ok", "answers, with");
    says(&checks, "fake: gone", "warning", "no-such-program");
    says(&checks, "fake: away", "warning", "away");
    says(&checks, "fake: shut", "warning", "credential");
    says(&checks, "fake: later", "warning", "not here yet");
    let cure = check(&checks, "fake: shut")["cure"]
        .as_str()
        .expect("a cure")
        .to_owned();
    assert!(cure.contains("`auth`"), "{cure}");
    assert!(!world.path("state").exists());
}

#[test]
fn a_hub_is_there_or_could_be() {
    let world = World::new();
    let (checks, well) = examined(&world, &["fake"]);
    assert!(well, "{checks:#?}");
    says(&checks, "hub", "ok", "a launch starts one");
    let taken = TcpListener::bind(("127.0.0.1", world.mcp_port)).expect("free");
    let (checks, well) = examined(&world, &["fake"]);
    assert!(!well);
    says(
        &checks,
        "hub",
        "problem",
        &format!("port {}", world.mcp_port),
    );
    drop(taken);
    fake(&world, "[server]\nautostart = false\n");
    let (checks, well) = examined(&world, &["fake"]);
    assert!(!well);
    says(&checks, "hub", "problem", "none answers");
}

#[test]
fn a_settings_file_that_does_not_parse_is_told_and_left_alone() {
    let world = World::with_hub();
    let settings = world.path("home/settings.json");
    fs::write(&settings, "{\"a\": }").expect("written");
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"settings_file\"\nmcp_settings_path = \"~/settings.json\"\n"
    ));
    let (checks, well) = examined(&world, &["fake"]);
    assert!(!well, "{checks:#?}");
    let check = check(&checks, "fake: inject");
    assert_eq!(check["state"], "problem", "{check}");
    assert!(
        check["text"]
            .as_str()
            .is_some_and(|text| text.contains("settings.json"))
    );
    assert_eq!(fs::read_to_string(&settings).expect("there"), "{\"a\": }");
}

#[test]
fn what_is_not_there_is_named_with_the_cure() {
    let world = World::with_hub();
    world.configure("[agents.fake]\ncommand = \"no-such-agent\"\n");
    let (checks, well) = examined(&world, &["fake"]);
    assert!(!well);
    says(
        &checks,
        "fake",
        "problem",
        "`no-such-agent`: not found on PATH",
    );
    let (checks, well) = examined(&world, &["nobody"]);
    assert!(!well);
    says(&checks, "nobody", "problem", "no agent `nobody`");
    world.configure("[server]\nprot = 1\n");
    let (checks, well) = examined(&world, &[]);
    assert!(!well);
    says(
        &checks,
        "configuration",
        "problem",
        "config.toml:2:1: unknown key `prot`",
    );
}

#[test]
fn what_killed_sessions_left_is_told() {
    let world = World::with_hub();
    fs::create_dir_all(world.path("state/sessions/0123456789ab")).expect("made");
    let (checks, well) = examined(&world, &["fake"]);
    assert!(well, "{checks:#?}");
    says(&checks, "leftovers", "warning", "killed: 1");
    assert!(world.path("state/sessions/0123456789ab").exists());
    assert_eq!(world.sessions().len(), 1);
}

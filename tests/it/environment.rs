//! What an agent and what is started for it inherit of the caller's environment.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::support::world::{FAKE, World};

/// A world whose agent `sh` writes its environment down, and ends.
fn world(more: &str) -> World {
    let world = World::new();
    let file = world.path("environment");
    world.configure(&format!(
        "[agents.sh]\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"env >{}\"]\n{more}",
        file.display()
    ));
    world
}

/// The environment of the agent, as it is launched by a caller with `env`.
fn inherited(world: &World, env: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut command = world.spawn(&["sh", "--headless", "--offline"]);
    for name in [
        "NO_PROXY",
        "no_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
    ] {
        command.env_remove(name);
    }
    let output = command.envs(env.iter().copied()).output().expect("run");
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(world.path("environment")).expect("written");
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn behind_a_proxy_the_agent_reaches_this_machine_without_it() {
    let plain = world("");
    let env = inherited(
        &plain,
        &[("HTTPS_PROXY", "http://corp:3128"), ("NO_PROXY", "corp")],
    );
    for name in ["NO_PROXY", "no_proxy"] {
        assert_eq!(env[name], "corp,127.0.0.1,localhost,::1", "{name}");
    }
    let env = inherited(&plain, &[("NO_PROXY", "corp")]);
    assert_eq!(env["NO_PROXY"], "corp");
    assert!(!env.contains_key("no_proxy"), "{env:?}");
    // The agent's own configuration counts as well.
    let own = world("env = { http_proxy = \"http://corp:3128\", NO_PROXY = \"*\" }\n");
    let env = inherited(&own, &[("no_proxy", "a")]);
    assert_eq!(env["NO_PROXY"], "*");
    assert_eq!(env["no_proxy"], "a,127.0.0.1,localhost,::1");
}

#[test]
fn a_server_that_names_a_proxy_of_its_own_reaches_this_machine_without_it() {
    let world = World::new();
    let config = fs::read_to_string(world.path("config.toml")).expect("a configuration");
    world.configure(&format!(
        "{config}[mcp_servers.own]\ncommand = {FAKE:?}\nenv = {{ HTTP_PROXY = \"http://corp:1\", NO_PROXY = \"corp\" }}\n\
         [mcp_servers.none]\ncommand = {FAKE:?}\nenv = {{ A = \"1\" }}\n"
    ));
    let plan = world.json(&["fake", "--offline", "--dry-run", "--json"]);
    let body = plan["inject"]["plan"]["files"][0]["body"]
        .as_str()
        .expect("a file");
    let body: Value = serde_json::from_str(&body.replace("\"****\"", "\"\"")).expect("JSON");
    let names = |server: &str| -> Vec<String> {
        let env = body["mcpServers"][server]["env"]
            .as_object()
            .expect("variables");
        env.keys()
            .filter(|name| !name.starts_with("WRAPPER_"))
            .cloned()
            .collect()
    };
    assert_eq!(names("own"), ["HTTP_PROXY", "NO_PROXY", "no_proxy"]);
    assert_eq!(names("none"), ["A"]);
}

#[test]
fn what_an_agent_says_of_its_session_is_kept_from_the_next() {
    let markers = [
        "CLAUDECODE",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_MESSAGING_SOCKET",
        "CLAUDE_CODE_MESSAGING_TOKEN",
        "CLAUDE_CODE_CHILD_SESSION",
        "CLAUDE_PID",
        "CODEX_THREAD_ID",
        "GEMINI_CLI",
        "OPENCODE_CONSOLE_TOKEN",
        "WRAPPER_MCP_KEY",
    ];
    let set: Vec<(&str, &str)> = markers
        .into_iter()
        .chain(["CLAUDE_CODE_USE_BEDROCK", "MINE", "ALSO_MINE"])
        .map(|name| (name, "outer"))
        .collect();
    // A list of the user's own adds to what agents export.
    let plain = world("strip_env = [\"MINE\"]\n");
    let env = inherited(&plain, &set);
    for name in markers.into_iter().chain(["MINE"]) {
        assert!(!env.contains_key(name), "{name}");
    }
    for name in ["CLAUDE_CODE_USE_BEDROCK", "ALSO_MINE"] {
        assert_eq!(env[name], "outer", "{name}");
    }
    // Who wants them says so, for the agent that exports them or for the one
    // that is launched.
    let kept = world("env = { GEMINI_CLI = \"1\" }\n[agents.claude]\nexported_env = []\n");
    let env = inherited(&kept, &set);
    assert_eq!(
        (env["CLAUDECODE"].as_str(), env["GEMINI_CLI"].as_str()),
        ("outer", "1")
    );
}

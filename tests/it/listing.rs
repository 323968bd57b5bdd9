//! `wrapper config`: what holds, who set it, and no credential.

use std::fs;

use serde_json::{Value, json};

use super::support::world::World;

const CONFIG: &str = "\
[server]
port = 7
[agents.reviewer]
command = \"claude\"
env = { LANG = \"C\", API_TOKEN = \"hidden-1\" }
[mcp_servers.docs]
type = \"remote\"
url = \"https://docs.example/mcp?key=hidden-2\"
headers = { X-Any = \"hidden-3\" }
auth = { command = [\"hidden-5\", \"hidden-6\"], timeout = \"5s\" }
[mcp_servers.fixed]
type = \"remote\"
url = \"https://docs.example/mcp\"
auth = { token = \"hidden-7\" }
[mcp_servers.tool]
command = \"x\"
env = { DATABASE = \"postgres://user:hidden-4@host/db\" }
";

#[test]
fn the_configuration_says_who_set_what() {
    let world = World::new();
    world.configure(CONFIG);
    let all = world.json(&["config", "--origin", "--json"]);
    let of = |key: &str| {
        let mut all = all.as_array().expect("an array").iter();
        let found = all.find(|entry| entry["key"] == key);
        let found = found.unwrap_or_else(|| panic!("no `{key}`"));
        (
            found["value"].clone(),
            found["origin"].as_str().expect("text").to_owned(),
        )
    };
    let file = world.path("config.toml").display().to_string();
    for (key, value, origin) in [
        ("server.port", json!(world.port), "--port"),
        ("server.host", json!("127.0.0.1"), "built-in config.toml"),
        (
            "server.data_dir",
            json!(world.path("data/wrapper/hub")),
            "default",
        ),
        (
            "agents.claude.mcp_inject",
            json!("proxy_file"),
            "built-in config.toml",
        ),
        (
            "agents.reviewer.mcp_flag",
            json!("--mcp-config"),
            "built-in config.toml",
        ),
        ("agents.reviewer.command", json!("claude"), &file),
        ("agents.reviewer.env.LANG", json!("C"), &file),
        ("agents.reviewer.env.API_TOKEN", json!("****"), &file),
        ("mcp_servers.docs.headers.X-Any", json!("****"), &file),
        ("mcp_servers.docs.auth.command", json!("****"), &file),
        ("mcp_servers.docs.auth.timeout", json!("5s"), &file),
        ("mcp_servers.fixed.auth.token", json!("****"), &file),
        (
            "mcp_servers.docs.url",
            json!("https://docs.example/mcp?****"),
            &file,
        ),
        ("mcp_servers.tool.env.DATABASE", json!("****"), &file),
    ] {
        assert_eq!(of(key), (value, origin.to_owned()), "{key}");
    }
}

#[test]
fn the_configuration_is_printed_as_toml_and_as_json() {
    let world = World::new();
    world.configure(CONFIG);
    let json = world.json(&["config", "--json"]);
    for args in [&["config"][..], &["config", "--origin"]] {
        let output = world.verb(args);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(!text.contains("hidden"), "{text}");
        let table: toml::Table = text.parse().expect("TOML");
        let table: Value = serde_json::to_value(table).expect("JSON");
        assert_eq!(table, json);
    }
    assert!(!world.path("state").exists(), "nothing is written");
    fs::write(world.path("config.toml"), "[server\n").expect("written");
    let output = world.verb(&["config"]);
    assert_eq!(output.status.code(), Some(1));
}

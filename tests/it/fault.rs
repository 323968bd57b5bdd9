//! A session that ends by an error of our own.

use std::fs;

use wrapper::types::exit::AgentExit;

use super::support::agentchattr::Agentchattr;
use super::support::eventually;
use super::support::sender::send;
use super::support::world::{WRAPPER, World};

/// What makes a build for tests panic, when it is to be typed.
const FAULT: &str = "wrapper: panic";

#[tokio::test]
async fn a_panic_leaves_nothing_behind_but_a_line_and_the_log() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let config = world.path("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    let merged = "mcp_inject = \"settings_file\"\nmcp_settings_path = \"~/settings.json\"\n";
    let text = text.replace("mcp_inject = \"proxy_file\"\n", merged);
    fs::write(&config, text.replace("mcp_flag = \"--mcp-config\"\n", "")).expect("written");
    let path = world.path("home/settings.json");
    let settings = || fs::read_to_string(&path).expect("settings");
    let before = "{ \"mine\": 1 }  \n";
    fs::write(&path, before).expect("written");

    let mut terminal = world.shell();
    terminal.shows("$").await;
    let cooked = terminal.termios();
    let World {
        port,
        mcp_port,
        sse_port,
        ..
    } = &world;
    let launch = format!(
        "{WRAPPER} fake --port {port} --mcp-http-port {mcp_port} --mcp-sse-port {sse_port} ; echo code $?\n"
    );
    terminal.keys(launch.as_bytes()).await;
    terminal.shows("\n>").await;
    assert_ne!(settings(), before);
    let agent = world.reported("start")["pid"].to_string();
    let log = world.json(&["ps", "--json"])[0]["log"].clone();

    let mut sent = send(&world, &[FAULT]);
    terminal.shows("code 125").await;
    assert!(!sent.wait().expect("waited").success());
    let shown = terminal.picture().rows.join("\n");
    let said = "\n>\nerror: an error of our own ended the session: it stands in the log\n";
    assert!(
        shown.contains(said) && !shown.contains("panicked"),
        "{shown}"
    );
    // Once the shell reads on.
    terminal
        .until("the terminal as it was", |terminal| {
            terminal.termios() == cooked
        })
        .await;
    let log = fs::read_to_string(log.as_str().expect("a path")).expect("the log");
    assert!(log.contains("a prompt asks for it"), "{log}");

    assert_eq!(settings(), before);
    assert_eq!(server.told("deregister").await.len(), 1);
    assert!(world.sessions().is_empty());
    eventually("the agent's end", || {
        let left = world.processes();
        let is_left = left.iter().any(|(pid, _)| pid.to_string() == agent);
        (!is_left).then_some(())
    });
    terminal.keys(b"exit\n").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

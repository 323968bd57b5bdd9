//! Tokens and hubs that change under a running agent: it sees no failure.

use std::fs;

use wrapper::hub::Client;
use wrapper::types::exit::AgentExit;
use wrapper::types::upstream::Endpoint;

use super::support::eventually;
use super::support::world::{FAKE, World};

const SEND: &str = "chat_send={\"channel\":\"general\",\"message\":\"here I am\"}";

#[tokio::test]
async fn a_rotated_token_and_a_restarted_hub_go_unnoticed() {
    let mut world = World::with_hub();
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    let client = Client::new(Endpoint::loopback(world.port, "/"));
    let human = wrapper::hub::human_token(&world.path("data/wrapper/hub")).expect("a token");
    let name = "fake".parse().expect("a name");

    world.json(&["say", "--json", "@fake one"]);
    terminal.until("an answer", |_| calls(&world) == 1).await;
    client.rotate(&human, &name).await.expect("rotated");
    world.json(&["say", "--json", "@fake two"]);
    terminal.until("an answer", |_| calls(&world) == 2).await;
    world.kill_hub();
    world.start_hub();
    world.json(&["say", "--json", "@fake three"]);
    terminal.until("an answer", |_| calls(&world) == 3).await;
    // Both at once, and nobody is told.
    client.rotate(&human, &name).await.expect("rotated");
    world.kill_hub();
    world.start_hub();
    world.json(&["say", "--json", "@fake four"]);
    terminal.until("an answer", |_| calls(&world) == 4).await;

    for entry in world.report() {
        if let Some(result) = entry.get("result") {
            assert!(result.to_string().contains("Sent (id="), "{entry}");
        }
    }
    assert_eq!(world.said("fake", 4), "here I am");
    assert_eq!(world.online(), ["fake"]);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    assert!(world.online().is_empty());
    let log = log(&world);
    assert!(log.contains("registered again"), "{log}");
}

#[tokio::test]
async fn a_file_that_holds_the_token_itself_gets_the_next_one() {
    let world = World::with_hub();
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"flag\"\nmcp_flag = \"--mcp-config\"\n"
    ));
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    let start = world.reported("start");
    let file = start["argv"][1].as_str().expect("a path");
    let before = fs::read_to_string(file).expect("the injected file");
    let client = Client::new(Endpoint::loopback(world.port, "/"));
    let human = wrapper::hub::human_token(&world.path("data/wrapper/hub")).expect("a token");
    let name = "fake".parse().expect("a name");
    client.rotate(&human, &name).await.expect("rotated");
    eventually("another token in the file", || {
        (fs::read_to_string(file).expect("the file") != before).then_some(())
    });
    world.json(&["say", "--json", "@fake hello"]);
    terminal.until("an answer", |_| calls(&world) == 1).await;
    assert_eq!(world.said("fake", 1), "here I am");
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn a_hub_that_dies_is_started_again() {
    let mut world = World::with_hub();
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    world.kill_hub();
    // Until the launch has noticed, and started another.
    eventually("a hub", || {
        let told = world.verb(&["say", "@fake are you there?"]);
        told.status.success().then_some(())
    });
    terminal.until("an answer", |_| calls(&world) == 1).await;
    assert_eq!(world.said("fake", 1), "here I am");
    assert_eq!(world.online(), ["fake"]);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

fn calls(world: &World) -> usize {
    world
        .report()
        .iter()
        .filter(|entry| entry.get("call").is_some())
        .count()
}

fn log(world: &World) -> String {
    let mut logs = fs::read_dir(world.path("state/logs")).expect("logs");
    fs::read_to_string(logs.next().expect("a log").expect("an entry").path()).expect("text")
}

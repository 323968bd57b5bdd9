//! A human's unfinished line, put aside for a prompt and given back.

use std::fs;

use serde_json::Value;

use super::support::pty::Outer;
use super::support::sender::{end, receipt, send, submitted};
use super::support::world::World;

const DRAFT: &str = "hälf  漢 \\ a line";

/// An agent whose line is spared for a moment only, with this manifest.
fn world(manifest: &str) -> World {
    let world = World::new();
    let config = world.path("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, format!("{text}draft_wait = \"100ms\"\n")).expect("written");
    let dir = world.path("xdg-config/wrapper/manifests");
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join("fake.toml"), manifest).expect("written");
    world
}

async fn drafted(world: &World) -> Outer {
    let mut terminal = world.launch(&["fake", "--offline", "--", "--stash"]);
    terminal.shows("\n>").await;
    terminal.keys(DRAFT.as_bytes()).await;
    terminal.shows(DRAFT).await;
    terminal
}

/// All that the agent was typed.
fn typed(world: &World) -> String {
    let report = world.report();
    report
        .iter()
        .filter_map(|one| one["input"].as_str())
        .collect()
}

#[tokio::test]
async fn a_draft_makes_room_for_a_prompt_and_comes_back_as_it_was() {
    let world = world("stash = \"ctrl-s\"\n\n[input]\nmarks = [\">\"]\n");
    let mut terminal = drafted(&world).await;
    submitted(&world, &mut terminal, "hello").await;
    let keys = format!("{DRAFT}\x13\x1b[200~hello\x1b[201~\r");
    assert_eq!(typed(&world), keys);
    terminal.shows(&format!("* hello\n> {DRAFT}")).await;
    terminal.keys(b"!\r").await;
    terminal
        .until("the line", |_| world.prompts().len() == 2)
        .await;
    assert_eq!(world.prompts(), ["hello", &format!("{DRAFT}!")]);
    assert_eq!(typed(&world), keys + "!\r");
    terminal.leave().await;
}

#[tokio::test]
async fn a_draft_that_cannot_be_put_aside_is_not_touched() {
    let world = world("[input]\nmarks = [\">\"]\n");
    let mut terminal = drafted(&world).await;
    let sent = send(&world, &["--timeout", "2s", "hello"]);
    let (receipt, done) = receipt(&mut terminal, sent).await;
    assert_eq!((end(&receipt), done), (("refused", "draft"), false));
    assert_eq!(typed(&world), DRAFT);
    assert_eq!(receipt["typed_ms"], Value::Null);
    terminal.keys(b"\r").await;
    terminal
        .until("the line", |_| world.prompts().len() == 1)
        .await;
    assert_eq!(world.prompts(), [DRAFT]);
    terminal.leave().await;
}

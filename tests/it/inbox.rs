//! Mentions from agentchattr's server, on their way to become prompts.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::agentchattr::Agentchattr;
use super::support::pty::Outer;
use super::support::world::World;
use super::support::{eventually, meanwhile};

async fn until_prompted(world: &World, terminal: &mut Outer, count: usize) -> Vec<String> {
    terminal
        .until("prompts", |_| world.prompts().len() >= count)
        .await;
    world.prompts()
}

#[tokio::test]
async fn a_prompt_brings_the_role_and_the_rules_along() {
    let world = World::new();
    let mut server = Agentchattr::of(&world, &[]);
    let proposed = json!({"action": "propose", "sender": "user", "rule": "be\rbrief"});
    server.tool(None, "chat_rules", proposed).await;
    // A human's click, which REST has no word for.
    server.stop();
    let rules = server.data_dir.join("rules.json");
    let text = fs::read_to_string(&rules).expect("rules");
    let mut board: Value = serde_json::from_str(&text).expect("JSON");
    board["rules"][0]["status"] = json!("active");
    fs::write(&rules, board.to_string()).expect("written");
    server.restart();
    let mut terminal = world.launch(&["fake"]);
    terminal.shows("\n>").await;
    server
        .ask(
            "POST /api/roles/fake",
            &json!({"role": "re\u{1b}[201~view\r!er"}),
        )
        .await;
    server.say("dev", "@fake one").await;
    let first = until_prompted(&world, &mut terminal, 1).await.remove(0);
    assert_eq!(
        first,
        "use mcp to read #dev - you're mentioned, take appropriate action and respond ROLE: re[201~view !er RULES: be brief"
    );
    let synced = || async { server.told("rules").await.last().cloned() };
    let epoch = meanwhile("what the agent knows", synced).await;
    assert_eq!(epoch["name"], "fake");
    server.say("general", "@fake two").await;
    let second = until_prompted(&world, &mut terminal, 2).await.remove(1);
    assert!(second.ends_with("ROLE: re[201~view !er"), "{second}");
    terminal.leave().await;
}

#[tokio::test]
async fn what_was_written_before_the_launch_is_delivered() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let entry = |extra: Value| {
        let mut entry =
            json!({"sender": "user", "text": "user: x", "time": "00:00:00", "channel": "ops"});
        for (key, value) in extra.as_object().expect("an object") {
            entry[key] = value.clone();
        }
        format!("{entry}\n")
    };
    let entries = [
        entry(json!({})),
        entry(json!({"job_id": 7})),
        entry(json!({"channel": "x\r!id\r"})),
        entry(json!({"prompt": "!rm -rf ~"})),
        "no JSON\n".to_owned(),
        entry(json!({"channel": "dev"})),
    ];
    fs::write(server.data_dir.join("fake_queue.jsonl"), entries.concat()).expect("written");
    let mut terminal = world.launch(&["fake"]);
    assert_eq!(
        until_prompted(&world, &mut terminal, 1).await,
        [
            "use mcp to read #ops, job_id=7, all channels and #dev - you're mentioned, take appropriate action and respond",
        ]
    );
    // A prompt of its own was for whoever had the name then.
    let told = "fake: (wrapper) fake: not typed, as they were for an earlier session of this name: 0 mentions of more than 24 hours ago, 1 prompts.";
    let said = server.said().await;
    assert_eq!(said, [told]);
    terminal.leave().await;
    let left = fs::read_dir(server.data_dir.join(".wrapper-queues")).expect("listed");
    assert_eq!(left.count(), 0);
}

#[tokio::test]
async fn what_has_waited_for_days_is_given_up_and_the_chat_is_told() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let queue = server.data_dir.join("fake_queue.jsonl");
    let entry =
        json!({"sender": "user", "text": "user: deploy", "time": "00:00:00", "channel": "ops"});
    let entries = format!("{entry}\n{entry}\n");
    fs::write(&queue, entries).expect("written");
    let days = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 86_400);
    let file = fs::File::options().append(true).open(&queue);
    file.expect("opened").set_modified(days).expect("dated");
    let mut terminal = world.launch(&["fake"]);
    let told = async || {
        let said = server.said().await;
        said.into_iter().find(|line| line.contains("(wrapper)"))
    };
    let told = meanwhile("a word of it", told).await;
    assert!(
        told.contains("2 mentions of more than 24 hours ago, 0 prompts"),
        "{told}"
    );
    let spools = server.data_dir.join(".wrapper-queues");
    eventually("its file is removed", || {
        let mut spools = fs::read_dir(&spools).ok()?.flatten();
        let files = fs::read_dir(spools.next()?.path().join("taken")).ok()?;
        (files.count() == 0).then_some(())
    });
    server.say("dev", "@fake hello").await;
    let prompts = until_prompted(&world, &mut terminal, 1).await;
    assert!(prompts[0].contains("#dev -"), "{prompts:?}");
    terminal.leave().await;
}

#[tokio::test]
async fn a_mention_that_waits_is_reported_once_and_delivered_later() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let config = world.path("config.toml");
    let text = fs::read_to_string(&config).expect("text");
    fs::write(&config, format!("{text}undelivered_after = \"100ms\"\n")).expect("written");
    let mut terminal = world.launch(&["fake", "--", "--dialog", "may I?"]);
    terminal.shows("may I?").await;
    let reports = || async {
        let said = server.said().await;
        let said = said.into_iter().filter(|line| line.contains("(wrapper)"));
        said.collect::<Vec<String>>()
    };
    server.say("dev", "@fake one").await;
    let first = meanwhile("a report", async || reports().await.pop()).await;
    assert!(
        first.contains("fake has not been reached: dialog open: ") && !first.contains('@'),
        "{first}"
    );
    server.say("general", "@fake two").await;
    terminal.keys(b"\r").await;
    let prompts = until_prompted(&world, &mut terminal, 1).await;
    assert!(prompts[0].contains("#dev and #general -"), "{prompts:?}");
    assert_eq!(reports().await.len(), 1);
    terminal.leave().await;
}

#[tokio::test]
async fn a_mention_that_was_not_shown_is_typed_again_when_others_come() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = world.launch(&["fake", "--", "--deaf-once"]);
    terminal.shows("\n>").await;
    server.say("dev", "@fake one").await;
    world.reported("paste");
    server.say("ops", "@fake two").await;
    let prompts = until_prompted(&world, &mut terminal, 2).await;
    assert!(prompts[0].contains("#dev -"), "{prompts:?}");
    assert!(prompts[1].contains("#ops -"), "{prompts:?}");
    terminal.leave().await;
}

#[tokio::test]
async fn the_chat_is_told_of_a_mention_that_may_be_lost() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = world.launch(&["fake", "--", "--ignore-enter"]);
    terminal.shows("\n>").await;
    server.say("dev", "@fake one").await;
    let told = async || {
        let said = server.said().await;
        said.into_iter().find(|line| line.contains("(wrapper)"))
    };
    assert_eq!(
        meanwhile("a word of it", told).await,
        "fake: (wrapper) fake may not have been reached: no reaction to Enter. mentions that may be lost: 1; they are not typed again."
    );
    terminal.leave().await;
}

#[tokio::test]
async fn an_agent_that_goes_says_what_waits_for_it() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = world.launch(&["fake", "--", "--dialog", "may I?"]);
    terminal.shows("may I?").await;
    let queue = server.data_dir.join("fake_queue.jsonl");
    server.say("dev", "@fake one").await;
    eventually("its taking", || (!queue.exists()).then_some(()));
    let wrapper = i32::try_from(terminal.pid()).expect("a pid");
    kill(Pid::from_raw(wrapper), Signal::SIGTERM).expect("told to end");
    terminal.end().await;
    let said = server.said().await.join("\n");
    assert!(
        said.contains("fake has not been reached: it has ended. mentions that wait: 1;"),
        "{said}"
    );
    // Whoever comes next under that name gets it, once.
    let mut next = world.launch(&["fake"]);
    let prompts = until_prompted(&world, &mut next, 1).await;
    assert!(prompts[0].contains("#dev -"), "{prompts:?}");
    next.leave().await;
}

#[tokio::test]
async fn the_hub_sees_when_the_agent_works_and_that_it_was_cut_off() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let mut terminal = world.launch(&["fake"]);
    terminal.shows("\n>").await;
    server.say("dev", "@fake work").await;
    until_prompted(&world, &mut terminal, 1).await;
    for active in [true, false] {
        let beats = async || {
            let beats = server.told("heartbeat").await;
            beats.into_iter().find(|beat| beat["active"] == active)
        };
        meanwhile("a report", beats).await;
    }
    server
        .post("/__test/rotate/fake", &json!({"reserve": true}))
        .await;
    let cut_off = async || {
        let said = server.said().await;
        said.into_iter()
            .find(|line| line.contains("Agent routing for fake interrupted"))
    };
    meanwhile("the flag", cut_off).await;
    terminal.leave().await;
}

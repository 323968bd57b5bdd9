//! Prompts that are sent to a session, and their receipts.

use std::fs;
use std::io::Write;
use std::process::Child;

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::eventually;
use super::support::pty::Outer;
use super::support::sender::{end, receipt, send, stands, submitted};
use super::support::world::World;

async fn open(world: &World, args: &[&str], shows: &str) -> Outer {
    let mut terminal = world.launch(&[&["fake", "--offline", "--"], args].concat());
    terminal.shows(shows).await;
    terminal
}

async fn begin_a_line(terminal: &mut Outer) {
    terminal.keys(b"half a li").await;
    terminal.shows("half a li").await;
}

#[tokio::test]
async fn a_prompt_has_a_receipt() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    let receipt = submitted(&world, &mut terminal, "hello there").await;
    let keys: Vec<&String> = receipt.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "session",
            "outcome",
            "reason",
            "queued_ms",
            "typed_ms",
            "submitted_ms"
        ]
    );
    let session = &world.json(&["ps", "--json"])[0]["id"];
    assert_eq!(
        (&receipt["session"], &receipt["id"]),
        (session, &json!("p1"))
    );
    for key in ["queued_ms", "typed_ms", "submitted_ms"] {
        assert!(receipt[key].is_u64(), "{receipt}");
    }
    assert_eq!(world.prompts(), ["hello there"]);
    terminal.leave().await;
}

#[tokio::test]
async fn senders_are_served_one_after_the_other() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    let sends: Vec<Child> = (0..4)
        .map(|n| send(&world, &[&format!("prompt {n}")]))
        .collect();
    let mut ids = Vec::new();
    for send in sends {
        let (receipt, done) = receipt(&mut terminal, send).await;
        assert!(done, "{receipt}");
        ids.push(receipt["id"].as_str().expect("an id").to_owned());
    }
    ids.sort();
    assert_eq!(ids, ["p1", "p2", "p3", "p4"]);
    let mut prompts = world.prompts();
    prompts.sort();
    assert_eq!(prompts, ["prompt 0", "prompt 1", "prompt 2", "prompt 3"]);
    terminal.leave().await;
}

#[tokio::test]
async fn what_the_agent_has_yet_to_read_is_not_typed_again() {
    let world = World::new();
    let mark = world.path("go").display().to_string();
    let mut terminal = open(&world, &["--reads-with", &mark], "\n>").await;
    let one = send(&world, &["one"]);
    stands(&world, "p1", ("typing", ""));
    // Until then the first is shown to be lost, and could be typed again.
    let two = send(&world, &["--timeout", "6s", "two"]);
    let (two, done) = receipt(&mut terminal, two).await;
    assert_eq!((end(&two).0, done), ("refused", false), "{two}");
    fs::write(&mark, "").expect("written");
    let (one, done) = receipt(&mut terminal, one).await;
    assert_eq!((end(&one), done), (("submitted", ""), true));
    terminal.leave().await;
    let typed = world.report();
    let pastes = typed.iter().filter(|line| line.get("paste").is_some());
    assert_eq!(pastes.count(), 1, "{typed:?}");
    assert_eq!(world.prompts(), ["one"]);
}

#[tokio::test]
async fn a_dialog_refuses_a_prompt_in_time_and_is_not_answered() {
    let world = World::new();
    let mut terminal = open(&world, &["--dialog", "rm -rf"], "rm -rf").await;
    let sent = send(&world, &["--timeout", "1s", "mcp read"]);
    let (receipt, done) = receipt(&mut terminal, sent).await;
    let (outcome, reason) = end(&receipt);
    assert_eq!((outcome, done), ("refused", false));
    assert!(reason.starts_with("dialog open: "), "{reason}");
    let said = world.verb(&["send", "fake", "--timeout", "10ms", "mcp read"]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.contains(&format!("`fake` did not get the prompt: {reason}"))
            && said.contains("hint: nothing was typed; `wrapper screen fake`"),
        "{said}"
    );
    // The human answers, and what was refused is not typed after all.
    terminal.keys(b"\r").await;
    terminal.shows("\n>").await;
    submitted(&world, &mut terminal, "now").await;
    assert_eq!(world.prompts(), ["now"]);
    terminal.leave().await;
}

#[tokio::test]
async fn nobody_waits_who_does_not_want_to() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    begin_a_line(&mut terminal).await;
    let (receipt, done) = receipt(&mut terminal, send(&world, &["--no-wait", "later"])).await;
    assert_eq!((end(&receipt), done), (("queued", ""), true));
    stands(&world, "p1", ("queued", "draft"));
    terminal.keys(b"ne\r").await;
    stands(&world, "p1", ("submitted", ""));
    assert_eq!(world.prompts(), ["half a line", "later"]);
    terminal.leave().await;
}

#[tokio::test]
async fn a_sender_who_goes_away_takes_the_prompt_back() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    begin_a_line(&mut terminal).await;
    let mut sent = send(&world, &["never"]);
    stands(&world, "p1", ("queued", "draft"));
    sent.kill().expect("killed");
    sent.wait().expect("waited");
    stands(&world, "p1", ("refused", "withdrawn"));
    terminal.keys(b"ne\r").await;
    submitted(&world, &mut terminal, "after").await;
    assert_eq!(world.prompts(), ["half a line", "after"]);
    terminal.leave().await;
}

#[tokio::test]
async fn a_prompt_of_20_kilobytes_arrives_whole() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    let words: Vec<String> = (0..4000).map(|n| format!("{n:04}")).collect();
    let text = words.join(" ");
    assert!(text.len() > 19_000);
    let mut sent = send(&world, &["-"]);
    let mut stdin = sent.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let (receipt, done) = receipt(&mut terminal, sent).await;
    assert!(done, "{receipt}");
    let prompts = world.prompts();
    let lengths: Vec<usize> = prompts.iter().map(String::len).collect();
    assert!(prompts == [text], "others, of {lengths:?} bytes");
    terminal.leave().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_at_once() {
    let world = World::new();
    let terminal = open(&world, &[], "\n>").await;
    let long = "x".repeat(40_000);
    for (args, says) in [
        (&["send", "fake", " \r\n "][..], "there is nothing to type"),
        (
            &["send", "fake", &long],
            "it is longer than 32768 characters",
        ),
        (&["send", "nobody", "x"], "no session `nobody`"),
    ] {
        let output = world.verb(args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(says), "{said}");
    }
    terminal.leave().await;
}

#[tokio::test]
async fn an_agent_that_exits_takes_no_prompt() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    terminal.keys(b"/exit 0").await;
    terminal.shows("/exit 0").await;
    let sent = send(&world, &["too late"]);
    stands(&world, "p1", ("queued", "draft"));
    terminal.keys(b"\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    let output = sent.wait_with_output().expect("waited");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let receipt: Value = serde_json::from_slice(&output.stdout).expect("a receipt");
    assert_eq!(end(&receipt), ("refused", "agent exited"));
}

#[tokio::test]
async fn an_agent_that_does_nothing_with_enter_leaves_it_unknown() {
    let world = World::new();
    let mut terminal = open(&world, &["--ignore-enter"], "\n>").await;
    let sent = send(&world, &["--timeout", "30s", "hello"]);
    let (receipt, done) = receipt(&mut terminal, sent).await;
    assert_eq!(
        (end(&receipt), done),
        (("unknown", "no reaction to Enter"), false)
    );
    terminal.leave().await;
}

#[tokio::test]
async fn an_idle_agent_is_waited_for() {
    let world = World::new();
    let mut terminal = open(&world, &["--busy"], "\n>").await;
    let sent = send(&world, &["--wait", "idle", "--no-wait", "some day"]);
    receipt(&mut terminal, sent).await;
    stands(&world, "p1", ("queued", "busy"));
    // That one holds up nobody else.
    submitted(&world, &mut terminal, "hello").await;
    let sent = send(&world, &["--wait", "idle", "--timeout", "1s", "hello"]);
    let (receipt, done) = receipt(&mut terminal, sent).await;
    assert_eq!((end(&receipt), done), (("refused", "busy"), false));
    terminal.leave().await;

    let mut terminal = open(&world, &[], "\n>").await;
    let sent = send(&world, &["--wait", "idle", "at last"]);
    let (receipt, done) = self::receipt(&mut terminal, sent).await;
    assert!(done, "{receipt}");
    terminal.leave().await;
}

#[tokio::test]
async fn the_screen_is_shown_as_it_is() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    terminal.keys("häßlich 漢".as_bytes()).await;
    terminal.shows("häßlich 漢").await;
    let screen = eventually("the screen", || {
        let screen = world.json(&["screen", "fake", "--json"]);
        (screen["text"] == "fake agent\n> häßlich 漢").then_some(screen)
    });
    assert_eq!(screen["rows"].as_array().expect("rows").len(), 24);
    assert_eq!(screen["cursor"], json!({"row": 1, "column": 12}));
    let output = world.verb(&["screen", "fake"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text, "fake agent\n> häßlich 漢\n");
    terminal.keys(b"\x15").await;
    terminal.leave().await;
}

//! Prompts that are sent to a session, and their receipts.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Output, Stdio};

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::eventually;
use super::support::pty::Outer;
use super::support::world::World;

/// What the agent was told, in order.
fn prompts(world: &World) -> Vec<String> {
    let report = world.report();
    let prompts = report.iter().filter_map(|entry| entry["prompt"].as_str());
    prompts.map(str::to_owned).collect()
}

async fn open(world: &World, args: &[&str], shows: &str) -> Outer {
    let mut terminal = world.launch(&[&["fake", "--offline", "--"], args].concat());
    terminal.shows(shows).await;
    terminal
}

/// Sends a prompt in the background.
fn send(world: &World, args: &[&str]) -> Child {
    let mut send = world.spawn(&[&["send", "fake", "--json"], args].concat());
    send.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// The receipt of a prompt, while the terminal goes on; and whether it is done.
async fn receipt(terminal: &mut Outer, send: Child) -> (Value, bool) {
    let output = tokio::task::spawn_blocking(|| send.wait_with_output());
    let output: Output = tokio::select! {
        output = output => output.expect("no panic").expect("waited"),
        () = terminal.until("a receipt", |_| false) => unreachable!("it waits for ever"),
    };
    let receipt = serde_json::from_slice(&output.stdout);
    (
        receipt.unwrap_or_else(|error| panic!("{error}: {output:?}")),
        output.status.success(),
    )
}

/// Outcome and reason.
fn end(receipt: &Value) -> (&str, &str) {
    let word = |key: &str| receipt[key].as_str().unwrap_or_default();
    (word("outcome"), word("reason"))
}

/// Waits until a prompt of the only session stands like that.
#[track_caller]
fn stands(world: &World, id: &str, expected: (&str, &str)) {
    eventually(&format!("{id}: {expected:?}"), || {
        let socket = world.sessions().pop()?.join("control.sock");
        let mut stream = UnixStream::connect(socket).ok()?;
        write!(stream, "GET /v1/prompts/{id} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let receipt: Value = serde_json::from_str(body).ok()?;
        (receipt["id"] == json!(id) && end(&receipt) == expected).then_some(())
    });
}

async fn exit(mut terminal: Outer) {
    terminal.keys(b"\x04").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
}

#[tokio::test]
async fn a_prompt_has_a_receipt() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    let (receipt, done) = receipt(&mut terminal, send(&world, &["hello  there"])).await;
    assert!(done);
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
    assert_eq!(end(&receipt), ("submitted", ""));
    for key in ["queued_ms", "typed_ms", "submitted_ms"] {
        assert!(receipt[key].is_u64(), "{receipt}");
    }
    assert_eq!(prompts(&world), ["hello there"]);
    exit(terminal).await;
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
    let mut prompts = prompts(&world);
    prompts.sort();
    assert_eq!(prompts, ["prompt 0", "prompt 1", "prompt 2", "prompt 3"]);
    exit(terminal).await;
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
    let (receipt, done) = self::receipt(&mut terminal, send(&world, &["now"])).await;
    assert!(done, "{receipt}");
    assert_eq!(prompts(&world), ["now"]);
    exit(terminal).await;
}

#[tokio::test]
async fn nobody_waits_who_does_not_want_to() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    terminal.keys(b"half a li").await;
    terminal.shows("half a li").await;
    let (receipt, done) = receipt(&mut terminal, send(&world, &["--no-wait", "later"])).await;
    assert_eq!((end(&receipt), done), (("queued", ""), true));
    stands(&world, "p1", ("queued", "draft"));
    terminal.keys(b"ne\r").await;
    stands(&world, "p1", ("submitted", ""));
    assert_eq!(prompts(&world), ["half a line", "later"]);
    exit(terminal).await;
}

#[tokio::test]
async fn a_sender_who_goes_away_takes_the_prompt_back() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    terminal.keys(b"half a li").await;
    terminal.shows("half a li").await;
    let mut sent = send(&world, &["never"]);
    stands(&world, "p1", ("queued", "draft"));
    sent.kill().expect("killed");
    sent.wait().expect("waited");
    stands(&world, "p1", ("refused", "withdrawn"));
    terminal.keys(b"ne\r").await;
    let (receipt, done) = receipt(&mut terminal, send(&world, &["after"])).await;
    assert!(done, "{receipt}");
    assert_eq!(prompts(&world), ["half a line", "after"]);
    exit(terminal).await;
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
    assert!(prompts(&world) == [text], "it is another");
    exit(terminal).await;
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
    exit(terminal).await;
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
    exit(terminal).await;
}

#[tokio::test]
async fn an_idle_agent_is_waited_for() {
    let world = World::new();
    let mut terminal = open(&world, &["--busy"], "\n>").await;
    let (receipt, done) = receipt(&mut terminal, send(&world, &["hello"])).await;
    assert!(done, "{receipt}");
    let sent = send(&world, &["--wait", "idle", "--timeout", "1s", "hello"]);
    let (receipt, done) = self::receipt(&mut terminal, sent).await;
    assert_eq!((end(&receipt), done), (("refused", "busy"), false));
    exit(terminal).await;

    let mut terminal = open(&world, &[], "\n>").await;
    let sent = send(&world, &["--wait", "idle", "at last"]);
    let (receipt, done) = self::receipt(&mut terminal, sent).await;
    assert!(done, "{receipt}");
    exit(terminal).await;
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
    exit(terminal).await;
}

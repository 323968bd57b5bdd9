//! What a prompt's receipt rests on: what is really in the line, what the agent
//! has really taken, and the sender's own clock.

use std::fs;
use std::io::Write;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::support::eventually;
use super::support::pty::Outer;
use super::support::sender::{end, receipt, send, stands, submitted};
use super::support::world::{WRAPPER, World};

async fn open(world: &World, args: &[&str], shows: &str) -> Outer {
    let mut terminal = world.launch(&[&["fake", "--offline", "--"], args].concat());
    terminal.shows(shows).await;
    terminal
}

/// A manifest of the fake agent.
fn manifest(world: &World, text: &str) {
    let dir = world.path("xdg-config/wrapper/manifests");
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join("fake.toml"), text).expect("written");
}

const LINES: &str = "[input]\nmarks = [\">\"]\n\n[paste]\nlines = true\n\
    first = { \"!\" = \"blank\", \"/\" = \"refuse\" }\n";

fn send_input(world: &World, text: &str) -> Child {
    let mut sent = send(world, &["-"]);
    let mut stdin = sent.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    sent
}

/// What stands on standard error of a sender that has ended.
fn words(sent: Child) -> String {
    let output = sent.wait_with_output().expect("waited");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_key_that_answers_a_question_holds_up_no_prompt() {
    let world = World::new();
    let mut terminal = open(&world, &["--dialog", "rm -rf"], "rm -rf").await;
    for key in ["1", "y"] {
        terminal.keys(key.as_bytes()).await;
        terminal.shows("\n> ").await;
        eventually("nothing is in the way", || {
            let explained = world.json(&["explain", "fake", "--json"]);
            (explained["waits_for"] == Value::Null).then_some(())
        });
        submitted(&world, &mut terminal, "next").await;
        terminal.keys(b"/dialog again\r").await;
        terminal.shows("Allow again").await;
    }
    terminal.keys(b"1").await;
    assert_eq!(world.prompts(), ["next", "next"]);
    terminal.leave().await;
}

#[tokio::test]
async fn explain_knows_of_a_line_that_the_user_has_begun() {
    let world = World::new();
    let mut terminal = open(&world, &["--mute"], "fake agent").await;
    terminal.keys(b"half a li").await;
    eventually("the draft", || {
        let explained = world.json(&["explain", "fake", "--json"]);
        (explained["waits_for"] == "draft").then_some(())
    });
    terminal.keys(b"\x15").await;
    eventually("no draft", || {
        let explained = world.json(&["explain", "fake", "--json"]);
        (explained["waits_for"] == Value::Null).then_some(())
    });
    terminal.leave().await;
}

#[tokio::test]
async fn a_prompt_of_clusters_is_submitted_as_it_was_written() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    let texts = [
        "👩\u{200d}💻",
        "👍🏽 ok",
        "cafe\u{301}",
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",
        "🇩🇪 ❤\u{fe0f}",
        "שָׁלוֹם",
    ];
    for text in texts {
        submitted(&world, &mut terminal, text).await;
    }
    assert_eq!(world.prompts(), texts);
    terminal.leave().await;
}

#[tokio::test]
async fn a_text_arrives_with_its_lines_tabs_and_blanks_where_the_agent_takes_them() {
    let world = World::new();
    manifest(&world, LINES);
    let mut terminal = open(&world, &[], "\n>").await;
    let text = "diff --git a b\r\n-\told  line\n+\tnew\x1b[201~\rline\n\n";
    let (receipt, done) = receipt(&mut terminal, send_input(&world, text)).await;
    assert_eq!((end(&receipt), done), (("submitted", ""), true));
    assert_eq!(receipt.get("joined"), None);
    let whole = "diff --git a b\n-\told  line\n+\tnew[201~\nline";
    assert_eq!(world.reported("paste"), json!(whole));
    assert_eq!(world.prompts(), [whole]);
    terminal.leave().await;
}

#[tokio::test]
async fn who_takes_no_line_ends_gets_one_line_and_that_is_said() {
    let world = World::new();
    let mut terminal = open(&world, &[], "\n>").await;
    let sent = send_input(&world, "one\n\ttwo  three\n");
    stands(&world, "p1", ("submitted", ""));
    let said = words(sent);
    assert!(
        said.contains("warning: the text goes in as one line: `fake`"),
        "{said}"
    );
    assert_eq!(world.prompts(), ["one two three"]);
    // Of one line nothing is changed.
    submitted(&world, &mut terminal, "one  two").await;
    assert_eq!(world.prompts()[1], "one  two");
    terminal.leave().await;
}

#[tokio::test]
async fn a_first_character_that_switches_the_mode_is_made_harmless_or_refused() {
    let world = World::new();
    manifest(&world, LINES);
    let mut terminal = open(&world, &[], "\n>").await;
    submitted(&world, &mut terminal, "!echo hi").await;
    assert_eq!(world.prompts(), [" !echo hi"]);
    let (refused, done) = receipt(&mut terminal, send(&world, &["/exit 0"])).await;
    let (outcome, reason) = end(&refused);
    assert_eq!((outcome, done), ("refused", false));
    assert!(reason.contains("begins with `/`"), "{reason}");
    terminal.leave().await;
}

#[tokio::test]
async fn a_sender_is_told_what_a_prompt_waits_for() {
    let world = World::new();
    let mut terminal = open(&world, &["--dialog", "rm -rf"], "rm -rf").await;
    let sent = send(&world, &["--timeout", "3s", "hello"]);
    let said = tokio::task::spawn_blocking(|| words(sent));
    let said = said.await.expect("no panic");
    assert!(
        said.contains("waiting: a dialog is open (choice)"),
        "{said}"
    );
    terminal.keys(b"\r").await;
    terminal.shows("\n>").await;
    terminal.leave().await;
}

#[tokio::test]
async fn a_sender_keeps_its_own_time_with_an_agent_that_reads_nothing() {
    let world = World::new();
    let mark = world.path("go").display().to_string();
    let mut terminal = open(&world, &["--reads-with", &mark], "\n>").await;
    // It would have a minute to read, which is longer than this test waits.
    let sent = send(&world, &["--timeout", "1s", "hello"]);
    let (receipt, done) = receipt(&mut terminal, sent).await;
    assert_eq!((end(&receipt).0, done), ("unknown", false), "{receipt}");
    fs::write(&mark, "").expect("written");
    terminal.leave().await;
}

#[tokio::test]
async fn a_suspended_session_says_so_and_types_nothing_afterwards() {
    let world = World::new();
    let terminal = open(&world, &[], "\n>").await;
    let pid = |session: &Value| {
        let pid = session["pid"].as_i64().expect("a process");
        Pid::from_raw(pid.try_into().expect("a process id"))
    };
    let session = pid(&world.json(&["ps", "--json"])[0]);
    kill(session, Signal::SIGSTOP).expect("stopped");
    eventually("suspended", || {
        let state = world.json(&["ps", "--json"])[0]["state"].clone();
        (state == "suspended").then_some(())
    });
    let explained = world.json(&["explain", "fake", "--json"]);
    assert_eq!(explained["state"], "suspended");
    let output = world.verb(&["send", "fake", "--timeout", "1s", "too late"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("`fake` did not get the prompt: the session is suspended")
            && said.contains("hint: nothing was typed"),
        "{said}"
    );
    let output = world.verb(&["screen", "fake"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("`fake` is suspended"), "{said}");
    kill(session, Signal::SIGCONT).expect("continued");
    stands(&world, "p1", ("refused", "timeout"));
    assert_eq!(world.prompts(), Vec::<String>::new());
    terminal.leave().await;
}

#[tokio::test]
async fn ctrl_z_is_a_state_of_its_own_outside_and_in_the_events() {
    let world = World::new();
    let mut shell = world.shell();
    shell.shows("$").await;
    shell
        .keys(format!("{WRAPPER} fake --offline --no-restart\r").as_bytes())
        .await;
    shell.shows("\n>").await;
    let socket = world
        .sessions()
        .pop()
        .expect("a session")
        .join("control.sock");
    let events = world.path("events");
    let mut follower = std::process::Command::new("curl")
        .args(["-sN", "--unix-socket"])
        .arg(&socket)
        .arg("http://x/v1/events")
        .stdout(fs::File::create(&events).expect("a file"))
        .spawn()
        .expect("curl runs");
    let told = || fs::read_to_string(&events).expect("read");
    eventually("the first event", || {
        told().contains("event: session").then_some(())
    });
    // 20 is SIGTSTP on this system.
    shell.keys(b"/die 20\r").await;
    shell.shows("Stopped").await;
    eventually("the event", || {
        told().contains(r#""state":"suspended""#).then_some(())
    });
    let state = world.json(&["ps", "--json"])[0]["state"].clone();
    assert_eq!(state, "suspended");
    shell.keys(b"fg\r").await;
    eventually("idle again", || {
        let state = world.json(&["ps", "--json"])[0]["state"].clone();
        (state == "idle").then_some(())
    });
    shell.keys(b"/exit 0\r").await;
    shell.shows("last words").await;
    follower.wait().expect("the stream ends");
}

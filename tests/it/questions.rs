//! What an agent asks its terminal: answered by us where there is none, and by
//! nobody else where there is one.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use wrapper::types::size::TermSize;

use crate::support::pty::Outer;
use crate::support::soon;

const FAKE: &str = env!("CARGO_BIN_EXE_fake-agent");

/// A session around an agent that asks, without a door of its own.
const SESSION: [&str; 5] = ["supervise", "/nonexistent", "never", FAKE, "--ask"];

/// What the agent was answered.
fn answers(report: &Path) -> String {
    let report = std::fs::read_to_string(report).expect("a report");
    let answers = report.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        line["answers"].as_str().map(str::to_owned)
    });
    answers.expect("answers")
}

#[tokio::test]
async fn without_a_terminal_the_agent_is_answered_all_that_it_asks() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report");
    let mut door = tokio::process::Command::new(FAKE);
    door.args(SESSION);
    door.env("FAKE_REPORT", &report).stdin(Stdio::null());
    door.stdout(Stdio::piped()).kill_on_drop(true);
    let mut door = door.spawn().expect("it runs");
    let output = door.stdout.take().expect("its output");
    let mut lines = BufReader::new(output).lines();
    // The agent says so once it was answered.
    while let Some(line) = soon("the agent", lines.next_line()).await.expect("a line") {
        if line.contains("fake agent") {
            break;
        }
    }
    let version = format!("\x1bP>|wrapper({})\x1b\\", env!("CARGO_PKG_VERSION"));
    let expected = [
        "\x1b[?62;22c",
        "\x1b[>1;0;0c",
        "\x1bP!|00000000\x1b\\",
        "\x1b[3;5R",
        "\x1b[?3;5;1R",
        "\x1b]4;1;rgb:cdcd/0000/0000\x1b\\",
        "\x1b]10;rgb:d0d0/d0d0/d0d0\x1b\\",
        "\x1b]11;rgb:1010/1010/1010\x1b\\",
        "\x1b]12;rgb:d0d0/d0d0/d0d0\x1b\\",
        "\x1b[?0u",
        "\x1b[>4;0m",
        &version,
        "\x1b[?2026;2$y",
        "\x1b[4;2$y",
        "\x1bP1$r0m\x1b\\",
        "\x1bP1$r1;24r\x1b\\",
        "\x1bP0+r544e\x1b\\",
        "\x1b[4;480;800t",
        "\x1b[6;20;10t",
        "\x1b[8;24;80t",
        "\x1b[?997;1n",
        "\x1b[48;24;80;480;800t",
        "\x1b[0n",
    ];
    assert_eq!(answers(&report), expected.concat());
}

#[tokio::test]
async fn with_a_terminal_that_one_answers_and_we_say_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report");
    let env = [("FAKE_REPORT", report.as_path())];
    let mut outer = Outer::run(TermSize::default(), FAKE, &SESSION, &env);
    let asked = |outer: &mut Outer| outer.bytes.ends_with(b"\x1b[5n");
    outer.until("the last question", asked).await;
    outer.keys(b"its own\x1b[0n").await;
    outer.shows("fake agent").await;
    assert_eq!(answers(&report), "its own\x1b[0n");
}

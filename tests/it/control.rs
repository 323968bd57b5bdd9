//! What a session says on its socket, and to whom.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use nix::unistd::Uid;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wrapper::control::Client;
use wrapper::control::protocol::Reach;

use super::support::desk::{KEY, Room};
use super::support::soon;
use super::support::world::WRAPPER;

#[tokio::test]
async fn a_session_says_who_it_is_and_no_secret() {
    let room = Room::new(Some(9), &[]);
    let session = json!({
        "id": "0123456789ab",
        "name": "claude",
        "agent": "claude",
        "label": "The Title",
        "state": "starting",
        "pid": std::process::id(),
        "agent_pid": null,
        "cwd": room.cwd(),
        "started_at": "1970-01-01T00:00:00.000Z",
        "restarts": 0,
        "attached": false,
        "hub": { "url": null, "state": "offline" },
        "mcp": [
            { "name": "up", "route": "proxy", "state": "untold", "reason": "this agent is told of no servers: it has no `mcp_inject`", "evidence": "configured" },
        ],
        "log": "session.log",
        "socket": room.socket(),
    });
    let answer = room.ask("GET /v1/session", "").await;
    assert_eq!((answer.status, answer.json()), (200, session));
    room.rename("claude-2");
    let answer = room.ask("GET /v1/session", "").await;
    assert_eq!(answer.json()["name"], "claude-2");
    assert!(!answer.body.contains("the-token") && !answer.body.contains(KEY));

    let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(room.socket()), 0o600);
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_json() {
    let room = Room::new(Some(9), &[]);
    let long = "x".repeat(70_000);
    for (head, body, status, error) in [
        ("GET /", "", 404, "there is no such route"),
        ("GET /v1/screens", "", 404, "there is no such route"),
        (
            "POST /v1/hub/check",
            "",
            400,
            "the body is no `{\"until\"}`",
        ),
        (
            "POST /v1/hub/check",
            "{\"until\":\"heard\"}",
            404,
            "this session does without a hub",
        ),
        (
            "POST /v1/session",
            "",
            405,
            "this route takes another method",
        ),
        (
            "GET /v1/bridge/up",
            "",
            405,
            "this route takes another method",
        ),
        (
            "POST /v1/bridge/down",
            "",
            404,
            "this session has no server `down`",
        ),
        (
            "POST /v1/bridge/%0a",
            "",
            404,
            "this session has no server ``",
        ),
        (
            "POST /v1/bridge/up/failed",
            "{}",
            404,
            "this session has no server `up`",
        ),
        ("POST /v1/bridge/up", &long, 413, "the body is too long"),
    ] {
        let answer = room.ask(head, body).await;
        assert_eq!(answer.json(), json!({ "error": error }), "{head}");
        assert_eq!(answer.status, status, "{head}");
    }
}

#[tokio::test]
async fn a_prompt_without_an_agent_is_refused_and_remembered() {
    let room = Room::new(None, &[]);
    let refused = json!({
        "id": "p1",
        "session": "0123456789ab",
        "outcome": "refused",
        "reason": "agent exited",
        "queued_ms": 0,
        "typed_ms": null,
        "submitted_ms": null,
    });
    for head in ["POST /v1/prompts", "GET /v1/prompts/p1"] {
        let mut answer = room.ask(head, r#"{"text":"hi"}"#).await.json();
        answer["queued_ms"] = json!(0);
        assert_eq!(answer, refused, "{head}");
    }
    let screen = room.ask("GET /v1/screen", "").await.json();
    assert_eq!(
        screen,
        json!({"state": "starting", "rows": [], "cursor": {"row": 0, "column": 0}, "text": ""})
    );
    let unknown = |id| format!("this session knows of no prompt `{id}`");
    let no_field = "the body is no prompt: missing field `text` at line 1 column 2";
    for (head, body, status, error) in [
        ("GET /v1/prompts/p2", "", 404, unknown("p2")),
        ("GET /v1/prompts/%0ap1", "", 404, unknown("p1")),
        ("POST /v1/prompts", "{}", 400, no_field.to_owned()),
    ] {
        let answer = room.ask(head, body).await;
        assert_eq!(answer.json(), json!({ "error": error }), "{head}");
        assert_eq!(answer.status, status, "{head}");
    }
}

#[tokio::test]
async fn whoever_says_nothing_is_hung_up_on() {
    let room = Room::new(None, &[]);
    let rest = async |words: &str| {
        let mut stream = UnixStream::connect(room.socket()).await.expect("let in");
        stream.write_all(words.as_bytes()).await.expect("heard");
        let mut rest = String::new();
        let read = soon("the end", stream.read_to_string(&mut rest)).await;
        read.expect("no reset");
        rest
    };
    let body = "POST /v1/bridge/up HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    let (nothing, head, body) = tokio::join!(rest(""), rest("GET /v1/se"), rest(body));
    assert_eq!((nothing.as_str(), head.as_str()), ("", ""));
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
}

#[tokio::test]
async fn a_socket_may_be_deeper_than_its_address_is_long() {
    let below = ["a-directory-with-a-long-name"; 8].join("/");
    let room = Room::deep(Some(9), &[], &below);
    let socket = room.cwd().join(below).join("control.sock");
    assert!(std::os::unix::net::SocketAddr::from_pathname(&socket).is_err());
    let reach = Client::new(&socket)
        .reach(&"up".parse().expect("a name"))
        .await;
    assert!(matches!(reach, Ok(Reach::Remote { url, .. }) if url.ends_with("/up/mcp")));
}

#[tokio::test]
async fn another_user_is_told_nothing() {
    use std::os::unix::process::CommandExt;

    if !Uid::effective().is_root() {
        // Only root can be somebody else; the kernel's word is all we go by.
        return;
    }
    let room = Room::new(Some(9), &[]);
    // As open as it can be, so that nothing but the check is in the way; and a
    // program that anybody can run.
    for open in [room.cwd(), room.cwd().join("state"), room.socket()] {
        fs::set_permissions(open, Permissions::from_mode(0o777)).expect("opened");
    }
    let program = room.cwd().join("wrapper");
    fs::copy(WRAPPER, &program).expect("copied");
    for (uid, says) in [(0, "has no server `down`"), (65534, "does not answer")] {
        let mut bridge = Command::new(&program);
        bridge
            .args(["bridge", "down", "--control"])
            .arg(room.socket())
            .env_clear()
            .uid(uid);
        let ask = json!({"id": 1, "method": "tools/call"}).to_string();
        let child = bridge
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("started");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), ask.as_bytes())
            .expect("heard");
        let output = tokio::task::spawn_blocking(move || child.wait_with_output());
        let output = soon("an answer", output).await.expect("no panic");
        let output = output.expect("waited");
        let said = String::from_utf8_lossy(&output.stdout);

        assert!(said.contains(says), "{uid}: {output:?}");
    }
}

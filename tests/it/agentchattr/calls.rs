//! Tools, queues and MCP sessions; and the real program against the server.

use std::process::Command;

use serde_json::json;
use tokio::io::AsyncReadExt;
use wrapper::types::exit::AgentExit;

use super::STALE;
use crate::support::agentchattr::Agentchattr;
use crate::support::rig::Raw;
use crate::support::soon;
use crate::support::world::World;

#[tokio::test]
async fn tools_go_by_the_token_of_each_call() {
    let server = Agentchattr::start(&[]);
    let (_, token) = server.register("claude").await;
    let speak = |sender: &str| json!({"sender": sender, "message": "hello"});
    for (token, arguments, answer) in [
        (Some(&*token), speak("user"), "Sent (id=0)"),
        (None, speak("user"), "Sent (id=1)"),
        (
            None,
            speak("claude-9"),
            "Error: authenticated agent session required for 'claude-9'.",
        ),
        (None, speak(""), "Error: sender is required."),
        (Some("deadbeef"), speak("user"), STALE),
        (
            Some(&*token),
            json!({"sender": "x", "message": " "}),
            "Empty message, not sent.",
        ),
    ] {
        let said = server.tool(token, "chat_send", arguments.clone()).await;
        assert_eq!(said, answer, "{token:?} {arguments}");
    }
    assert_eq!(server.said().await, ["claude: hello", "user: hello"]);
    let read = json!({"sender": "x", "channel": "general"});
    let said = server.tool(Some(&token), "chat_read", read.clone()).await;
    assert!(
        said.contains(r#""sender": "user", "text": "hello""#),
        "{said}"
    );
    for answer in [
        "No new messages. Do not poll",
        "No new messages. You have",
        "No new messages. STOP",
    ] {
        let said = server.tool(Some(&token), "chat_read", read.clone()).await;
        assert!(said.starts_with(answer), "{said}");
    }
    let wrong = server
        .tool(Some(&token), "chat_send", json!({"sender": "x"}))
        .await;
    assert!(
        wrong.starts_with("Error executing tool chat_send: 1 validation error"),
        "{wrong}"
    );
}

#[tokio::test]
async fn mentions_go_into_the_queues_of_those_who_are_registered() {
    let server = Agentchattr::start(&[]);
    let (_, token) = server.register("claude").await;
    server.say("dev", "@claude and @codex: hi").await;
    assert_eq!(
        server.said().await,
        [
            "user: @claude and @codex: hi",
            "system: codex appears offline — message queued."
        ]
    );
    let mut asked = json!({"agent": "claude", "message": "user: do it", "prompt": "a prompt"});
    server.ask("POST /api/trigger-agent", &asked).await;
    asked["agent"] = "nobody".into();
    let nobody = server.ask("POST /api/trigger-agent", &asked).await;
    assert_eq!(nobody, json!({"ok": true, "triggered": ["nobody"]}));
    let job = server.ask("POST /api/jobs", &json!({"title": "T"})).await;
    assert_eq!(job["id"], 1);
    server
        .ask(
            "POST /api/jobs/1/messages",
            &json!({"text": "@claude look"}),
        )
        .await;
    let queue = server.queue("claude");
    let told: Vec<String> = queue
        .lines()
        .map(|line| {
            let start = line.find(r#""time": ""#).expect("a time") + 9;
            format!("{}-{}", &line[..start], &line[start + 8..])
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"{"sender": "user", "text": "user: @claude and @codex: hi", "time": "-", "channel": "dev"}"#,
            r#"{"sender": "user", "text": "user: do it", "time": "-", "channel": "general", "prompt": "a prompt"}"#,
            r#"{"sender": "user", "text": "user: @claude look", "time": "-", "channel": "general", "job_id": 1}"#,
        ]
    );
    assert!(!server.data_dir.join("codex_queue.jsonl").exists());
    assert_eq!(server.told("send").await.len(), 1);
    assert_eq!(server.deregister(&token).await.0, 200);
}

#[tokio::test]
async fn mcp_sessions_end_with_the_server() {
    let mut server = Agentchattr::start(&[]);
    let session = "Mcp-Session-Id: 0123\r\nAccept: application/json, text/event-stream\r\n";
    let mut raw = Raw::connect(server.ports[2]).await;
    raw.send("GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    raw.until("event: endpoint\r\ndata: /messages/?session_id=")
        .await;
    let id = raw.until("\r\n").await.trim().to_owned();
    let ping = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    let post = format!(
        "POST /messages/?session_id={id} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{ping}",
        ping.len()
    );
    let mut other = Raw::connect(server.ports[2]).await;
    other.send(&post).await;
    assert!(other.answer().await.0.starts_with("HTTP/1.1 202 "));
    raw.until(r#"data: {"jsonrpc":"2.0","id":7,"result":{}}"#)
        .await;

    let http = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{session}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{ping}",
        ping.len()
    );
    let foreign = http.replace("Host: localhost", "Host: evil.example");
    for (text, status) in [
        (&*http, "404 "),
        (&foreign, "421 "),
        (&*http.replace("Mcp-Session-Id: 0123\r\n", ""), "400 "),
        (
            &*http
                .replace(", text/event-stream", "")
                .replace("Mcp-Session-Id: 0123\r\n", ""),
            "406 ",
        ),
    ] {
        let mut raw = Raw::connect(server.ports[1]).await;
        raw.send(text).await;
        let (head, body) = raw.answer().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{head}{body}"
        );
    }

    server.restart();
    let mut rest = Vec::new();
    // However it ends: what counts is that it does not hang.
    let _ended = soon("the end of the stream", raw.io.read_to_end(&mut rest)).await;
    let mut other = Raw::connect(server.ports[2]).await;
    other.send(&post).await;
    let (head, body) = other.answer().await;
    assert_eq!(
        (&head[..12], &*body),
        ("HTTP/1.1 404", "Could not find session")
    );
}

#[tokio::test]
async fn the_program_registers_and_its_agent_speaks_under_its_name() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let call =
        "chat_send={\"sender\":\"somebody\",\"channel\":\"general\",\"message\":\"here I am\"}";
    let mut terminal = world.launch(&["fake", "--", "--call", call]);
    terminal.shows("\n>").await;
    assert_eq!(server.told("register").await.len(), 1);
    terminal.keys(b"speak\r").await;
    terminal.shows("called chat_send").await;
    assert_eq!(server.said().await, ["fake: here I am"]);
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    assert_eq!(server.told("deregister").await[0]["name"], "fake");
}

#[test]
fn scenarios_are_run_against_any_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("config.toml");
    std::fs::write(&config, "[agents.scout]\n").expect("written");
    let config = config.to_str().expect("text");
    for (args, code, says) in [
        (&["--only", "exit"][..], 0, "exit"),
        (&["--only", "nothing"], 1, "no scenario `nothing`"),
        (
            &["--server", "true"],
            1,
            "`--server` needs the configuration",
        ),
        (
            &[
                "--only",
                "exit",
                "--config",
                config,
                "--server",
                "echo oh; exit 3",
            ],
            1,
            "the server ended with exit status: 3: oh",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_agentchattr-scenarios"))
            .args(args)
            .output()
            .expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("text");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

//! The server that plays agentchattr, against what is known of the real one.

mod calls; // tools, queues, MCP sessions; and the real program

use serde_json::{Value, json};

use super::support::agentchattr::{Agentchattr, bearer};
use super::support::meanwhile;

const STALE: &str = "Error: stale or unknown authenticated agent session. Re-register and retry.";

/// What a heartbeat is answered whose token belongs to this name.
fn beaten(name: &str) -> (u16, String) {
    (
        200,
        format!(r#"{{"ok":true,"name":"{name}","pending":false}}"#),
    )
}

fn stale() -> (u16, String) {
    (409, r#"{"error":"stale_session"}"#.to_owned())
}

/// Waits until the chat has said this.
async fn heard(server: &Agentchattr, text: &str) {
    meanwhile(text, async || {
        let said = server.said().await;
        said.iter().any(|said| said == text).then_some(())
    })
    .await;
}

#[tokio::test]
async fn names_follow_the_slots_of_a_family() {
    let server = Agentchattr::start(&[]);
    let (one, first) = server.register("claude").await;
    assert_eq!(one, "claude");
    let (two, second) = server.register("claude").await;
    assert_eq!(two, "claude-2");
    assert_eq!(server.beat(&first).await, beaten("claude-1"));
    // The last one gets the plain name back; what was left is kept free.
    assert_eq!(server.deregister(&first).await.0, 200);
    assert_eq!(server.deregister(&first).await, stale());
    assert_eq!(server.beat(&second).await, beaten("claude"));
    let (three, third) = server.register("claude").await;
    assert_eq!(three, "claude-2");
    assert_eq!(server.beat(&second).await, beaten("claude-1"));
    for token in [&second, &third] {
        server.deregister(token).await;
    }
    // Nobody is there; the last one was called `claude` when it left.
    let (four, fourth) = server.register("claude").await;
    assert_eq!(four, "claude-2");
    let claim = json!({"sender": four, "name": "claude"});
    assert_eq!(
        server.tool(Some(&fourth), "chat_claim", claim).await,
        r#"{"confirmed_name": "claude", "label": "Claude", "base": "claude"}"#
    );
    assert_eq!(server.beat(&fourth).await, beaten("claude"));
}

#[tokio::test]
async fn a_heartbeat_follows_renames_past_names_that_somebody_bears() {
    for release in ["0.4", "0.5"] {
        let server = Agentchattr::start(&["--release", release]);
        let (_, first) = server.register("claude").await;
        let (_, second) = server.register("claude").await;
        server.deregister(&first).await;
        assert_eq!(server.beat(&second).await, beaten("claude"));
        let (name, third) = server.register("claude").await;
        assert_eq!(name, "claude-2");
        // `claude-2` has been `claude`, which is `claude-1` now.
        assert_eq!(server.beat(&third).await, beaten("claude-1"), "{release}");
        let claim = json!({"sender": "x"});
        assert_eq!(
            server.tool(Some(&third), "chat_claim", claim).await,
            r#"{"confirmed_name": "claude-2", "label": "Claude 2", "base": "claude"}"#
        );
    }
}

#[tokio::test]
async fn names_are_claimed_unless_somebody_has_them() {
    let server = Agentchattr::start(&[]);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(server.register("codex").await.1);
    }
    for (who, name, answer) in [
        (1, "codex-3", "Error: Already claimed: codex-3"),
        (
            1,
            "claude",
            "Error: Name 'claude' conflicts with the claude agent family",
        ),
        (
            1,
            "claude-4",
            "Error: Name 'claude-4' conflicts with the claude agent family",
        ),
        (
            2,
            "music",
            r#"{"confirmed_name": "music", "label": "music", "base": "codex"}"#,
        ),
        // A name of one's own choice keeps the slot.
        (
            1,
            "codex-3",
            "Error: Slot 3 already occupied in codex family",
        ),
        (
            1,
            "",
            r#"{"confirmed_name": "codex-2", "label": "Codex 2", "base": "codex"}"#,
        ),
    ] {
        let claim = json!({"sender": "x", "name": name});
        let said = server.tool(Some(&tokens[who]), "chat_claim", claim).await;
        assert_eq!(said, answer, "{who} {name}");
    }
    let renamed = server
        .ask("POST /api/label/music", &json!({"label": "Gem Star!"}))
        .await;
    assert_eq!(renamed, json!({"ok": true, "new_name": "gem-star"}));
    assert_eq!(server.beat(&tokens[2]).await, beaten("gem-star"));
    let refused = server
        .ask("POST /api/label/gem-star", &json!({"label": "Claude"}))
        .await;
    let warning = "Name 'claude' conflicts with the claude agent family";
    assert_eq!(refused, json!({"ok": true, "warning": warning}));
}

#[tokio::test]
async fn the_gate_has_its_holes() {
    let server = Agentchattr::start(&[]);
    let agent = bearer(&server.register("claude").await.1);
    let session = format!("X-Session-Token: {}\r\n", server.session_token);
    let foreign = format!("{session}Origin: http://evil.example\r\n");
    let headers = ["", &agent, &session, &foreign];
    for (line, statuses) in [
        ("GET /api/status", [403, 403, 200, 403]),
        ("GET /api/rules", [403, 403, 200, 403]),
        ("GET /api/jobs", [403, 403, 200, 403]),
        ("GET /api/messages", [403, 200, 200, 403]),
        ("POST /api/send", [403, 200, 401, 403]),
        ("GET /api/rules/active", [403, 200, 200, 403]),
        ("POST /api/rules/agent_sync/claude", [403, 200, 200, 403]),
        ("POST /api/roles/claude", [200; 4]),
        ("GET /", [200; 4]),
        ("POST /api/register", [200; 4]),
        ("GET /api/register", [405; 4]),
        ("GET /api/nothing", [403, 403, 404, 403]),
    ] {
        let body = r#"{"text":"x","role":"","base":"codex"}"#;
        for (headers, status) in headers.into_iter().zip(statuses) {
            assert_eq!(
                server.rest(line, headers, body).await.0,
                status,
                "{line} {headers}"
            );
        }
    }
    for (line, headers, status, error) in [
        (
            "POST /api/heartbeat/claude",
            "",
            403,
            "authenticated agent session required",
        ),
        (
            "POST /api/heartbeat/claude-x",
            "",
            403,
            "authenticated agent session required",
        ),
        (
            "POST /api/heartbeat/claude",
            &*bearer("deadbeef"),
            409,
            "stale_session",
        ),
        ("POST /api/deregister/bob", "", 404, "not found"),
        ("POST /api/register", "", 400, "base is required"),
        ("POST /api/send", &agent, 400, "text is required"),
    ] {
        let (got, body) = server.rest(line, headers, "{}").await;
        assert_eq!(
            (got, body),
            (status, json!({"error": error}).to_string()),
            "{line}"
        );
    }
    let (_, stranger) = server.rest("POST /api/heartbeat/ghost", "", "").await;
    assert_eq!(stranger, r#"{"ok":true,"name":"ghost"}"#);
}

#[tokio::test]
async fn who_is_silent_is_given_up_and_its_name_is_kept_free() {
    let server = Agentchattr::start(&["--time-scale", "0.02"]);
    let (_, token) = server.register("claude").await;
    heard(&server, "claude: claude disconnected (timeout)").await;
    assert_eq!(server.beat(&token).await, stale());

    let server = Agentchattr::start(&[]);
    let (_, token) = server.register("claude").await;
    server.post("/__test/expire/claude", &Value::Null).await;
    assert_eq!(server.beat(&token).await, stale());
    assert_eq!(server.register("claude").await.0, "claude-2");
    for (reserve, name) in [(true, "codex-2"), (false, "codex-2")] {
        server.register("codex").await;
        let path = if reserve {
            "/__test/rotate/codex"
        } else {
            "/__test/rotate/codex-2"
        };
        server.post(path, &json!({"reserve": reserve})).await;
        assert_eq!(server.register("codex").await.0, name, "{reserve}");
    }
}

#[tokio::test]
async fn a_restarted_server_has_forgotten_everybody() {
    let mut server = Agentchattr::start(&[]);
    let (_, token) = server.register("claude").await;
    server.say("general", "before").await;
    let old = server.session_token.clone();
    server.restart();
    assert_ne!(server.session_token, old);
    assert_eq!(server.beat(&token).await, stale());
    assert_eq!(
        server.tool(Some(&token), "chat_read", json!({})).await,
        STALE
    );
    assert_eq!(server.register("claude").await.0, "claude");
    // Numbers go on.
    assert_eq!(server.say("general", "after").await, 1);
}

#[tokio::test]
async fn release_05_takes_back_whom_it_knew() {
    let mut server = Agentchattr::start(&["--release", "0.5"]);
    let (_, first) = server.register("claude").await;
    let (_, second) = server.register("claude").await;
    let (_, left) = server.register("codex").await;
    server.deregister(&left).await;
    server.restart();
    // In any order, and by a tool as well.
    let claim = json!({"sender": "x"});
    let said = server.tool(Some(&second), "chat_claim", claim).await;
    assert!(said.contains("claude-2"), "{said}");
    assert_eq!(server.beat(&first).await, beaten("claude-1"));
    assert_eq!(server.beat(&left).await, stale());
    server.post("/__test/expire/claude-2", &Value::Null).await;
    // The last of its family has its name by now, and loses it to the number.
    assert_eq!(server.beat(&first).await, beaten("claude"));
    assert_eq!(server.beat(&second).await, beaten("claude-2"));
    server.post("/__test/expire/claude-2", &Value::Null).await;
    server.restart();
    // Somebody else took the place.
    assert_eq!(server.register("claude").await.0, "claude");
    assert_eq!(server.beat(&first).await, stale());
}

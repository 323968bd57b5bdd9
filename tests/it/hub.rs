//! The embedded hub, over REST and MCP, with the real client and a real MCP
//! client.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wrapper::hub::api::{Message, STALE};
use wrapper::hub::client::{Error, Events, Kind};
use wrapper::hub::{self, Client, Settings};
use wrapper::types::identity::{Identity, InstanceName, Token};
use wrapper::types::trigger::{ChannelName, Trigger};
use wrapper::types::upstream::Endpoint;

use crate::support::hub::{Hub, Tools, ask, bearer, text};
use crate::support::soon;

const NO_TOKEN: &str = r#"{"error":"forbidden: invalid or missing session token"}"#;

fn channel(name: &str) -> ChannelName {
    name.parse().expect("a channel")
}

fn name(text: &str) -> InstanceName {
    text.parse().expect("a name")
}

async fn say(hub: &Hub, text: &str) -> Message {
    let sent = hub
        .client()
        .send(&hub.human(), text, &ChannelName::general())
        .await;
    sent.expect("sent")
}

/// The whole chat as `sender: text`.
async fn log(hub: &Hub) -> Vec<String> {
    let all = hub.client().messages(&hub.human(), 0, 1000, None).await;
    all.expect("messages")
        .into_iter()
        .map(|one| format!("{}: {}", one.sender, one.text))
        .collect()
}

async fn next<T: serde::de::DeserializeOwned>(events: &mut Events<T>) -> T {
    soon("an event", events.next())
        .await
        .expect("a stream")
        .expect("an event")
}

async fn ended<T: serde::de::DeserializeOwned + std::fmt::Debug>(mut events: Events<T>) {
    let end = soon("the end of a stream", events.next()).await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}

// Registration.

#[tokio::test]
async fn an_instance_registers_beats_and_leaves() {
    let hub = Hub::start().await;
    let client = hub.client();
    let base = "claude".parse().expect("a base");
    let human = hub.human();
    let first = client
        .register(&base, Some("My\tClaude"), None, Some(&human))
        .await
        .expect("registered");
    assert_eq!(first.identity.name.as_str(), "claude");
    assert_eq!((first.label.as_str(), first.slot), ("My Claude", 1));
    assert_eq!(first.mcp_port, Some(hub.mcp_port));
    assert_eq!(first.sse_port, Some(hub.sse_port));
    let second = client.register(&base, None, None, Some(&human)).await;
    let second = second.expect("registered");
    assert_eq!(second.identity.name.as_str(), "claude-2");
    assert_eq!((second.label.as_str(), second.slot), ("Claude 2", 2));

    // The first keeps its name when a second comes.
    let beat = client.heartbeat(&first.identity, Some(true)).await;
    assert_eq!(beat.expect("alive").as_str(), "claude");
    let status = client.status(&human).await.expect("status");
    let (who, state) = &status[0];
    assert_eq!(who.as_str(), "claude");
    assert!(state.available && state.busy);
    assert_eq!(state.base, Some(base.clone()));

    client.deregister(&first.identity).await.expect("left");
    for result in [
        client.heartbeat(&first.identity, None).await.map(drop),
        client.deregister(&first.identity).await,
    ] {
        assert!(matches!(result, Err(Error::Conflict)), "{result:?}");
    }
    assert_eq!(hub.enter("claude").await.name.as_str(), "claude");
    hub.stop().await;
}

#[tokio::test]
async fn agentchattrs_own_wrapper_can_register_without_a_token() {
    let hub = Hub::start().await;
    let answer = hub
        .rest("POST /api/register", &[], r#"{"base":"qwen","label":null}"#)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let record = answer.json();
    for (key, value) in [
        ("name", json!("qwen")),
        ("base", json!("qwen")),
        ("slot", json!(1)),
        ("label", json!("Qwen")),
        ("state", json!("active")),
        ("epoch", json!(1)),
    ] {
        assert_eq!(record[key], value, "{record}");
    }
    assert_eq!(record["token"].as_str().map(str::len), Some(32));
    assert_eq!(record["identity_id"].as_str().map(str::len), Some(32));
    let token = record["token"].as_str().expect("a token");
    let beat = hub
        .rest(
            "POST /api/heartbeat/qwen",
            &[("X-Agent-Token", token)],
            "zz",
        )
        .await;
    beat.is(200, r#"{"ok":true,"name":"qwen","pending":false}"#);
    hub.stop().await;
}

#[tokio::test]
async fn a_rotated_token_gets_its_instance_back() {
    let hub = Hub::start().await;
    let client = hub.client();
    let old = hub.enter("claude").await;
    hub.enter("claude").await;
    let role = client.set_role(&old.token, &old.name, "reviewer").await;
    role.expect("a role");
    let stream = client.triggers(&old.token).await.expect("a stream");
    say(&hub, "@claude before").await;

    let human = hub.human();
    client.rotate(&human, &old.name).await.expect("rotated");
    let mut stream = stream;
    next::<Trigger>(&mut stream).await;
    ended(stream).await;
    let beat = client.heartbeat(&old, None).await;
    assert!(matches!(beat, Err(Error::Conflict)), "{beat:?}");
    let triggers = client.triggers(&old.token).await;
    assert!(matches!(triggers, Err(Error::Conflict)), "{triggers:?}");
    let send = client.send(&old.token, "x", &ChannelName::general()).await;
    assert!(matches!(send, Err(Error::Unauthorized { .. })), "{send:?}");

    let base = "claude".parse().expect("a base");
    let again = client.register(&base, None, Some(&old.token), None).await;
    let again = again.expect("registered").identity;
    assert_eq!(again.name, old.name);
    assert_ne!(again.token, old.token);
    let roles = client.roles(&again.token).await.expect("roles");
    assert_eq!(roles["claude"], "reviewer");
    let mut stream = client.triggers(&again.token).await.expect("a stream");
    assert_eq!(next(&mut stream).await.sender, "user");

    // Once more with either token: the same instance still.
    for token in [&old.token, &again.token] {
        let same = client.register(&base, None, Some(token), None).await;
        assert_eq!(same.expect("registered").identity, again);
    }
    let unknown = client.rotate(&human, &name("nobody")).await;
    assert!(matches!(unknown, Err(Error::Refused { status: 404, .. })));
    drop(stream);
    hub.stop().await;
}

// Who may do what.

#[tokio::test]
async fn nobody_acts_without_a_token() {
    let hub = Hub::start().await;
    let me = hub.enter("claude").await;
    let other = hub.enter("codex").await;
    let (human, agent) = (bearer(&hub.human()), bearer(&me.token));
    let foreign = bearer(&Token::random());
    let roles = format!("POST /api/roles/{}", other.name);
    // Without a token, with an unknown one, an instance's, the human's.
    for (head, body, statuses) in [
        ("GET /api/health", "", [200, 200, 200, 200]),
        ("GET /api/status", "", [403, 403, 200, 200]),
        ("GET /api/messages", "", [403, 403, 200, 200]),
        // Without one: by this user's processes, as agentchattr's wrapper.
        ("GET /api/roles", "", [200, 403, 200, 200]),
        ("GET /api/rules/active", "", [403, 403, 200, 200]),
        (
            "POST /api/rules/agent_sync/claude",
            r#"{"epoch":0}"#,
            [403, 403, 200, 200],
        ),
        (
            "POST /api/rules/agent_sync/codex",
            r#"{"epoch":0}"#,
            [403, 403, 403, 200],
        ),
        (&roles, r#"{"role":"x"}"#, [403, 403, 403, 200]),
        (
            "POST /api/roles/claude",
            r#"{"role":"x"}"#,
            [403, 403, 200, 200],
        ),
        ("POST /api/send", r#"{"text":"x"}"#, [403, 403, 200, 200]),
        (
            "POST /api/triggers/ack",
            r#"{"upto":0}"#,
            [403, 409, 200, 409],
        ),
        ("POST /api/heartbeat/claude", "", [403, 409, 200, 409]),
        ("POST /api/rotate/codex", "", [403, 403, 403, 200]),
        ("GET /api/nothing", "", [404, 404, 404, 404]),
    ] {
        let tokens = [None, Some(&foreign), Some(&agent), Some(&human)];
        for (token, status) in tokens.into_iter().zip(statuses) {
            let headers: Vec<_> = token
                .map(|one| ("Authorization", one.as_str()))
                .into_iter()
                .collect();
            let answer = hub.rest(head, &headers, body).await;
            assert_eq!(answer.status, status, "{head} {token:?}: {answer:?}");
        }
    }
    for path in ["/api/triggers", "/api/stream"] {
        hub.rest(&format!("GET {path}"), &[], "")
            .await
            .is(403, NO_TOKEN);
    }
    // The human takes an instance out by name.
    let out = [("Authorization", human.as_str())];
    let gone = hub.rest("POST /api/deregister/codex", &out, "").await;
    gone.is(200, r#"{"ok":true}"#);
    let gone = hub.rest("POST /api/deregister/codex", &out, "").await;
    gone.is(404, r#"{"error":"not found"}"#);
    hub.stop().await;
}

#[tokio::test]
async fn pages_and_foreign_names_are_turned_away_on_both_ports() {
    let hub = Hub::start().await;
    let token = bearer(&hub.human());
    let register = r#"{"base":"claude"}"#;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for (port, head, body) in [
        (hub.rest_port, "GET /api/health", ""),
        (hub.rest_port, "POST /api/register", register),
        (hub.rest_port, "GET /api/messages", ""),
        (hub.mcp_port, "POST /mcp", ping),
    ] {
        let own = format!("127.0.0.1:{port}");
        let auth = ("Authorization", token.as_str());
        for host in ["", "evil.example", "127.0.0.1", "evil.example:80"] {
            let answer = ask(port, head, host, &[auth], body).await;
            assert!(
                [400, 403].contains(&answer.status),
                "{head} {host}: {answer:?}"
            );
        }
        for origin in ["http://evil.example", "null", "https://127.0.0.1"] {
            let headers = [auth, ("Origin", origin)];
            let answer = ask(port, head, &own, &headers, body).await;
            answer.is(403, r#"{"error":"forbidden: origin not allowed"}"#);
        }
        let own_origin = format!("http://localhost:{port}");
        let headers = [auth, ("Origin", own_origin.as_str())];
        let answer = ask(port, head, &own, &headers, body).await;
        assert_eq!(answer.status, 200, "{head}: {answer:?}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn senders_come_from_tokens() {
    let hub = Hub::start().await;
    let me = hub.enter("claude").await;
    let auth = bearer(&me.token);
    let headers = [("Authorization", auth.as_str())];
    for body in [
        r#"{"text":"one","sender":"user"}"#,
        r#"{"text":"two","sender":"system","name":"codex"}"#,
    ] {
        let answer = hub.rest("POST /api/send", &headers, body).await;
        assert_eq!(answer.json()["sender"], "claude", "{answer:?}");
    }
    let tools = hub.tools(&me.token).await;
    let sent = tools.text("chat_send", json!({"sender": "user", "message": "three"}));
    assert_eq!(sent.await, "Sent (id=3)");
    assert_eq!(
        log(&hub).await,
        ["claude: one", "claude: two", "claude: three"]
    );
    hub.stop().await;
}

// What a hub refuses.

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn bad_requests_are_told_what_is_wrong() {
    let hub = Hub::start().await;
    hub.enter("claude").await;
    let auth = bearer(&hub.human());
    let headers = [("Authorization", auth.as_str())];
    let long = json!({"text": "x".repeat(64 * 1024 + 1)}).to_string();
    let role = json!({"role": "x".repeat(201)}).to_string();
    for (head, body, status, error) in [
        ("POST /api/register", "{", 400, "invalid JSON"),
        ("POST /api/register", "[1]", 400, "invalid JSON"),
        ("POST /api/register", "{}", 400, "base is required"),
        (
            "POST /api/register",
            r#"{"base":""}"#,
            400,
            "base is required",
        ),
        (
            "POST /api/register",
            r#"{"base":7}"#,
            400,
            "base must be a string",
        ),
        (
            "POST /api/register",
            r#"{"base":"a b"}"#,
            400,
            "unknown base: a b",
        ),
        (
            "POST /api/register",
            r#"{"base":"all"}"#,
            400,
            "`all` is reserved",
        ),
        (
            "POST /api/register",
            r#"{"base":"User"}"#,
            400,
            "`user` is reserved",
        ),
        (
            "POST /api/register",
            r#"{"base":"x","label":[]}"#,
            400,
            "label must be a string",
        ),
        (
            "POST /api/register",
            r#"{"base":"x","label":"a\u001b[31m"}"#,
            400,
            "label has control characters",
        ),
        ("POST /api/send", "{", 400, "invalid JSON"),
        ("POST /api/send", r#"{"text":" "}"#, 400, "text is required"),
        ("POST /api/send", "{}", 400, "text is required"),
        (
            "POST /api/send",
            r#"{"text":5}"#,
            400,
            "text and channel must be strings",
        ),
        (
            "POST /api/send",
            r#"{"text":"a\rb"}"#,
            400,
            "text has control characters",
        ),
        (
            "POST /api/send",
            r#"{"text":"\u001b[201~"}"#,
            400,
            "text has control characters",
        ),
        (
            "POST /api/send",
            &long,
            400,
            "text is longer than 65536 bytes",
        ),
        (
            "POST /api/roles/claude",
            r#"{"role":"x\r!touch PWNED\r"}"#,
            400,
            "a role is one line of at most 200 characters",
        ),
        (
            "POST /api/roles/claude",
            &role,
            400,
            "a role is one line of at most 200 characters",
        ),
        ("POST /api/roles/claude", "x", 400, "invalid json"),
        (
            "POST /api/roles/nobody",
            r#"{"role":"x"}"#,
            404,
            "not found",
        ),
        (
            "POST /api/rules/agent_sync/claude",
            "x",
            400,
            "invalid json",
        ),
    ] {
        let answer = hub.rest(head, &headers, body).await;
        assert_eq!(answer.status, status, "{head} {body}: {answer:?}");
        assert_eq!(answer.json(), json!({"error": error}), "{head} {body}");
    }
    for name in [
        "x\\r!id\\r",
        "General",
        "a b",
        "../x",
        "",
        "twenty-one-characters",
    ] {
        let body = format!(r#"{{"text":"x","channel":"{name}"}}"#);
        let answer = hub.rest("POST /api/send", &headers, &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    for query in ["since_id=x", "limit=-1", "limit="] {
        let answer = hub
            .rest(&format!("GET /api/messages?{query}"), &headers, "")
            .await;
        assert_eq!(answer.status, 422, "{query}");
        assert!(answer.json()["detail"].is_array(), "{query}");
    }
    let huge = "x".repeat(2 * 1024 * 1024);
    let answer = hub
        .client()
        .send(&hub.human(), &huge, &ChannelName::general())
        .await;
    assert!(answer.is_err());
    assert_eq!(hub.rest("GET /api/send", &headers, "").await.status, 405);
    assert_eq!(log(&hub).await, [""; 0], "nothing was kept");
    hub.stop().await;
}

#[tokio::test]
async fn a_base_takes_64_instances() {
    let hub = Hub::start().await;
    for _ in 0..64 {
        hub.enter("claude").await;
    }
    let base = "claude".parse().expect("a base");
    let human = hub.human();
    let full = hub.client().register(&base, None, None, Some(&human)).await;
    assert!(
        matches!(full, Err(Error::Refused { status: 429, .. })),
        "{full:?}"
    );
    hub.stop().await;
}

#[tokio::test]
async fn channels_are_made_by_speaking_in_them_but_not_without_end() {
    let hub = Hub::start().await;
    let (client, human) = (hub.client(), hub.human());
    for number in 1..64 {
        let channel = channel(&format!("c{number}"));
        client.send(&human, "x", &channel).await.expect("sent");
    }
    let one_more = client.send(&human, "x", &channel("c64")).await;
    assert!(matches!(one_more, Err(Error::Refused { status: 400, .. })));
    hub.stop().await;
}

// The chat.

#[tokio::test]
async fn messages_have_agentchattrs_shape() {
    let hub = Hub::start().await;
    let (client, human) = (hub.client(), hub.human());
    for (text, to) in [("one", "general"), ("two", "dev"), ("three", "general")] {
        client.send(&human, text, &channel(to)).await.expect("sent");
    }
    let auth = bearer(&human);
    let headers = [
        ("X-Session-Token", human.expose()),
        ("Authorization", auth.as_str()),
    ];
    let all = hub.rest("GET /api/messages", &headers, "").await.json();
    let first = &all[0];
    let keys: Vec<_> = first.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "id",
            "uid",
            "sender",
            "text",
            "type",
            "timestamp",
            "time",
            "attachments",
            "channel"
        ]
    );
    assert_eq!(first["id"], 1);
    assert_eq!(first["type"], "chat");
    assert_eq!(first["uid"].as_str().map(str::len), Some(36));
    assert_eq!(first["time"].as_str().map(str::len), Some(8));

    let texts = async |since, limit, to: Option<&str>| {
        let to = to.map(channel);
        let found = client.messages(&human, since, limit, to.as_ref()).await;
        let found = found.expect("messages").into_iter();
        found.map(|one| one.text).collect::<Vec<_>>()
    };
    assert_eq!(texts(0, 50, None).await, ["one", "two", "three"]);
    assert_eq!(texts(0, 2, None).await, ["two", "three"]);
    assert_eq!(texts(0, 50, Some("general")).await, ["one", "three"]);
    assert_eq!(
        texts(1, 1, None).await,
        ["two", "three"],
        "since goes before limit"
    );
    assert_eq!(texts(3, 50, None).await, [""; 0]);
    hub.stop().await;
}

#[tokio::test]
async fn readers_follow_the_chat() {
    let hub = Hub::start().await;
    let (client, human) = (hub.client(), hub.human());
    say(&hub, "before").await;
    let dev = channel("dev");
    let mut now = client.stream(&human, None, None).await.expect("a stream");
    let mut all = client
        .stream(&human, Some(0), None)
        .await
        .expect("a stream");
    let mut only = client
        .stream(&human, Some(0), Some(&dev))
        .await
        .expect("a stream");
    say(&hub, "general").await;
    client.send(&human, "in dev", &dev).await.expect("sent");
    for (stream, texts) in [
        (&mut now, &["general", "in dev"][..]),
        (&mut all, &["before", "general", "in dev"]),
        (&mut only, &["in dev"]),
    ] {
        for text in texts {
            assert_eq!(next(stream).await.text, *text);
        }
    }
    // An open stream does not hold the end of the hub.
    hub.stop().await;
    ended(now).await;
}

#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let hub = Hub::start().await;
    let human = hub.human();
    let mut stream = hub
        .client()
        .stream(&human, None, None)
        .await
        .expect("a stream");
    // More than sockets hold, and more news than a stream may miss.
    let long = "x".repeat(60_000);
    for number in 0..400 {
        say(&hub, &format!("{number} {long}")).await;
    }
    for number in 0..400 {
        let text = next(&mut stream).await.text;
        assert!(text.starts_with(&format!("{number} ")), "not {number}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn mentions_wait_until_they_are_acknowledged() {
    let hub = Hub::start().await;
    let client = hub.client();
    let me = hub.enter("claude").await;
    let other = hub.enter("codex").await;
    let first = say(&hub, "@claude one").await;
    let dev = channel("dev");
    client
        .send(&other.token, "@claude two", &dev)
        .await
        .expect("sent");
    let mut stream = client.triggers(&me.token).await.expect("a stream");
    let one: Trigger = next(&mut stream).await;
    assert_eq!(
        (one.channel.as_str(), one.sender.as_str(), one.message),
        ("general", "user", first.id)
    );
    let two = next(&mut stream).await;
    assert_eq!(
        (two.channel.as_str(), two.sender.as_str()),
        ("dev", "codex")
    );
    say(&hub, "nobody").await;
    say(&hub, "@claude three").await;
    let three = next(&mut stream).await;
    assert!(one.id < two.id && two.id < three.id);
    drop(stream);

    // Again from the first that was not acknowledged.
    client.ack(&me.token, one.id).await.expect("acknowledged");
    let mut stream = client.triggers(&me.token).await.expect("a stream");
    assert_eq!(next(&mut stream).await, two);
    assert_eq!(next(&mut stream).await, three);
    client.ack(&me.token, three.id).await.expect("acknowledged");
    say(&hub, "@claude four").await;
    assert_eq!(next(&mut stream).await.id, three.id + 1);

    // Nobody else's.
    let mut others = client.triggers(&other.token).await.expect("a stream");
    say(&hub, "@codex hello").await;
    assert_eq!(next(&mut others).await.id, three.id + 2);
    drop((stream, others));
    hub.stop().await;
}

#[tokio::test]
async fn the_hub_tells_the_truth_about_who_is_not_there() {
    let hub = Hub::start().await;
    let me = hub.enter("claude").await;
    hub.client().deregister(&me).await.expect("left");
    say(&hub, "@claude and @stranger").await;
    assert_eq!(
        log(&hub).await,
        [
            "user: @claude and @stranger",
            "system: claude is offline: the mention waits for it."
        ]
    );
    // One that leaves with mentions undelivered says so; one had waited for it.
    let me = hub.enter("claude").await;
    say(&hub, "@claude again").await;
    hub.client().deregister(&me).await.expect("left");
    let last = log(&hub).await.pop();
    assert_eq!(
        last.as_deref(),
        Some("system: claude left: 2 mentions undelivered.")
    );
    hub.stop().await;
}

#[tokio::test]
async fn agents_among_themselves_are_stopped() {
    let hub = Hub::start().await;
    let client = hub.client();
    let (a, b) = (hub.enter("claude").await, hub.enter("codex").await);
    let general = ChannelName::general();
    let mut stream = client.triggers(&b.token).await.expect("a stream");
    for number in 0..6 {
        let text = format!("@codex {number}");
        client.send(&a.token, &text, &general).await.expect("sent");
    }
    let mut last = 0;
    for _ in 0..4 {
        last = next(&mut stream).await.message;
    }
    let said: Vec<_> = log(&hub).await;
    let guards = said.iter().filter(|one| {
        one.starts_with(
            "system: Loop guard: 4 agent-to-agent hops reached. Type /continue to resume.",
        )
    });
    assert_eq!(guards.count(), 1, "{said:?}");
    let human = hub.human();
    let headers = [("X-Session-Token", human.expose())];
    let status = hub.rest("GET /api/status", &headers, "").await;
    assert_eq!(status.json()["paused"], true);
    say(&hub, "/continue").await;
    let again = client
        .send(&a.token, "@codex go on", &general)
        .await
        .expect("sent");
    let woken = next(&mut stream).await.message;
    assert_eq!(woken, again.id);
    assert!(woken > last);
    drop(stream);
    hub.stop().await;
}

// Restarts.

#[tokio::test]
async fn a_restart_forgets_nothing() {
    let hub = Hub::start().await;
    let me = hub.enter("claude").await;
    let other = hub.enter("claude").await;
    let human = hub.human();
    let client = hub.client();
    client.rotate(&human, &other.name).await.expect("rotated");
    client
        .set_role(&me.token, &me.name, "reviewer")
        .await
        .expect("a role");
    say(&hub, "@claude one").await;
    let tools = hub.tools(&me.token).await;
    assert_eq!(tools.read(json!({})).await, ["user: @claude one"]);
    let before: Trigger = next(&mut client.triggers(&me.token).await.expect("a stream")).await;
    drop(tools);

    let hub = hub.restart().await;
    let client = hub.client();
    assert_eq!(hub.human(), human);
    assert_eq!(log(&hub).await, ["user: @claude one"]);
    let said = say(&hub, "@claude two").await;
    assert_eq!(said.id, 2, "ids go on");
    let beat = client.heartbeat(&me, None).await;
    assert_eq!(beat.expect("the token is good").as_str(), "claude");
    // Nobody takes a name that its owner may come back for.
    assert_eq!(hub.enter("claude").await.name.as_str(), "claude-3");
    let base = "claude".parse().expect("a base");
    let again = client.register(&base, None, Some(&other.token), None).await;
    assert_eq!(again.expect("registered").identity.name, other.name);

    let mut stream = client.triggers(&me.token).await.expect("a stream");
    assert_eq!(next(&mut stream).await, before);
    assert!(next(&mut stream).await.id > before.id);
    let tools = hub.tools(&me.token).await;
    let read = tools.read(json!({})).await;
    assert_eq!(read.first().map(String::as_str), Some("user: @claude two"));
    let roles = client.roles(&human).await.expect("roles");
    assert_eq!(roles["claude"], "reviewer");
    drop((stream, tools));
    hub.stop().await;
}

#[tokio::test]
async fn what_the_hub_keeps_is_private() {
    let hub = Hub::start().await;
    say(&hub, "secret").await;
    let dir = hub.data_dir();
    let mode =
        |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = fs::read_dir(&dir)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert!(
        files.iter().any(|file| file.ends_with("hub.db-wal")),
        "{files:?}"
    );
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    hub.stop().await;
}

#[tokio::test]
async fn two_hubs_never_share_a_directory_or_a_port() {
    let hub = Hub::start().await;
    let settings = Settings {
        data_dir: hub.data_dir(),
        max_hops: 4,
        idle_exit: None,
    };
    let bound = hub::bind("localhost", 0, 0, 0).expect("three ports");
    let error = hub::open(bound, &settings)
        .err()
        .expect("the directory is taken");
    assert!(
        error
            .to_string()
            .starts_with("another hub uses the data directory"),
        "{error:#}"
    );

    let taken = hub::bind("127.0.0.1", 0, hub.mcp_port, 0).expect_err("taken");
    assert_eq!(
        taken.to_string(),
        format!("cannot listen on port {}: it is taken", hub.mcp_port)
    );
    // Few need this one, and a hub without it is one for all the others.
    let without = hub::bind("127.0.0.1", 0, 0, hub.sse_port).expect("two ports");
    assert_eq!(without.sse_port(), None);
    let open = hub::bind("0.0.0.0", 0, 0, 0).expect_err("not loopback");
    assert_eq!(
        open.to_string(),
        "cannot listen on `0.0.0.0`: the hub serves this machine alone"
    );
    hub.stop().await;
}

#[tokio::test]
async fn an_idle_hub_leaves() {
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let hub = Hub::start_in(dir, Some(Duration::from_millis(20))).await;
    hub.end().await;
}

// The client and what is no hub of ours.

#[tokio::test]
async fn the_client_tells_hubs_apart() {
    let hub = Hub::start().await;
    let Ok(Kind::Ours(health)) = hub.client().health().await else {
        panic!("no hub");
    };
    assert_eq!(health.mcp_port, hub.mcp_port);
    let port = hub.rest_port;
    let mcp = Client::new(Endpoint::loopback(hub.mcp_port, "/"));
    let nobody = mcp.health().await;
    assert!(matches!(nobody, Err(Error::NotAHub { .. })), "{nobody:?}");
    hub.stop().await;
    let gone = Client::new(Endpoint::loopback(port, "/")).health().await;
    let Err(error @ Error::Unreachable { .. }) = gone else {
        panic!("{gone:?}");
    };
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "cannot reach the hub at http://127.0.0.1:{port}/: "
        )),
        "{text}"
    );
}

#[tokio::test]
async fn the_client_speaks_to_agentchattr() {
    let forbidden = r#"{"error":"forbidden: invalid or missing session token"}"#;
    let record = r##"{"identity_id":"a","name":"claude-1","base":"claude","slot":1,"label":"Claude","color":"#da7756","state":"active","epoch":1,"registered_at":1.5,"token":"t0k","extra":[1]}"##;
    let message = r#"[{"id":0,"uid":"u","sender":"user","text":"hi","type":"chat","timestamp":1.5,"time":"10:00:00","attachments":[],"channel":"Any Thing","metadata":null,"new":{}}]"#;
    let me = Identity {
        name: name("claude"),
        token: Token::new("t0k"),
    };
    let base = "claude".parse().expect("a base");

    let client = canned("403 Forbidden", forbidden).await;
    assert!(matches!(client.health().await, Ok(Kind::Agentchattr)));
    let client = canned("403 Forbidden", forbidden).await;
    let triggers = client.triggers(&me.token).await;
    assert!(matches!(triggers, Err(Error::Unsupported)), "{triggers:?}");
    let client = canned("404 Not Found", r#"{"detail":"Not Found"}"#).await;
    let triggers = client.triggers(&me.token).await;
    assert!(matches!(triggers, Err(Error::Unsupported)), "{triggers:?}");

    let client = canned("200 OK", record).await;
    let registered = client
        .register(&base, None, None, None)
        .await
        .expect("registered");
    assert_eq!(registered.identity.name.as_str(), "claude-1");
    let client = canned("200 OK", message).await;
    let messages = client
        .messages(&me.token, 0, 5, None)
        .await
        .expect("messages");
    assert_eq!(
        (messages[0].id, messages[0].channel.as_str()),
        (0, "Any Thing")
    );
    let client = canned("409 Conflict", r#"{"error":"stale_session"}"#).await;
    assert!(matches!(
        client.heartbeat(&me, None).await,
        Err(Error::Conflict)
    ));
    let status = r##"{"codex":{"available":true,"busy":false,"label":"Codex","color":"#fff","role":""},"paused":false}"##;
    let client = canned("200 OK", status).await;
    let status = client.status(&me.token).await.expect("status");
    assert_eq!((status.len(), status[0].1.base.is_none()), (1, true));

    for page in ["<html>", "{}", ""] {
        let client = canned("200 OK", page).await;
        let answer = client.register(&base, None, None, None).await;
        assert!(matches!(answer, Err(Error::NotAHub { .. })), "{answer:?}");
    }
    let client = canned("404 Not Found", "<html>").await;
    let answer = client.register(&base, None, None, None).await;
    assert!(matches!(answer, Err(Error::NotAHub { .. })), "{answer:?}");
    let client = canned("500 Internal Server Error", "Internal Server Error").await;
    let answer = client.register(&base, None, None, None).await;
    assert!(
        matches!(answer, Err(Error::Refused { status: 500, .. })),
        "{answer:?}"
    );
}

/// A server that gives one answer, whatever it is asked.
async fn canned(status: &str, body: &str) -> Client {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a caller");
        let mut seen = Vec::new();
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            stream.read_buf(&mut seen).await.expect("a request");
        }
        stream.write_all(answer.as_bytes()).await.expect("answered");
        // Bytes unread at the close would reset the connection.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    Client::new(Endpoint::loopback(port, "/"))
}

// MCP.

async fn with_agent() -> (Hub, Identity, Tools) {
    let hub = Hub::start().await;
    let me = hub.enter("claude").await;
    let tools = hub.tools(&me.token).await;
    (hub, me, tools)
}

#[tokio::test]
async fn an_mcp_client_finds_the_tools() {
    let (hub, _, tools) = with_agent().await;
    let listed = soon("tools", tools.0.list_all_tools())
        .await
        .expect("tools");
    let names: Vec<_> = listed.iter().map(|tool| tool.name.as_ref()).collect();
    assert_eq!(
        names,
        [
            "chat_send",
            "chat_read",
            "chat_resync",
            "chat_join",
            "chat_who",
            "chat_channels",
            "chat_claim"
        ]
    );
    for tool in &listed {
        let tool = serde_json::to_value(tool).expect("json");
        assert_eq!(tool["annotations"]["destructiveHint"], false);
        assert_eq!(tool["annotations"]["openWorldHint"], false);
        assert_eq!(tool["outputSchema"]["required"], json!(["result"]));
        for property in tool["inputSchema"]["properties"]
            .as_object()
            .expect("properties")
            .values()
        {
            assert!(property["title"].is_string(), "{tool}");
        }
    }
    let send = serde_json::to_value(&listed[0].input_schema).expect("json");
    assert_eq!(send["required"], json!(["sender", "message"]));
    assert_eq!(send["properties"]["reply_to"]["default"], -1);
    assert_eq!(tools.text("chat_who", json!({})).await, "Online: claude");
    assert_eq!(
        tools.text("chat_channels", json!({})).await,
        r#"{"channels":["general"]}"#
    );
    hub.stop().await;
}

#[tokio::test]
async fn agents_read_what_they_have_not_read() {
    let (hub, _, tools) = with_agent().await;
    for number in 1..=25 {
        say(&hub, &format!("m{number}")).await;
    }
    let numbers = |range: std::ops::RangeInclusive<u32>| -> Vec<String> {
        range.map(|number| format!("user: m{number}")).collect()
    };
    // The first read: the newest. After that: the oldest unread first.
    assert_eq!(
        tools.read(json!({"sender": "claude"})).await,
        numbers(6..=25)
    );
    for number in 26..=55 {
        say(&hub, &format!("m{number}")).await;
    }
    let page = tools.text("chat_read", json!({"limit": "20"})).await;
    let page: Value = serde_json::from_str(&page).expect("an object");
    assert_eq!(page["unread"], 10);
    assert_eq!(page["messages"][0]["text"], "m26");
    assert_eq!(tools.read(json!({"since_id": 53})).await, numbers(54..=55));
    assert_eq!(tools.read(json!({})).await, numbers(46..=55));
    for beginning in [
        "No new messages. Do",
        "No new messages. You",
        "No new messages. STOP",
        "No new messages. STOP",
    ] {
        let text = tools.text("chat_read", json!({})).await;
        assert!(text.starts_with(beginning), "{text}");
    }
    // Channels are read apart.
    assert_eq!(
        tools.read(json!({"channel": "#general", "limit": 2})).await,
        numbers(54..=55)
    );
    let text = tools
        .text("chat_resync", json!({"sender": "claude", "limit": 1}))
        .await;
    assert!(text.contains("m55") && !text.contains("m54"), "{text}");
    hub.stop().await;
}

#[tokio::test]
async fn sending_reads_nothing_that_was_not_read() {
    let (hub, _, tools) = with_agent().await;
    say(&hub, "one").await;
    tools.read(json!({})).await;
    tools.text("chat_send", json!({"message": "mine"})).await;
    assert_eq!(
        tools.read(json!({})).await,
        [""; 0],
        "its own message is read"
    );
    say(&hub, "two").await;
    tools
        .text("chat_send", json!({"message": "mine too"}))
        .await;
    assert_eq!(
        tools.read(json!({})).await,
        ["user: two", "claude: mine too"]
    );
    hub.stop().await;
}

#[tokio::test]
async fn tools_answer_as_agentchattrs_do() {
    let (hub, me, tools) = with_agent().await;
    let dev = json!({"sender": "x", "channel": "dev", "message": "a\r\nb", "choices": ["y", "n"]});
    assert_eq!(tools.text("chat_send", dev).await, "Sent (id=1)");
    let sent = hub
        .client()
        .messages(&me.token, 0, 1, None)
        .await
        .expect("messages");
    assert_eq!(
        (sent[0].text.as_str(), sent[0].kind.as_str()),
        ("a\nb", "decision")
    );
    assert_eq!(sent[0].metadata, Some(json!({"choices": ["y", "n"]})));
    // Without a channel: where it spoke last.
    tools
        .text("chat_send", json!({"message": "c", "reply_to": 1}))
        .await;
    let sent = hub
        .client()
        .messages(&me.token, 1, 1, None)
        .await
        .expect("messages");
    assert_eq!(
        (sent[0].channel.as_str(), sent[0].reply_to),
        ("dev", Some(1))
    );
    assert_eq!(
        tools.text("chat_channels", json!({})).await,
        r#"{"channels":["general","dev"]}"#
    );
    assert_eq!(
        tools.text("chat_join", json!({"name": "x"})).await,
        "Joined. Online: claude"
    );
    assert_eq!(
        log(&hub).await.pop().as_deref(),
        Some("claude: claude joined")
    );
    for (tool, arguments, answer) in [
        (
            "chat_send",
            json!({"message": " "}),
            "Empty message, not sent.",
        ),
        (
            "chat_send",
            json!({"message": "x", "reply_to": 99}),
            "Message #99 not found.",
        ),
        (
            "chat_send",
            json!({"message": "x", "job_id": 4}),
            "Error: job #4 not found.",
        ),
        (
            "chat_send",
            json!({"message": "x\u{1b}[2J"}),
            "Error: text has control characters",
        ),
        (
            "chat_send",
            json!({"message": "x", "choices": ["\u{1b}[2J"]}),
            "Error: text has control characters",
        ),
        (
            "chat_read",
            json!({"job_id": 4}),
            "Error: job #4 not found.",
        ),
    ] {
        assert_eq!(tools.text(tool, arguments).await, answer);
    }
    for (tool, arguments, beginning) in [
        ("chat_send", json!({}), "Error executing tool chat_send: "),
        (
            "chat_send",
            json!({"message": 5}),
            "Error executing tool chat_send: ",
        ),
        (
            "chat_send",
            json!({"message": "x", "channel": "x\r!id\r"}),
            "Error executing tool chat_send: ",
        ),
        (
            "chat_read",
            json!({"limit": []}),
            "Error executing tool chat_read: ",
        ),
        ("chat_set_hat", json!({}), "Unknown tool: chat_set_hat"),
    ] {
        let result = tools.call(tool, arguments).await;
        assert_eq!(result.is_error, Some(true));
        assert!(text(&result).starts_with(beginning), "{result:?}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_claimed_name_takes_everything_along() {
    let (hub, me, tools) = with_agent().await;
    hub.enter("codex").await;
    say(&hub, "@claude one").await;
    tools.read(json!({})).await;
    let mine = r#"{"confirmed_name":"claude","label":"Claude","base":"claude"}"#;
    assert_eq!(
        tools.text("chat_claim", json!({"sender": "claude"})).await,
        mine
    );
    let taken = tools
        .text("chat_claim", json!({"sender": "claude", "name": "codex"}))
        .await;
    assert_eq!(taken, "Error: Already claimed: codex");
    let music = tools
        .text("chat_claim", json!({"sender": "claude", "name": "music"}))
        .await;
    assert_eq!(
        music,
        r#"{"confirmed_name":"music","label":"Claude","base":"claude"}"#
    );
    let beat = hub.client().heartbeat(&me, None).await;
    assert_eq!(beat.expect("alive").as_str(), "music");
    say(&hub, "@music two").await;
    assert_eq!(tools.read(json!({})).await, ["user: @music two"]);
    let mut stream = hub.client().triggers(&me.token).await.expect("a stream");
    for message in [1, 2] {
        assert_eq!(next::<Trigger>(&mut stream).await.message, message);
    }
    drop(stream);
    hub.stop().await;
}

#[tokio::test]
async fn a_stale_token_is_told_in_a_good_answer() {
    let (hub, me, tools) = with_agent().await;
    hub.client()
        .rotate(&hub.human(), &me.name)
        .await
        .expect("rotated");
    for tool in ["chat_send", "chat_read", "chat_who", "chat_claim"] {
        let result = tools
            .call(tool, json!({"sender": "claude", "message": "x"}))
            .await;
        assert_eq!(result.is_error, Some(false));
        assert_eq!(text(&result), STALE);
    }
    assert_eq!(log(&hub).await, [""; 0], "nothing was done");
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"chat_read"}}"#;
    let answer = hub.mcp(&[], call).await;
    let anonymous = "Error: authenticated agent session required.";
    assert_eq!(
        (
            answer.status,
            &answer.json()["result"]["content"][0]["text"]
        ),
        (200, &json!(anonymous))
    );
    // The human's token is no agent's.
    let human = bearer(&hub.human());
    let answer = hub.mcp(&[("Authorization", &human)], call).await;
    assert_eq!(
        answer.json()["result"]["structuredContent"]["result"],
        STALE
    );
    hub.stop().await;
}

#[tokio::test]
async fn any_mcp_client_gets_along() {
    let (hub, me, _tools) = with_agent().await;
    let auth = bearer(&me.token);
    let headers = [
        ("Authorization", auth.as_str()),
        ("Mcp-Session-Id", "from another life"),
        ("MCP-Protocol-Version", "2026-07-28"),
    ];
    for (body, status, answer) in [
        (
            r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#,
            200,
            r#"{"jsonrpc":"2.0","id":"a","result":{}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#,
            200,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            202,
            "",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 202, ""),
        (
            r#"[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","id":1.5,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#,
            200,
            r#"[{"jsonrpc":"2.0","id":1.5,"result":{}},{"jsonrpc":"2.0","id":2,"result":{}}]"#,
        ),
        (r#"[{"jsonrpc":"2.0","method":"x"}]"#, 202, ""),
        (
            "{",
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
        ),
        (
            "[]",
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}"#,
        ),
        (
            "{\"id\":7}",
            200,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"Invalid Request"}}"#,
        ),
        (
            "5",
            200,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}"#,
        ),
    ] {
        hub.mcp(&headers, body).await.is(status, answer);
    }
    let host = format!("127.0.0.1:{}", hub.mcp_port);
    for (head, status) in [("GET /mcp", 405), ("DELETE /mcp", 200), ("POST /sse", 404)] {
        assert_eq!(
            ask(hub.mcp_port, head, &host, &headers, "").await.status,
            status
        );
    }
    hub.stop().await;
}

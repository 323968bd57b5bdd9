//! What breaks between the proxy and an upstream, and is mended without the
//! agent's noticing.

use std::sync::Arc;
use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wrapper::hub::Client;
use wrapper::presence::{Nobody, Presence};
use wrapper::proxy::Patience;
use wrapper::types::agent::Transport;
use wrapper::types::hub::HubState;
use wrapper::types::identity::{Identity, Token};
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Live, Upstream as Server};

use crate::support::forgetful::Forgetful;
use crate::support::mcp::Mcp;
use crate::support::rig::{KEY, Raw, Rig, SHORT};
use crate::support::soon;

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn server(port: u16) -> Server {
    Server {
        endpoint: Endpoint::loopback(port, "/mcp"),
        transport: Transport::Http,
        credential: Credential::Headers(Vec::new()),
        context: ContextLevel::Id,
        owner: Owner::Us,
        is_guest: false,
    }
}

/// A server `docs` behind the proxy.
pub(crate) fn docs(rig: &Rig) -> Forgetful {
    let docs = Forgetful::start();
    rig.put("docs", server(docs.port));
    docs
}

/// An agent that never says the protocol's version, and never begins anew.
pub(crate) struct Agent<'a> {
    rig: &'a Rig,
    path: String,
    /// Header lines of its session.
    pub(crate) lines: String,
}

const HELLO: &str = r#"{"jsonrpc":"2.0", "id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"gemini","version":"1"}}}"#;
const LIST_CHANGED: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";

impl<'a> Agent<'a> {
    /// Opens a session with a server.
    pub(crate) async fn begin(rig: &'a Rig, server: &str) -> Self {
        let mut agent = Self {
            rig,
            path: format!("/{server}/mcp"),
            lines: "User-Agent: gemini\r\n".into(),
        };
        let hello: Value = serde_json::from_str(HELLO).expect("JSON");
        let (head, _) = agent.post(&hello).await;
        if let Some(id) = session_of(&head) {
            agent.lines = format!("{}Mcp-Session-Id: {id}\r\n", agent.lines);
        }
        let started = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let (head, _) = agent.post(&started).await;
        assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
        agent
    }

    fn request(&self, message: &Value) -> String {
        let accept = "Accept: application/json, text/event-stream\r\n";
        let lines = format!("{accept}{}", self.lines);
        self.rig.post_to(&self.path, &lines, message)
    }

    pub(crate) async fn post(&self, message: &Value) -> (String, String) {
        let mut raw = self.rig.raw().await;
        raw.send(&self.request(message)).await;
        raw.answer().await
    }

    pub(crate) async fn list(&self) -> String {
        let list = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/list" });
        self.post(&list).await.1
    }

    /// Calls a tool; the call is answered as if nothing had happened.
    pub(crate) async fn call(&self) {
        let (head, body) = self.post(&call()).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}{body}");
        assert!(body.contains(r#""text":"done""#), "{body}");
        assert_eq!(session_of(&head), session_of(&self.lines), "{head}");
    }

    /// Opens its stream.
    pub(crate) async fn listen(&self) -> Raw {
        let lines = format!("Accept: text/event-stream\r\n{}", self.lines);
        let mut raw = self.rig.raw().await;
        raw.send(&self.rig.head(&format!("GET {}", self.path), &lines))
            .await;
        let head = raw.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            head.contains("Content-Type: text/event-stream\r\n"),
            "{head}"
        );
        raw
    }
}

fn call() -> Value {
    let params = json!({ "name": "chat_send", "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params })
}

pub(crate) fn session_of(head: &str) -> Option<String> {
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("Mcp-Session-Id: "));
    id.map(str::to_owned)
}

#[tokio::test]
async fn a_forgotten_session_is_opened_anew_and_the_call_made_once() {
    let rig = Rig::new();
    let docs = docs(&rig);
    for (status, text) in [
        (404, "Session not found"),
        (400, "Bad Request: Missing session ID"),
        (
            400,
            r#"{"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
        ),
        (400, "Bad Request: Server not initialized"),
        (422, "Unexpect message, expect initialize request"),
        (401, "Unauthorized: Session not found"),
    ] {
        docs.ways(|ways| ways.refusal = Some((status, text)));
        let agent = Agent::begin(&rig, "docs").await;
        agent.call().await;
        for _ in 0..2 {
            docs.forget();
            docs.ways(|ways| ways.seen.clear());
            agent.call().await;
            let hello = docs.seen("initialize");
            assert_eq!(hello.len(), 1, "{text}");
            assert_eq!(
                hello[0].message,
                serde_json::from_str::<Value>(HELLO).expect("JSON")
            );
            assert_eq!(hello[0].header("user-agent"), Some("gemini"));
            assert_eq!(hello[0].header("mcp-session-id"), None);
            let started = docs.seen("notifications/initialized");
            let now = docs.ways(|ways| format!("s-{}", ways.opened));
            assert_eq!(started.len(), 1);
            let calls = docs.seen("tools/call");
            assert_eq!(calls.len(), 2, "one refused, one made");
            for seen in [&started[0], &calls[1]] {
                assert_eq!(seen.header("mcp-session-id"), Some(now.as_str()));
                assert_eq!(
                    seen.header("mcp-protocol-version"),
                    None,
                    "as its agent has it"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_hub_that_has_restarted_is_no_stranger() {
    let rig = Rig::new();
    let mut hub = Forgetful::start();
    let mut entry = server(hub.port);
    entry.credential = Credential::Identity;
    rig.put("chat", entry);
    let agent = Agent::begin(&rig, "chat").await;
    hub.die().await;
    hub.revive();
    agent.call().await;
    assert_eq!(hub.seen("initialize").len(), 2);
}

#[tokio::test]
async fn however_many_calls_wait_the_session_is_opened_once() {
    let rig = Rig::new();
    let docs = docs(&rig);
    let agent = Agent::begin(&rig, "docs").await;
    for is_closed in [false, true] {
        docs.forget();
        docs.ways(|ways| {
            ways.is_closed = is_closed;
            (ways.refused, ways.hello_after) = (0, 16);
            ways.seen.clear();
        });
        let mut callers = JoinSet::new();
        for _ in 0..16 {
            let (mut raw, request) = (rig.raw().await, agent.request(&call()));
            callers.spawn(async move {
                raw.send(&request).await;
                raw.answer().await
            });
        }
        while let Some(answer) = soon("an answer", callers.join_next()).await {
            let (head, body) = answer.expect("no panic");
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let said = if is_closed {
                "HTTP 500: not today"
            } else {
                "done"
            };
            assert!(body.contains(said), "{body}");
            assert!(!is_closed || body.contains("Nothing was done"), "{body}");
        }
        let hellos = docs.seen("initialize").len();
        // One that hears of its refusal when the others have been told tries again.
        assert!(hellos == 1 || is_closed && hellos < 4, "{hellos}");
    }
}

#[tokio::test]
async fn a_server_that_begins_to_want_sessions_gets_them() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| ways.refusal = None);
    let agent = Agent::begin(&rig, "docs").await;
    agent.call().await;
    docs.ways(|ways| ways.refusal = Some((400, "Bad Request: Missing session ID")));
    agent.call().await;
    agent.call().await;
    let calls = docs.seen("tools/call");
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[3].header("mcp-session-id"), Some("s-1"));
    docs.ways(|ways| ways.refusal = None);
    agent.call().await;
}

#[tokio::test]
async fn an_id_is_never_two_sessions() {
    let rig = Rig::new();
    let docs = docs(&rig);
    let first = Agent::begin(&rig, "docs").await;
    // It counts anew.
    docs.ways(|ways| ways.opened = 0);
    let second = Agent::begin(&rig, "docs").await;
    assert_eq!(session_of(&first.lines).as_deref(), Some("s-1"));
    assert_ne!(session_of(&second.lines).as_deref(), Some("s-1"));
    second.call().await;
    assert_eq!(
        docs.seen("tools/call")[0].header("mcp-session-id"),
        Some("s-1")
    );
    first.call().await;
    let unknown = Agent {
        lines: "Mcp-Session-Id: another\r\n".into(),
        ..first
    };
    let (head, body) = unknown.post(&call()).await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.contains("has forgotten"),
        "{body}"
    );
    let calls = docs.seen("tools/call");
    assert_eq!(calls[2].header("mcp-session-id"), Some("another"));
    assert_eq!(calls.len(), 3);
}

#[tokio::test]
async fn a_session_follows_its_server_to_another_place() {
    let rig = Rig::new();
    let (old, new) = (docs(&rig), Forgetful::start());
    new.ways(|ways| {
        (ways.version, ways.opened) = ("2025-03-26", 40);
        ways.tools.push("more");
    });
    let mut agent = Agent::begin(&rig, "docs").await;
    agent.lines += "Mcp-Protocol-Version: 2025-06-18\r\n";
    assert!(agent.list().await.contains("chat_send"));
    let mut stream = agent.listen().await;
    // Another credential alone is no other place.
    let mut other = server(old.port);
    other.context = ContextLevel::None;
    rig.put("docs", other);
    agent.call().await;
    assert_eq!(old.seen("initialize").len(), 1);
    rig.put("docs", server(new.port));
    agent.call().await;
    let calls = new.seen("tools/call");
    assert_eq!(calls.len(), 1, "it was not refused first");
    assert_eq!(calls[0].header("mcp-session-id"), Some("s-41"));
    assert_eq!(calls[0].header("mcp-protocol-version"), Some("2025-03-26"));
    assert_eq!(old.seen("tools/call").len(), 1);
    stream.until(LIST_CHANGED).await;
    assert!(agent.list().await.contains("more"));
    rig.put("docs", server(old.port));
    agent.call().await;
    stream.until(LIST_CHANGED).await;
}

#[tokio::test]
async fn only_what_has_changed_is_told() {
    let rig = Rig::new();
    let docs = docs(&rig);
    let agent = Agent::begin(&rig, "docs").await;
    agent.list().await;
    let mut stream = agent.listen().await;
    docs.forget();
    agent.call().await;
    // Its tools are looked at, and are the same.
    docs.wait("a look", |ways| {
        (ways.seen_of("tools/list").len() == 2).then_some(())
    })
    .await;
    docs.ways(|ways| ways.capabilities = json!({ "tools": {}, "prompts": {} }));
    docs.forget();
    agent.call().await;
    let told = stream.until("list_changed").await;
    assert!(
        told.contains("notifications/prompts/list_changed"),
        "{told}"
    );
}

#[tokio::test]
async fn an_end_is_an_end() {
    let rig = Rig::new();
    let docs = docs(&rig);
    for is_forgotten in [false, true] {
        let agent = Agent::begin(&rig, "docs").await;
        let mut stream = agent.listen().await;
        if is_forgotten {
            docs.forget();
        }
        let before = docs.seen("initialize").len();
        let mut raw = rig.raw().await;
        raw.send(&rig.head("DELETE /docs/mcp", &agent.lines)).await;
        let (head, _) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 20"), "{head}");
        stream.until("0\r\n\r\n").await;
        let (_, body) = agent.post(&call()).await;
        assert!(body.contains("has forgotten"), "{body}");
        assert_eq!(docs.seen("initialize").len(), before);
    }
}

#[tokio::test]
async fn agents_are_promised_to_hear_of_changes() {
    let rig = Rig::new();
    let docs = docs(&rig);
    let mut hub = server(docs.port);
    hub.credential = Credential::Identity;
    rig.put("chat", hub);
    for (capabilities, path, promised) in [
        (
            json!({ "tools": {} }),
            "docs",
            r#""capabilities":{"tools":{"listChanged":true}}"#,
        ),
        (
            json!({ "tools": {} }),
            "chat",
            r#""capabilities":{"tools":{"listChanged":true}}"#,
        ),
        (
            json!({ "prompts": {} }),
            "docs",
            r#""capabilities":{"prompts":{}}"#,
        ),
        (
            json!({ "prompts": {} }),
            "chat",
            r#""capabilities":{"tools":{"listChanged":true},"prompts":{}}"#,
        ),
    ] {
        for streams in [false, true] {
            docs.ways(|ways| {
                ways.capabilities = capabilities.clone();
                ways.streams = streams;
            });
            let mut raw = rig.raw().await;
            let hello: Value = serde_json::from_str(HELLO).expect("JSON");
            raw.send(&rig.post_to(&format!("/{path}/mcp"), "", &hello))
                .await;
            let said = if streams {
                raw.until("0\r\n\r\n").await
            } else {
                raw.answer().await.1
            };
            assert!(said.contains(promised), "{said}");
            // The connection is good for more.
            raw.send(&rig.post_to("/open/mcp", "", &json!({ "id": 1, "method": "ping" })))
                .await;
            assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 "));
        }
    }
}

#[tokio::test]
async fn the_agents_stream_outlives_its_upstreams() {
    let rig = Rig::new();
    let mut docs = docs(&rig);
    docs.ways(|ways| ways.listen = 200);
    let agent = Agent::begin(&rig, "docs").await;
    let mut stream = agent.listen().await;
    docs.say(": hi\n\nid: 1\nretry: 1\ndata: a\r\n\r\n").await;
    stream
        .until(": hi\n\nid: 1\nretry: 1\ndata: a\r\n\r\n")
        .await;
    // Half of an event, and the rest of it never.
    docs.say("id: 2\ndata: lo").await;
    docs.hang_up().await;
    docs.say("id: 2\ndata: lost\n\n").await;
    let heard = stream.until("lost\n\n").await;
    assert!(heard.ends_with("\r\nid: 2\ndata: lost\n\n"), "{heard}");
    let gets = docs.seen("GET");
    assert_eq!(gets[1].header("last-event-id"), Some("1"));
    // Away for a moment, and it comes back without a memory.
    docs.die().await;
    docs.revive();
    docs.say("data: b\n\n").await;
    stream.until("data: b\n\n").await;
    let get = docs.seen("GET").pop().expect("a stream");
    assert_eq!(get.header("last-event-id"), None, "of another session");
    assert_eq!(docs.seen("initialize").len(), 2);
    agent.call().await;
    assert_eq!(docs.seen("initialize").len(), 2);
    // It moves.
    let new = Forgetful::start();
    new.ways(|ways| ways.listen = 200);
    rig.put("docs", server(new.port));
    new.say("data: c\n\n").await;
    stream.until("data: c\n\n").await;
}

#[tokio::test]
async fn a_long_event_passes_in_parts_and_breaks_with_its_stream() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| ways.listen = 200);
    let agent = Agent::begin(&rig, "docs").await;
    let mut stream = agent.listen().await;
    let long = "x".repeat(3 << 20);
    docs.say(&format!("data: {long}")).await;
    stream.until("xxx").await;
    docs.say("y\n\ndata: z\n\n").await;
    stream.until("data: z\n\n").await;
    docs.say(&format!("data: {long}")).await;
    stream.until("xxx").await;
    docs.hang_up().await;
    assert!(!stream.rest().await.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn the_hubs_stream_tells_of_guests() {
    let rig = Rig::new();
    let hub = Forgetful::start();
    let mut entry = server(hub.port);
    entry.credential = Credential::Identity;
    rig.put("chat", entry);
    let agent = Agent::begin(&rig, "chat").await;
    agent.list().await;
    let mut stream = agent.listen().await;
    // No stream there, and nobody asks for one again.
    hub.wait("a GET", |ways| {
        (!ways.seen_of("GET").is_empty()).then_some(())
    })
    .await;
    let mut guest = server(rig.upstream.port);
    guest.is_guest = true;
    rig.put("guest", guest.clone());
    stream.until(LIST_CHANGED).await;
    // Its credential is no news, its place is.
    guest.context = ContextLevel::None;
    rig.put("guest", guest.clone());
    guest.endpoint.path = "/other".into();
    rig.put("guest", guest);
    stream.until(LIST_CHANGED).await;
    rig.renew("claude-2", "token-2");
    rig.live.send_modify(|live| {
        Arc::make_mut(&mut live.upstreams).remove(&"guest".parse().expect("a name"));
    });
    stream.until(LIST_CHANGED).await;
    assert_eq!(stream.heard, b"\r\n");
    assert_eq!(hub.seen("GET").len(), 1);
    // Who did not listen is told later.
    let late = Agent::begin(&rig, "chat").await;
    late.list().await;
    let mut guest = server(rig.upstream.port);
    guest.is_guest = true;
    rig.put("guest", guest);
    late.listen().await.until(LIST_CHANGED).await;
}

#[tokio::test]
async fn a_call_whose_answer_breaks_off_is_answered_as_unknown() {
    let rig = Rig::new();
    let docs = docs(&rig);
    let agent = Agent::begin(&rig, "docs").await;
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let ping = "14\r\ndata: {\"method\":1}\n\n\r\n";
    for (answer, is_told) in [
        (String::new(), true),
        ("HTTP/1.1 200".into(), true),
        (
            format!("{json}Content-Length: 100\r\n\r\n{{\"jsonrpc\""),
            true,
        ),
        (format!("{json}{chunked}5\r\n{{\"id\""), true),
        (format!("{events}{chunked}"), true),
        (format!("{events}{chunked}8\r\n: ping\n\n\r\n"), true),
        (format!("{events}{chunked}{ping}"), true),
        // An end that is none.
        (format!("{events}{chunked}{ping}0\r\n\r\n"), true),
        (format!("{events}\r\ndata: {{\"method\":1}}\n\n"), true),
        // In the middle of an event, or of a chunk.
        (format!("{events}{chunked}6\r\ndata: \r\n"), false),
        (format!("{events}{chunked}ff\r\n: ping\n\n"), false),
        // The client knows where to go on.
        (format!("{events}{chunked}7\r\nid: 1\n\n\r\n"), false),
    ] {
        docs.ways(|ways| {
            ways.next = Some(answer.clone());
            ways.seen.clear();
        });
        let mut raw = rig.raw().await;
        let request = agent.request(&call());
        raw.send(&request.replacen("\r\n", "\r\nConnection: close\r\n", 1))
            .await;
        let mut heard = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut raw.io, &mut heard);
        // What breaks off in the middle is reset.
        let _ = soon("the end", read).await;
        let heard = String::from_utf8(heard).expect("text");
        assert_eq!(
            heard.contains("may or may not"),
            is_told,
            "{answer}: {heard}"
        );
        assert_eq!(heard.contains("\"id\":7,"), is_told, "{answer}: {heard}");
        let is_whole = heard.ends_with("0\r\n\r\n") || !heard.contains("chunked");
        assert_eq!(is_whole, is_told, "{answer}: {heard}");
        assert_eq!(docs.seen("tools/call").len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn what_needs_no_change_gets_none() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| ways.refusal = None);
    let mut plain = server(docs.port);
    plain.context = ContextLevel::None;
    rig.put("docs", plain);
    let agent = Agent::begin(&rig, "docs").await;
    for body in [
        r#" [{"id":1, "method":"ping"},{"method":"notifications/x"}]"#,
        r#"{"jsonrpc":"2.0","id":"a\u0062","method":"server/discover","params":{"_meta":{"a/b":1}}}"#,
        r#"{"id":1.0,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":3}},"x":[ ]}"#,
        r#"{"method":"notifications/cancelled","params":{"requestId":7}}"#,
        r#"{"id":"q-1","result":{"roots":[]}}"#,
        r#"{"id":1,"method":"new/thing","id":2}"#,
        "{ no json",
        "",
    ] {
        for lines in [
            "",
            "Mcp-Protocol-Version: 2026-07-28\r\nX-New: a, b\r\n",
            "MCP-Protocol-Version: 2099-01-01\r\nMcp-Method: x\r\n",
        ] {
            let length = body.len();
            let more =
                format!("Content-Type: application/json\r\nContent-Length: {length}\r\n{lines}");
            let mut raw = rig.raw().await;
            raw.send(&(rig.head(&format!("POST {}", agent.path), &more) + body))
                .await;
            let (head, _) = raw.answer().await;
            assert!(head.starts_with("HTTP/1.1 20"), "{head}");
            let seen = docs.ways(|ways| ways.seen.pop()).expect("it came");
            assert_eq!(String::from_utf8_lossy(&seen.body), body);
            assert!(seen.head.contains(lines), "{}", seen.head);
            assert_eq!(seen.header("mcp-session-id"), None);
        }
    }
}

#[tokio::test]
async fn a_real_client_does_not_notice_a_restart() {
    for streams in [false, true] {
        let rig = Rig::new();
        let mut docs = docs(&rig);
        docs.ways(|ways| (ways.streams, ways.listen) = (streams, 200));
        let uri = format!("http://127.0.0.1:{}/docs/mcp", rig.port);
        let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(KEY);
        let transport = StreamableHttpClientTransport::from_config(config);
        let client = soon("the client", ().serve(transport)).await;
        let client = client.expect("it initializes");
        let info = client.peer_info().expect("a server");
        assert_eq!(
            info.capabilities
                .tools
                .as_ref()
                .and_then(|t| t.list_changed),
            Some(true)
        );
        for _ in 0..3 {
            let params = CallToolRequestParams::new("chat_send");
            let result = soon("the call", client.call_tool(params)).await;
            assert_eq!(result.expect("a result").is_error, Some(false));
            docs.die().await;
            docs.revive();
        }
        assert!(docs.seen("initialize").len() <= 4);
        soon("the end", client.cancel()).await.expect("no panic");
    }
}

#[tokio::test]
async fn a_hub_that_a_call_waits_for_is_looked_for_in_a_hurry() {
    let away = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = away.local_addr().expect("an address").port();
    let identity = Identity {
        name: "claude".parse().expect("a name"),
        token: Token::new("token-1"),
    };
    let live = Live {
        identity: Some(Arc::new(identity)),
        ..Live::default()
    };
    let (nudge, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let presence = Presence {
        client: Client::new(Endpoint::loopback(port, "/")),
        tools: None,
        base: "claude".parse().expect("a name"),
        label: None,
        human: None,
        live: watch::Sender::new(live),
        state: watch::Sender::new(HubState::Registered),
        nudge: Arc::clone(&nudge),
        busy: watch::channel(false).1,
        checks: mpsc::channel(1).1,
        family: Arc::new(Nobody),
        uid: watch::Sender::default(),
        events: mpsc::unbounded_channel().0,
    };
    let task = tokio::spawn(presence.run(stop.clone()));
    nudge.notify_one();
    // At the usual pace they would take longer than the deadline.
    let tries = async {
        for _ in 0..80 {
            drop(away.accept().await.expect("a connection"));
        }
    };
    soon("80 tries", tries).await;
    stop.cancel();
    soon("the end", task).await.expect("no panic");
}

#[tokio::test]
async fn an_upstream_that_is_away_while_a_session_is_opened_is_named() {
    let rig = Rig::patient(Patience {
        away: SHORT,
        ..Patience::default()
    });
    let docs = docs(&rig);
    let agent = Agent::begin(&rig, "docs").await;
    let mut gone = Forgetful::start();
    gone.die().await;
    rig.put("docs", server(gone.port));
    let (head, body) = agent.post(&call()).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        body.contains("cannot be reached") && body.contains("Nothing was done"),
        "{body}"
    );
    assert_eq!(docs.seen("tools/call").len(), 0);
}

#[tokio::test]
async fn a_server_is_tried_out_before_the_session_has_it() {
    let rig = Rig::new();
    let mcp = Mcp::start().await;
    let (name, there) = ("new".parse().expect("a name"), Arc::new(server(mcp.port)));
    let seen = soon("a look", rig.proxy.try_out(&name, &there, PATIENCE)).await;
    let seen = seen.expect("it is well");
    assert_eq!(seen.tools, ["slow"]);
    assert_eq!(seen.name.as_deref(), Some("mcp"));
    mcp.asked("DELETE").await;
    mcp.got("a start", |m| m["method"] == "notifications/initialized")
        .await;

    for (answer, said) in [
        (
            "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
            "refuses its credential",
        ),
        (
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
            "correct its `url`",
        ),
        (
            "HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nthe\n disk",
            "answers with HTTP 500: the disk",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            "holds no response",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 47\r\n\r\n\
             {\"id\":null,\"error\":{\"code\":-1,\"message\":\"no.\"}}",
            "an error: no.",
        ),
        ("SSH-2.0\r\n\r\n", "does not answer in HTTP/1.1"),
    ] {
        *rig.upstream.state.always.lock().expect("no panic") = Some(answer.into());
        let there = Arc::new(server(rig.upstream.port));
        let seen = soon("a look", rig.proxy.try_out(&name, &there, PATIENCE)).await;
        let why = seen.expect_err("it is not well");
        assert!(why.contains(said), "{why}");
    }
    let there = Arc::new(server(rig.upstream.port));
    let _dead = rig.upstream.die().await;
    let seen = soon("a look", rig.proxy.try_out(&name, &there, SHORT)).await;
    let why = seen.expect_err("it is away");
    assert!(why.contains("cannot be reached"), "{why}");
}

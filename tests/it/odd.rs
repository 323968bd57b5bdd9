//! Servers that are within the protocol and unlike the others: without a
//! stream, with short ones, behind balancers and redirects, with statuses and
//! packing of their own.

use std::time::Duration;

use serde_json::{Value, json};
use wrapper::types::upstream::{Credential, Endpoint};

use crate::repair::{Agent, docs, server, session_of};
use crate::support::forgetful::Forgetful;
use crate::support::rig::Rig;
use crate::support::soon;

/// Waits until a GET has come, and all that follows from it is done.
async fn settled(docs: &Forgetful, gets: usize) {
    docs.wait("the streams", |ways| {
        (ways.heard.len() >= gets).then_some(())
    })
    .await;
}

fn request(method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 3, "method": method, "params": {} })
}

#[tokio::test]
async fn a_session_is_not_given_up_for_a_stream_that_nobody_had() {
    for (status, text) in [
        (404, "<pre>Cannot GET /mcp</pre>"),
        (
            404,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#,
        ),
        (400, "Invalid or missing session ID"),
        (401, "Session not found"),
        (422, "a session is required"),
        (405, "no"),
    ] {
        let rig = Rig::new();
        let docs = docs(&rig);
        docs.ways(|ways| (ways.listen, ways.listen_text) = (status, text));
        let agent = Agent::begin(&rig, "docs").await;
        let _stream = agent.listen().await;
        settled(&docs, 1).await;
        if ![401, 405].contains(&status) {
            docs.wait("a question", |ways| {
                (!ways.seen_of("ping").is_empty()).then_some(())
            })
            .await;
        }
        for _ in 0..3 {
            agent.call().await;
        }
        // One that goes on after an event which it did not hear here.
        let mut raw = rig.raw().await;
        let lines = format!(
            "Accept: text/event-stream\r\nLast-Event-ID: 9\r\n{}",
            agent.lines
        );
        raw.send(&rig.head("GET /docs/mcp", &lines)).await;
        let (head, _) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 405 "), "{status}: {head}");
        agent.call().await;
        let calls = docs.seen("tools/call");
        let of_first =
            |seen: &crate::support::forgetful::Seen| seen.header("mcp-session-id") == Some("s-1");
        assert!(
            calls.len() == 4 && calls.iter().all(of_first),
            "{status} {text}"
        );
        assert_eq!(docs.seen("initialize").len(), 1, "{status} {text}");
        assert_eq!(docs.seen("GET").len(), 2, "{status} {text}");
    }
}

#[tokio::test]
async fn a_server_without_sessions_is_not_opened_again_for_its_stream() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| (ways.refusal, ways.listen) = (None, 404));
    let agent = Agent::begin(&rig, "docs").await;
    let _stream = agent.listen().await;
    settled(&docs, 1).await;
    for _ in 0..3 {
        agent.call().await;
    }
    assert_eq!(docs.seen("initialize").len(), 1);
    assert_eq!(docs.seen("GET").len(), 1);
}

#[tokio::test]
async fn a_stream_tells_of_a_lost_session_if_a_post_says_so_too() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| ways.listen = 200);
    let agent = Agent::begin(&rig, "docs").await;
    let mut stream = agent.listen().await;
    docs.say("data: a\n\n").await;
    stream.until("data: a\n\n").await;
    docs.forget();
    docs.hang_up().await;
    docs.say("data: b\n\n").await;
    stream.until("data: b\n\n").await;
    assert_eq!(docs.seen("initialize").len(), 2);
}

#[tokio::test]
async fn a_session_that_is_left_behind_is_ended_at_its_server() {
    let rig = Rig::new();
    let (old, new) = (docs(&rig), Forgetful::start());
    new.ways(|ways| ways.opened = 10);
    let agent = Agent::begin(&rig, "docs").await;
    rig.put("docs", server(new.port));
    agent.call().await;
    let ended = |ways: &mut crate::support::forgetful::Ways| ways.known.is_empty().then_some(());
    old.wait("the end of the old one", ended).await;
    let end = old.seen("DELETE");
    assert_eq!(end[0].header("mcp-session-id"), Some("s-1"));
    agent.call().await;
    assert_eq!(new.seen("DELETE").len(), 0);
}

#[tokio::test]
async fn streams_that_end_at_once_are_asked_for_less_and_less_often() {
    for brief in [
        ": hello\n\n",
        "id: 1\nretry: 10\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n",
    ] {
        let rig = Rig::new();
        let docs = docs(&rig);
        docs.ways(|ways| (ways.listen, ways.brief) = (200, Some(brief)));
        let agent = Agent::begin(&rig, "docs").await;
        let _stream = agent.listen().await;
        settled(&docs, 7).await;
        // Never less than that, however slow the machine is.
        let gap = docs.ways(|ways| ways.heard[6] - ways.heard[5]);
        assert!(gap >= Duration::from_millis(700), "{brief:?}: {gap:?}");
    }
}

#[tokio::test]
async fn a_json_rpc_error_is_the_answer_whatever_its_status() {
    const UNKNOWN: &str =
        r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"Method not found"}}"#;
    const NOBODYS: &str =
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"Method not found"}}"#;
    let rig = Rig::new();
    let docs = docs(&rig);
    let answer = |status, code: i64| (status, json!(code));
    for (method, status, text, (wanted, code)) in [
        ("resources/list", 404, UNKNOWN, answer(200, -32601)),
        ("resources/list", 404, NOBODYS, answer(200, -32601)),
        ("tools/call", 404, UNKNOWN, answer(200, -32601)),
        ("initialize", 404, UNKNOWN, answer(200, -32601)),
        ("server/discover", 404, UNKNOWN, answer(200, -32601)),
        ("server/discover", 404, NOBODYS, answer(200, -32601)),
        ("tools/call", 403, UNKNOWN, answer(200, -32601)),
        // These send no agent away.
        ("server/discover", 400, UNKNOWN, answer(400, -32601)),
        ("tools/call", 500, UNKNOWN, answer(500, -32601)),
    ] {
        for has_session in [false, true] {
            docs.ways(|ways| ways.odd.clear());
            let mut agent = Agent::begin(&rig, "docs").await;
            if !has_session {
                agent.lines = "MCP-Protocol-Version: 2026-07-28\r\n".into();
            }
            docs.ways(|ways| {
                ways.odd = vec![(method, status, text)];
                ways.seen.clear();
            });
            let (head, body) = agent.post(&request(method)).await;
            let what = format!("{method} {status} {text} {has_session}: {head}{body}");
            assert!(head.starts_with(&format!("HTTP/1.1 {wanted} ")), "{what}");
            let body: Value = serde_json::from_str(&body).expect(&what);
            assert_eq!(body["error"]["code"], code, "{what}");
            if wanted == 200 {
                assert_eq!(body["id"], 3, "{what}");
            }
            let came = docs.ways(|ways| ways.seen.len());
            assert_eq!(came, 1, "asked once, and no session opened again: {what}");
        }
    }
    // A page that is not there is none.
    docs.ways(|ways| ways.odd = vec![("resources/list", 404, "{\"detail\":\"Not Found\"}")]);
    let agent = Agent::begin(&rig, "docs").await;
    let (head, body) = agent.post(&request("resources/list")).await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.contains("-32000"),
        "{body}"
    );
    // Of a batch, each.
    docs.ways(|ways| ways.odd = vec![("", 404, NOBODYS)]);
    let mut agent = agent;
    agent.lines = String::new();
    let batch = json!([request("a"), request("b"), { "method": "c" }]);
    let (_, body) = agent.post(&batch).await;
    let body: Value = serde_json::from_str(&body).expect(&body);
    assert_eq!(body.as_array().map(Vec::len), Some(2), "{body}");
    assert_eq!(body[1]["error"]["code"], -32601, "{body}");
}

#[tokio::test]
async fn a_balancers_cookie_is_kept_and_shown_to_nobody() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| (ways.is_balanced, ways.listen) = (true, 200));
    let agent = Agent::begin(&rig, "docs").await;
    for _ in 0..3 {
        agent.call().await;
    }
    let mut stream = agent.listen().await;
    docs.say("data: a\n\n").await;
    stream.until("data: a\n\n").await;
    assert_eq!(docs.seen("initialize").len(), 1);
    let hello = request("initialize");
    let (head, _) = agent.post(&hello).await;
    assert!(!head.to_ascii_lowercase().contains("cookie"), "{head}");
    // Another server, and this one under another credential, get none of it.
    let other = Forgetful::start();
    rig.put("other", server(other.port));
    Agent::begin(&rig, "other").await.call().await;
    let seen = other.ways(|ways| ways.seen.clone());
    assert!(seen.iter().all(|seen| seen.header("cookie").is_none()));
    let mut changed = server(docs.port);
    let key = wrapper::types::identity::Token::new("k");
    changed.credential = Credential::Headers(vec![("X-Key".into(), key)]);
    rig.put("docs", changed);
    docs.ways(|ways| (ways.is_balanced, ways.seen) = (false, Vec::new()));
    agent.call().await;
    let calls = docs.seen("tools/call");
    assert_eq!(calls[0].header("cookie"), None);
    // Our own requests keep it too.
    docs.ways(|ways| ways.is_balanced = true);
    let there = std::sync::Arc::new(server(docs.port));
    let name = "docs".parse().expect("a name");
    let look = rig.proxy.try_out(&name, &there, Duration::from_secs(20));
    soon("a look", look).await.expect("it is well");
}

#[tokio::test]
async fn redirects_within_an_origin_are_followed_and_kept() {
    for status in [307, 308] {
        let rig = Rig::new();
        let docs = docs(&rig);
        docs.ways(|ways| {
            ways.redirect = Some((status, "/mcp/".into()));
            ways.listen = 200;
        });
        let agent = Agent::begin(&rig, "docs").await;
        agent.call().await;
        let mut stream = agent.listen().await;
        docs.say("data: a\n\n").await;
        stream.until("data: a\n\n").await;
        let redirected = docs.ways(|ways| {
            let at = |path: &str| {
                ways.seen
                    .iter()
                    .filter(|seen| seen.head.contains(path))
                    .count()
            };
            (at(" /mcp HTTP"), at(" /mcp/ HTTP"))
        });
        assert_eq!(redirected, (1, 4), "{status}");
        assert_eq!(docs.seen("tools/call").len(), 1, "{status}");
        assert_eq!(docs.seen("initialize").len(), 2, "the first was redirected");
        // What has moved back is found.
        docs.ways(|ways| {
            ways.redirect = None;
            ways.odd = Vec::new();
        });
        agent.call().await;
    }
    // Nowhere else, whatever stands there; and no circle is run for ever.
    let elsewhere = Forgetful::start();
    for (status, to) in [
        (307, format!("http://127.0.0.1:{}/mcp", elsewhere.port)),
        (308, format!("//127.0.0.1:{}/mcp", elsewhere.port)),
        (302, "/mcp/".into()),
        (307, "/mcp".into()),
    ] {
        let rig = Rig::new();
        let docs = docs(&rig);
        docs.ways(|ways| ways.redirect = Some((status, to.clone())));
        let mut raw = rig.raw().await;
        raw.send(&rig.post_to("/docs/mcp", "", &request("initialize")))
            .await;
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{to}: {head}");
        assert!(body.contains("has to correct its `url`"), "{to}: {body}");
        assert!(docs.seen("initialize").len() < 8, "{to}");
    }
    assert_eq!(elsewhere.ways(|ways| ways.seen.len()), 0);
}

#[tokio::test]
async fn packed_answers_are_read_where_we_have_to() {
    let rig = Rig::new();
    let docs = docs(&rig);
    docs.ways(|ways| ways.is_packed = true);
    let there = std::sync::Arc::new(server(docs.port));
    let name = "docs".parse().expect("a name");
    let look = rig.proxy.try_out(&name, &there, Duration::from_secs(20));
    let seen = soon("a look", look).await.expect("it is well");
    assert_eq!(seen.tools, ["chat_send"]);
    // The agent's handshake is read, so that its session can be opened again.
    let mut raw = rig.raw().await;
    let lines = "Accept-Encoding: gzip\r\n";
    raw.send(&rig.post_to("/docs/mcp", lines, &request("initialize")))
        .await;
    let (head, body) = raw.answer().await;
    assert!(
        !head.to_ascii_lowercase().contains("content-encoding"),
        "{head}"
    );
    assert!(body.contains("\"listChanged\":true"), "{body}");
    let id = session_of(&head).or_else(|| {
        head.lines()
            .find_map(|line| line.strip_prefix("mcp-session-id: ").map(str::to_owned))
    });
    assert_eq!(id.as_deref(), Some("s-2"), "{head}");
    let asked = docs.seen("initialize").pop().expect("one");
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    docs.ways(|ways| ways.is_packed = false);
    docs.forget();
    raw.send(&rig.post_to(
        "/docs/mcp",
        "Mcp-Session-Id: s-2\r\n",
        &request("tools/call"),
    ))
    .await;
    let (_, body) = raw.answer().await;
    assert!(body.contains("done"), "{body}");
    assert_eq!(Endpoint::loopback(docs.port, "/mcp"), there.endpoint);
}

#[tokio::test]
async fn a_server_is_well_without_tools_and_in_the_newest_revision() {
    const UNKNOWN: &str =
        r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32601,"message":"Method not found"}}"#;
    const DISCOVERED: &str = r#"{"jsonrpc":"2.0","id":ID,"result":{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}"#;
    let rig = Rig::new();
    let docs = docs(&rig);
    let there = std::sync::Arc::new(server(docs.port));
    let name = "docs".parse().expect("a name");
    let look = || {
        soon(
            "a look",
            rig.proxy.try_out(&name, &there, Duration::from_secs(20)),
        )
    };
    for capabilities in [json!({}), json!({ "tools": {} })] {
        docs.ways(|ways| {
            ways.capabilities = capabilities;
            ways.odd = vec![("tools/list", 200, UNKNOWN)];
        });
        let seen = look().await.expect("it is well");
        assert!(seen.tools.is_empty() && !seen.is_stateless);
    }
    docs.ways(|ways| {
        ways.refusal = None;
        ways.odd = vec![
            ("initialize", 404, UNKNOWN),
            ("server/discover", 200, DISCOVERED),
        ];
        ways.seen.clear();
    });
    let seen = look().await.expect("it is well");
    assert_eq!((seen.name.as_deref(), seen.is_stateless), (Some("s"), true));
    assert_eq!(seen.tools, ["chat_send"]);
    let list = docs.seen("tools/list").pop().expect("asked");
    assert_eq!(list.header("mcp-protocol-version"), Some("2026-07-28"));
    assert_eq!(list.header("mcp-method"), Some("tools/list"));
    let meta = &list.message["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    // One that has neither says what it says.
    docs.ways(|ways| {
        ways.odd = vec![
            ("", 404, ""),
            ("initialize", 404, UNKNOWN),
            ("server/discover", 404, UNKNOWN),
        ];
    });
    let why = look().await.expect_err("it is not well");
    assert!(
        why.contains("answers with an error: Method not found"),
        "{why}"
    );
}

#[tokio::test]
async fn an_agent_that_does_not_replace_the_keys_variable_is_told_what_to_do() {
    let rig = Rig::new();
    let host = format!("Host: 127.0.0.1:{}\r\n", rig.port);
    let mut raw = rig.raw().await;
    raw.send(&format!(
        "POST /open/mcp HTTP/1.1\r\n{host}Authorization: Bearer ${{WRAPPER_MCP_KEY}}\r\nContent-Length: 0\r\n\r\n"
    ))
    .await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    assert!(
        body.contains("does not replace the variable `WRAPPER_MCP_KEY`"),
        "{body}"
    );
    assert!(body.contains("mcp_inject = \"stdio\""), "{body}");
    let trouble = rig.ledger.trouble(&"open".parse().expect("a name"));
    assert!(trouble.is_some_and(|why| why.contains("stdio")));
}

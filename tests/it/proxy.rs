//! A tool call through the proxy: real clients, a real upstream, and what
//! breaks between them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use wrapper::proxy::Patience;

use crate::support::rig::{KEY, Raw, Rig, SHORT};
use crate::support::soon;
use crate::support::upstream::Refusal;

fn is_done(body: &str) -> bool {
    body.contains(r#""text":"done""#)
}

#[tokio::test]
async fn a_real_client_calls_tools_in_the_name_of_its_instance() {
    let rig = Rig::new();
    let uri = format!("http://127.0.0.1:{}/hub/mcp", rig.port);
    let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(KEY);
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = soon("the client", ().serve(transport))
        .await
        .expect("it initializes");
    let tools = soon("the tools", client.list_all_tools())
        .await
        .expect("a list");
    assert_eq!(tools[0].name, "chat_send");
    let arguments = json!({ "sender": "someone", "message": "hi" });
    let params = CallToolRequestParams::new("chat_send")
        .with_arguments(arguments.as_object().expect("an object").clone());
    let result = soon("the call", client.call_tool(params))
        .await
        .expect("a result");
    assert_eq!(result.is_error, Some(false));
    assert_eq!(
        rig.upstream.calls()[0]["arguments"],
        json!({ "sender": "claude", "message": "hi" })
    );
    let heads = rig.upstream.state.heads.lock().expect("no panic").join("");
    assert!(heads.contains("X-Agent-Token: token-1\r\n"), "{heads}");
    assert!(!heads.contains(KEY), "{heads}");
}

#[tokio::test]
async fn a_rotated_token_is_renewed_once_and_no_call_fails() {
    for refusal in [
        Refusal::Json,
        Refusal::Events,
        Refusal::Status(401),
        Refusal::Status(403),
        Refusal::Status(409),
    ] {
        let rig = Rig::new();
        rig.upstream.refuse_by(refusal);
        rig.upstream.rotate("token-2");
        let mut callers = JoinSet::new();
        for _ in 0..16 {
            let (mut raw, call) = (rig.raw().await, rig.call("chat_send"));
            callers.spawn(async move {
                raw.send(&call).await;
                raw.answer().await
            });
        }
        soon("the nudge", rig.stale.notified()).await;
        let mut refused = rig.upstream.state.refused.subscribe();
        let all = refused.wait_for(|refused| *refused == 16);
        drop(soon("16 refusals", all).await.expect("counted"));
        rig.renew("claude-2", "token-2");
        while let Some(answer) = soon("an answer", callers.join_next()).await {
            let (head, body) = answer.expect("no panic");
            assert!(
                head.starts_with("HTTP/1.1 200 ") && is_done(&body),
                "{refusal:?}: {head}{body}"
            );
        }
        let calls = rig.upstream.calls();
        assert_eq!(calls.len(), 16);
        assert!(
            calls
                .iter()
                .all(|call| call["arguments"]["sender"] == "claude-2"),
            "{calls:?}"
        );
        let nudged_again = tokio::time::timeout(SHORT, rig.stale.notified()).await;
        assert!(nudged_again.is_err(), "{refusal:?}: a second nudge");
    }
}

#[tokio::test]
async fn a_token_that_is_not_renewed_is_told_in_words() {
    let rig = Rig::patient(Patience {
        renewal: SHORT,
        ..Patience::default()
    });
    rig.upstream.rotate("token-2");
    for refusal in [Refusal::Json, Refusal::Status(401)] {
        rig.upstream.refuse_by(refusal);
        let mut raw = rig.raw().await;
        raw.send(&rig.call("chat_send")).await;
        let (head, body) = raw.answer().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            body.contains(r#""isError":true"#) && body.contains("does not know this session"),
            "{body}"
        );
    }
    assert_eq!(rig.upstream.calls(), Vec::<Value>::new());
}

#[tokio::test]
async fn an_upstream_that_comes_back_answers_the_call_that_waits() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    raw.send(&rig.call("chat_send")).await;
    assert!(is_done(&raw.answer().await.1));
    let Rig {
        port,
        upstream,
        live: _live,
        stop: _stop,
        ..
    } = rig;
    let dead = upstream.die().await;
    let rig_call = |id: u32| {
        let body = json!({ "id": id, "method": "tools/call", "params": { "name": "chat_send" } })
            .to_string();
        format!(
            "POST /hub/mcp HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let mut other = Raw::connect(port).await;
    raw.send(&rig_call(2)).await;
    other.send(&rig_call(3)).await;
    // Both meet a closed port before it opens again.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let upstream = dead.revive();
    assert!(is_done(&raw.answer().await.1));
    assert!(is_done(&other.answer().await.1));
    assert_eq!(upstream.calls().len(), 3);
}

#[tokio::test]
async fn an_upstream_that_stays_away_is_named() {
    let rig = Rig::patient(Patience {
        away: SHORT,
        ..Patience::default()
    });
    let (mut raw, call) = (rig.raw().await, rig.call("chat_send"));
    let list = rig.post(&json!({ "id": "x", "method": "tools/list" }));
    let at = format!("http://127.0.0.1:{}/mcp", rig.upstream.port);
    let _dead = rig.upstream.die().await;
    raw.send(&call).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        body.contains(r#""isError":true"#) && body.contains(&at) && body.contains("refused"),
        "{body}"
    );
    raw.send(&list).await;
    let (_, body) = raw.answer().await;
    assert!(body.contains(r#""id":"x","error""#), "{body}");
}

#[tokio::test]
async fn a_waiting_connection_that_died_is_replaced() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    let call = rig.call("chat_send");
    raw.send(&call).await;
    assert!(is_done(&raw.answer().await.1));
    let upstream = rig.upstream.die().await.revive();
    raw.send(&call).await;
    assert!(is_done(&raw.answer().await.1));
    assert_eq!(upstream.calls().len(), 2);
}

#[tokio::test]
async fn a_lost_call_is_never_made_again_but_a_lost_list_is() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    raw.send(&rig.call("lost")).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        body.contains(r#""isError":true"#) && body.contains("may or may not"),
        "{body}"
    );
    assert_eq!(rig.upstream.calls().len(), 1);

    rig.upstream.state.lose_next.store(true, Ordering::Relaxed);
    raw.send(&rig.post(&json!({ "id": 2, "method": "tools/list" })))
        .await;
    let (_, body) = raw.answer().await;
    assert!(body.contains("chat_send"), "{body}");

    rig.upstream.state.lose_next.store(true, Ordering::Relaxed);
    raw.send(&rig.post(&json!({ "id": 3, "method": "prompts/get" })))
        .await;
    let (_, body) = raw.answer().await;
    assert!(
        body.contains(r#""id":3,"error""#) && body.contains("may or may not"),
        "{body}"
    );
}

#[tokio::test]
async fn strangers_are_refused() {
    let rig = Rig::new();
    let (host, key) = (
        format!("Host: 127.0.0.1:{}\r\n", rig.port),
        format!("Authorization: Bearer {KEY}\r\n"),
    );
    for headers in [
        host.clone(),
        format!("{host}Authorization: Bearer wrong\r\n"),
        key.clone(),
        format!("Host: evil.example:{}\r\n{key}", rig.port),
        format!("{host}{key}Origin: http://127.0.0.1:{}\r\n", rig.port),
    ] {
        let mut raw = rig.raw().await;
        // Its body is still on the way: the refusal must not be lost.
        let body = "x".repeat(100_000);
        raw.send(&format!(
            "POST /hub/mcp HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let heard = raw.rest().await;
        assert!(heard.starts_with("HTTP/1.1 403 "), "{headers}: {heard}");
    }
    assert_eq!(rig.upstream.state.heads.lock().expect("no panic").len(), 0);
}

#[tokio::test]
async fn strangers_cannot_keep_the_agent_out() {
    let head = Duration::from_secs(3600);
    let rig = Rig::patient(Patience {
        head,
        ..Patience::default()
    });
    let mut strangers = Vec::new();
    for _ in 0..300 {
        strangers.push(rig.raw().await);
    }
    let mut raw = rig.raw().await;
    raw.send(&rig.call("chat_send")).await;
    assert!(is_done(&raw.answer().await.1));
    let eldest = strangers.remove(0);
    assert_eq!(eldest.rest().await, "");
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() {
    let rig = Rig::patient(Patience {
        head: SHORT,
        ..Patience::default()
    });
    let silent = rig.raw().await;
    let mut slow = rig.raw().await;
    slow.send("POST /hub/mcp HTTP/1.1\r\nHost: ").await;
    assert_eq!(silent.rest().await, "");
    assert_eq!(slow.rest().await, "");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    let body = r#"{"id":1,"method":"initialize"}"#;
    let head = rig.head(
        "POST /nobody/mcp",
        &format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    );
    raw.send(&(head + body)).await;
    let (head, body) = raw.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.contains("no MCP server `nobody`"),
        "{head}{body}"
    );
    for (line, status) in [
        ("GET /nobody/mcp", 405),
        ("HEAD /nobody/mcp", 405),
        ("GET /hub/sse", 404),
        ("GET /", 404),
    ] {
        let mut raw = rig.raw().await;
        raw.send(&rig.head(line, "")).await;
        let (head, _) = raw.answer().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {head}"
        );
    }
}

#[tokio::test]
async fn every_way_to_send_a_request_arrives_as_one() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    let call = rig.call("chat_send");
    // Byte by byte, then two at once.
    for byte in call.bytes() {
        raw.io.write_all(&[byte]).await.expect("sent");
    }
    assert!(is_done(&raw.answer().await.1));
    raw.send(&(call.clone() + &call)).await;
    assert!(is_done(&raw.answer().await.1));
    assert!(is_done(&raw.answer().await.1));
    // In chunks, with an extension and a trailer.
    let chunked = rig.head(
        "POST /hub/mcp?x=y",
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
    );
    let body = call.split_once("\r\n\r\n").expect("a body").1;
    let (a, b) = body.split_at(10);
    let chunks = format!("a;b=c\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\nT: u\r\n\r\n", b.len());
    raw.send(&(chunked + &chunks + &call)).await;
    assert!(is_done(&raw.answer().await.1));
    assert!(is_done(&raw.answer().await.1));
    let heads = rig.upstream.state.heads.lock().expect("no panic").clone();
    assert!(
        heads[3].starts_with("POST /mcp?x=y HTTP/1.1\r\n") && !heads[3].contains("chunked"),
        "{}",
        heads[3]
    );
    // After a promise to wait.
    let expect = call.replacen("Content-Type", "Expect: 100-continue\r\nContent-Type", 1);
    let (head, body) = expect.split_once("\r\n\r\n").expect("a body");
    raw.send(&format!("{head}\r\n\r\n")).await;
    assert_eq!(raw.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send(body).await;
    assert!(is_done(&raw.answer().await.1));
    assert!(!rig.upstream.last_head().contains("Expect"));
    // As the last one.
    raw.send(&call.replacen("\r\n", "\r\nConnection: close\r\n", 1))
        .await;
    let said = raw.rest().await;
    assert!(
        is_done(&said) && said.contains("Connection: close\r\n"),
        "{said}"
    );
    assert_eq!(rig.upstream.calls().len(), 7);
}

#[tokio::test]
async fn ambiguous_requests_reach_no_upstream() {
    let rig = Rig::new();
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: +3\r\n",
        "X: a\r\n b\r\n",
    ] {
        let mut raw = rig.raw().await;
        raw.send(&rig.head("POST /hub/mcp", lines)).await;
        let heard = raw.rest().await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{lines}: {heard}");
    }
    assert_eq!(rig.upstream.state.heads.lock().expect("no panic").len(), 0);
}

#[tokio::test]
async fn other_methods_and_bodies_cross_as_they_are() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    raw.send(&rig.head("HEAD /open/mcp", "X-New: 1\r\n")).await;
    let head = raw.until("\r\n\r\n").await;
    assert!(head.contains("Content-Length: 7\r\n"), "{head}");
    assert!(rig.upstream.last_head().contains("X-New: 1\r\n"));
    assert!(!rig.upstream.last_head().contains("uthorization"));
    // Longer than any buffer, and chunked, on the same connection.
    let size = 10 << 20;
    let head = rig.head(
        "PUT /open/mcp",
        &format!("Content-Type: octet-stream\r\nContent-Length: {size}\r\n"),
    );
    raw.send(&head).await;
    raw.io.write_all(&vec![b'x'; size]).await.expect("sent");
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 "));
    assert_eq!(rig.upstream.state.bytes.load(Ordering::Relaxed), size);
    let head = rig.head("POST /open/mcp", "Transfer-Encoding: chunked\r\n");
    raw.send(&(head + "3;x\r\nabc\r\n0\r\n\r\n")).await;
    assert_eq!(raw.answer().await.1, r#"{"raw":15}"#);
    // A second request in the guise of a body must stay a body.
    let hidden = "GET /hub/mcp HTTP/1.1\r\n\r\n";
    let more = format!("Content-Length: {}\r\n", hidden.len());
    raw.send(&(rig.head("POST /open/mcp", &more) + hidden))
        .await;
    assert_eq!(
        raw.answer().await.1,
        format!(r#"{{"raw":{}}}"#, hidden.len())
    );
}

#[tokio::test]
async fn every_event_arrives_before_the_next_is_sent() {
    let rig = Rig::new();
    for (name, request) in [
        ("POST", rig.call("stream")),
        ("GET", rig.head("GET /hub/mcp", "")),
    ] {
        let mut raw = rig.raw().await;
        raw.send(&request).await;
        for i in 1..=3 {
            rig.upstream.state.steps.add_permits(1);
            raw.until(&format!("data: {name} {i}\n\n\r\n")).await;
        }
        assert_eq!(raw.until("0\r\n\r\n").await, "0\r\n\r\n");
        raw.send(&rig.call("chat_send")).await;
        assert!(is_done(&raw.answer().await.1));
    }
}

#[tokio::test]
async fn an_agent_of_old_gets_no_chunks() {
    let rig = Rig::new();
    rig.upstream.state.steps.add_permits(3);
    let mut raw = rig.raw().await;
    raw.send(
        &rig.head("GET /hub/mcp", "")
            .replacen("HTTP/1.1", "HTTP/1.0", 1),
    )
    .await;
    let answer = raw.rest().await;
    assert!(
        answer.ends_with("\r\n\r\ndata: GET 1\n\ndata: GET 2\n\ndata: GET 3\n\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_agent_that_hangs_up_ends_its_request() {
    let rig = Rig::new();
    let mut open = rig.upstream.state.open.subscribe();
    for request in [rig.head("GET /hub/mcp", ""), rig.call("stream")] {
        let mut raw = rig.raw().await;
        raw.send(&request).await;
        drop(
            soon("the request", open.wait_for(|open| *open == 2))
                .await
                .expect("counted"),
        );
        drop(raw);
        drop(
            soon("its end", open.wait_for(|open| *open == 1))
                .await
                .expect("counted"),
        );
    }
}

#[tokio::test]
async fn a_cut_stream_does_not_look_whole() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    raw.send(&rig.call("cut")).await;
    raw.until("data: 2\n\r\n").await;
    assert_eq!(raw.rest().await, "");
    assert_eq!(rig.upstream.calls().len(), 1);
}

#[tokio::test]
async fn a_big_answer_is_held_by_nobody() {
    let rig = Rig::new();
    let mut raw = rig.raw().await;
    raw.send(&rig.call("big")).await;
    raw.until("\r\n\r\n").await;
    let (mut read, mut ahead) = (raw.heard.len(), 0);
    let mut room = vec![0; 1 << 16];
    while read < 100 << 20 {
        let n = soon("more", raw.io.read(&mut room))
            .await
            .expect("no reset");
        assert_ne!(n, 0, "cut after {read}");
        read += n;
        ahead = ahead.max(
            rig.upstream
                .state
                .bytes
                .load(Ordering::Relaxed)
                .saturating_sub(read),
        );
    }
    // What the sockets' buffers hold, and a little more.
    assert!(ahead < 40 << 20, "{ahead} bytes ahead of the reader");
}

#[tokio::test]
async fn the_end_does_not_wait_for_streams() {
    let rig = Rig::patient(Patience {
        drain: SHORT,
        ..Patience::default()
    });
    let (mut stream, idle) = (rig.raw().await, rig.raw().await);
    rig.upstream.state.steps.add_permits(1);
    stream.send(&rig.head("GET /hub/mcp", "")).await;
    stream.until("GET 1").await;
    rig.stop.cancel();
    soon("the end", rig.task).await.expect("no panic");
    assert_eq!(idle.rest().await, "");
    assert!(!stream.rest().await.contains("0\r\n\r\n"));
}

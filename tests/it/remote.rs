//! Servers that are not the hub, behind the proxy: as whom they are spoken to,
//! what they are told, what the agent never sees of them.

use rmcp::ServiceExt;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use wrapper::types::agent::Transport;
use wrapper::types::identity::Token;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream as Server};

use crate::support::rig::{KEY, Raw, Rig, SESSION};
use crate::support::soon;
use crate::support::upstream::Upstream;

/// A server at `path` of the rig's upstream, with a credential that it takes.
fn server(rig: &Rig, path: &str) -> Server {
    let headers = [("Authorization", "Bearer token-1"), ("X-Team", "ours")];
    let headers = headers.map(|(name, value)| (name.to_owned(), Token::new(value)));
    Server {
        endpoint: Endpoint::loopback(rig.upstream.port, path),
        transport: Transport::Http,
        credential: Credential::Headers(headers.into()),
        context: ContextLevel::Id,
        owner: Owner::Us,
        is_guest: false,
    }
}

fn call(meta: &Value) -> Value {
    let params = json!({ "name": "t", "_meta": meta });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

async fn ask(rig: &Rig, request: &str) -> (String, String) {
    let mut raw = rig.raw().await;
    raw.send(request).await;
    raw.answer().await
}

#[tokio::test]
async fn the_agents_headers_give_way_to_ours() {
    let rig = Rig::new();
    rig.put("docs", server(&rig, "/mcp?key=k"));
    let lines = "x-team: theirs\r\nX-Agent-Token: t\r\nWrapper-Session-Id: forged\r\n\
                 Wrapper-Session-Title: forged\r\nMcp-Session-Id: s\r\nLast-Event-ID: 7\r\n";
    let request = rig.post_to("/docs/mcp", lines, &call(&Value::Null));
    let (head, body) = ask(&rig, &request).await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.contains("done"),
        "{body}"
    );
    let head = rig.upstream.last_head();
    assert!(head.starts_with("POST /mcp?key=k HTTP/1.1\r\n"), "{head}");
    for (line, times) in [
        ("Authorization: Bearer token-1\r\n", 1),
        ("X-Team: ours\r\n", 1),
        ("Wrapper-Session-Id: 0123456789ab\r\n", 1),
        ("Mcp-Session-Id: s\r\n", 1),
        ("Last-Event-ID: 7\r\n", 1),
        ("theirs", 0),
        ("forged", 0),
        ("X-Agent-Token", 0),
        (KEY, 0),
    ] {
        assert_eq!(head.matches(line).count(), times, "{line}: {head}");
    }
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_told_and_nothing_is() {
    let rig = Rig::new();
    let mut docs = server(&rig, "/mcp");
    let smuggled = Token::new("a\r\nX-Forged: b");
    docs.credential = Credential::Headers(vec![("X-Key".into(), smuggled)]);
    rig.put("docs", docs);
    let request = rig.post_to("/docs/mcp", "", &call(&Value::Null));
    let (_, body) = ask(&rig, &request).await;
    assert!(
        body.contains(r#""isError":true"#) && body.contains("its header `X-Key` cannot be sent"),
        "{body}"
    );
    assert!(!body.contains("Forged"), "{body}");
    assert_eq!(rig.upstream.state.heads.lock().expect("no panic").len(), 0);
}

#[tokio::test]
async fn servers_are_told_of_the_session_as_far_as_they_may() {
    let rig = Rig::new();
    for (level, context) in [
        ("none", ContextLevel::None),
        ("id", ContextLevel::Id),
        ("full", ContextLevel::Full),
    ] {
        rig.put(
            level,
            Server {
                context,
                ..server(&rig, "/mcp")
            },
        );
    }
    let forged = json!({ "wrapper/session-id": "forged", "progressToken": 3 });
    for (level, heard, meta) in [
        ("none", "", forged.clone()),
        (
            "id",
            "Wrapper-Session-Id: 0123456789ab\r\n",
            json!({ "wrapper/session-id": SESSION, "progressToken": 3 }),
        ),
        (
            "full",
            "Wrapper-Session-Id: 0123456789ab\r\nWrapper-Session-Title: Claude Cod%C3%A9\r\n\
             Wrapper-Session-Name: claude\r\n",
            json!({
                "wrapper/session-id": SESSION,
                "wrapper/session-title": "Claude Codé",
                "wrapper/session-name": "claude",
                "progressToken": 3,
            }),
        ),
    ] {
        let request = rig.post_to(&format!("/{level}/mcp"), "", &call(&forged));
        let (_, body) = ask(&rig, &request).await;
        assert!(body.contains("done"), "{level}: {body}");
        let head = rig.upstream.last_head();
        let told: String = head
            .split_inclusive("\r\n")
            .filter(|line| line.starts_with("Wrapper-"))
            .collect();
        assert_eq!(told, heard, "{level}");
        let calls = rig.upstream.calls();
        assert_eq!(calls.last().expect("a call")["_meta"], meta, "{level}");
    }
    // The hub knows us better.
    let (_, body) = ask(&rig, &rig.call("chat_send")).await;
    assert!(body.contains("done"), "{body}");
    assert!(!rig.upstream.last_head().contains("Wrapper-"));
    assert!(rig.upstream.calls()[3].get("_meta").is_none());
}

#[tokio::test]
async fn a_real_client_finds_nothing_in_a_server_of_another_project() {
    let rig = Rig::new();
    let uri = format!("http://127.0.0.1:{}/not%20ours/mcp", rig.port);
    let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(KEY);
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = soon("the client", ().serve(transport)).await;
    let client = client.expect("it initializes");
    let server = client.peer_info().expect("a server");
    let instructions = server.instructions.clone().unwrap_or_default();
    assert_eq!(instructions, "this session has no MCP server `not ours`");
    let tools = soon("the tools", client.list_all_tools()).await;
    assert_eq!(tools.expect("a list"), []);
    let prompts = soon("the prompts", client.list_all_prompts()).await;
    assert_eq!(prompts.expect("a list"), []);
    soon("the end", client.cancel()).await.expect("no panic");
    let discover = json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover" });
    let request = rig.post_to("/other/mcp", "", &discover);
    let (head, body) = ask(&rig, &request).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        body.contains("-32601") && body.contains("`other`"),
        "{body}"
    );
    assert_eq!(rig.upstream.state.heads.lock().expect("no panic").len(), 0);
}

#[tokio::test]
async fn connections_of_a_credential_that_was_replaced_are_closed() {
    let rig = Rig::new();
    rig.put("docs", server(&rig, "/mcp"));
    let mut open = rig.upstream.state.open.subscribe();
    let requests = [
        rig.call("t"),
        rig.post_to("/docs/mcp", "", &call(&Value::Null)),
        rig.post_to("/open/mcp", "", &json!({"id": 1, "method": "ping"})),
    ];
    let mut raw = rig.raw().await;
    for request in &requests {
        raw.send(request).await;
        raw.answer().await;
    }
    // The listener, and one for each server, though all are at one place.
    assert_eq!(*open.borrow(), 4);
    let mut closed = async |left| {
        let waited = soon("its end", open.wait_for(|open| *open == left));
        drop(waited.await.expect("it is counted"));
    };
    rig.renew("claude", "token-2");
    closed(3).await;
    let mut docs = server(&rig, "/mcp");
    let other = vec![("Authorization".to_owned(), Token::new("Bearer token-2"))];
    docs.credential = Credential::Headers(other);
    rig.put("docs", docs);
    closed(2).await;
    let other_level = |server: &Server| Server {
        context: ContextLevel::Full,
        ..server.clone()
    };
    let same = rig.live.borrow().upstreams[&"open".parse().expect("a name")].clone();
    rig.put("open", other_level(&same));
    raw.send(&requests[2]).await;
    raw.answer().await;
    // What has the same credential stays.
    let heads = rig.upstream.state.heads.lock().expect("no panic").len();
    assert_eq!((heads, *rig.upstream.state.open.borrow()), (4, 2));
}

#[tokio::test]
async fn no_refusal_reaches_the_agent_as_one() {
    let rig = Rig::new();
    rig.put("docs", server(&rig, "/mcp"));
    // Somebody who would like to see our credential.
    let elsewhere = Upstream::start();
    let there = format!("Location: http://127.0.0.1:{}/mcp\r\n", elsewhere.port);
    let moved = format!("has moved to http://127.0.0.1:{}/mcp", elsewhere.port);
    for (status, lines, said) in [
        (
            401,
            "WWW-Authenticate: Bearer\r\n",
            "`headers` under `[mcp_servers.docs]`",
        ),
        (403, "", "`headers` under `[mcp_servers.docs]`"),
        (404, "", "has forgotten this MCP session"),
        (
            307,
            "Location: /mcp/?key=secret\r\n",
            "redirects from path to path, to http://127.0.0.1:",
        ),
        (308, "Location: //elsewhere\r\n", "has moved."),
        (301, &there, &moved),
        (302, &there, &moved),
        (307, &there, &moved),
        (308, &there, &moved),
    ] {
        let answer = format!("HTTP/1.1 {status} No\r\n{lines}Content-Length: 0\r\n\r\n");
        *rig.upstream.state.always.lock().expect("no panic") = Some(answer);
        let session = "Mcp-Session-Id: s\r\n";
        let request = rig.post_to("/docs/mcp", session, &call(&Value::Null));
        let (head, body) = ask(&rig, &request).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(
            !head.contains("WWW-") && !head.contains("Location"),
            "{head}"
        );
        assert!(
            body.contains(r#""isError":true"#) && body.contains(said) && !body.contains("secret"),
            "{status}: {body}"
        );
        for method in ["GET", "DELETE"] {
            let request = rig.head(&format!("{method} /docs/mcp"), session);
            let (head, body) = ask(&rig, &request).await;
            assert!(
                head.starts_with("HTTP/1.1 405 "),
                "{method} {status}: {head}"
            );
            assert!(body.contains(said), "{method} {status}: {body}");
        }
    }
    assert_eq!(*elsewhere.state.open.borrow(), 1, "its listener alone");
}

/// Opens the stream of `server`; returns it with the path that it announces.
async fn open(rig: &Rig, server: &str) -> (Raw, String) {
    let mut stream = rig.raw().await;
    let request = rig.head(
        &format!("GET /{server}/sse"),
        "Accept: text/event-stream\r\n",
    );
    stream.send(&request).await;
    let head = stream.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        !head.contains("chunked") && head.contains("Connection: close\r\n"),
        "{head}"
    );
    let event = stream.until("\n\n").await;
    let path = event
        .strip_prefix(": hi\nevent: endpoint\ndata: ")
        .expect(&event);
    (stream, path.trim_end().to_owned())
}

#[tokio::test]
async fn the_sse_transport_leads_through_us_both_ways() {
    let rig = Rig::new();
    let mut old = server(&rig, "/sse?key=k");
    old.transport = Transport::Sse;
    rig.put("old one", old);
    let origin = format!("http://127.0.0.1:{}", rig.upstream.port);
    for endpoint in [
        "/messages/?session_id=5".to_owned(),
        "messages/?session_id=5".to_owned(),
        format!("{origin}/messages/?session_id=5"),
    ] {
        let event = format!(": hi\nevent: endpoint\ndata: {endpoint}\n\n");
        for size in [1, 7, event.len()] {
            let chunks = event.as_bytes().chunks(size);
            let chunks = chunks.map(|chunk| String::from_utf8_lossy(chunk).into_owned());
            *rig.upstream.state.opening.lock().expect("no panic") = chunks.collect();
            let (mut stream, path) = open(&rig, "old%20one").await;
            assert!(
                rig.upstream
                    .last_head()
                    .starts_with("GET /sse?key=k HTTP/1.1\r\n")
            );
            let number = path
                .strip_prefix("/old%20one/messages/")
                .and_then(|rest| rest.strip_suffix("?session_id=5"));
            assert!(
                number.is_some_and(|number| number.parse::<u64>().is_ok()),
                "{path}"
            );

            let request = rig.post_to(&path, "", &call(&json!({ "event": "endpoint" })));
            let (head, body) = ask(&rig, &request).await;
            assert!(
                head.starts_with("HTTP/1.1 202 ") && body == "Accepted",
                "{head}"
            );
            let head = rig.upstream.last_head();
            assert!(
                head.starts_with("POST /messages/?session_id=5 HTTP/1.1\r\n"),
                "{head}"
            );
            assert!(
                head.contains("X-Team: ours\r\n") && head.contains(SESSION),
                "{head}"
            );
            assert!(!head.contains(KEY), "{head}");
            let event = stream.until("\n\n").await;
            let (_, message) = event.split_once("data: ").expect(&event);
            let message: Value = serde_json::from_str(message).expect(&event);
            let meta = json!({ "wrapper/session-id": SESSION, "event": "endpoint" });
            assert_eq!(message["params"]["_meta"], meta);
        }
    }
}

#[tokio::test]
async fn messages_go_nowhere_but_to_an_open_streams_endpoint() {
    let rig = Rig::new();
    let sse = |path: &str| Server {
        transport: Transport::Sse,
        ..server(&rig, path)
    };
    rig.put("old", sse("/sse"));
    rig.put("other", sse("/sse"));
    *rig.upstream.state.opening.lock().expect("no panic") =
        vec![": hi\nevent: endpoint\ndata: /messages/1\n\n".into()];
    let (stream, path) = open(&rig, "old").await;
    let message = call(&Value::Null);
    let heads = || rig.upstream.state.heads.lock().expect("no panic").len();
    let before = heads();
    let strange = [
        path.replace("old", "other"),
        "/old/messages/99".into(),
        "/old/messages/".into(),
        "/old/messages/../admin".into(),
    ];
    for path in &strange {
        let (head, body) = ask(&rig, &rig.post_to(path, "", &message)).await;
        assert!(
            head.starts_with("HTTP/1.1 410 ") && body.contains("has ended"),
            "{path}: {head}"
        );
    }
    let (head, _) = ask(&rig, &rig.head(&format!("GET {path}"), "")).await;
    assert!(
        head.starts_with("HTTP/1.1 405 ") && head.contains("Allow: POST\r\n"),
        "{head}"
    );
    let (head, _) = ask(&rig, &rig.post_to("/old/sse", "", &message)).await;
    assert!(
        head.starts_with("HTTP/1.1 405 ") && head.contains("Allow: GET\r\n"),
        "{head}"
    );
    assert_eq!(heads(), before);
    // It ends with its stream.
    let mut open = rig.upstream.state.open.subscribe();
    let now = *open.borrow();
    drop(stream);
    drop(
        soon("its end", open.wait_for(|open| *open < now))
            .await
            .expect("counted"),
    );
    let (head, _) = ask(&rig, &rig.post_to(&path, "", &message)).await;
    assert!(head.starts_with("HTTP/1.1 410 "), "{head}");
}

#[tokio::test]
async fn a_stream_that_does_not_open_as_it_must_is_told() {
    let rig = Rig::new();
    let sse = |path: &str| Server {
        transport: Transport::Sse,
        ..server(&rig, path)
    };
    rig.put("old", sse("/sse"));
    for (chunk, said) in [
        (
            "event: endpoint\ndata: http://evil.example/m\n\n".into(),
            "at another host",
        ),
        (
            "event: endpoint\ndata: //127.0.0.1:1/m\n\n".into(),
            "at another host",
        ),
        (
            "event: endpoint\ndata: /a\ndata: b\n\n".into(),
            "not one line",
        ),
        ("event: endpoint\ndata: /a b\n\n".into(), "is no URL"),
        (": ping\n\n".repeat(3000), "does not say where to post"),
        ("x".repeat(20_000), "does not say where to post"),
    ] {
        *rig.upstream.state.opening.lock().expect("no panic") = vec![chunk];
        let (head, body) = ask(&rig, &rig.head("GET /old/sse", "")).await;
        assert!(
            head.starts_with("HTTP/1.1 502 ") && body.contains(said),
            "{said}: {body}"
        );
    }
    let refused = "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n";
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
    for (answer, said) in [
        (refused, "refuses its credential"),
        (json, "answer with a plain stream"),
    ] {
        *rig.upstream.state.always.lock().expect("no panic") = Some(answer.into());
        let (head, body) = ask(&rig, &rig.head("GET /old/sse", "")).await;
        assert!(
            head.starts_with("HTTP/1.1 502 ") && body.contains(said),
            "{said}: {body}"
        );
    }
}

#[tokio::test]
async fn a_server_is_not_found_behind_the_other_transports_door() {
    let rig = Rig::new();
    rig.put("new", server(&rig, "/mcp"));
    let old = Server {
        transport: Transport::Sse,
        ..server(&rig, "/sse")
    };
    rig.put("old", old);
    for (line, status, said) in [
        ("GET /new/sse", 404, "use /new/mcp"),
        ("POST /new/messages/1", 404, "use /new/mcp"),
        ("GET /old/mcp", 405, "use /old/sse"),
        ("GET /nobody/sse", 404, "no MCP server `nobody`"),
    ] {
        let (head, body) = ask(&rig, &rig.head(line, "")).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {head}"
        );
        assert!(body.contains(said), "{line}: {body}");
    }
    let hello = json!({ "id": 0, "method": "initialize" });
    let (head, body) = ask(&rig, &rig.post_to("/old/mcp", "", &hello)).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        body.contains(r#""error""#) && body.contains("use /old/sse"),
        "{body}"
    );
    assert_eq!(rig.upstream.state.heads.lock().expect("no panic").len(), 0);
}

//! Servers that are new to a running agent, on the entry of the hub.

use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use wrapper::types::agent::Transport;
use wrapper::types::evidence::Step;
use wrapper::types::identity::{ServerName, Token};
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream};

use crate::support::guest::Guest;
use crate::support::rig::{KEY, Raw, Rig};
use crate::support::soon;

fn server(guest: &Guest) -> Upstream {
    let header = ("Authorization".to_owned(), Token::new("Bearer guest"));
    Upstream {
        endpoint: Endpoint::loopback(guest.port, "/mcp"),
        transport: Transport::Http,
        credential: Credential::Headers(vec![header]),
        context: ContextLevel::Id,
        owner: Owner::Us,
        is_guest: true,
    }
}

fn name(name: &str) -> ServerName {
    name.parse().expect("a name")
}

fn remove(rig: &Rig, server: &str) {
    rig.live.send_modify(|live| {
        Arc::make_mut(&mut live.upstreams).remove(&name(server));
    });
}

fn list() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
}

fn call(id: u64, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {"sender": "me", "name": "docs__x"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

/// The answer to a message on the hub's entry.
async fn ask(rig: &Rig, message: &Value) -> (String, Value) {
    let mut raw = rig.raw().await;
    raw.send(&rig.post(message)).await;
    answer(&mut raw).await
}

async fn answer(raw: &mut Raw) -> (String, Value) {
    let (head, body) = raw.answer().await;
    let body = if body.is_empty() {
        "null".to_owned()
    } else {
        body
    };
    (head, serde_json::from_str(&body).expect(&body))
}

/// The names of the tools that the agent is shown.
async fn shown(rig: &Rig) -> Vec<String> {
    let (_, answer) = ask(rig, &list()).await;
    let tools = answer["result"]["tools"].as_array().expect("a list");
    let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
    tools.iter().map(name).collect()
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"]
        .as_str()
        .expect("a text")
}

#[tokio::test]
async fn the_tools_of_a_guest_stand_beside_the_hubs() {
    let (rig, docs, notes) = (Rig::new(), Guest::start(), Guest::start());
    assert_eq!(shown(&rig).await, ["chat_send"]);
    rig.put("docs", server(&docs));
    rig.put("my notes", server(&notes));
    let shown = shown(&rig).await;
    assert_eq!(
        shown[..4],
        ["chat_send", "docs__echo", "docs__hold", "docs__stream"]
    );
    assert!(shown[4].starts_with("my_notes__echo_"), "{shown:?}");
    assert_eq!(shown.len(), 7);
    let (_, hello) = ask(
        &rig,
        &json!({"jsonrpc": "2.0", "id": 0, "method": "initialize"}),
    )
    .await;
    assert_eq!(
        hello["result"]["capabilities"]["tools"]["listChanged"],
        true
    );

    for (tool, guest, other) in [
        ("docs__echo", &docs, &notes),
        (shown[4].as_str(), &notes, &docs),
    ] {
        let (_, answer) = ask(&rig, &call(7, tool)).await;
        assert_eq!((&answer["id"], text(&answer)), (&json!(7), "echo"));
        let calls = guest.calls();
        let params = &calls.last().expect("a call")["params"];
        // The arguments are the guest's own business, and the context is ours.
        assert_eq!(
            params["arguments"],
            json!({"sender": "me", "name": "docs__x"})
        );
        assert_eq!(
            params["_meta"]["wrapper/session-id"],
            crate::support::rig::SESSION
        );
        let before = other.calls().len();
        assert_eq!(
            (calls.len(), before),
            (1, usize::from(tool != "docs__echo"))
        );
    }
    assert_eq!(
        rig.upstream.calls().len(),
        0,
        "the hub got no call of a guest's"
    );
    for guest in [&docs, &notes] {
        for head in guest.heads() {
            assert!(head.contains("authorization: Bearer guest\r\n"), "{head}");
            assert!(!head.contains("token-1") && !head.contains(KEY), "{head}");
        }
        assert_eq!(guest.sessions(), 1, "one session, used again");
    }
    let evidence = rig.ledger.get(&name("docs")).expect("seen");
    assert_eq!((evidence.step, evidence.initialized), (Step::Called, 1));
    assert_eq!((evidence.listed, evidence.called), (1, 1));
    // The hub's own tools go on as they did.
    assert_eq!(text(&ask(&rig, &rig_call()).await.1), "done");
    assert_eq!(rig.upstream.calls()[0]["arguments"]["sender"], "claude");
}

fn rig_call() -> Value {
    call(1, "chat_send")
}

#[tokio::test]
async fn a_real_client_has_the_tools_of_a_guest() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    let uri = format!("http://127.0.0.1:{}/hub/mcp", rig.port);
    let config = StreamableHttpClientTransportConfig::with_uri(uri).auth_header(KEY);
    let transport = StreamableHttpClientTransport::from_config(config);
    let client = soon("the client", ().serve(transport))
        .await
        .expect("a handshake");
    let tools = soon("the tools", client.list_all_tools())
        .await
        .expect("a list");
    let names: Vec<_> = tools.iter().map(|tool| tool.name.to_string()).collect();
    assert_eq!(
        names,
        ["chat_send", "docs__echo", "docs__hold", "docs__stream"]
    );
    for tool in ["docs__echo", "docs__stream"] {
        let result = soon(tool, client.call_tool(CallToolRequestParams::new(tool))).await;
        let result = serde_json::to_value(result.expect("a result")).expect("JSON");
        assert_eq!(
            result["content"][0]["text"],
            tool.trim_start_matches("docs__")
        );
    }
    soon("the end", client.cancel()).await.expect("no panic");
}

#[tokio::test]
async fn a_guest_that_forgets_is_reminded_and_the_agent_does_not_notice() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    for round in 1..3 {
        docs.forget();
        let (head, answer) = ask(&rig, &call(round, "docs__echo")).await;
        assert_eq!(text(&answer), "echo");
        assert!(
            !head.to_ascii_lowercase().contains("mcp-session-id"),
            "{head}"
        );
        docs.forget();
        assert_eq!(shown(&rig).await.len(), 4);
    }
    assert_eq!((docs.calls().len(), docs.sessions()), (2, 4));
}

#[tokio::test]
async fn a_guest_that_leaves_takes_its_tools_and_its_session_along() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    assert_eq!(shown(&rig).await.len(), 4);
    remove(&rig, "docs");
    assert_eq!(shown(&rig).await, ["chat_send"]);
    docs.saw("DELETE").await;
    let (head, answer) = ask(&rig, &call(1, "docs__echo")).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(text(&answer), "this session has no MCP server `docs`");
    assert_eq!((docs.calls().len(), rig.upstream.calls().len()), (0, 0));
}

#[tokio::test]
async fn a_guest_that_is_not_well_is_left_out_and_told_when_called() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    let mut broken = server(&docs);
    broken.credential = Credential::Headers(vec![("X-Bad".into(), Token::new("a\nb"))]);
    rig.put("broken", broken);
    assert_eq!(shown(&rig).await.len(), 4);
    let (_, answer) = ask(&rig, &call(1, "broken__echo")).await;
    assert_eq!(answer["result"]["isError"], true);
    let said = text(&answer);
    assert!(
        said.contains("`broken`") && said.contains("its header `X-Bad`"),
        "{said}"
    );
}

#[tokio::test]
async fn a_cancellation_finds_its_guest() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    let mut raw = rig.raw().await;
    raw.send(&rig.post(&call(9, "docs__hold"))).await;
    docs.saw("tools/call").await;
    let params = json!({"requestId": 9, "reason": "enough"});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    let (head, _) = ask(&rig, &cancel).await;
    assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
    docs.saw("notifications/cancelled").await;
    assert_eq!(text(&answer(&mut raw).await.1), "cancelled");
    // Another one's is the hub's.
    let heads = || rig.upstream.state.heads.lock().expect("no panic").len();
    let before = heads();
    ask(&rig, &cancel).await;
    assert_eq!(heads(), before + 1);
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_done_in_none() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    let batch = json!([call(1, "chat_send"), call(2, "docs__echo"), {"method": "x"}]);
    let (head, answer) = ask(&rig, &batch).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let answers = answer.as_array().expect("a batch");
    assert_eq!(answers.len(), 2);
    for (at, one) in answers.iter().enumerate() {
        assert_eq!(
            (&one["id"], &one["error"]["code"]),
            (&json!(at + 1), &json!(-32600))
        );
    }
    assert_eq!((docs.calls().len(), rig.upstream.calls().len()), (0, 0));
}

#[tokio::test]
async fn an_answer_streams_through_and_two_agents_do_not_meet() {
    let (rig, docs) = (Rig::new(), Guest::start());
    rig.put("docs", server(&docs));
    let mut agents = Vec::new();
    for agent in ["a", "b"] {
        let mut raw = rig.raw().await;
        let session = format!("Mcp-Session-Id: {agent}\r\n");
        raw.send(&rig.post_to("/hub/mcp", &session, &call(3, "docs__stream")))
            .await;
        raw.until("\"progress\":1").await;
        agents.push(raw);
    }
    docs.go_on();
    for raw in &mut agents {
        raw.until("\"text\":\"stream\"").await;
    }
    assert_eq!(docs.sessions(), 2);
}

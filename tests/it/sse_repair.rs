//! The agent's stream over HTTP with SSE outlives those of its upstream.

use std::time::Duration;

use serde_json::{Value, json};
use wrapper::proxy::Patience;
use wrapper::types::agent::Transport;
use wrapper::types::evidence::Step;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream};

use crate::support::hub::Hub;
use crate::support::old::{Old, Refusal};
use crate::support::rig::{Raw, Rig};
use crate::support::soon;

fn server(port: u16) -> Upstream {
    Upstream {
        endpoint: Endpoint::loopback(port, "/sse"),
        transport: Transport::Sse,
        credential: Credential::Identity,
        context: ContextLevel::None,
        owner: Owner::Us,
        is_guest: false,
    }
}

/// An agent with its stream, and a connection to post on.
struct Agent<'a> {
    rig: &'a Rig,
    stream: Raw,
    messages: String,
    posts: Raw,
}

impl<'a> Agent<'a> {
    async fn open(rig: &'a Rig) -> Self {
        let mut stream = rig.raw().await;
        stream
            .send(&rig.head("GET /old/sse", "Accept: text/event-stream\r\n"))
            .await;
        let head = stream.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        stream.until("data: ").await;
        let messages = stream.until("\n").await.trim_end().to_owned();
        assert_eq!(stream.until("\n").await, "\n");
        let posts = rig.raw().await;
        Self {
            rig,
            stream,
            messages,
            posts,
        }
    }

    /// One that has begun its session.
    async fn begin(rig: &'a Rig) -> Self {
        let mut agent = Self::open(rig).await;
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}});
        agent.post(&hello).await;
        assert_eq!(agent.event().await["id"], 0);
        agent
            .post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        agent
    }

    async fn send(&mut self, message: &Value) {
        let request = self.rig.post_to(&self.messages, "", message);
        self.posts.send(&request).await;
    }

    /// Posts a message, which is taken.
    async fn post(&mut self, message: &Value) {
        self.send(message).await;
        let (head, _) = self.posts.answer().await;
        assert!(head.starts_with("HTTP/1.1 202 "), "{head}");
    }

    async fn call(&mut self, id: u64, tool: &str) {
        self.post(&call(id, tool)).await;
    }

    /// The message of the next event.
    async fn event(&mut self) -> Value {
        let event = self.stream.until("\n\n").await;
        let data = event.strip_prefix("event: message\ndata: ").expect(&event);
        serde_json::from_str(data).expect("JSON")
    }

    /// The next event is the answer to call `id`: its text.
    async fn text(&mut self, id: u64) -> String {
        let event = self.event().await;
        assert_eq!(event["id"], id, "{event}");
        event["result"]["content"][0]["text"]
            .as_str()
            .expect("a text")
            .to_owned()
    }
}

fn call(id: u64, tool: &str) -> Value {
    let params = json!({"name": tool, "arguments": {}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn rig(old: &Old) -> Rig {
    patient(old, Patience::default())
}

fn patient(old: &Old, patience: Patience) -> Rig {
    let rig = Rig::patient(patience);
    rig.put("old", server(old.port));
    rig
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_and_nobody_notices() {
    let old = Old::start();
    let rig = rig(&old);
    let mut agent = Agent::begin(&rig).await;
    // In the middle of an event, at its end, and as it should.
    for (round, rest) in [(1, "data: {\"id\":"), (2, ""), (3, ": bye\n\n")] {
        old.break_off(rest);
        old.saw("notifications/initialized", round + 1).await;
        agent.call(7, "work").await;
        let event = if rest.ends_with("\n\n") {
            assert_eq!(agent.stream.until("\n\n").await, rest);
            agent.text(7).await
        } else {
            agent.text(7).await
        };
        assert_eq!(event, "work done");
        assert_eq!(
            (old.seen("GET"), old.seen("initialize")),
            (round + 1, round + 1)
        );
    }
    assert_eq!(old.seen("call work"), 3);
    assert!(
        agent.stream.heard.is_empty(),
        "only what was asked for came"
    );
    let evidence = rig
        .ledger
        .get(&"old".parse().expect("a name"))
        .expect("seen");
    assert_eq!(
        (evidence.step, evidence.initialized, evidence.called),
        (Step::Called, 1, 3)
    );
}

#[tokio::test]
async fn a_message_waits_for_a_server_that_is_away() {
    let old = Old::start();
    let rig = rig(&old);
    let mut agent = Agent::begin(&rig).await;
    let down = old.die().await;
    agent.send(&call(1, "work")).await;
    let old = down.revive();
    assert!(agent.posts.answer().await.0.starts_with("HTTP/1.1 202 "));
    assert_eq!(agent.text(1).await, "work done");
    assert_eq!((old.seen("initialize"), old.seen("call work")), (2, 1));
}

#[tokio::test]
async fn a_server_that_stays_away_is_told_on_the_stream() {
    let old = Old::start();
    let patience = Patience {
        away: Duration::from_millis(300),
        ..Patience::default()
    };
    let rig = patient(&old, patience);
    let mut agent = Agent::begin(&rig).await;
    let down = old.die().await;
    agent.call(1, "work").await;
    let text = agent.text(1).await;
    assert!(
        text.contains("cannot be reached") && text.contains("Nothing was done"),
        "{text}"
    );
    let note = json!({"jsonrpc": "2.0", "method": "notifications/x"});
    agent.send(&note).await;
    let (head, body) = agent.posts.answer().await;
    assert!(
        head.starts_with("HTTP/1.1 502 ") && body.contains("cannot be reached"),
        "{head}{body}"
    );
    let old = down.revive();
    old.saw("notifications/initialized", 2).await;
    agent.call(2, "work").await;
    assert_eq!(agent.text(2).await, "work done");
    assert_eq!(old.seen("call work"), 1);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    let old = Old::start();
    let rig = rig(&old);
    let mut agent = Agent::begin(&rig).await;
    agent.call(1, "hold").await;
    // The first session never answers this, and the second does.
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {"never": 1}});
    agent.post(&list).await;
    let batch = json!([{"jsonrpc": "2.0", "id": 3, "method": "ping"}, call(4, "hold")]);
    agent.send(&batch).await;
    // It knows no batches.
    assert!(agent.posts.answer().await.0.starts_with("HTTP/1.1 202 "));
    old.break_off("");
    let mut told = Vec::new();
    for _ in 0..4 {
        let event = agent.event().await;
        told.push((event["id"].as_u64().expect("an id"), event));
    }
    told.sort_by_key(|(id, _)| *id);
    for (id, event) in &told {
        let text = event.to_string();
        match id {
            2 => assert_eq!(event["result"]["tools"], json!([])),
            3 => assert!(
                event["error"]["message"]
                    .to_string()
                    .contains("may or may not"),
                "{text}"
            ),
            _ => {
                assert_eq!(event["result"]["isError"], true, "{text}");
                assert!(text.contains("may or may not have been executed"), "{text}");
            }
        }
    }
    // Posted, and no answer to that.
    agent.call(5, "lost").await;
    assert!(agent.text(5).await.contains("may or may not"));
    assert_eq!(
        (
            old.seen("call hold"),
            old.seen("call lost"),
            old.seen("tools/list")
        ),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn a_session_that_is_forgotten_is_begun_again() {
    for refusal in [Refusal::Status(404), Refusal::Status(400)] {
        let old = Old::start();
        *old.state.refusal.lock().expect("no panic") = refusal;
        let rig = rig(&old);
        let mut agent = Agent::begin(&rig).await;
        for round in 1..3 {
            old.forget();
            agent.call(round, "work").await;
            assert_eq!(agent.text(round).await, "work done");
        }
        assert_eq!((old.seen("initialize"), old.seen("call work")), (3, 2));
    }
}

#[tokio::test]
async fn a_stale_token_is_renewed_and_the_call_made_once() {
    for refusal in [
        Refusal::Status(401),
        Refusal::Status(403),
        Refusal::Status(409),
        Refusal::Text,
    ] {
        let old = Old::start();
        *old.state.refusal.lock().expect("no panic") = refusal;
        let rig = rig(&old);
        let mut agent = Agent::begin(&rig).await;
        *old.state.token.lock().expect("no panic") = "token-2".into();
        agent.send(&call(1, "work")).await;
        soon("the nudge", rig.stale.notified()).await;
        rig.renew("claude", "token-2");
        assert!(agent.posts.answer().await.0.starts_with("HTTP/1.1 202 "));
        assert_eq!(agent.text(1).await, "work done");
        assert_eq!((old.seen("stale"), old.seen("call work")), (1, 1));
        // And at the opening of a stream, which breaks while the token is stale.
        *old.state.token.lock().expect("no panic") = "token-3".into();
        old.break_off("");
        if matches!(refusal, Refusal::Status(_)) {
            soon("the nudge", rig.stale.notified()).await;
        }
        rig.renew("claude", "token-3");
        old.saw("notifications/initialized", 2).await;
        agent.call(2, "work").await;
        assert_eq!(agent.text(2).await, "work done");
        assert_eq!(old.seen("call work"), 2);
    }
}

#[tokio::test]
async fn a_stream_goes_where_its_server_goes() {
    let (old, new) = (Old::start(), Old::start());
    let rig = rig(&old);
    let mut agent = Agent::begin(&rig).await;
    agent.call(1, "hold").await;
    rig.put("old", server(new.port));
    assert!(agent.text(1).await.contains("may or may not"));
    agent.call(2, "work").await;
    assert_eq!(agent.text(2).await, "work done");
    assert_eq!((old.seen("call work"), new.seen("call work")), (0, 1));
    // One that is gone takes its stream with it.
    let name = "old".parse().expect("a name");
    rig.live.send_modify(|live| {
        std::sync::Arc::make_mut(&mut live.upstreams).remove(&name);
    });
    assert_eq!(agent.stream.rest().await, "");
    agent
        .posts
        .send(&rig.post_to(&agent.messages, "", &call(3, "work")))
        .await;
    let (head, _) = agent.posts.answer().await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[tokio::test]
async fn a_long_event_passes_and_is_not_glued_to_another_stream() {
    let old = Old::start();
    let rig = rig(&old);
    let mut agent = Agent::begin(&rig).await;
    agent.call(1, "long").await;
    assert_eq!(agent.text(1).await.len(), 2 << 20);
    old.break_off("");
    old.saw("notifications/initialized", 2).await;
    agent.call(2, "work").await;
    assert_eq!(agent.text(2).await, "work done");
    old.break_off(&format!("data: {}", "x".repeat(3 << 20)));
    let rest = agent.stream.rest().await;
    assert!(rest.len() > 1 << 20 && !rest.contains('\n'));
}

#[tokio::test]
async fn what_the_server_says_passes_as_it_is() {
    let old = Old::start();
    let rig = rig(&old);
    let mut agent = Agent::begin(&rig).await;
    for said in [
        ": a comment\n\n",
        "id: 7\nretry: 5\ndata: {\"method\":\"x\"}\n\n",
        "data: {\"id\":0,\"result\":{\"not\":\"asked for\"}}\n\n",
        "data: no json\n\n",
    ] {
        old.say(said);
        assert_eq!(agent.stream.until("\n\n").await, said);
    }
}

#[tokio::test]
async fn the_hub_restarts_under_a_stream() {
    let hub = Hub::start().await;
    let identity = hub.enter("claude").await;
    let rig = Rig::new();
    rig.renew("claude", identity.token.expose());
    rig.put("old", server(hub.sse_port));
    let mut agent = Agent::begin(&rig).await;
    let send = |id: u64| {
        let arguments = json!({"sender": "x", "message": format!("hello {id}")});
        let params = json!({"name": "chat_send", "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    agent.post(&send(1)).await;
    assert_eq!(agent.text(1).await, "Sent (id=1)");
    let hub = hub.restart().await;
    // It has other ports now: that is where the session's server is.
    rig.put("old", server(hub.sse_port));
    agent.post(&send(2)).await;
    assert_eq!(agent.text(2).await, "Sent (id=2)");
    assert!(agent.stream.heard.is_empty(), "nothing else came");
    hub.stop().await;
}

//! The hub over HTTP with SSE: a conversation byte for byte, and an agent that
//! speaks nothing else.

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use wrapper::hub::Client;
use wrapper::types::agent::Transport;
use wrapper::types::exit::AgentExit;
use wrapper::types::identity::Token;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Upstream};

use super::support::hub::{Answer, Hub, ask, bearer};
use super::support::rig::Rig;
use super::support::soon;
use super::support::world::{FAKE, World};

const NO_SESSION: &str = r#"{"error":"no such session: open a stream at `/sse`"}"#;
const NO_TOKEN: &str = r#"{"error":"forbidden: invalid or missing session token"}"#;

/// An open stream of events.
struct Stream {
    lines: BufReader<TcpStream>,
    port: u16,
    /// Where its messages are posted: path and query.
    messages: String,
}

impl Stream {
    async fn open(hub: &Hub, token: &Token) -> Self {
        let (port, auth) = (hub.sse_port, bearer(token));
        // HTTP/1.0, so that the stream has no chunks.
        let head =
            format!("GET /sse HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {auth}\r\n\r\n");
        let opened = async {
            let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
            socket.write_all(head.as_bytes()).await?;
            std::io::Result::Ok(BufReader::new(socket))
        };
        let lines = soon("a stream", opened).await.expect("opened");
        let mut stream = Self {
            lines,
            port,
            messages: String::new(),
        };
        let head = stream.block().await;
        assert!(head[0].contains(" 200 "), "{head:?}");
        assert!(head.contains(&"content-type: text/event-stream".to_owned()));
        stream.messages = stream.event("endpoint").await;
        stream
    }

    /// The lines until an empty one; none at the end of the stream.
    async fn block(&mut self) -> Vec<String> {
        let mut block = Vec::new();
        loop {
            let mut line = String::new();
            let read = soon("a line", self.lines.read_line(&mut line)).await;
            if read.expect("read") == 0 || line.trim_end().is_empty() {
                return block;
            }
            block.push(line.trim_end().to_owned());
        }
    }

    /// The data of the next event, which is of this name and has one line.
    async fn event(&mut self, name: &str) -> String {
        let block = self.block().await;
        let [event, data] = block.as_slice() else {
            panic!("no event: {block:?}");
        };
        assert_eq!(event, &format!("event: {name}"));
        data.strip_prefix("data: ").expect("data").to_owned()
    }

    async fn message(&mut self) -> Value {
        serde_json::from_str(&self.event("message").await).expect("json")
    }

    async fn post(&self, token: &Token, body: &str) -> Answer {
        post(self.port, &self.messages, Some(token), body).await
    }

    /// Asks, and waits for the answer on the stream.
    async fn request(&mut self, token: &Token, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        self.post(token, &body.to_string()).await.is(202, "");
        let answer = self.message().await;
        assert_eq!(answer["id"], 7, "{answer}");
        answer["result"].clone()
    }

    async fn send(&mut self, token: &Token, text: &str) -> Value {
        let call = json!({"name": "chat_send", "arguments": {"message": text}});
        let result = self.request(token, "tools/call", call).await;
        result["content"][0]["text"].clone()
    }

    /// Waits until the hub ends the stream.
    async fn ended(mut self) {
        let mut rest = Vec::new();
        let end = soon("the end", self.lines.read_to_end(&mut rest)).await;
        end.expect("a clean end");
        assert_eq!(rest, b"");
    }
}

async fn post(port: u16, path: &str, token: Option<&Token>, body: &str) -> Answer {
    let auth = token.map(bearer);
    let headers: Vec<_> = auth.iter().map(|auth| ("Authorization", &**auth)).collect();
    let host = format!("127.0.0.1:{port}");
    ask(port, &format!("POST {path}"), &host, &headers, body).await
}

#[tokio::test]
async fn a_conversation_over_sse() {
    let hub = Hub::start().await;
    let token = hub.enter("claude").await.token;
    let mut stream = Stream::open(&hub, &token).await;
    let id = stream.messages.strip_prefix("/messages/?session_id=");
    let id = id.expect("a session").to_owned();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));

    let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {}});
    let welcome = stream.request(&token, "initialize", hello).await;
    assert_eq!(welcome["protocolVersion"], "2024-11-05");
    // What has no answer brings no event: the next one is of the next.
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    stream.post(&token, ready).await.is(202, "");
    let listed = stream.request(&token, "tools/list", json!({})).await;
    let http = hub
        .mcp(&[], r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        .await;
    assert_eq!(listed, http.json()["result"]);
    assert_eq!(stream.send(&token, "one").await, "Sent (id=1)");

    let batch = r#"[{"id":1,"method":"ping"},{"method":"x"},{"id":2,"method":"no"}]"#;
    stream.post(&token, batch).await.is(202, "");
    assert_eq!(stream.message().await["result"], json!({}));
    assert_eq!(stream.message().await["error"]["code"], -32601);
    assert_eq!(stream.post(&token, "{").await.status, 400);
    for (head, status) in [
        ("GET /messages/", 405),
        ("POST /sse", 405),
        ("GET /mcp", 404),
    ] {
        let host = format!("127.0.0.1:{}", hub.sse_port);
        let answer = ask(hub.sse_port, head, &host, &[], "").await;
        assert_eq!(answer.status, status, "{head}");
    }
    hub.stop().await;
    stream.ended().await;
}

#[tokio::test]
async fn a_stream_is_of_one_instance_and_takes_its_token() {
    let hub = Hub::start().await;
    let (port, host) = (hub.sse_port, format!("127.0.0.1:{}", hub.sse_port));
    let me = hub.enter("claude").await;
    let other = hub.enter("codex").await;
    let stream = Stream::open(&hub, &me.token).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let path = stream.messages.clone();
    let unknown = "/messages/?session_id=0123456789abcdef0123456789abcdef";
    // The human has no tools, and so no stream.
    for token in [None, Some(&Token::random()), Some(&hub.human())] {
        post(port, &path, token, ping).await.is(403, NO_TOKEN);
        let auth = token.map(bearer);
        let headers: Vec<_> = auth.iter().map(|auth| ("Authorization", &**auth)).collect();
        let opened = ask(port, "GET /sse", &host, &headers, "").await;
        opened.is(403, NO_TOKEN);
    }
    for (path, token) in [
        (path.as_str(), &other.token),
        (unknown, &me.token),
        ("/messages/", &me.token),
    ] {
        let answer = post(port, path, Some(token), ping).await;
        answer.is(404, NO_SESSION);
    }
    let auth = bearer(&me.token);
    let auth = ("Authorization", auth.as_str());
    for head in ["GET /sse", &format!("POST {path}")] {
        let answer = ask(port, head, "evil.example", &[auth], ping).await;
        answer.is(403, r#"{"error":"forbidden: host not allowed"}"#);
        let page = [auth, ("Origin", "http://evil.example")];
        let answer = ask(port, head, &host, &page, ping).await;
        answer.is(403, r#"{"error":"forbidden: origin not allowed"}"#);
    }
    hub.stop().await;
    stream.ended().await;
}

#[tokio::test]
async fn a_stream_outlives_its_token_and_not_its_instance() {
    let hub = Hub::start().await;
    let old = hub.enter("claude").await;
    let mut stream = Stream::open(&hub, &old.token).await;
    let client = hub.client();
    let rotated = client.rotate(&hub.human(), &old.name).await;
    rotated.expect("rotated");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    stream.post(&old.token, ping).await.is(403, NO_TOKEN);
    let base = "claude".parse().expect("a base");
    let again = client.register(&base, None, Some(&old.token), None).await;
    let again = again.expect("registered").identity;
    assert_eq!(stream.send(&again.token, "still here").await, "Sent (id=1)");
    client.deregister(&again).await.expect("left");
    stream.ended().await;
    hub.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_stream() {
    let hub = Hub::start().await;
    let token = hub.enter("claude").await.token;
    let stream = Stream::open(&hub, &token).await;
    let (port, path) = (stream.port, stream.messages.clone());
    let mut other = Stream::open(&hub, &token).await;
    drop(stream);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let gone = async {
        // The hub hears of it from the socket, in its own time.
        while post(port, &path, Some(&token), ping).await.status != 404 {}
    };
    soon("the end of the session", gone).await;
    assert_eq!(other.send(&token, "hello").await, "Sent (id=1)");
    hub.stop().await;
    other.ended().await;
}

// Through the proxy.

#[tokio::test]
async fn a_stale_token_is_renewed_on_a_stream_that_is_open() {
    let hub = Hub::start().await;
    let (old, rig) = (hub.enter("claude").await, Rig::new());
    rig.renew("claude", old.token.expose());
    let server = Upstream {
        endpoint: Endpoint::loopback(hub.sse_port, "/sse"),
        transport: Transport::Sse,
        credential: Credential::Identity,
        context: ContextLevel::None,
        owner: Owner::Us,
        is_guest: false,
    };
    rig.put("chat", server);
    let mut stream = rig.raw().await;
    stream.send(&rig.head("GET /chat/sse", "")).await;
    stream.until("data: ").await;
    let messages = stream.until("\n").await;
    let params = json!({"name": "chat_send", "arguments": {"sender": "x", "message": "hi"}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let call = rig.post_to(messages.trim_end(), "", &call);
    let mut agent = rig.raw().await;
    agent.send(&call).await;
    assert!(agent.answer().await.0.starts_with("HTTP/1.1 202 "));
    stream.until("Sent (id=1)").await;

    let client = hub.client();
    let rotated = client.rotate(&hub.human(), &old.name).await;
    rotated.expect("rotated");
    agent.send(&call).await;
    soon("the nudge", rig.stale.notified()).await;
    let base = "claude".parse().expect("a base");
    let again = client.register(&base, None, Some(&old.token), None).await;
    let again = again.expect("registered").identity;
    rig.renew("claude", again.token.expose());
    assert!(agent.answer().await.0.starts_with("HTTP/1.1 202 "));
    stream.until("Sent (id=2)").await;
    rig.stop.cancel();
    hub.stop().await;
}

// A launch.

const SEND: &str = "chat_send={\"channel\":\"general\",\"message\":\"here I am\"}";

fn configure(world: &World) {
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"proxy_file\"\nmcp_flag = \"--mcp-config\"\nmcp_transport = \"sse\"\n"
    ));
}

#[tokio::test]
async fn an_agent_that_speaks_sse_alone_has_the_hub() {
    let world = World::with_hub();
    configure(&world);
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    world.json(&["say", "--json", "@fake one"]);
    assert_eq!(world.said("fake", 1), "here I am");
    // What it posts next, on the stream that it has, is of the next token.
    let client = Client::new(Endpoint::loopback(world.port, "/"));
    let human = wrapper::hub::human_token(&world.path("data/wrapper/hub")).expect("a token");
    let name = "fake".parse().expect("a name");
    client.rotate(&human, &name).await.expect("rotated");
    world.json(&["say", "--json", "@fake two"]);
    assert_eq!(world.said("fake", 2), "here I am");
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));

    let report = world.report();
    let results: Vec<&Value> = report.iter().filter_map(|one| one.get("result")).collect();
    assert_eq!(results.len(), 2, "{results:?}");
    for result in results {
        assert!(result.to_string().contains("Sent (id="), "{result}");
    }
    let mut logs = fs::read_dir(world.path("state/logs")).expect("logs");
    let log = logs.next().expect("a log").expect("an entry").path();
    let log = fs::read_to_string(log).expect("text");
    assert!(log.contains("registered again"), "{log}");
}

#[tokio::test]
async fn a_hub_without_its_port_for_sse_is_none_for_sse_alone() {
    let mut world = World::new();
    let taken = TcpListener::bind(("127.0.0.1", world.sse_port)).expect("the port");
    let http = fs::read_to_string(world.path("config.toml")).expect("text");
    world.start_hub();
    configure(&world);
    let mut terminal = world.launch(&["fake"]);
    assert_eq!(terminal.end().await, AgentExit::Code(125));
    let said = String::from_utf8_lossy(&terminal.bytes).into_owned();
    for words in ["which this hub does not serve", "--mcp-sse-port"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(world.online().is_empty() && world.sessions().is_empty());
    world.configure(&http);
    let mut terminal = world.launch(&["fake", "--", "--call", SEND]);
    terminal.shows("\n>").await;
    world.json(&["say", "--json", "@fake hello"]);
    assert_eq!(world.said("fake", 1), "here I am");
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    drop(taken);
}

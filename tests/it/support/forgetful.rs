//! An MCP server with sessions, which can be told to forget them, to restart,
//! to be another one, to break off, and to listen badly.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::soon;
use super::wire::{bound, request};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and header lines.
    pub(crate) head: String,
    pub(crate) message: Value,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        let line = lines.find_map(|line| {
            let (other, value) = line.split_once(": ")?;
            other.eq_ignore_ascii_case(name).then_some(value)
        });
        line.map(str::trim)
    }
}

/// How the server behaves, and what has come.
#[expect(clippy::struct_excessive_bools, reason = "each is a way of its own")]
pub(crate) struct Ways {
    /// How a request of an unknown session is refused; None: there are no
    /// sessions.
    pub(crate) refusal: Option<(u16, &'static str)>,
    /// The sessions that are known.
    pub(crate) known: BTreeSet<String>,
    /// How many sessions there were; the next id is made of it.
    pub(crate) opened: usize,
    pub(crate) version: &'static str,
    pub(crate) capabilities: Value,
    pub(crate) tools: Vec<&'static str>,
    /// `initialize` is refused.
    pub(crate) is_closed: bool,
    /// How many requests were refused because of their session.
    pub(crate) refused: usize,
    /// `initialize` is not answered before so many were.
    pub(crate) hello_after: usize,
    /// Answers to POSTs are streams.
    pub(crate) streams: bool,
    /// The status of a GET; 200 is a stream.
    pub(crate) listen: u16,
    /// What the answer to a GET says that is no stream.
    pub(crate) listen_text: &'static str,
    /// All that a stream says before it ends.
    pub(crate) brief: Option<&'static str>,
    /// When each GET came.
    pub(crate) heard: Vec<Instant>,
    /// What requests with this method are answered with: a status, and JSON
    /// with the request's id in place of `ID`.
    pub(crate) odd: Vec<(&'static str, u16, &'static str)>,
    /// It is two servers behind a balancer, whose cookie leads to the right one.
    pub(crate) is_balanced: bool,
    /// Requests for `/mcp` are redirected by this status, to there.
    pub(crate) redirect: Option<(u16, String)>,
    /// Results are packed with gzip, whatever the client asks for.
    pub(crate) is_packed: bool,
    /// What the answer to the next call is, from its head on, before the
    /// connection ends.
    pub(crate) next: Option<String>,
    pub(crate) seen: Vec<Seen>,
    /// The open GET streams: bytes to say; none: break off.
    pub(crate) listeners: Vec<mpsc::UnboundedSender<Option<String>>>,
}

struct State {
    ways: Mutex<Ways>,
    changed: watch::Sender<()>,
    /// The listener and the connections that are open.
    open: watch::Sender<usize>,
}

pub(crate) struct Forgetful {
    pub(crate) port: u16,
    state: Arc<State>,
    stop: Option<watch::Sender<()>>,
    /// Holds the port while nobody listens there.
    spare: Option<TcpSocket>,
}

impl Forgetful {
    pub(crate) fn start() -> Self {
        let ways = Ways {
            refusal: Some((404, "Session not found")),
            known: BTreeSet::new(),
            opened: 0,
            version: "2025-06-18",
            capabilities: json!({ "tools": {} }),
            tools: vec!["chat_send"],
            is_closed: false,
            refused: 0,
            hello_after: 0,
            streams: false,
            listen: 405,
            listen_text: "no",
            brief: None,
            heard: Vec::new(),
            odd: Vec::new(),
            is_balanced: false,
            redirect: None,
            is_packed: false,
            next: None,
            seen: Vec::new(),
            listeners: Vec::new(),
        };
        let state = Arc::new(State {
            ways: Mutex::new(ways),
            changed: watch::Sender::new(()),
            open: watch::Sender::new(0),
        });
        let mut server = Self {
            port: 0,
            state,
            stop: None,
            spare: None,
        };
        server.revive();
        server
    }

    /// Changes its ways, or looks at them.
    pub(crate) fn ways<T>(&self, change: impl FnOnce(&mut Ways) -> T) -> T {
        let out = change(&mut self.state.ways.lock().expect("no panic"));
        self.state.changed.send_replace(());
        out
    }

    /// Forgets every session.
    pub(crate) fn forget(&self) {
        self.ways(|ways| ways.known.clear());
    }

    /// Ends with all connections.
    pub(crate) async fn die(&mut self) {
        drop(self.stop.take());
        let mut open = self.state.open.subscribe();
        let ended = soon("its end", open.wait_for(|open| *open == 0)).await;
        drop(ended.expect("counted"));
        self.spare = Some(bound(self.port));
        self.ways(|ways| {
            ways.known.clear();
            ways.listeners.clear();
        });
    }

    /// Listens, at the port that it had.
    pub(crate) fn revive(&mut self) {
        let socket = self.spare.take().unwrap_or_else(|| bound(self.port));
        let listener = socket.listen(1024).expect("it listens");
        self.port = listener.local_addr().expect("an address").port();
        let (stop, stopped) = watch::channel(());
        self.stop = Some(stop);
        // Before it runs: whoever ends it at once has to wait as well.
        self.state.open.send_modify(|open| *open += 1);
        tokio::spawn(accept(listener, Arc::clone(&self.state), stopped));
    }

    /// Waits until `probe` finds something.
    pub(crate) async fn wait<T>(&self, what: &str, probe: impl Fn(&mut Ways) -> Option<T>) -> T {
        let mut changed = self.state.changed.subscribe();
        soon(what, async {
            loop {
                if let Some(found) = probe(&mut self.state.ways.lock().expect("no panic")) {
                    return found;
                }
                changed.changed().await.expect("it runs");
            }
        })
        .await
    }

    /// Says something on the open GET stream, once there is one.
    pub(crate) async fn say(&self, text: &str) {
        let said = |ways: &mut Ways| {
            let listener = ways.listeners.last()?;
            listener.send(Some(text.to_owned())).ok()
        };
        self.wait("a listener", said).await;
    }

    /// Breaks the open GET stream off.
    pub(crate) async fn hang_up(&self) {
        let cut = |ways: &mut Ways| ways.listeners.pop()?.send(None).ok();
        self.wait("a listener", cut).await;
    }

    /// What came with this method of JSON-RPC, or of HTTP.
    pub(crate) fn seen(&self, method: &str) -> Vec<Seen> {
        self.ways(|ways| ways.seen_of(method))
    }
}

impl Ways {
    pub(crate) fn seen_of(&self, method: &str) -> Vec<Seen> {
        let is_it =
            |seen: &&Seen| seen.message["method"] == method || seen.head.starts_with(method);
        self.seen.iter().filter(is_it).cloned().collect()
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, mut stopped: watch::Receiver<()>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => {
                let (io, _) = accepted.expect("a connection");
                let state = Arc::clone(&state);
                // A client that leaves is no failure of ours.
                tasks.spawn(async move { drop(converse(io, &state).await) });
            }
        }
    }
    drop(listener);
    tasks.shutdown().await;
    state.open.send_modify(|open| *open -= 1);
}

async fn converse(mut io: TcpStream, state: &State) -> io::Result<()> {
    let mut buf = Vec::new();
    while let Some((head, body)) = request(&mut io, &mut buf).await? {
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        if message["method"] == "initialize" {
            let mut changed = state.changed.subscribe();
            while {
                let ways = state.ways.lock().expect("no panic");
                ways.refused < ways.hello_after
            } {
                changed.changed().await.map_err(io::Error::other)?;
            }
        }
        let answer = {
            let mut ways = state.ways.lock().expect("no panic");
            let seen = Seen {
                head,
                message,
                body,
            };
            ways.seen.push(seen.clone());
            answer(&mut ways, &seen)
        };
        state.changed.send_replace(());
        match answer {
            Answer::Whole(text) => io.write_all(text.as_bytes()).await?,
            Answer::Packed(bytes) => io.write_all(&bytes).await?,
            Answer::Cut(text) => return io.write_all(text.as_bytes()).await,
            Answer::Listen(said) => return listen(io, said).await,
        }
    }
    Ok(())
}

enum Answer {
    Whole(String),
    Packed(Vec<u8>),
    Cut(String),
    Listen(mpsc::UnboundedReceiver<Option<String>>),
}

fn answer(ways: &mut Ways, seen: &Seen) -> Answer {
    let message = &seen.message;
    let (id, method) = (&message["id"], message["method"].as_str().unwrap_or(""));
    if let Some((status, to)) = &ways.redirect
        && seen.head.contains(" /mcp HTTP/1.1")
    {
        let text = format!("HTTP/1.1 {status} So\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        return Answer::Whole(text);
    }
    if let Some((_, status, text)) = ways.odd.iter().find(|(of, ..)| *of == method) {
        let text = text.replace("ID", &id.to_string());
        let length = text.len();
        return Answer::Whole(format!(
            "HTTP/1.1 {status} So\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{text}"
        ));
    }
    if method == "initialize" {
        if ways.is_closed {
            return Answer::Whole(plain(500, "not today"));
        }
        let result = json!({
            "protocolVersion": ways.version,
            "capabilities": ways.capabilities,
            "serverInfo": { "name": "forgetful", "version": "1" },
        });
        let mut session = String::new();
        if ways.refusal.is_some() {
            ways.opened += 1;
            session = format!("Mcp-Session-Id: s-{}\r\n", ways.opened);
            if ways.is_balanced {
                session += "Set-Cookie: lb=node1; Path=/; HttpOnly\r\n";
            }
            ways.known.insert(format!("s-{}", ways.opened));
        }
        return result_of(ways, id, &result, &session);
    }
    let session = seen.header("mcp-session-id").unwrap_or("").to_owned();
    if let Some((status, text)) = ways.refusal
        && (!ways.known.contains(&session)
            || ways.is_balanced && seen.header("cookie") != Some("lb=node1"))
    {
        ways.refused += 1;
        return Answer::Whole(plain(status, text));
    }
    if seen.head.starts_with("DELETE") {
        ways.known.remove(&session);
        return Answer::Whole(plain(200, ""));
    }
    if seen.head.starts_with("GET") {
        ways.heard.push(Instant::now());
        if ways.listen != 200 {
            return Answer::Whole(plain(ways.listen, ways.listen_text));
        }
        if let Some(brief) = ways.brief {
            let length = brief.len();
            return Answer::Whole(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n{brief}"
            ));
        }
        let (say, said) = mpsc::unbounded_channel();
        ways.listeners.push(say);
        return Answer::Listen(said);
    }
    let session = if session.is_empty() {
        String::new()
    } else {
        format!("Mcp-Session-Id: {session}\r\n")
    };
    let result = match method {
        "tools/call" => {
            if let Some(cut) = ways.next.take() {
                return Answer::Cut(cut);
            }
            json!({ "content": [{ "type": "text", "text": "done" }], "isError": false })
        }
        "tools/list" => {
            let schema = json!({ "type": "object" });
            let tools = ways.tools.iter();
            let tools: Vec<Value> = tools
                .map(|name| json!({ "name": name, "inputSchema": schema }))
                .collect();
            json!({ "tools": tools })
        }
        _ if id.is_null() => {
            return Answer::Whole("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".into());
        }
        _ => json!({}),
    };
    result_of(ways, id, &result, &session)
}

fn result_of(ways: &Ways, id: &Value, result: &Value, lines: &str) -> Answer {
    let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    if ways.streams {
        let event = format!("event: message\r\ndata: {message}\r\n\r\n");
        return Answer::Whole(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{lines}\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n0\r\n\r\n",
            event.len()
        ));
    }
    let text = message.to_string();
    if ways.is_packed {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text.as_bytes()).expect("room");
        let packed = packed.finish().expect("packed");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n{lines}\
             Content-Length: {}\r\n\r\n",
            packed.len()
        );
        return Answer::Packed([head.into_bytes(), packed].concat());
    }
    Answer::Whole(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n{text}",
        text.len()
    ))
}

fn plain(status: u16, text: &str) -> String {
    let length = text.len();
    format!("HTTP/1.1 {status} So\r\nContent-Length: {length}\r\n\r\n{text}")
}

async fn listen(
    mut io: TcpStream,
    mut said: mpsc::UnboundedReceiver<Option<String>>,
) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    io.write_all(head.as_bytes()).await?;
    loop {
        tokio::select! {
            text = said.recv() => match text.flatten() {
                Some(text) => {
                    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                    io.write_all(chunk.as_bytes()).await?;
                }
                None => return Ok(()),
            },
            read = io.read_u8() => return read.map(drop),
        }
    }
}

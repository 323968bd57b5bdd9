//! An MCP server with sessions and streams that can be struck by every fault
//! that the proxy repairs, and that remembers which calls it has executed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::{bound, request};

const STALE: &str = "Error: stale or unknown authenticated agent session. Re-register and retry.";

/// How long a server is away that restarts.
const AWAY: Duration = Duration::from_millis(40);

/// What goes wrong, from one moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The token is another one; the old one is refused with this status.
    Status(u16),
    /// The same, but a call gets agentchattr's text for its result.
    Text,
    /// No session is known any more, and this is said about it.
    Forgotten(&'static str, u16, &'static str),
    /// The server is not there for a while, and then knows no session.
    Restart,
    /// The answer to the next such request is lost before its first byte.
    Lost,
    /// The answer to the next such request breaks off in its middle.
    Cut,
    /// Streams break.
    Broken,
    /// Streams end, as they do behind proxies that give them some minutes.
    Ended,
}

/// How SDKs and servers say that they do not know a session.
pub(crate) const FORGOTTEN: [Fault; 8] = [
    Fault::Forgotten(
        "python, agentchattr",
        404,
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#,
    ),
    Fault::Forgotten(
        "python of old",
        400,
        "Bad Request: No valid session ID provided",
    ),
    Fault::Forgotten(
        "typescript",
        404,
        r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#,
    ),
    Fault::Forgotten(
        "typescript's examples",
        400,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#,
    ),
    Fault::Forgotten(
        "typescript, made anew",
        400,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}"#,
    ),
    Fault::Forgotten("go", 404, "session not found\n"),
    Fault::Forgotten("mcp-go", 400, "Invalid session ID\n"),
    Fault::Forgotten("nothing said", 404, ""),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forgotten(who, status, _) => write!(f, "forgotten, as {who} says by {status}"),
            other => fmt::Debug::fmt(other, f),
        }
    }
}

pub(crate) struct Failing {
    pub(crate) port: u16,
    state: Arc<State>,
    stop: Mutex<CancellationToken>,
    /// Holds the port, so that nobody else gets it during a restart.
    spare: Mutex<Option<TcpSocket>>,
    /// Ends what the last restart has started.
    _end: DropGuard,
    end: CancellationToken,
}

struct State {
    /// It answers by streams, and has one for each session.
    streams: bool,
    /// It wants the token.
    guarded: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    token: &'static str,
    fault: Option<Fault>,
    /// The kind of request that a fault waits for.
    awaited: String,
    minted: usize,
    /// Each with whether its client has said that it is initialized.
    sessions: BTreeMap<String, bool>,
    open: Vec<UnboundedSender<Said>>,
    has_news: bool,
    /// By the argument `n` of the call.
    executed: BTreeMap<u64, usize>,
}

enum Said {
    Event(String),
    End,
}

enum Reply {
    Whole(Vec<u8>),
    Stream(UnboundedReceiver<Said>),
    /// This much, and no more.
    Cut(Vec<u8>),
    Reset,
}

impl Failing {
    pub(crate) fn start(streams: bool, guarded: bool) -> Self {
        let state = Arc::new(State {
            streams,
            guarded,
            inner: Mutex::new(Inner {
                token: "token-1",
                fault: None,
                awaited: String::new(),
                minted: 0,
                sessions: BTreeMap::new(),
                open: Vec::new(),
                has_news: false,
                executed: BTreeMap::new(),
            }),
        });
        let end = CancellationToken::new();
        let stop = end.child_token();
        let socket = bound(0);
        let port = socket.local_addr().expect("an address").port();
        let spare = Mutex::new(Some(bound(port)));
        let listener = socket.listen(64).expect("it listens");
        tokio::spawn(accept(listener, Arc::clone(&state), stop.clone()));
        Self {
            port,
            state,
            stop: Mutex::new(stop),
            spare,
            _end: end.clone().drop_guard(),
            end,
        }
    }

    pub(crate) fn token(&self) -> &'static str {
        self.state.lock().token
    }

    pub(crate) fn has_streams(&self) -> bool {
        self.state.streams
    }

    /// How often the call with this `n` was executed.
    pub(crate) fn executed(&self, n: u64) -> usize {
        let inner = self.state.lock();
        inner.executed.get(&n).copied().unwrap_or_default()
    }

    /// Says something on every stream that is open, or will be.
    pub(crate) fn tell_news(&self) {
        let mut inner = self.state.lock();
        inner.has_news = true;
        inner.open.retain(|out| out.send(news()).is_ok());
    }

    /// Strikes just before the next request of this kind: `GET`, `DELETE`, or
    /// a method of JSON-RPC.
    pub(crate) async fn strike(&self, fault: Fault, before: &str) {
        self.state.strike(fault, before);
        if fault == Fault::Restart {
            self.restart().await;
        }
    }

    async fn restart(&self) {
        let next = self.end.child_token();
        let last = std::mem::replace(&mut *self.stop.lock().expect("no panic"), next.clone());
        last.cancel();
        // There can be no other spare while the old listener is there.
        super::soon("the end", async {
            let at = (Ipv4Addr::LOCALHOST, self.port);
            while TcpStream::connect(at).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let spare = Some(bound(self.port));
        let port = std::mem::replace(&mut *self.spare.lock().expect("no panic"), spare);
        let port = port.expect("a spare");
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            tokio::time::sleep(AWAY).await;
            let listener = port.listen(64).expect("it listens");
            accept(listener, state, next).await;
        });
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic")
    }

    fn strike(&self, fault: Fault, before: &str) {
        let mut inner = self.lock();
        inner.fault = Some(fault);
        before.clone_into(&mut inner.awaited);
        match fault {
            Fault::Status(_) | Fault::Text => inner.token = "token-2",
            Fault::Forgotten(..) | Fault::Restart => {
                inner.sessions.clear();
                inner.open.clear();
            }
            Fault::Broken => inner.open.clear(),
            Fault::Ended => {
                for out in inner.open.drain(..) {
                    // One that has left needs no end.
                    let _ = out.send(Said::End);
                }
            }
            Fault::Lost | Fault::Cut => {}
        }
    }

    fn answer(&self, head: &str, body: &[u8]) -> Reply {
        let header = |name: &str| {
            head.lines().skip(1).find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let method = message["method"].as_str().unwrap_or_default();
        let http = head.split(' ').next().unwrap_or_default();
        let kind = if http == "POST" { method } else { http };
        let mut inner = self.lock();
        let inner = &mut *inner;
        let strikes = inner.awaited == kind;
        let authorized = header("authorization") == Some(format!("Bearer {}", inner.token));
        match inner.fault {
            Some(Fault::Status(status)) if self.guarded && !authorized => {
                return Reply::Whole(plain(status, "text/plain", "no"));
            }
            Some(Fault::Text) if self.guarded && !authorized && method == "tools/call" => {
                let result = json!({
                    "content": [{"type": "text", "text": STALE}],
                    "structuredContent": {"result": STALE},
                    "isError": false,
                });
                return self.reply(&message["id"], ("result", result));
            }
            _ => {}
        }
        let session = header("mcp-session-id").unwrap_or_default();
        if !matches!(method, "initialize" | "server/discover") {
            match inner.enter(&session, method) {
                Entry::Known => {}
                Entry::Unknown(status, said) => {
                    return Reply::Whole(plain(status, kind_of(said), said));
                }
                Entry::TooEarly => {
                    let error = json!({"code": -32602, "message": "it is not initialized"});
                    return self.reply(&message["id"], ("error", error));
                }
            }
        }
        let lost = strikes && inner.fault.take_if(|fault| *fault == Fault::Lost).is_some();
        let cut = strikes && inner.fault.take_if(|fault| *fault == Fault::Cut).is_some();
        let reply = match http {
            "GET" if self.streams => {
                let (out, said) = unbounded_channel();
                if inner.has_news {
                    // Its other end is here.
                    let _ = out.send(news());
                }
                inner.open.push(out);
                Reply::Stream(said)
            }
            "GET" => Reply::Whole(plain(405, "text/plain", "no")),
            "DELETE" => {
                inner.sessions.remove(&session);
                Reply::Whole(plain(200, "text/plain", ""))
            }
            _ if message["id"].is_null() => Reply::Whole(plain(202, "text/plain", "")),
            _ => {
                let reply = self.reply(&message["id"], result(inner, &message));
                match reply {
                    Reply::Whole(bytes) if method == "initialize" => {
                        let line = format!("OK\r\nMcp-Session-Id: up-{}\r\n", inner.minted);
                        let text = String::from_utf8(bytes).expect("text");
                        Reply::Whole(text.replacen("OK\r\n", &line, 1).into_bytes())
                    }
                    reply => reply,
                }
            }
        };
        match reply {
            _ if lost => Reply::Reset,
            Reply::Whole(bytes) if cut => Reply::Cut(self.half(&bytes)),
            reply => reply,
        }
    }

    /// A message as JSON, or as the last event of a stream.
    fn reply(&self, id: &Value, (member, value): (&str, Value)) -> Reply {
        let message = json!({"jsonrpc": "2.0", "id": id, member: value}).to_string();
        if !self.streams {
            return Reply::Whole(plain(200, "application/json", &message));
        }
        let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": 0, "progress": 1}});
        // A refusal comes alone.
        let is_call = message.contains(r#""text":"done""#);
        let events = [is_call.then(|| progress.to_string()), Some(message)];
        let chunk = |data: String| {
            let event = format!("event: message\r\ndata: {data}\r\n\r\n");
            format!("{:x}\r\n{event}\r\n", event.len())
        };
        let chunks: String = events.into_iter().flatten().map(chunk).collect();
        Reply::Whole(format!("{EVENTS}{chunks}0\r\n\r\n").into_bytes())
    }

    /// An answer as far as to the middle of its JSON, or to its last event.
    fn half(&self, bytes: &[u8]) -> Vec<u8> {
        let end = if self.streams {
            let second = memchr::memmem::rfind(bytes, b"event: ").expect("events");
            let size = second - "\r\n".len();
            memchr::memrchr(b'\n', &bytes[..size]).expect("a chunk") + 1
        } else {
            bytes.len() - 10
        };
        bytes[..end].to_vec()
    }
}

/// What becomes of a request with a session.
enum Entry {
    Known,
    /// This status and text.
    Unknown(u16, &'static str),
    TooEarly,
}

impl Inner {
    fn enter(&mut self, session: &str, method: &str) -> Entry {
        if session.is_empty() {
            return Entry::Unknown(400, "Bad Request: Missing session ID");
        }
        match self.sessions.get_mut(session) {
            None => match self.fault {
                Some(Fault::Forgotten(_, status, said)) => Entry::Unknown(status, said),
                _ => Entry::Unknown(404, "Session not found"),
            },
            Some(initialized) if method == "notifications/initialized" => {
                *initialized = true;
                Entry::Known
            }
            Some(false) if method.starts_with("tools/") => Entry::TooEarly,
            Some(_) => Entry::Known,
        }
    }
}

fn kind_of(body: &str) -> &'static str {
    if body.starts_with('{') {
        "application/json"
    } else {
        "text/plain"
    }
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn result(inner: &mut Inner, message: &Value) -> (&'static str, Value) {
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            inner.minted += 1;
            inner.sessions.insert(format!("up-{}", inner.minted), false);
            json!({
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "failing", "version": "1"},
            })
        }
        "tools/list" => json!({"tools": [{"name": "word", "inputSchema": {"type": "object"}}]}),
        "tools/call" => {
            let n = message["params"]["arguments"]["n"].as_u64();
            *inner.executed.entry(n.unwrap_or_default()).or_default() += 1;
            json!({"content": [{"type": "text", "text": "done"}], "isError": false})
        }
        "ping" => json!({}),
        _ => {
            return (
                "error",
                json!({"code": -32601, "message": "no such method"}),
            );
        }
    };
    ("result", result)
}

fn news() -> Said {
    Said::Event("id: 7\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"news\"}}\n\n".to_owned())
}

fn plain(status: u16, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => {
                let (io, _) = accepted.expect("a connection");
                let state = Arc::clone(&state);
                // A client that leaves is no failure of ours.
                tasks.spawn(async move { drop(converse(io, &state).await) });
            }
        }
    }
}

async fn converse(mut io: TcpStream, state: &State) -> io::Result<()> {
    io.set_nodelay(true)?;
    let mut buf = Vec::new();
    while let Some((head, body)) = request(&mut io, &mut buf).await? {
        match state.answer(&head, &body) {
            Reply::Whole(bytes) => io.write_all(&bytes).await?,
            Reply::Stream(said) => return stream(&mut io, said).await,
            Reply::Cut(bytes) => return io.write_all(&bytes).await,
            Reply::Reset => return io.set_zero_linger(),
        }
    }
    Ok(())
}

async fn stream(io: &mut TcpStream, mut said: UnboundedReceiver<Said>) -> io::Result<()> {
    io.write_all(EVENTS.as_bytes()).await?;
    loop {
        let said = tokio::select! {
            said = said.recv() => said,
            read = io.read_u8() => return read.map(|_| ()),
        };
        match said {
            Some(Said::Event(event)) => {
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                io.write_all(chunk.as_bytes()).await?;
            }
            Some(Said::End) => return io.write_all(b"0\r\n\r\n").await,
            None => return io.set_zero_linger(),
        }
    }
}

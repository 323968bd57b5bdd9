//! A small MCP upstream that can be told to rotate its token, to refuse in
//! each of the known ways, to lose requests, to stream step by step, to die
//! and to come back.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire::bound;

const STALE: &str = "Error: stale or unknown authenticated agent session. Re-register and retry.";

/// How a call with another token than ours is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Status(u16),
    Json,
    Events,
}

/// What the upstream is told, and what it has seen.
pub(crate) struct State {
    pub(crate) token: Mutex<String>,
    pub(crate) refusal: Mutex<Refusal>,
    /// The next request that is no call of a tool is lost.
    pub(crate) lose_next: AtomicBool,
    /// A stream sends one event for each permit.
    pub(crate) steps: Semaphore,
    /// The parameters of every call that was executed.
    pub(crate) calls: Mutex<Vec<Value>>,
    /// Every head that came.
    pub(crate) heads: Mutex<Vec<String>>,
    pub(crate) refused: watch::Sender<usize>,
    /// The listener and the connections that are open.
    pub(crate) open: watch::Sender<usize>,
    /// Bytes of bodies sent (`big`) or received.
    pub(crate) bytes: AtomicUsize,
    /// What every request is answered with, whatever it is.
    pub(crate) always: Mutex<Option<String>>,
    /// The chunks in which the stream at `/sse` begins.
    pub(crate) opening: Mutex<Vec<String>>,
    /// What was posted to `/messages`, on its way to such streams.
    posted: broadcast::Sender<Value>,
    /// None: no TLS.
    tls: Option<TlsAcceptor>,
}

/// A running upstream; it ends, with its connections, when it is dropped.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    pub(crate) state: Arc<State>,
    stop: DropGuard,
}

/// An upstream that is down. It keeps its port, so that nobody else gets it.
pub(crate) struct Dead {
    port: TcpSocket,
    state: Arc<State>,
}

impl Dead {
    /// The same upstream again.
    pub(crate) fn revive(self) -> Upstream {
        let listener = self.port.listen(1024).expect("it listens");
        let stop = CancellationToken::new();
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(accept(listener, Arc::clone(&self.state), stop.clone()));
        Upstream {
            port,
            state: self.state,
            stop: stop.drop_guard(),
        }
    }
}

/// A connection, with TLS or without.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

impl Upstream {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// One that speaks TLS alone.
    pub(crate) fn start_tls(tls: TlsAcceptor) -> Self {
        Self::start_with(Some(tls))
    }

    fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let state = State {
            token: Mutex::new("token-1".into()),
            refusal: Mutex::new(Refusal::Json),
            lose_next: AtomicBool::new(false),
            steps: Semaphore::new(0),
            calls: Mutex::default(),
            heads: Mutex::default(),
            refused: watch::Sender::new(0),
            open: watch::Sender::new(0),
            bytes: AtomicUsize::new(0),
            always: Mutex::default(),
            opening: Mutex::default(),
            posted: broadcast::Sender::new(16),
            tls,
        };
        let (port, state) = (bound(0), Arc::new(state));
        Dead { port, state }.revive()
    }

    /// Ends it and all its connections.
    pub(crate) async fn die(self) -> Dead {
        drop(self.stop);
        let mut open = self.state.open.subscribe();
        let ended = open.wait_for(|open| *open == 0);
        drop(
            super::soon("the end of the upstream", ended)
                .await
                .expect("counted"),
        );
        Dead {
            port: bound(self.port),
            state: self.state,
        }
    }

    pub(crate) fn calls(&self) -> Vec<Value> {
        self.state.calls.lock().expect("no panic").clone()
    }

    pub(crate) fn last_head(&self) -> String {
        let heads = self.state.heads.lock().expect("no panic");
        heads.last().expect("a head").clone()
    }

    pub(crate) fn refuse_by(&self, refusal: Refusal) {
        *self.state.refusal.lock().expect("no panic") = refusal;
    }

    pub(crate) fn rotate(&self, token: &str) {
        *self.state.token.lock().expect("no panic") = token.into();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    let open = Open::new(&state);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                let (io, _) = accepted.expect("a connection");
                let opened = Open::new(&state);
                let state = Arc::clone(&state);
                tasks.spawn(async move {
                    let _opened = opened;
                    // A client that leaves, or trusts nobody, is no failure of ours.
                    let _ = match &state.tls {
                        None => converse(io, &state).await,
                        Some(tls) => match tls.accept(io).await {
                            // One that speaks no HTTP/2 has to say so.
                            Ok(io) if io.get_ref().1.alpn_protocol() == Some(b"http/1.1") => {
                                converse(io, &state).await
                            }
                            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
                            Err(error) => Err(error),
                        },
                    };
                });
            }
        }
    }
    drop(listener);
    tasks.shutdown().await;
    drop(open);
}

/// Counts a listener or a connection while it is open.
struct Open(watch::Sender<usize>);

impl Open {
    fn new(state: &State) -> Self {
        state.open.send_modify(|open| *open += 1);
        Self(state.open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn converse(mut io: impl Io, state: &State) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        let Some(end) = memchr::memmem::find(&buf, b"\r\n\r\n") else {
            if io.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let rest = buf.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut buf, rest)).expect("a head of text");
        state.heads.lock().expect("no panic").push(head.clone());
        let body = body(&mut io, &mut buf, &head, state).await?;
        respond(&mut io, &head, &body, state).await?;
        io.flush().await?;
    }
}

async fn body(
    io: &mut impl Io,
    buf: &mut Vec<u8>,
    head: &str,
    state: &State,
) -> io::Result<Vec<u8>> {
    let length = head.lines().find_map(|line| {
        let value = line.to_ascii_lowercase();
        value.strip_prefix("content-length:")?.trim().parse().ok()
    });
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let streamed = head.contains("octet-stream");
    let (mut left, mut kept) = (length.unwrap_or(0), Vec::new());
    loop {
        let whole = if chunked {
            buf.ends_with(b"0\r\n\r\n")
        } else {
            buf.len() >= left
        };
        if whole || streamed {
            let n = if chunked {
                buf.len()
            } else {
                left.min(buf.len())
            };
            state.bytes.fetch_add(n, Ordering::Relaxed);
            let piece: Vec<u8> = buf.drain(..n).collect();
            left -= if chunked { 0 } else { n };
            if !streamed {
                kept = piece;
            }
        }
        if whole {
            return Ok(kept);
        }
        if io.read_buf(buf).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn respond(io: &mut impl Io, head: &str, body: &[u8], state: &State) -> io::Result<()> {
    let always = state.always.lock().expect("no panic").clone();
    if let Some(answer) = always {
        return io.write_all(answer.as_bytes()).await;
    }
    if head.starts_with("GET /sse") {
        return stream(io, state).await;
    }
    if head.starts_with("POST /messages") {
        let message = serde_json::from_slice(body).expect("JSON");
        // The stream may have ended.
        let _ = state.posted.send(message);
        return io
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted")
            .await;
    }
    if head.starts_with("GET") {
        return events(io, state, "GET").await;
    }
    if head.starts_with("HEAD") {
        return io
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
            .await;
    }
    let Ok(message) = serde_json::from_slice::<Value>(body) else {
        return io
            .write_all(&json_answer(&json!({"raw": body.len()})))
            .await;
    };
    let method = message["method"].as_str().unwrap_or("");
    let authorized = head.contains(&format!(
        "Authorization: Bearer {}\r\n",
        state.token.lock().expect("no panic")
    ));
    if method != "tools/call" && state.lose_next.swap(false, Ordering::Relaxed) {
        return Err(io::ErrorKind::Other.into());
    }
    let result = match method {
        "initialize" => json!({
            "protocolVersion": "2025-06-18",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "upstream", "version": "1" },
        }),
        "tools/list" => {
            json!({ "tools": [{ "name": "chat_send", "inputSchema": { "type": "object" } }] })
        }
        "tools/call" if !authorized => return refuse(io, &message, state).await,
        "tools/call" => return call(io, &message, state).await,
        _ if message.get("id").is_none() => {
            return io
                .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                .await;
        }
        _ => json!({}),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    io.write_all(&json_answer(&answer)).await
}

async fn refuse(io: &mut impl Io, message: &Value, state: &State) -> io::Result<()> {
    let answer = text_result(&message["id"], STALE);
    let refusal = *state.refusal.lock().expect("no panic");
    let bytes = match refusal {
        Refusal::Status(status) => {
            format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno").into_bytes()
        }
        Refusal::Json => json_answer(&answer),
        Refusal::Events => {
            let event = format!("event: message\r\ndata: {answer}\r\n\r\n");
            format!("{EVENTS_HEAD}{:x}\r\n{event}\r\n0\r\n\r\n", event.len()).into_bytes()
        }
    };
    io.write_all(&bytes).await?;
    state.refused.send_modify(|refused| *refused += 1);
    Ok(())
}

async fn call(io: &mut impl Io, message: &Value, state: &State) -> io::Result<()> {
    let params = &message["params"];
    state.calls.lock().expect("no panic").push(params.clone());
    match params["name"].as_str().unwrap_or("") {
        "lost" => Err(io::ErrorKind::Other.into()),
        "stream" => events(io, state, "POST").await,
        "cut" => {
            io.write_all(format!("{EVENTS_HEAD}11\r\ndata: 1\n\ndata: 2\n\r\n").as_bytes())
                .await?;
            Err(io::ErrorKind::Other.into())
        }
        "big" => {
            let size = 100 << 20;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
            );
            io.write_all(head.as_bytes()).await?;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..100 {
                io.write_all(&piece).await?;
                state.bytes.fetch_add(piece.len(), Ordering::Relaxed);
            }
            Ok(())
        }
        _ => {
            io.write_all(&json_answer(&text_result(&message["id"], "done")))
                .await
        }
    }
}

const EVENTS_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Three events, one for each permit.
async fn events(io: &mut impl Io, state: &State, name: &str) -> io::Result<()> {
    io.write_all(EVENTS_HEAD.as_bytes()).await?;
    for i in 1..=3 {
        tokio::select! {
            permit = state.steps.acquire() => permit.map_err(io::Error::other)?.forget(),
            read = io.read_u8() => return read.map(|_| ()),
        }
        // Behind an id nobody expects an answer before the end.
        let id = if name == "POST" { "id: 1\n" } else { "" };
        let event = format!("{id}data: {name} {i}\n\n");
        io.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
            .await?;
    }
    io.write_all(b"0\r\n\r\n").await
}

/// The stream of the SSE transport: how it opens, then what is posted.
async fn stream(io: &mut impl Io, state: &State) -> io::Result<()> {
    let mut posted = state.posted.subscribe();
    let mut chunks = state.opening.lock().expect("no panic").clone();
    io.write_all(EVENTS_HEAD.as_bytes()).await?;
    loop {
        for chunk in chunks.drain(..) {
            io.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())
                .await?;
            io.flush().await?;
        }
        tokio::select! {
            message = posted.recv() => {
                let message = message.map_err(io::Error::other)?;
                chunks.push(format!("event: message\ndata: {message}\n\n"));
            }
            read = io.read_u8() => return read.map(|_| ()),
        }
    }
}

fn text_result(id: &Value, text: &str) -> Value {
    let content = json!([{ "type": "text", "text": text }]);
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": content, "isError": false } })
}

fn json_answer(answer: &Value) -> Vec<u8> {
    let body = answer.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

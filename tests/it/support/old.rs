//! An MCP server over HTTP with SSE that loses its sessions and streams.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::soon;
use super::wire::{bound, request};

const STALE: &str = "Error: stale or unknown authenticated agent session. Re-register and retry.";

/// A running server; it ends, with its connections, when it is dropped.
pub(crate) struct Old {
    pub(crate) port: u16,
    pub(crate) state: Arc<State>,
    stop: DropGuard,
}

/// One that is down. It keeps its port, so that nobody else gets it.
pub(crate) struct Down(TcpSocket, Arc<State>);

pub(crate) struct State {
    /// What came, in order: `GET`, and methods, calls with their tool.
    pub(crate) seen: watch::Sender<Vec<String>>,
    sessions: Mutex<Sessions>,
    /// How a message is refused that has another token than this one.
    pub(crate) token: Mutex<String>,
    pub(crate) refusal: Mutex<Refusal>,
    open: watch::Sender<usize>,
}

#[derive(Default)]
struct Sessions {
    last: u64,
    open: BTreeMap<u64, mpsc::UnboundedSender<Event>>,
    /// The session that is forgotten, though its stream is open.
    forgotten: Option<u64>,
}

/// How it refuses a stale token, and a session that it has forgotten.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    Status(u16),
    Text,
}

enum Event {
    Raw(String),
    /// The stream breaks off after this.
    Break(String),
}

impl Down {
    pub(crate) fn revive(self) -> Old {
        let listener = self.0.listen(1024).expect("it listens");
        let port = listener.local_addr().expect("an address").port();
        let stop = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&self.1), stop.clone()));
        let (state, stop) = (self.1, stop.drop_guard());
        Old { port, state, stop }
    }
}

impl Old {
    pub(crate) fn start() -> Self {
        let state = State {
            seen: watch::Sender::default(),
            sessions: Mutex::default(),
            token: Mutex::new("token-1".into()),
            refusal: Mutex::new(Refusal::Text),
            open: watch::Sender::new(0),
        };
        Down(bound(0), Arc::new(state)).revive()
    }

    /// Ends it, its connections and its sessions.
    pub(crate) async fn die(self) -> Down {
        drop(self.stop);
        let mut open = self.state.open.subscribe();
        let ended = open.wait_for(|open| *open == 0);
        drop(soon("the end of the server", ended).await.expect("counted"));
        *self.state.sessions() = Sessions::default();
        Down(bound(self.port), self.state)
    }

    /// Breaks every stream after these bytes.
    pub(crate) fn break_off(&self, after: &str) {
        for (_, stream) in std::mem::take(&mut self.state.sessions().open) {
            stream.send(Event::Break(after.into())).expect("it is open");
        }
    }

    /// Says something on every stream.
    pub(crate) fn say(&self, raw: &str) {
        for stream in self.state.sessions().open.values() {
            stream.send(Event::Raw(raw.into())).expect("it is open");
        }
    }

    /// Forgets the session of the stream that is open, and leaves that open.
    pub(crate) fn forget(&self) {
        let mut sessions = self.state.sessions();
        sessions.forgotten = sessions.open.keys().next_back().copied();
    }

    /// What came, once `what` has come `times` times.
    pub(crate) async fn saw(&self, what: &str, times: usize) -> Vec<String> {
        let mut seen = self.state.seen.subscribe();
        let count = |seen: &Vec<String>| seen.iter().filter(|one| *one == what).count();
        let came = seen.wait_for(|seen| count(seen) >= times);
        let what = format!("{what} x {times}");
        soon(&what, came).await.expect("counted").clone()
    }

    pub(crate) fn seen(&self, what: &str) -> usize {
        let seen = self.state.seen.borrow();
        seen.iter().filter(|one| *one == what).count()
    }
}

impl State {
    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("no panic")
    }

    fn note(&self, what: String) {
        self.seen.send_modify(|seen| seen.push(what));
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    state.open.send_modify(|open| *open += 1);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                let (io, _) = accepted.expect("a connection");
                let state = Arc::clone(&state);
                tasks.spawn(async move {
                    // A client that leaves is no failure of ours.
                    let _ = converse(io, &state).await;
                });
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
        if head.starts_with("GET") {
            return stream(io, state, &head).await;
        }
        if let Some(answer) = post(state, &head, &body) {
            io.write_all(answer.as_bytes()).await?;
        } else {
            return Ok(());
        }
    }
    Ok(())
}

fn is_authorized(state: &State, head: &str) -> bool {
    let token = state.token.lock().expect("no panic").clone();
    head.contains(&format!("Authorization: Bearer {token}\r\n"))
}

async fn stream(mut io: TcpStream, state: &State, head: &str) -> io::Result<()> {
    state.note("GET".into());
    let refusal = *state.refusal.lock().expect("no panic");
    if let (Refusal::Status(status), false) = (refusal, is_authorized(state, head)) {
        return io.write_all(refuse(status, "no").as_bytes()).await;
    }
    let (say, mut events) = mpsc::unbounded_channel();
    let number = {
        let mut sessions = state.sessions();
        sessions.last += 1;
        let number = sessions.last;
        sessions.open.insert(number, say);
        number
    };
    let opening = format!(": hi\n\nevent: endpoint\ndata: /messages/?session_id={number}\n\n");
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    io.write_all(head.as_bytes()).await?;
    let mut next = Event::Raw(opening);
    loop {
        let (Event::Raw(text) | Event::Break(text)) = &next;
        // In pieces, as the wire may have it.
        for piece in text.as_bytes().chunks(48 * 1024) {
            io.write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .await?;
            io.write_all(piece).await?;
            io.write_all(b"\r\n").await?;
        }
        if matches!(next, Event::Break(_)) {
            return Ok(());
        }
        next = tokio::select! {
            event = events.recv() => event.ok_or(io::ErrorKind::BrokenPipe)?,
            read = io.read_u8() => return read.map(|_| ()),
        };
    }
}

fn refuse(status: u16, why: &str) -> String {
    format!(
        "HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{why}",
        why.len()
    )
}

/// The answer to a message; none if it is lost.
fn post(state: &State, head: &str, body: &[u8]) -> Option<String> {
    const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted";
    let message: Value = serde_json::from_slice(body).expect("JSON");
    let number = head
        .split("session_id=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let number: u64 = number.expect("a session").parse().expect("a number");
    let refusal = *state.refusal.lock().expect("no panic");
    let stream = {
        let sessions = state.sessions();
        let is_forgotten = sessions.forgotten == Some(number);
        sessions
            .open
            .get(&number)
            .filter(|_| !is_forgotten)
            .cloned()
    };
    let Some(stream) = stream else {
        return Some(match refusal {
            Refusal::Status(400) => refuse(400, "Invalid session ID"),
            _ => refuse(404, "Could not find session"),
        });
    };
    let id = &message["id"];
    let method = message["method"].as_str().unwrap_or_default();
    let say = |result: Value| {
        let answer = json!({"jsonrpc": "2.0", "id": id, "result": result});
        // The client may have gone.
        let _ = stream.send(Event::Raw(format!("event: message\ndata: {answer}\n\n")));
    };
    let text =
        |text: &str| say(json!({"content": [{"type": "text", "text": text}], "isError": false}));
    if method != "tools/call" {
        state.note(method.into());
        match method {
            "initialize" => {
                say(json!({"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}}));
            }
            "tools/list" if message["params"]["never"] == state.sessions().last => {}
            "tools/list" => say(json!({"tools": []})),
            _ => {}
        }
        return Some(TAKEN.into());
    }
    let tool = message["params"]["name"].as_str().unwrap_or_default();
    if !is_authorized(state, head) {
        state.note("stale".into());
        return match refusal {
            Refusal::Status(status) => Some(refuse(status, "no")),
            Refusal::Text => {
                text(STALE);
                Some(TAKEN.into())
            }
        };
    }
    state.note(format!("call {tool}"));
    match tool {
        "hold" => {}
        "lost" => return None,
        "long" => text(&"0123456789abcde\n".repeat(128 * 1024)),
        _ => text(&format!("{tool} done")),
    }
    Some(TAKEN.into())
}

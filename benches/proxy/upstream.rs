//! What is behind the proxies: one blocking thread a connection, answers of two
//! sizes, streams that speak and streams that are silent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::talk::Reader;
use super::{EVENTS, IDLE, Res, now, tell};

/// How many MCP sessions there were.
static SESSIONS: AtomicUsize = AtomicUsize::new(0);

pub(super) fn serve() -> Res<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    tell(listener.local_addr()?.port())?;
    for connection in listener.incoming() {
        let connection = connection?;
        thread::spawn(move || {
            // The end of a connection is how every client leaves.
            let _ = serve_connection(&connection);
        });
    }
    Ok(())
}

const EVENTS_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn serve_connection(io: &TcpStream) -> io::Result<()> {
    io.set_nodelay(true)?;
    let text = format!("a message of some length {}", "x".repeat(100));
    let mut small = answer(&text);
    let mut big = answer(&"0123456789abcdef".repeat(65_536));
    let mut reader = Reader::new(io);
    loop {
        let head = reader.head()?;
        let body = reader.body(&head)?;
        let contains = |word: &str| memchr::memmem::find(&body, word.as_bytes()).is_some();
        let mut out = io;
        if contains("\"initialize\"") {
            let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"up","version":"1"}}}}}}"#,
                str::from_utf8(asked(&body)).unwrap_or("1")
            );
            let length = text.len();
            write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: {IDLE}-{id}\r\nContent-Length: {length}\r\n\r\n{text}"
            )?;
        } else if contains("notifications/") {
            out.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        } else if head.starts_with("GET") && head.contains(IDLE) {
            out.write_all(EVENTS_HEAD)?;
            // Silent until the other end leaves.
            let _ = (&mut out).read(&mut [0; 1])?;
            return Ok(());
        } else if head.starts_with("GET") || contains("\"stream\"") {
            out.write_all(EVENTS_HEAD)?;
            for _ in 0..EVENTS {
                thread::sleep(Duration::from_millis(20));
                let event = format!("data: {:020}\n\n", now());
                out.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            }
            out.write_all(b"0\r\n\r\n")?;
        } else {
            let answer = if contains("\"big\"") {
                &mut big
            } else {
                &mut small
            };
            address(answer, asked(&body));
            out.write_all(answer)?;
        }
    }
}

/// What stands before a request's or an answer's id.
const ID: &[u8] = b"\"id\":";
/// Room for an id, as JSON, in an answer that is ready to be sent.
const ID_ROOM: usize = 20;

fn answer(text: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{:ID_ROOM$},"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#,
        1
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The id of a request, a number; `1` if it has none.
fn asked(body: &[u8]) -> &[u8] {
    let Some(at) = memchr::memmem::find(body, ID) else {
        return b"1";
    };
    let rest = &body[at + ID.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    &rest[..digits]
}

/// Gives an [`answer`] this id.
fn address(answer: &mut [u8], id: &[u8]) {
    if let Some(at) = memchr::memmem::find(answer, ID) {
        let room = &mut answer[at + ID.len()..][..ID_ROOM];
        room.fill(b' ');
        room[ID_ROOM - id.len()..].copy_from_slice(id);
    }
}

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
    let small = answer(&text);
    let big = answer(&"0123456789abcdef".repeat(65_536));
    let mut reader = Reader::new(io);
    loop {
        let head = reader.head()?;
        let body = reader.body(&head)?;
        let contains = |word: &str| memchr::memmem::find(&body, word.as_bytes()).is_some();
        let mut out = io;
        if contains("\"initialize\"") {
            let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
            let text = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"up","version":"1"}}}"#;
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
            out.write_all(if contains("\"big\"") { &big } else { &small })?;
        }
    }
}

fn answer(text: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{text}"}}],"isError":false}}}}"#
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

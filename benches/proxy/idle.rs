//! What a stream costs on which nothing happens.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use super::peers::family;
use super::talk::{Reader, headers, post_text};
use super::{Res, Target};

/// Each with an MCP session of its own, as the agents have.
const STREAMS: usize = 200;

/// Until what opening them took is given back.
const SETTLED: Duration = Duration::from_secs(2);

/// What a target holds while nothing happens.
pub(super) struct Idle {
    /// Added by each stream.
    pub(super) kb: f64,
    /// Added by all streams.
    pub(super) threads: usize,
}

pub(super) fn measure(target: &Target, pid: u32) -> Res<Idle> {
    // One of them has everything ready that the others use.
    let _first = open(target)?;
    thread::sleep(SETTLED);
    let before = (pss(pid)?, threads(pid)?);
    let streams: Vec<TcpStream> = (0..STREAMS).map(|_| open(target)).collect::<Res<_>>()?;
    thread::sleep(SETTLED);
    let after = (pss(pid)?, threads(pid)?);
    drop(streams);
    #[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
    let kb = (after.0.saturating_sub(before.0)) as f64 / STREAMS as f64;
    Ok(Idle {
        kb,
        threads: after.1.saturating_sub(before.1),
    })
}

/// Connects as an agent does, and opens its stream.
fn open(target: &Target) -> Res<TcpStream> {
    let mut io = TcpStream::connect((Ipv4Addr::LOCALHOST, target.port))?;
    let mut session = String::new();
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"idle","version":"1"}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    ] {
        io.write_all(&post_text(target, &session, message))?;
        let mut reader = Reader::new(&io);
        let head = reader.head()?;
        reader.body(&head)?;
        if let Some(id) = head.lines().find_map(|line| {
            let (name, id) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("mcp-session-id").then_some(id)
        }) {
            session = format!("Mcp-Session-Id: {id}\r\n");
        }
    }
    // The connection that was used for that ends, as theirs do when idle.
    let mut io = TcpStream::connect((Ipv4Addr::LOCALHOST, target.port))?;
    let head = format!(
        "GET {} HTTP/1.1\r\n{}{session}\r\n",
        target.path,
        headers(target).replace("application/json, ", "")
    );
    io.write_all(head.as_bytes())?;
    let head = Reader::new(&io).head()?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{}: no stream: {head}", target.name).into());
    }
    Ok(io)
}

/// In kB, of a process and its children.
fn pss(pid: u32) -> Res<u64> {
    let mut sum = 0;
    for pid in family(pid) {
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = memory.lines().find_map(|line| line.strip_prefix("Pss:"));
        let word = line.and_then(|line| line.split_whitespace().next());
        sum += word.ok_or("no PSS")?.parse::<u64>()?;
    }
    Ok(sum)
}

fn threads(pid: u32) -> Res<usize> {
    let mut sum = 0;
    for pid in family(pid) {
        sum += fs::read_dir(format!("/proc/{pid}/task"))?.count();
    }
    Ok(sum)
}

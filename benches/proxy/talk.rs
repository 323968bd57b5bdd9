//! A client that knows a little HTTP: callers in a closed loop, and streams.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::{EVENTS, KEY, Res, Target, median, now};

/// Callers in a closed loop: the time of each call in ns, and all bytes.
pub(super) fn load(
    target: &Target,
    request: &[u8],
    callers: usize,
    span: Duration,
) -> Res<(Vec<f64>, usize)> {
    let start = Arc::new(Barrier::new(callers));
    let threads: Vec<_> = (0..callers)
        .map(|_| {
            let (start, request, port) = (Arc::clone(&start), request.to_vec(), target.port);
            thread::spawn(move || -> io::Result<(Vec<f64>, usize)> {
                let io = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
                io.set_nodelay(true)?;
                let mut reader = Reader::new(&io);
                let (mut times, mut bytes) = (Vec::new(), 0);
                for _ in 0..20 {
                    call(&io, &mut reader, &request)?;
                }
                start.wait();
                let begin = Instant::now();
                while begin.elapsed() < span {
                    let sent = Instant::now();
                    bytes += call(&io, &mut reader, &request)?;
                    times.push(sent.elapsed().as_nanos() as f64);
                }
                Ok((times, bytes))
            })
        })
        .collect();
    let (mut times, mut bytes) = (Vec::new(), 0);
    for thread in threads {
        let (more, sum) = thread.join().map_err(|_| "a caller panicked")??;
        times.extend(more);
        bytes += sum;
    }
    Ok((times, bytes))
}

/// How many of this many callers are not served, all at once.
pub(super) fn refused(target: &Target, request: &[u8], callers: usize) -> usize {
    let start = Arc::new(Barrier::new(callers));
    let threads: Vec<_> = (0..callers)
        .map(|_| {
            let (start, request, port) = (Arc::clone(&start), request.to_vec(), target.port);
            thread::spawn(move || -> io::Result<()> {
                start.wait();
                let io = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
                let mut reader = Reader::new(&io);
                for _ in 0..20 {
                    call(&io, &mut reader, &request)?;
                }
                Ok(())
            })
        })
        .collect();
    let served = threads.into_iter().map(thread::JoinHandle::join);
    served
        .filter(|served| !matches!(served, Ok(Ok(()))))
        .count()
}

pub(super) fn call(
    mut io: &TcpStream,
    reader: &mut Reader<'_>,
    request: &[u8],
) -> io::Result<usize> {
    io.write_all(request)?;
    let head = reader.head()?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(head));
    }
    Ok(reader.body(&head)?.len())
}

/// The delay of the first event and the median of the others, in ms.
pub(super) fn stream(target: &Target, request: &[u8]) -> Res<(f64, f64)> {
    let mut io = &TcpStream::connect((Ipv4Addr::LOCALHOST, target.port))?;
    io.write_all(request)?;
    let mut lines = BufReader::new(io).lines();
    let mut delays = Vec::new();
    while delays.len() < EVENTS {
        let line = lines.next().ok_or("the stream ended early")??;
        if let Some(sent) = line.strip_prefix("data: ") {
            delays.push((now() - sent.parse::<u64>()?) as f64 / 1e6);
        }
    }
    Ok((delays[0], median(&delays[1..])))
}

/// A request with this body, and these header lines besides ours.
pub(super) fn post_text(target: &Target, lines: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST {} HTTP/1.1\r\n{}{lines}",
        target.path,
        headers(target)
    );
    format!(
        "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn post(target: &Target, tool: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"chat_send","arguments":{{"sender":"me","message":"hello","tool":"{tool}"}}}}}}"#
    );
    post_text(target, "Mcp-Session-Id: s\r\n", &body)
}

pub(super) fn headers(target: &Target) -> String {
    format!(
        "Host: 127.0.0.1:{}\r\nAuthorization: Bearer {KEY}\r\nAccept: application/json, text/event-stream\r\nMcp-Protocol-Version: 2025-11-25\r\n",
        target.port
    )
}

pub(super) struct Reader<'a> {
    io: &'a TcpStream,
    buf: Vec<u8>,
    room: Box<[u8]>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(io: &'a TcpStream) -> Self {
        Self {
            io,
            buf: Vec::new(),
            room: vec![0; 256 * 1024].into(),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        match self.io.read(&mut self.room)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buf.extend_from_slice(&self.room[..n]);
                Ok(())
            }
        }
    }

    pub(super) fn head(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buf, b"\r\n\r\n") {
                let head: Vec<u8> = self.buf.drain(..end + 4).collect();
                return String::from_utf8(head).map_err(io::Error::other);
            }
            self.fill()?;
        }
    }

    pub(super) fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse().ok())?
        });
        let length: usize = length.unwrap_or(0);
        while self.buf.len() < length {
            self.fill()?;
        }
        Ok(self.buf.drain(..length).collect())
    }
}

//! HTTP/1.1 as test servers speak it: a port of their own, whole requests.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpSocket;

/// A port that is ours and takes no connection yet; 0 picks one.
pub(crate) fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    let at = (Ipv4Addr::LOCALHOST, port).into();
    socket.bind(at).expect("the port is free");
    socket
}

/// The next request: its head, to the blank line and with it, and its body as
/// long as `Content-Length` says. None at the end of the stream. `buf` keeps
/// what came after it.
pub(crate) async fn request(
    io: &mut (impl AsyncRead + Unpin),
    buf: &mut Vec<u8>,
) -> io::Result<Option<(String, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = memchr::memmem::find(buf, b"\r\n\r\n") {
            break end + 4;
        }
        if io.read_buf(buf).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buf[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let line = line.to_ascii_lowercase();
        line.strip_prefix("content-length: ")?.parse().ok()
    });
    let whole = end + length.unwrap_or(0);
    while buf.len() < whole {
        if io.read_buf(buf).await? == 0 {
            return Ok(None);
        }
    }
    let body = buf.drain(..whole).skip(end).collect();
    Ok(Some((head, body)))
}

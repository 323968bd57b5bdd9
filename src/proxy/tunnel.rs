//! Connections by way of a proxy: it is asked to carry bytes to and fro.

use std::io;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;

use crate::types::upstream::Endpoint;

use super::detour::{Detour, DetourKind};
use super::tls::distrust;
use super::wire::Wire;

/// The longest answer of a proxy.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;

/// Has the proxy at the other end of `wire` carry it on to `to`.
///
/// # Errors
/// If it does not: what it says.
pub(super) async fn open(wire: Wire, by: &Detour, to: &Endpoint) -> io::Result<Wire> {
    if matches!(by.kind, DetourKind::Http | DetourKind::Https) {
        return connect(wire, by, to).await;
    }
    let there = uri(&format!("{by}"))?;
    let to = uri(&to.base())?;
    let once = Once(Some(wire));
    // It looks names up: they may mean nothing here.
    let opened = match (by.kind, &by.user) {
        (DetourKind::Socks4, _) => SocksV4::new(there, once).call(to).await,
        (_, None) => SocksV5::new(there, once).call(to).await,
        (_, Some((user, word))) => {
            let (user, word) = (user.clone(), word.expose().to_owned());
            let mut socks = SocksV5::new(there, once).with_auth(user, word);
            socks.call(to).await
        }
    };
    let opened =
        opened.map_err(|error| io::Error::other(format!("the proxy {by} refuses: {error}")));
    opened.map(TokioIo::into_inner)
}

fn uri(text: &str) -> io::Result<Uri> {
    text.parse().map_err(io::Error::other)
}

/// Asks by HTTP (RFC 9110, 9.3.6).
async fn connect(mut wire: Wire, by: &Detour, to: &Endpoint) -> io::Result<Wire> {
    let host = if to.host.contains(':') {
        format!("[{}]", to.host)
    } else {
        to.host.clone()
    };
    let at = format!("{host}:{}", to.port);
    let who = by.authorization();
    let request = format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{who}\r\n");
    wire.write_all(request.as_bytes()).await?;
    wire.flush().await?;
    let mut answer = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        match head.parse(&answer) {
            Ok(httparse::Status::Complete(length)) => {
                // We have the first word on the way that it opens.
                return match head.code.unwrap_or(0) {
                    200..=299 if length == answer.len() => Ok(wire),
                    200..=299 => Err(strange(by)),
                    status => Err(by.refusal(status, head.reason.unwrap_or(""))),
                };
            }
            Ok(httparse::Status::Partial) if answer.len() < LONGEST_HEAD => {}
            _ => return Err(strange(by)),
        }
        if wire.read_buf(&mut answer).await? == 0 {
            let why = format!("the proxy {by} closed the connection");
            return Err(io::Error::other(why));
        }
    }
}

fn strange(by: &Detour) -> io::Error {
    distrust(format!(
        "the proxy {by} does not answer in HTTP/1.1: is it one?"
    ))
}

/// The one connection that there is.
struct Once(Option<Wire>);

impl Service<Uri> for Once {
    type Response = TokioIo<Wire>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<TokioIo<Wire>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let wire = self.0.take().ok_or(io::ErrorKind::NotConnected.into());
        std::future::ready(wire.map(TokioIo::new))
    }
}

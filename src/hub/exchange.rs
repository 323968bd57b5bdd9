//! One HTTP exchange over one connection, and answers that stay open.
//!
//! A connection moves only while it is polled, so both are polled together
//! and nothing is spawned: what is dropped is closed.

use std::collections::VecDeque;
use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::events::{Parser, TooLong};
use crate::loopback;
use crate::types::owner::Owner;
use crate::types::upstream::Endpoint;

/// How long a hub may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Where a hub is, and whose process may answer there.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) endpoint: Endpoint,
    pub(super) owner: Owner,
}

type Connection = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// Sends a request and reads the whole answer.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`]: what answers does not speak HTTP.
pub(super) async fn whole(
    to: &Address,
    request: Request<Full<Bytes>>,
) -> io::Result<Response<Bytes>> {
    in_time(async {
        let (mut sender, connection) = connect(to).await?;
        let exchange = async { collect(sender.send_request(request).await?).await };
        drive(connection, exchange).await.map_err(plain)?
    })
    .await
}

/// What became of a stream.
pub(super) enum Opened {
    Stream(Stream),
    Refused(Response<Bytes>),
}

/// Sends a request whose answer stays open; only its head must be in time.
///
/// # Errors
/// As [`whole`].
pub(super) async fn open(to: &Address, request: Request<Full<Bytes>>) -> io::Result<Opened> {
    in_time(async {
        let (mut sender, connection) = connect(to).await?;
        let mut connection = Box::pin(connection);
        let response = drive(&mut connection, sender.send_request(request))
            .await
            .map_err(plain)?;
        if response.status().is_success() {
            return Ok(Opened::Stream(Stream {
                body: response.into_body(),
                connection: Some(connection),
                parser: Parser::default(),
                ready: VecDeque::new(),
            }));
        }
        let refused = drive(connection, collect(response))
            .await
            .map_err(plain)??;
        Ok(Opened::Refused(refused))
    })
    .await
}

/// An answer that stays open, event by event.
#[derive(Debug)]
pub(super) struct Stream {
    body: Incoming,
    connection: Option<Pin<Box<Connection>>>,
    parser: Parser,
    ready: VecDeque<String>,
}

impl Stream {
    /// The data of the next event; None when there will be no more. Safe to
    /// drop while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<String>, TooLong> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Ok(Some(data));
            }
            let frame = match &mut self.connection {
                Some(connection) => tokio::select! {
                    biased;
                    frame = self.body.frame() => frame,
                    _ = connection => {
                        // What it has read is in the body; it reads no more.
                        self.connection = None;
                        continue;
                    }
                },
                None => self.body.frame().await,
            };
            // A hub that breaks off has ended the stream as well.
            let Some(Ok(frame)) = frame else {
                return Ok(None);
            };
            if let Ok(chunk) = frame.into_data() {
                self.ready.extend(self.parser.feed(&chunk)?);
            }
        }
    }
}

/// Connects to a hub that is known to be one of the user's: nothing is sent to
/// another.
async fn connect(to: &Address) -> io::Result<(http1::SendRequest<Full<Bytes>>, Connection)> {
    let Address { endpoint, owner } = to;
    let stream = match endpoint.localhost() {
        Some(local) => TcpStream::connect(&local[..]).await?,
        None => TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?,
    };
    loopback::prove(&stream, owner).await?;
    stream.set_nodelay(true)?;
    http1::handshake(TokioIo::new(stream)).await.map_err(plain)
}

async fn collect(response: Response<Incoming>) -> hyper::Result<io::Result<Response<Bytes>>> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    Ok(body
        .map(|body| Response::from_parts(head, body.to_bytes()))
        .map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error)))
}

/// Runs an exchange over a connection.
async fn drive<T, E>(
    connection: impl Future<Output = Result<(), E>>,
    exchange: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => return done,
        ended = connection => ended?,
    }
    exchange.await
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What hyper says, as the system said it.
fn plain(error: hyper::Error) -> io::Error {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause {
        Some(cause) => cause.kind().into(),
        None if error.is_parse() => io::Error::new(io::ErrorKind::InvalidData, error),
        None => io::Error::new(io::ErrorKind::UnexpectedEof, error),
    }
}

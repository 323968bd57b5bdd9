//! The other end: a terminal that attaches.

use std::io;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::frame::{PROTOCOL, Said, Shown};
use super::wire::Frames;
use crate::control::client::{Client, Error, MAX_ANSWER, PATIENCE};
use crate::types::size::TermSize;

/// A session that shows itself, in two halves.
#[derive(Debug)]
pub struct Attached {
    /// The size that it was told.
    pub size: TermSize,
    pub shows: Shows,
    pub says: Says,
}

/// What the session shows.
#[derive(Debug)]
pub struct Shows(Frames<OwnedReadHalf>);

/// What it is told.
#[derive(Debug)]
pub struct Says {
    write: OwnedWriteHalf,
    out: BytesMut,
}

impl Client {
    /// Attaches a terminal of that size.
    ///
    /// # Errors
    /// [`Error::Refused`]: it cannot be attached to.
    pub async fn attach(&self, size: TermSize) -> Result<Attached, Error> {
        let path = format!(
            "/v1/attach?rows={}&cols={}&x_pixels={}&y_pixels={}",
            size.rows, size.cols, size.x_pixels, size.y_pixels
        );
        let request = Request::get(path)
            .header(HOST, "wrapper")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, PROTOCOL)
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.silent(&error))?;
        match timeout(PATIENCE, self.upgraded(request, size)).await {
            Ok(attached) => attached,
            Err(_) => Err(self.silent(&"it takes too long")),
        }
    }

    async fn upgraded(
        &self,
        request: Request<Empty<Bytes>>,
        size: TermSize,
    ) -> Result<Attached, Error> {
        let io = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io))
            .await
            .map_err(|error| self.silent(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await;
            let response = response.map_err(|error| self.silent(&error))?;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS {
                let upgraded = hyper::upgrade::on(response).await;
                return upgraded.map_err(|error| self.silent(&error));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            let body = body.map_err(|error| self.silent(&error))?;
            Err(self.refused(status, &body.to_bytes()))
        };
        // The connection moves only while it is polled, and ends with the upgrade.
        let (upgraded, _ended) = tokio::join!(exchange, connection.with_upgrades());
        let parts = upgraded?
            .downcast::<TokioIo<UnixStream>>()
            .map_err(|_| self.silent(&"it came another way"))?;
        let (read, write) = parts.io.into_inner().into_split();
        Ok(Attached {
            size,
            shows: Shows(Frames::new(read, &parts.read_buf)),
            says: Says {
                write,
                out: BytesMut::new(),
            },
        })
    }
}

impl Shows {
    /// What comes next; None: the session's process is gone. It can be given up
    /// at any time.
    ///
    /// # Errors
    /// If the stream breaks, or what comes is no frame.
    pub async fn next(&mut self) -> io::Result<Option<Shown>> {
        while let Some(frame) = self.0.next().await? {
            if let Some(shown) = Shown::read(frame).map_err(io::Error::other)? {
                return Ok(Some(shown));
            }
        }
        Ok(None)
    }
}

impl Says {
    /// Tells the session.
    ///
    /// # Errors
    /// If it is gone.
    pub async fn say(&mut self, said: &Said) -> io::Result<()> {
        self.out.clear();
        said.put(&mut self.out);
        self.write.write_all(&self.out).await
    }
}

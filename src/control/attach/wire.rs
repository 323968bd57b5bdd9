//! Frames off a stream, at either end.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::frame::{self, Frame};

/// The frames that come in.
#[derive(Debug)]
pub(super) struct Frames<R> {
    read: R,
    buf: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Those of `read`, after what was read of them already.
    pub(super) fn new(read: R, already: &[u8]) -> Self {
        Self {
            read,
            buf: already.into(),
        }
    }

    /// The next frame; None at the end. It can be given up at any time.
    ///
    /// # Errors
    /// If the stream breaks, or what comes is none.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = frame::take(&mut self.buf).map_err(io::Error::other)? {
                return Ok(Some(frame));
            }
            if self.read.read_buf(&mut self.buf).await? == 0 {
                return Ok(None);
            }
        }
    }
}

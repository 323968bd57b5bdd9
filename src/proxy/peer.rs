//! One side of the proxy: a connection and what was read from it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The least room for a read. A read that does not fill its room tells the
/// runtime that there is no more, and saves the system call that would.
const LEAST_ROOM: usize = 8 * 1024;
/// The most that is read at once, and so held of a stream.
const MOST_ROOM: usize = 256 * 1024;

/// A connection and its buffer.
#[derive(Debug)]
pub(super) struct Peer<S> {
    pub(super) io: S,
    /// Read and not yet used.
    pub(super) buf: BytesMut,
    room: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            buf: BytesMut::new(),
            room: LEAST_ROOM,
        }
    }

    /// Reads more behind what is there: how many bytes came, 0 at the end.
    /// A peer that fills its room gets more of it.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buf.capacity() - self.buf.len() < LEAST_ROOM {
            self.buf.reserve(self.room);
        }
        let room = self.buf.capacity() - self.buf.len();
        let read = pin!(self.io.read_buf(&mut self.buf)).poll(cx);
        if let Poll::Ready(Ok(n)) = read
            && n == room
        {
            self.room = (self.room * 2).min(MOST_ROOM);
        }
        read
    }

    /// Reads a little more, as [`Peer::poll_fill`] does, but holds no room for
    /// it while there is none: for connections that are silent for long.
    pub(super) fn poll_sip(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); LEAST_ROOM];
        let mut read = ReadBuf::uninit(&mut room);
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut read));
        self.buf.extend_from_slice(read.filled());
        Poll::Ready(result.map(|()| read.filled().len()))
    }

    /// Writes the rest of `parts` after the first `sent` bytes of them, as far
    /// as the peer takes it, in one system call.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        [head, body]: [&[u8]; 2],
        sent: usize,
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let written = if sent >= head.len() {
            io.poll_write(cx, &body[sent - head.len()..])
        } else if body.is_empty() {
            io.poll_write(cx, &head[sent..])
        } else {
            io.poll_write_vectored(cx, &[IoSlice::new(&head[sent..]), IoSlice::new(body)])
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    /// Gives large buffers back while nothing is to be kept.
    pub(super) fn rest(&mut self) {
        if self.buf.is_empty() && self.room > LEAST_ROOM {
            self.buf = BytesMut::new();
            self.room = LEAST_ROOM;
        }
    }
}

//! The bytes between the user's terminal and the agent's, both ways.
//!
//! *Invariant*: each way holds one piece and reads no more until that is
//! written: nothing is lost, and nobody is buffered for.

use std::future::{Future, pending, ready};
use std::io;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use crate::terminal::{Pty, Tty};

/// Reads are made into blocks of this size, which the screen model shares.
const BLOCK: usize = 64 * 1024;

/// A block with less room than this is left to the model.
const LEAST: usize = 16 * 1024;

/// What came of waiting for one way.
#[derive(Debug)]
pub(super) enum Moved {
    /// These bytes were read.
    Read(Bytes),
    /// A piece of what waits was written.
    Written,
    /// The end that is read has closed.
    Closed,
    /// The end that is written has closed, and what waited is dropped.
    Lost(io::Error),
}

/// From the agent to the user.
pub(super) struct Up<'a, T> {
    pty: &'a Pty,
    tty: &'a T,
    block: BytesMut,
    waiting: Bytes,
    /// When the agent last wrote.
    pub(super) moved_at: Instant,
    /// The agent's terminal is closed.
    pub(super) closed: bool,
    /// The user's terminal is gone: output is read and dropped.
    pub(super) blind: bool,
}

impl<'a, T: Tty> Up<'a, T> {
    pub(super) fn new(pty: &'a Pty, tty: &'a T) -> Self {
        Self {
            pty,
            tty,
            block: BytesMut::zeroed(BLOCK),
            waiting: Bytes::new(),
            moved_at: Instant::now(),
            closed: false,
            blind: false,
        }
    }

    /// Moves one piece: what waits, else what comes next.
    pub(super) async fn next(&mut self) -> Moved {
        if !self.waiting.is_empty() {
            return match self.tty.write(&self.waiting).await {
                Ok(n) => {
                    self.waiting.advance(n);
                    Moved::Written
                }
                Err(error) => {
                    self.waiting.clear();
                    Moved::Lost(error)
                }
            };
        }
        if self.closed {
            return pending().await;
        }
        match self.pty.read(&mut self.block).await {
            Ok(n) if n > 0 => Moved::Read(self.take(n)),
            Ok(_) => Moved::Closed,
            Err(error) => {
                tracing::warn!(%error, "cannot read the agent's terminal");
                Moved::Closed
            }
        }
    }

    /// Shows what was read, at once if the terminal takes it.
    pub(super) async fn show(&mut self, chunk: &Bytes) {
        self.moved_at = Instant::now();
        if self.blind {
            return;
        }
        // An error comes again with the next try.
        let shown = at_once(self.tty.write(chunk)).await;
        self.waiting = chunk.slice(shown.and_then(Result::ok).unwrap_or(0)..);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take(&mut self, n: usize) -> Bytes {
        let chunk = self.block.split_to(n).freeze();
        if self.block.len() < LEAST {
            self.block = BytesMut::zeroed(BLOCK);
        }
        chunk
    }
}

/// From the user, and the typist, to the agent.
pub(super) struct Down<'a, T> {
    pty: &'a Pty,
    tty: &'a T,
    buf: Box<[u8; 4096]>,
    waiting: BytesMut,
    /// The user's terminal is gone.
    pub(super) closed: bool,
}

impl<'a, T: Tty> Down<'a, T> {
    pub(super) fn new(pty: &'a Pty, tty: &'a T) -> Self {
        Self {
            pty,
            tty,
            buf: Box::new([0; 4096]),
            waiting: BytesMut::new(),
            closed: false,
        }
    }

    /// Moves one piece: what waits, else what comes next.
    pub(super) async fn next(&mut self) -> Moved {
        if !self.waiting.is_empty() {
            return match self.pty.write(&self.waiting).await {
                Ok(n) => {
                    self.waiting.advance(n);
                    Moved::Written
                }
                Err(error) => {
                    self.waiting.clear();
                    Moved::Lost(error)
                }
            };
        }
        if self.closed {
            return pending().await;
        }
        match self.tty.read(self.buf.as_mut()).await {
            Ok(n) if n > 0 => Moved::Read(Bytes::copy_from_slice(&self.buf[..n])),
            _ => Moved::Closed,
        }
    }

    /// Types bytes, at once if the agent takes them.
    pub(super) async fn send(&mut self, keys: &[u8]) {
        let sent = if self.waiting.is_empty() && !keys.is_empty() {
            // An error comes again with the next try.
            at_once(self.pty.write(keys)).await.and_then(Result::ok)
        } else {
            None
        };
        self.waiting.extend_from_slice(&keys[sent.unwrap_or(0)..]);
    }

    /// True if the agent has taken everything so far.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// The result of a future that need not wait.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = future => Some(result),
        () = ready(()) => None,
    }
}

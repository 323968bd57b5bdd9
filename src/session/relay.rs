//! The bytes between the user's terminal and the agent's, both ways.
//!
//! *Invariant*: each way holds one piece and reads no more until that is
//! written: nothing is lost, and nobody is buffered for.

use std::future::{Future, pending, ready};
use std::io;
use std::ops::Range;

use bytes::{Buf, BytesMut};

use crate::terminal::{Pty, Tty};

/// The largest piece of output that is read at once.
const BLOCK: usize = 64 * 1024;

/// What came of waiting for one way.
#[derive(Debug)]
pub(super) enum Moved {
    /// So many bytes were read.
    Read(usize),
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
    block: Vec<u8>,
    /// The part of the block that the terminal has not taken yet.
    waiting: Range<usize>,
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
            block: vec![0; BLOCK],
            waiting: 0..0,
            closed: false,
            blind: false,
        }
    }

    /// Moves one piece: what waits, else what comes next.
    pub(super) async fn next(&mut self) -> Moved {
        if !self.waiting.is_empty() {
            return match self.tty.write(&self.block[self.waiting.clone()]).await {
                Ok(n) => {
                    self.waiting.start += n;
                    Moved::Written
                }
                Err(error) => {
                    self.waiting = 0..0;
                    Moved::Lost(error)
                }
            };
        }
        if self.closed {
            return pending().await;
        }
        match self.pty.read(&mut self.block).await {
            Ok(n) if n > 0 => Moved::Read(n),
            Ok(_) => Moved::Closed,
            Err(error) => {
                tracing::warn!(%error, "cannot read the agent's terminal");
                Moved::Closed
            }
        }
    }

    /// As [`Up::next`]; reads only when there is room for it.
    pub(super) async fn next_after(&mut self, room: impl Future<Output = ()>) -> Moved {
        if self.is_idle() {
            room.await;
        }
        self.next().await
    }

    /// Shows the `n` bytes that were read, at once if the terminal takes them,
    /// and returns them.
    pub(super) async fn show(&mut self, n: usize) -> &[u8] {
        let chunk = &self.block[..n];
        if !self.blind {
            // An error comes again with the next try.
            let shown = at_once(self.tty.write(chunk)).await.and_then(Result::ok);
            self.waiting = shown.unwrap_or(0)..n;
        }
        chunk
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
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
            Ok(n) if n > 0 => Moved::Read(n),
            _ => Moved::Closed,
        }
    }

    /// The `n` bytes that were read.
    pub(super) fn keys(&self, n: usize) -> &[u8] {
        &self.buf[..n]
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
    /// True if the agent has yet to read what was written.
    pub(super) fn is_unread(&self) -> bool {
        self.pty.is_unread()
    }

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

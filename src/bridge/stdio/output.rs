//! What the agent is told, message by message.
//!
//! *Invariant*: a message is whole before the next one begins, whoever of us
//! and the thread writes it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{SFlag, fstat};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::spool::Whole;
use super::{QUEUE, is_ready};

/// How long an agent may take to read what is left at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a pipe takes at once, if it says that it can be written to.
const PIECE: usize = nix::libc::PIPE_BUF;

/// The way to the agent.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    to_thread: mpsc::Sender<Whole>,
    /// Messages that the thread has yet to write.
    left: Arc<Mutex<usize>>,
    kind: Kind,
}

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipe,
    Socket,
    Other,
}

/// Tells when all is written.
#[derive(Debug)]
pub(crate) struct Written(oneshot::Receiver<()>);

impl Out {
    /// Sends a message; to an agent that reads no more, in vain.
    pub(crate) async fn send(&self, message: impl Into<Whole>) {
        let rest = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let message = message.into();
            let rest = match *left {
                0 => self.write(message),
                _ => Some(message),
            };
            *left += usize::from(rest.is_some());
            rest
        };
        if let Some(rest) = rest
            && self.to_thread.send(rest).await.is_err()
        {
            tracing::debug!("nobody reads any more");
        }
    }

    /// Returns when the agent has closed its end.
    pub(crate) async fn closed(&self) {
        self.to_thread.closed().await;
    }

    /// Writes as much as goes without waiting; what is left of it. Errors are
    /// the thread's to find.
    fn write(&self, message: Whole) -> Option<Whole> {
        let Whole::Memory(mut line) = message else {
            return Some(message);
        };
        line.push(b'\n');
        let out = io::stdout();
        let mut done = 0;
        while done < line.len() {
            let rest = &line[done..];
            let written = match self.kind {
                Kind::Socket => send(out.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT),
                Kind::Pipe if is_ready(&out, PollFlags::POLLOUT) => {
                    nix::unistd::write(&out, &rest[..rest.len().min(PIECE)])
                }
                Kind::Pipe | Kind::Other => break,
            };
            match written {
                Ok(n) => done += n,
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        line.drain(..done);
        (!line.is_empty()).then_some(Whole::Rest(line))
    }
}

impl Written {
    /// Waits until all is written, once every [`Out`] is gone; but not long
    /// for an agent that does not read.
    pub(crate) async fn wait(self) {
        if timeout(LAST_WORDS, self.0).await.is_err() {
            tracing::debug!("the agent did not read all");
        }
    }
}

/// Opens standard output, with a thread for what would make us wait.
pub(super) fn open() -> io::Result<(Out, Written)> {
    let (to_thread, messages) = mpsc::channel(QUEUE);
    let (done, written) = oneshot::channel();
    let left = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&left);
    thread::Builder::new()
        .name("stdout".into())
        .spawn(move || {
            if let Err(error) = write(messages, &counter) {
                tracing::debug!(%error, "standard output broke");
            }
            // Whoever waits may have gone already.
            let _ = done.send(());
        })?;
    let out = Out {
        to_thread,
        left,
        kind: kind(io::stdout()),
    };
    Ok((out, Written(written)))
}

fn write(mut messages: mpsc::Receiver<Whole>, left: &Mutex<usize>) -> io::Result<()> {
    while let Some(message) = messages.blocking_recv() {
        message.write(&mut io::stdout().lock())?;
        *left.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
    Ok(())
}

fn kind(file: impl AsFd) -> Kind {
    let mode = fstat(file).map_or(SFlag::empty(), |stat| {
        SFlag::from_bits_truncate(stat.st_mode)
    });
    match mode & SFlag::S_IFMT {
        SFlag::S_IFIFO => Kind::Pipe,
        SFlag::S_IFSOCK => Kind::Socket,
        _ => Kind::Other,
    }
}

//! The agent's side: its lines as they come, our messages as it takes them.
//!
//! Two threads that block, so that any file will do for a standard stream,
//! none is set non-blocking behind the back of whoever shares it, and an agent
//! that does not read holds up what it is told, and nothing else.

use std::io::{self, BufRead, BufReader};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::spool::Whole;

/// Lines and messages that may wait.
const QUEUE: usize = 16;
/// How long an agent may take to read what is left at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What is read at once.
const ROOM: usize = 64 * 1024;

/// Both standard streams.
#[derive(Debug)]
pub(super) struct Stdio {
    /// What the agent says, without line ends and empty lines.
    pub(super) lines: mpsc::Receiver<Vec<u8>>,
    /// Cancelled when the agent has said its last, taken or not.
    pub(super) last: CancellationToken,
    pub(super) out: Out,
    pub(super) written: Written,
}

/// Tells when all is written.
#[derive(Debug)]
pub(super) struct Written(oneshot::Receiver<()>);

/// The way to the agent.
#[derive(Debug, Clone)]
pub(super) struct Out(mpsc::Sender<Whole>);

impl Out {
    /// Sends a message; to an agent that reads no more, in vain.
    pub(super) async fn send(&self, message: impl Into<Whole>) {
        if self.0.send(message.into()).await.is_err() {
            tracing::debug!("nobody reads any more");
        }
    }

    /// Returns when the agent has closed its end.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

impl Written {
    /// Waits until all is written, once every [`Out`] is gone; but not long
    /// for an agent that does not read.
    pub(super) async fn wait(self) {
        if timeout(LAST_WORDS, self.0).await.is_err() {
            tracing::debug!("the agent did not read all");
        }
    }
}

/// Starts both threads; they end with the process.
///
/// # Errors
/// If the system has no threads left.
pub(super) fn open() -> io::Result<Stdio> {
    let (say, lines) = mpsc::channel(QUEUE);
    let (out, messages) = mpsc::channel(QUEUE);
    let (done, written) = oneshot::channel();
    let last = CancellationToken::new();
    let guard = last.clone().drop_guard();
    thread::Builder::new().name("stdin".into()).spawn(move || {
        if let Err(error) = read(&say) {
            tracing::debug!(%error, "standard input broke");
        }
        drop(guard);
    })?;
    thread::Builder::new()
        .name("stdout".into())
        .spawn(move || {
            if let Err(error) = write(messages) {
                tracing::debug!(%error, "standard output broke");
            }
            // Whoever waits may have gone already.
            let _ = done.send(());
        })?;
    Ok(Stdio {
        lines,
        last,
        out: Out(out),
        written: Written(written),
    })
}

fn read(say: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let mut input = BufReader::with_capacity(ROOM, io::stdin());
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.truncate(line.trim_ascii_end().len());
        if !line.is_empty() && say.blocking_send(line).is_err() {
            return Ok(());
        }
    }
}

fn write(mut messages: mpsc::Receiver<Whole>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Some(message) = messages.blocking_recv() {
        message.write(&mut out)?;
    }
    Ok(())
}

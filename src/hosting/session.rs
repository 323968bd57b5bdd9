//! One MCP session with a server that we run: what it was asked, and where
//! what it says goes.
//!
//! An answer goes to who asked. What a server says beside that goes where it
//! is likeliest to be read in time: the progress of a request to who made it,
//! all else into the client's open stream, or to who waits for an answer, or
//! else it is kept for the next of them.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::chatter::Chatter;
use super::desk::{Call, Desk, MOST_KEPT, Said, Use};
use super::message::{self, Ask, Id, Kind, Posted, What};

/// Messages on their way to one reader, before the server has to wait.
const QUEUE: usize = 16;

/// How long a server waits for a client that does not read its stream.
const SLOW: Duration = Duration::from_secs(5);

/// The session ended before it could be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

#[derive(Debug)]
pub(super) struct Session {
    /// None: for requests without a session.
    pub(super) id: Option<String>,
    pub(super) pid: u32,
    /// Tells the process to end.
    pub(super) end: CancellationToken,
    pub(super) chatter: Arc<Chatter>,
    input: mpsc::Sender<Bytes>,
    desk: Mutex<Desk>,
}

/// One who waits for answers. The server is told when it leaves before they
/// are there.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) said: mpsc::Receiver<Said>,
    /// How many answers are to come.
    pub(super) left: usize,
    session: Arc<Session>,
    numbers: Vec<u64>,
}

impl Session {
    /// A session with the process `pid`, and the lines that it is to be told.
    pub(super) fn new(
        id: Option<String>,
        pid: u32,
        end: CancellationToken,
        chatter: Arc<Chatter>,
    ) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (input, lines) = mpsc::channel(QUEUE);
        let session = Self {
            id,
            pid,
            end,
            chatter,
            input,
            desk: Mutex::new(Desk::new()),
        };
        (Arc::new(session), lines)
    }

    pub(super) fn usage(&self) -> Use {
        self.desk().usage()
    }

    /// True until it ends, or is told to.
    pub(super) fn is_going(&self) -> bool {
        !self.end.is_cancelled() && !self.desk().is_over
    }

    /// Sends messages on.
    ///
    /// # Errors
    /// If the server gets none of them.
    pub(super) async fn post(self: &Arc<Self>, messages: Vec<Posted>) -> Result<Waiting, Gone> {
        let (out, said) = mpsc::channel(QUEUE);
        let mut waiting = Waiting {
            said,
            left: 0,
            session: Arc::clone(self),
            numbers: Vec::new(),
        };
        for (nth, message) in messages.into_iter().enumerate() {
            let line = match &message.kind {
                Kind::Ask(ask) => {
                    let (number, line) = self.enter(&message, ask, &out)?;
                    waiting.numbers.push(number);
                    waiting.left += 1;
                    line
                }
                Kind::Note { cancels: Some(id) } => self.take_back(id).unwrap_or(message.line),
                Kind::Note { cancels: None } | Kind::Answer => message.line,
            };
            if self.input.send(line).await.is_err() && nth == 0 {
                return Err(Gone);
            }
        }
        Ok(waiting)
    }

    /// Notes a request; its number, and the line for the server.
    fn enter(
        &self,
        message: &Posted,
        ask: &Ask,
        out: &mpsc::Sender<Said>,
    ) -> Result<(u64, Bytes), Gone> {
        let mut desk = self.desk();
        if desk.is_over {
            return Err(Gone);
        }
        desk.last_used = Instant::now();
        desk.counted += 1;
        let number = desk.counted;
        let (mut key, mut sent, mut line) = (ask.key(), ask.id.clone(), message.line.clone());
        if desk.calls.iter().any(|call| call.key == key) {
            // Two clients of one session may count alike.
            sent = format!("\"wrapper-{number}\"");
            line = message.with_id(ask, &sent);
            key = Id::of(sent.as_bytes()).ok_or(Gone)?;
        }
        if desk.stream.is_none() {
            while let Some(kept) = desk.kept.pop_front() {
                if let Err(full) = out.try_send(Said::Aside(kept.clone())) {
                    tracing::debug!(%full, "later");
                    desk.kept.push_front(kept);
                    break;
                }
            }
        }
        desk.calls.push(Call {
            number,
            ask: ask.clone(),
            sent,
            key,
            out: out.clone(),
        });
        Ok((number, line))
    }

    /// Ends the wait for a request that its client takes back; the line that
    /// says so to the server, if it knows the request by another id.
    fn take_back(&self, id: &Id) -> Option<Bytes> {
        let mut desk = self.desk();
        let at = desk.calls.iter().rposition(|call| call.ask.key() == *id)?;
        let call = desk.calls.remove(at);
        drop(desk);
        let line = (call.sent != call.ask.id).then(|| message::cancel(&call.sent));
        call.answer("it was cancelled");
        line
    }

    /// Opens the stream of what the server says unasked, in place of one that
    /// is open.
    ///
    /// # Errors
    /// If the session has ended.
    pub(super) fn listen(&self) -> Result<mpsc::Receiver<Said>, Gone> {
        let (out, said) = mpsc::channel(MOST_KEPT);
        let mut desk = self.desk();
        if desk.is_over {
            return Err(Gone);
        }
        desk.last_used = Instant::now();
        for kept in desk.kept.drain(..) {
            if out.try_send(Said::Aside(kept)).is_err() {
                tracing::warn!("a message of a server was lost");
            }
        }
        desk.stream = Some(out);
        Ok(said)
    }

    /// Passes a line of the server's on.
    pub(super) async fn hear(&self, line: Bytes) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Some(messages) = message::heard(&line) else {
            return self.chatter.noise(&line);
        };
        self.desk().has_spoken = true;
        for message in messages {
            match message.what {
                What::Answer(id) => {
                    let Some(call) = self.answered(&line[id.clone()]) else {
                        tracing::debug!(server = %self.chatter.server, "an answer that nobody waits for");
                        continue;
                    };
                    let answer = if call.sent == call.ask.id {
                        line.slice(message.at)
                    } else {
                        let id = id.start - message.at.start..id.end - message.at.start;
                        message::replaced(&line[message.at], id, &call.ask.id)
                    };
                    call.say(Said::Answer(answer)).await;
                }
                What::Aside { progress } => self.aside(line.slice(message.at), progress).await,
            }
        }
    }

    /// Begins to pass on an answer whose beginning is here, with its id there;
    /// None if nobody waits for it.
    pub(super) async fn begin(
        &self,
        beginning: &[u8],
        id: std::ops::Range<usize>,
    ) -> Option<mpsc::Sender<io::Result<Bytes>>> {
        let call = self.answered(&beginning[id.clone()])?;
        let (out, pieces) = mpsc::channel(2);
        let beginning = message::replaced(beginning, id, &call.ask.id);
        // There is room for it.
        out.try_send(Ok(beginning)).ok()?;
        call.say(Said::Long(pieces)).await;
        Some(out)
    }

    fn answered(&self, id: &[u8]) -> Option<Call> {
        let id = Id::of(id)?;
        let mut desk = self.desk();
        desk.last_used = Instant::now();
        let at = desk.calls.iter().position(|call| call.key == id)?;
        Some(desk.calls.remove(at))
    }

    async fn aside(&self, message: Bytes, progress: Option<Id>) {
        let (out, is_stream) = {
            let mut desk = self.desk();
            let of_request = progress.and_then(|token| {
                let mut calls = desk.calls.iter();
                calls.find(|call| call.ask.progress.as_ref() == Some(&token))
            });
            match (of_request, &desk.stream, desk.calls.first()) {
                (Some(call), _, _) => (call.out.clone(), false),
                (None, Some(stream), _) if !stream.is_closed() => (stream.clone(), true),
                (None, _, Some(call)) => (call.out.clone(), false),
                (None, _, None) => {
                    desk.stream = None;
                    return desk.keep(message);
                }
            }
        };
        let sent = out.send(Said::Aside(message.clone()));
        if !is_stream {
            if sent.await.is_err() {
                tracing::debug!("a client left before it was told something");
            }
        } else if !matches!(timeout(SLOW, sent).await, Ok(Ok(()))) {
            // A stream that nobody reads must not hold answers up.
            let mut desk = self.desk();
            desk.stream = None;
            desk.keep(message);
        }
    }

    /// Lets nobody ask any more.
    pub(super) fn close(&self) {
        let mut desk = self.desk();
        desk.is_over = true;
        desk.stream = None;
    }

    /// Answers all that is open in words.
    pub(super) fn fail(&self, why: &str) {
        let calls = std::mem::take(&mut self.desk().calls);
        for call in calls {
            call.answer(why);
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut desk = self.session.desk();
        let (left, others) = std::mem::take(&mut desk.calls)
            .into_iter()
            .partition(|call| self.numbers.contains(&call.number));
        desk.calls = others;
        drop(desk);
        let left: Vec<Call> = left;
        for call in left {
            if call.ask.is_initialize() {
                // Nobody knows the session.
                self.session.end.cancel();
            } else if let Err(error) = self.session.input.try_send(message::cancel(&call.sent)) {
                tracing::debug!(%error, "a server was not told of a client that left");
            }
        }
    }
}

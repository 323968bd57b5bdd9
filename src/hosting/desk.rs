//! What is open in a session: requests without an answer, the client's stream,
//! and what is kept for it.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::message::{Ask, Id};

/// The most messages, and bytes of them, that are kept for later.
pub(super) const MOST_KEPT: usize = 64;
const MOST_KEPT_BYTES: usize = 1024 * 1024;

/// What a client gets of a server.
#[derive(Debug)]
pub(super) enum Said {
    /// Not an answer.
    Aside(Bytes),
    Answer(Bytes),
    /// An answer that is passed on while it comes. One that breaks off ends
    /// with an error.
    Long(mpsc::Receiver<io::Result<Bytes>>),
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) calls: Vec<Call>,
    pub(super) stream: Option<mpsc::Sender<Said>>,
    pub(super) kept: VecDeque<Bytes>,
    pub(super) last_used: Instant,
    pub(super) counted: u64,
    pub(super) has_spoken: bool,
    pub(super) is_over: bool,
}

/// A request without an answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) ask: Ask,
    /// The id that the server knows it by: its own, unless that is taken.
    pub(super) sent: String,
    pub(super) key: Id,
    pub(super) out: mpsc::Sender<Said>,
}

/// How a session is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) is_asked: bool,
    pub(super) is_listened_to: bool,
    pub(super) since: Instant,
    pub(super) has_spoken: bool,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            calls: Vec::new(),
            stream: None,
            kept: VecDeque::new(),
            last_used: Instant::now(),
            counted: 0,
            has_spoken: false,
            is_over: false,
        }
    }

    pub(super) fn usage(&self) -> Use {
        Use {
            is_asked: !self.calls.is_empty(),
            is_listened_to: self.stream.as_ref().is_some_and(|out| !out.is_closed()),
            since: self.last_used,
            has_spoken: self.has_spoken,
        }
    }

    /// Keeps a message for the next who can be told, the newest of them.
    pub(super) fn keep(&mut self, message: Bytes) {
        self.kept.push_back(message);
        let bytes = |kept: &VecDeque<Bytes>| kept.iter().map(Bytes::len).sum::<usize>();
        while self.kept.len() > MOST_KEPT || bytes(&self.kept) > MOST_KEPT_BYTES {
            self.kept.pop_front();
            tracing::debug!("a message of a server found no reader");
        }
    }
}

impl Call {
    pub(super) async fn say(self, said: Said) {
        if self.out.send(said).await.is_err() {
            tracing::debug!("a client left before its answer");
        }
    }

    /// Answers in words, without waiting for who reads them.
    pub(super) fn answer(self, why: &str) {
        let answer = Said::Answer(self.ask.failure(why));
        if let Err(mpsc::error::TrySendError::Full(answer)) = self.out.try_send(answer) {
            tokio::spawn(self.say(answer));
        }
    }
}

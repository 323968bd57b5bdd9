//! The bodies of our answers: nothing, a text, or what a server says, as
//! events or as one answer that is passed on while it comes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::desk::Said;
use super::session::Waiting;

/// What stands before and behind a message that is an event.
const EVENT: &[u8] = b"event: message\ndata: ";
const EVENT_END: &[u8] = b"\n\n";

/// Messages up to this length are copied rather than sent in pieces.
const SHORT: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Reply {
    ready: VecDeque<Bytes>,
    /// The rest of a long answer.
    long: Option<mpsc::Receiver<io::Result<Bytes>>>,
    source: Source,
}

/// Where more comes from.
#[derive(Debug, Default)]
enum Source {
    #[default]
    None,
    /// Events, until the answers are there.
    Waiting(Waiting),
    /// Events without end.
    Stream(mpsc::Receiver<Said>),
}

impl Reply {
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self {
            ready: [text.into()].into(),
            ..Self::default()
        }
    }

    pub(super) fn long(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self {
            long: Some(pieces),
            ..Self::default()
        }
    }

    /// The answers that are waited for, as events, after `first`.
    pub(super) fn answers(first: Said, waiting: Waiting) -> Self {
        let mut reply = Self {
            source: Source::Waiting(waiting),
            ..Self::default()
        };
        reply.tell(first);
        reply
    }

    pub(super) fn stream(said: mpsc::Receiver<Said>) -> Self {
        Self {
            source: Source::Stream(said),
            ..Self::default()
        }
    }

    fn is_events(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// Makes an event of it.
    fn tell(&mut self, said: Said) {
        if let (Source::Waiting(waiting), Said::Answer(_) | Said::Long(_)) =
            (&mut self.source, &said)
        {
            waiting.left -= 1;
        }
        match said {
            // In one piece, as long as that costs little.
            Said::Aside(message) | Said::Answer(message) if message.len() <= SHORT => {
                let event = [EVENT, &message, EVENT_END].concat();
                self.ready.push_back(event.into());
            }
            Said::Aside(message) | Said::Answer(message) => {
                let end = Bytes::from_static(EVENT_END);
                self.ready.extend([Bytes::from_static(EVENT), message, end]);
            }
            Said::Long(pieces) => {
                self.ready.push_back(Bytes::from_static(EVENT));
                self.long = Some(pieces);
            }
        }
    }

    fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        match &mut self.source {
            Source::None => Poll::Ready(None),
            Source::Waiting(waiting) if waiting.left == 0 => Poll::Ready(None),
            Source::Waiting(waiting) => waiting.said.poll_recv(cx),
            Source::Stream(said) => said.poll_recv(cx),
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            if let Some(piece) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(long) = &mut this.long {
                let piece = ready!(long.poll_recv(cx));
                if let Some(piece) = piece {
                    return Poll::Ready(Some(piece.map(Frame::data)));
                }
                this.long = None;
                if this.is_events() {
                    this.ready.push_back(Bytes::from_static(EVENT_END));
                }
                continue;
            }
            match ready!(this.poll_said(cx)) {
                Some(said) => this.tell(said),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.long.is_none() && !self.is_events()
    }

    fn size_hint(&self) -> SizeHint {
        if self.long.is_some() || self.is_events() {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.ready.iter().map(|piece| piece.len() as u64).sum())
    }
}

//! Those who look on from other terminals: what they are shown, and whose size
//! the agent has.
//!
//! *Invariant*: nobody here slows the agent, and what waits for one viewer is
//! at most what it has asked for. One that does not keep up loses what waits,
//! and asks for a keyframe when it can go on.

mod viewer;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::draft::Draft;
use super::handle::Interest;
use crate::terminal::query::Sieve;
use crate::terminal::screen::Screen;
use crate::terminal::{Feed, Keyframe, Tty};
use crate::types::exit::AgentExit;
use crate::types::size::TermSize;
pub use viewer::{Next, Piece, Show, Viewer};
use viewer::{Queue, Queued};
pub(super) use viewer::{Typed, ViewerId};

/// Everybody who looks on, over all lives of the agent.
#[derive(Debug)]
pub(super) struct Audience {
    /// Who typed last comes last.
    seats: Vec<Seat>,
    keys: mpsc::Receiver<Typed>,
    count: watch::Sender<usize>,
    /// Whose size the agent has; None: that of the session's own terminal, or
    /// the last one's, where there is none.
    holder: Option<ViewerId>,
    size: TermSize,
    /// What is typed at the session's own terminal.
    own: Draft,
    /// What has happened to the agent, while there is none.
    interlude: Option<News>,
}

/// Something that has happened to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// How it ended; None: it was told to, and starts again.
    pub exit: Option<AgentExit>,
    /// What has happened and what follows, in words.
    pub text: String,
}

/// One who looks on.
#[derive(Debug)]
struct Seat {
    id: ViewerId,
    /// None: of no terminal, and never counts.
    size: Option<TermSize>,
    typed: Draft,
    /// None: it did not keep up.
    queue: Option<Queue>,
    /// It is to be shown the whole screen.
    is_due: bool,
}

impl Audience {
    pub(super) fn new(
        keys: mpsc::Receiver<Typed>,
        count: watch::Sender<usize>,
        size: TermSize,
    ) -> Self {
        Self {
            seats: Vec::new(),
            keys,
            count,
            holder: None,
            size,
            own: Draft::default(),
            interlude: None,
        }
    }

    /// The size that the agent's terminal is to have.
    pub(super) fn size(&self) -> TermSize {
        self.size
    }

    /// Waits for what a viewer types.
    pub(super) async fn keys(&mut self) -> Typed {
        match self.keys.recv().await {
            Some(keys) => keys,
            None => std::future::pending().await,
        }
    }

    /// True if somebody follows all of the output.
    pub(super) fn follows(&self) -> bool {
        self.seats.iter().any(|seat| seat.queue.is_some())
    }

    /// Shows what the agent wrote.
    pub(super) fn output(&mut self, chunk: &[u8]) {
        if !self.follows() {
            return;
        }
        let chunk = Bytes::copy_from_slice(chunk);
        for seat in &mut self.seats {
            seat.queue.take_if(|queue| !queue.output(&chunk));
        }
    }

    /// Shows the whole screen to everybody who has yet to see it.
    pub(super) fn refresh(&mut self, feed: &Feed) {
        for seat in &mut self.seats {
            if let (Some(queue), true) = (&seat.queue, seat.is_due) {
                queue.push(Queued::Keyframe(feed.keyframe()));
            }
            seat.is_due = false;
        }
    }

    /// Another life begins, on another screen.
    pub(super) fn begin(&mut self) {
        self.interlude = None;
        self.seats.iter_mut().for_each(|seat| seat.is_due = true);
    }

    /// A life has ended.
    pub(super) fn end(&mut self, exit: Option<AgentExit>, text: &str) {
        let text = text.to_owned();
        let news = self.interlude.insert(News { exit, text });
        for queue in self.seats.iter().filter_map(|seat| seat.queue.as_ref()) {
            queue.push(Queued::News(news.clone()));
        }
    }

    /// What a new viewer is shown while there is no agent.
    pub(super) fn idle(&mut self) {
        for seat in &mut self.seats {
            if let (Some(queue), true) = (&seat.queue, seat.is_due) {
                queue.push(blank(self.size));
                if let Some(news) = &self.interlude {
                    queue.push(Queued::News(news.clone()));
                }
            }
            seat.is_due = false;
        }
    }

    /// Notes what is typed at the session's own terminal.
    pub(super) fn own_keys(&mut self, keys: &[u8], tty: &impl Tty) {
        if self.own.follow(keys) && self.holder.take().is_some() {
            self.resize(tty.size());
        }
    }

    /// The session's own terminal may have another size.
    pub(super) fn own_size(&mut self, size: TermSize) {
        if self.holder.is_none() {
            self.resize(size);
        }
    }

    /// Notes what a viewer types: the size is its terminal's from now on.
    pub(super) fn typed(&mut self, typed: &Typed) {
        let mut seats = self.seats.iter();
        let Some(at) = seats.position(|seat| seat.id == typed.viewer) else {
            return;
        };
        self.seats[at].size = typed.size.or(self.seats[at].size);
        if !self.seats[at].typed.follow(&typed.keys) {
            return;
        }
        self.seats[at..].rotate_left(1);
        self.hand_to(self.seats.len() - 1);
    }

    /// Does what a viewer wants, but for a repaint.
    pub(super) fn hear(&mut self, id: ViewerId, interest: Interest, tty: &impl Tty) {
        let at = self.seats.iter().position(|seat| seat.id == id);
        match (interest, at) {
            (Interest::Watch { size, room, show }, at) => {
                let (queue, begun) = Queue::open(room);
                // Who asked may have gone away; it says so then.
                let _ = show.send(begun);
                let at = at.unwrap_or_else(|| self.seat(id));
                self.seats[at].queue = Some(queue);
                self.seats[at].size = size.or(self.seats[at].size);
                self.seats[at].is_due = true;
                if self.holder.is_none() && !tty.answers() {
                    self.hand_to(at);
                }
            }
            (Interest::Resize(size), Some(at)) => {
                let seat = &mut self.seats[at];
                (seat.size, seat.is_due) = (Some(size), true);
                if self.holder == Some(id) {
                    self.resize(size);
                }
            }
            (Interest::Leave, Some(at)) => {
                self.seats.remove(at);
                self.count.send_replace(self.seats.len());
                if self.holder.take_if(|holder| *holder == id).is_some() {
                    self.inherit(tty);
                }
            }
            (Interest::Resize(_) | Interest::Leave | Interest::Repaint, _) => {}
        }
    }

    fn seat(&mut self, id: ViewerId) -> usize {
        // Who has never typed comes before who has.
        self.seats.insert(
            0,
            Seat {
                id,
                size: None,
                typed: Draft::default(),
                queue: None,
                is_due: true,
            },
        );
        self.count.send_replace(self.seats.len());
        0
    }

    /// The holder has gone: the session's own terminal counts, or who typed
    /// last of the others.
    fn inherit(&mut self, tty: &impl Tty) {
        if tty.answers() {
            self.resize(tty.size());
        } else if let Some(at) = self.seats.iter().rposition(|seat| seat.size.is_some()) {
            self.hand_to(at);
        }
    }

    fn hand_to(&mut self, at: usize) {
        if let Some(size) = self.seats[at].size {
            self.holder = Some(self.seats[at].id);
            self.resize(size);
        }
    }

    fn resize(&mut self, size: TermSize) {
        if std::mem::replace(&mut self.size, size) != size {
            self.seats.iter_mut().for_each(|seat| seat.is_due = true);
        }
    }
}

/// A screen without an agent.
fn blank(size: TermSize) -> Queued {
    let (tell, keyframe) = oneshot::channel();
    // The other end is in our hands.
    let _ = tell.send(Keyframe {
        bytes: Screen::new(size).keyframe(),
        size,
        shown: 0,
        unsure: false,
        sieve: Sieve::default(),
    });
    Queued::Keyframe(keyframe)
}

//! One who looks on, as others hold it, and the queue of what it is shown.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::News;
use crate::session::handle::{Command, Interest};
use crate::terminal::Keyframe;
use crate::terminal::query::Sieve;
use crate::types::size::TermSize;

/// Tells viewers of one session apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct ViewerId(pub(in crate::session) u64);

/// What a viewer types.
#[derive(Debug)]
pub(in crate::session) struct Typed {
    pub(super) viewer: ViewerId,
    /// What [`Viewer::resize`] told before, if it was ever called: that goes
    /// another way, and may come later than the keys.
    pub(super) size: Option<TermSize>,
    pub(in crate::session) keys: Bytes,
}

/// A part of what a viewer is shown.
#[derive(Debug)]
pub enum Piece {
    /// The whole screen, from which what follows goes on: at first, and
    /// whenever the agent's terminal has another size or is another.
    Keyframe(Keyframe),
    /// What the agent wrote, less what it asked its terminal.
    Output(Vec<u8>),
    News(News),
}

/// The same as it waits.
#[derive(Debug)]
pub(super) enum Queued {
    Keyframe(oneshot::Receiver<Keyframe>),
    Output(Bytes, OwnedSemaphorePermit),
    News(News),
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    Piece(Piece),
    /// Output was lost: whoever can go on asks for another [`Show`].
    Lost,
    /// The session has ended.
    Over,
}

/// What one viewer is shown.
#[derive(Debug)]
pub struct Show {
    queue: mpsc::UnboundedReceiver<Queued>,
    room: Arc<Semaphore>,
    /// Taken off the queue, and not shown yet.
    kept: Option<Queued>,
    sieve: Sieve,
}

/// The session's end of a show.
#[derive(Debug)]
pub(super) struct Queue {
    queue: mpsc::UnboundedSender<Queued>,
    /// Closed when output was lost.
    room: Arc<Semaphore>,
}

/// A terminal that looks on and types. Dropped, it is gone.
#[derive(Debug)]
pub struct Viewer {
    id: ViewerId,
    commands: mpsc::Sender<Command>,
    keys: mpsc::Sender<Typed>,
}

impl Show {
    /// The next piece, in order.
    pub async fn next(&mut self) -> Next {
        loop {
            let queued = match self.kept.take() {
                None => self.queue.recv().await,
                kept => kept,
            };
            // What was queued before the loss is out of date.
            if self.room.is_closed() {
                return Next::Lost;
            }
            return Next::Piece(match queued {
                Some(Queued::Keyframe(keyframe)) => match keyframe.await {
                    Ok(keyframe) => {
                        self.sieve = keyframe.sieve.clone();
                        Piece::Keyframe(keyframe)
                    }
                    // The screen is gone; another comes, or the end.
                    Err(_) => continue,
                },
                Some(Queued::Output(output, room)) => self.output(&output, room),
                Some(Queued::News(news)) => Piece::News(news),
                None => return Next::Over,
            });
        }
    }

    /// Output that is there already, if it comes next.
    pub fn at_once(&mut self) -> Option<Piece> {
        if self.kept.is_none() && !self.room.is_closed() {
            self.kept = self.queue.try_recv().ok();
        }
        match self.kept.take() {
            Some(Queued::Output(output, room)) => Some(self.output(&output, room)),
            other => {
                self.kept = other;
                None
            }
        }
    }

    fn output(&mut self, output: &[u8], room: OwnedSemaphorePermit) -> Piece {
        drop(room);
        let mut shown = Vec::with_capacity(output.len());
        self.sieve.sift(output, &mut shown);
        Piece::Output(shown)
    }
}

impl Queue {
    pub(super) fn open(room: usize) -> (Self, Show) {
        let (queue, queued) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(room));
        let show = Show {
            queue: queued,
            room: Arc::clone(&room),
            kept: None,
            sieve: Sieve::default(),
        };
        (Self { queue, room }, show)
    }

    pub(super) fn push(&self, queued: Queued) {
        // A viewer that has gone says so itself.
        let _ = self.queue.send(queued);
    }

    /// Queues output. False: there is no room, and the viewer has lost it.
    pub(super) fn output(&self, output: &Bytes) -> bool {
        let bytes = u32::try_from(output.len()).unwrap_or(u32::MAX);
        if let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) {
            self.push(Queued::Output(output.clone(), room));
            true
        } else {
            self.room.close();
            false
        }
    }
}

impl Viewer {
    pub(in crate::session) fn new(
        id: ViewerId,
        commands: mpsc::Sender<Command>,
        keys: mpsc::Sender<Typed>,
    ) -> Self {
        Self { id, commands, keys }
    }

    /// Begins a show, in the place of the one before: a keyframe first. `size`
    /// is that of the viewer's terminal, if its size is ever to count; it need
    /// not be told again. At most `room` bytes of output wait for the viewer.
    /// None: the session has ended.
    pub async fn watch(&self, size: Option<TermSize>, room: usize) -> Option<Show> {
        let (show, begun) = oneshot::channel();
        self.tell(Interest::Watch { size, room, show }).await;
        begun.await.ok()
    }

    /// Types, as at the session's own terminal; waits while the agent takes no
    /// keys. `size` is what was told with [`Viewer::resize`] last.
    pub async fn keys(&self, keys: Bytes, size: Option<TermSize>) {
        let viewer = self.id;
        // A session that has ended takes none: its show says so.
        let _ = self.keys.send(Typed { viewer, size, keys }).await;
    }

    /// The viewer's terminal has another size.
    pub async fn resize(&self, size: TermSize) {
        self.tell(Interest::Resize(size)).await;
    }

    /// Has the agent draw anew what the last keyframe may not have right.
    pub async fn repaint(&self) {
        self.tell(Interest::Repaint).await;
    }

    async fn tell(&self, interest: Interest) {
        // A session that has ended needs to know nothing more.
        let _ = self
            .commands
            .send(Command::Interest(self.id, interest))
            .await;
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let (id, commands) = (self.id, self.commands.clone());
        let leave = Command::Interest(id, Interest::Leave);
        // The queue of commands is full only while the session is at its limits.
        if let Err(mpsc::error::TrySendError::Full(leave)) = commands.try_send(leave) {
            tokio::spawn(async move { drop(commands.send(leave).await) });
        }
    }
}

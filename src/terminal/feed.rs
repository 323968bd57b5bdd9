//! The screen model on a thread of its own, beside the relay and never in it.
//!
//! The relay hands its chunks over and goes on. The thread collects them for
//! a while, shows them in one go, and rests longer the longer that took, so
//! that a flood leaves the processor to the relay. Nobody waits for it but who
//! asks for a [`Look`].
//!
//! *Invariant*: handing over neither blocks nor grows without bound. What
//! cannot be shown in time is skipped ([`super::plain`]); what was skipped by
//! guess or lost makes the looks that follow `unsure`, until a repaint.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use super::plain::{self, Printed};
use super::screen::{Picture, Screen};
use crate::types::size::TermSize;

/// How many chunks may wait; of about 4 KiB each, as the kernel cuts them.
const QUEUE: usize = 4096;

/// How long chunks are collected while nobody looks.
const PAUSE: Duration = Duration::from_millis(4);

/// How many bytes of a batch are shown whole.
const WHOLE: usize = 1024 * 1024;

/// The screen after a batch of output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub picture: Picture,
    /// The printable output since the last [`Feed::mark`], without blanks.
    pub printed: String,
    /// Output was skipped, and the screen may be another than the user's.
    pub unsure: bool,
    /// How much of what was handed over it shows; see [`Feed::is_current`].
    shown: u64,
}

/// The relay's end of the thread that shows. Dropped, it ends the thread.
#[derive(Debug)]
pub struct Feed {
    items: SyncSender<Item>,
    looks: watch::Receiver<Arc<Look>>,
    lost: Arc<AtomicBool>,
    thread: thread::Thread,
    handed: Cell<u64>,
}

#[derive(Debug)]
enum Item {
    Output(Bytes),
    Resize(TermSize),
    Mark,
    Attend(bool),
    Ask(oneshot::Sender<Arc<Look>>),
}

impl Feed {
    /// Starts the thread with a blank screen.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(size: TermSize) -> std::io::Result<Self> {
        let (items, queue) = sync_channel(QUEUE);
        let (publish, looks) = watch::channel(Arc::default());
        let lost = Arc::new(AtomicBool::new(false));
        let shower = Shower {
            screen: Screen::new(size),
            printed: Printed::default(),
            attended: false,
            unsure: false,
            shown: 0,
            lost: Arc::clone(&lost),
            publish,
        };
        let thread = thread::Builder::new()
            .name("screen".into())
            .spawn(move || shower.run(&queue))?
            .thread()
            .clone();
        Ok(Self {
            items,
            looks,
            lost,
            thread,
            handed: Cell::new(0),
        })
    }

    /// Hands over what the agent wrote.
    pub fn output(&self, chunk: Bytes) {
        self.send(Item::Output(chunk));
    }

    pub fn resize(&self, size: TermSize) {
        self.send(Item::Resize(size));
    }

    /// Starts [`Look::printed`] anew.
    pub fn mark(&self) {
        self.send(Item::Mark);
    }

    /// While attended, every batch is shown at once and its look published.
    pub fn attend(&self, attended: bool) {
        self.send(Item::Attend(attended));
        self.thread.unpark();
    }

    /// Waits for the next look, while attended.
    pub async fn next(&mut self) -> Arc<Look> {
        if self.looks.changed().await.is_err() {
            // The thread is gone, which only the end of this handle brings.
            std::future::pending::<()>().await;
        }
        self.looks.borrow_and_update().clone()
    }

    /// Has the screen told, as it is after everything handed over so far.
    pub fn ask(&self, reply: oneshot::Sender<Arc<Look>>) {
        self.send(Item::Ask(reply));
        self.thread.unpark();
    }

    /// True if nothing was handed over after what this look shows.
    #[must_use]
    pub fn is_current(&self, look: &Look) -> bool {
        look.shown == self.handed.get()
    }

    fn send(&self, item: Item) {
        match self.items.try_send(item) {
            Ok(()) => self.handed.set(self.handed.get() + 1),
            Err(_) => self.lost.store(true, Ordering::Relaxed),
        }
    }
}

/// The thread.
struct Shower {
    screen: Screen,
    printed: Printed,
    attended: bool,
    unsure: bool,
    shown: u64,
    lost: Arc<AtomicBool>,
    publish: watch::Sender<Arc<Look>>,
}

impl Shower {
    fn run(mut self, queue: &Receiver<Item>) {
        let mut rest = PAUSE;
        while let Ok(first) = queue.recv() {
            let urgent = matches!(first, Item::Attend(_) | Item::Ask(_));
            if !self.attended && !urgent {
                thread::park_timeout(rest);
            }
            let start = Instant::now();
            let mut batch = Vec::new();
            for item in std::iter::once(first).chain(queue.try_iter()) {
                self.shown += 1;
                match item {
                    Item::Output(chunk) => batch.push(chunk),
                    other => {
                        self.show(&std::mem::take(&mut batch));
                        self.act(other);
                    }
                }
                if batch.len() >= QUEUE {
                    self.show(&std::mem::take(&mut batch));
                }
            }
            self.show(&batch);
            if self.attended {
                let look = self.look();
                self.publish.send_replace(look);
            }
            rest = PAUSE.max(start.elapsed() * 4);
        }
    }

    fn act(&mut self, item: Item) {
        match item {
            Item::Output(chunk) => self.show(&[chunk]),
            Item::Resize(size) => self.screen.resize(size),
            Item::Mark => self.printed = Printed::default(),
            Item::Attend(attended) => self.attended = attended,
            // Who asked may have gone away meanwhile.
            Item::Ask(reply) => drop(reply.send(self.look())),
        }
    }

    fn show(&mut self, batch: &[Bytes]) {
        if self.attended {
            for chunk in batch {
                self.printed.feed(chunk);
            }
        }
        let rows = self.screen.size().rows;
        if self.lost.swap(false, Ordering::Relaxed) {
            tracing::debug!("output came faster than it could be shown: some was lost");
            self.unsure = true;
        }
        if let [chunk] = batch {
            self.screen.feed(chunk);
            self.unsure &= !plain::repaints(chunk, rows);
            return;
        }
        if batch.is_empty() {
            return;
        }
        let mut bytes = plain::without_scrolled(&batch.concat(), rows);
        if bytes.len() > WHOLE {
            bytes = plain::tail_and_modes(&bytes);
            self.unsure = true;
        }
        self.screen.feed(&bytes);
        self.unsure &= !plain::repaints(&bytes, rows);
    }

    fn look(&mut self) -> Arc<Look> {
        Arc::new(Look {
            picture: self.screen.picture(),
            printed: self.printed.text(),
            unsure: self.unsure,
            shown: self.shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(feed: &Feed) -> Arc<Look> {
        let (reply, look) = oneshot::channel();
        feed.ask(reply);
        look.blocking_recv().expect("the thread answers")
    }

    #[test]
    fn a_look_shows_everything_handed_over() {
        let feed = Feed::start(TermSize::new(4, 20)).expect("a thread");
        feed.output(Bytes::from_static(b"one\r\n"));
        feed.output(Bytes::from_static(b"two"));
        assert_eq!(ask(&feed).picture.rows, ["one", "two", "", ""]);
        feed.resize(TermSize::new(2, 20));
        feed.output(Bytes::from_static(b"!"));
        assert_eq!(ask(&feed).picture.rows, ["one", "two!"]);
    }

    #[test]
    fn what_is_printed_counts_from_the_mark() {
        let feed = Feed::start(TermSize::default()).expect("a thread");
        feed.attend(true);
        feed.output(Bytes::from_static(b"before"));
        feed.mark();
        feed.output(Bytes::from_static(b"\x1b[1maf ter\x1b[0m"));
        assert_eq!(ask(&feed).printed, "after");
    }

    #[test]
    fn a_plain_flood_ends_in_its_last_lines() {
        let feed = Feed::start(TermSize::new(3, 40)).expect("a thread");
        let chunk = Bytes::from("some words on a line\r\n".repeat(200));
        for _ in 0..QUEUE * 2 {
            feed.output(chunk.clone());
        }
        let look = loop {
            // The queue may be full of output, and then no question fits in.
            let (reply, look) = oneshot::channel();
            feed.ask(reply);
            if let Ok(look) = look.blocking_recv() {
                break look;
            }
        };
        assert_eq!(look.picture.rows[0], "some words on a line");
        assert!(!look.unsure);
    }

    #[test]
    fn what_is_lost_makes_unsure_until_a_repaint() {
        let feed = Feed::start(TermSize::new(3, 40)).expect("a thread");
        feed.lost.store(true, Ordering::Relaxed);
        feed.output(Bytes::from_static(b"part"));
        assert!(ask(&feed).unsure);
        feed.output(Bytes::from_static(b"\x1b[2J\x1b[Hwhole"));
        let look = ask(&feed);
        assert!(!look.unsure);
        assert_eq!(look.picture.rows[0], "whole");
    }
}

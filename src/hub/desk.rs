//! The one thread that owns the chat: jobs go in, answers come out.
//!
//! A job runs from its beginning to its end with nobody else at the desk, so
//! the chat needs no locks and no job sees half of another.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;

use super::chat::Chat;

type Job = Box<dyn FnOnce(&mut Chat) + Send>;

/// Handle to the desk. The thread ends when the last one is dropped.
#[derive(Clone)]
pub(super) struct Desk {
    jobs: mpsc::Sender<Job>,
}

/// The thread has ended: it panicked, or the hub is shutting down.
#[derive(Debug, thiserror::Error)]
#[error("the hub's store is closed")]
pub(super) struct Closed;

impl Desk {
    /// Starts the thread. Joined, it has closed the store; `keep` is dropped
    /// after that.
    pub(super) fn open(
        mut chat: Chat,
        keep: impl Send + 'static,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("hub-store".into())
            .spawn(move || {
                for job in inbox {
                    job(&mut chat);
                }
                drop(chat);
                drop(keep);
            })?;
        Ok((Self { jobs }, thread))
    }

    /// Has a job done, and waits for its answer.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Chat, Instant) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.tell(move |chat, now| {
            // The asker may have gone away: its job is done all the same.
            let _ = reply.send(job(chat, now));
        })?;
        answer.await.map_err(|_| Closed)
    }

    /// Has a job done that has no answer.
    pub(super) fn tell(
        &self,
        job: impl FnOnce(&mut Chat, Instant) + Send + 'static,
    ) -> Result<(), Closed> {
        let job: Job = Box::new(|chat| job(chat, Instant::now()));
        self.jobs.send(job).map_err(|_| Closed)
    }
}

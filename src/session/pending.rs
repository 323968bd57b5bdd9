//! Prompts on their way, as those see them who asked for them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};

use super::handle::Command;
use super::receipt::{PromptId, Reason, Receipt};

/// How many prompts are remembered.
const REMEMBERED: usize = 256;

/// How far a reader of all receipts may be behind.
const BEHIND: usize = 256;

/// Tells whoever asked for a prompt how it stands, and whoever follows them
/// all.
#[derive(Debug)]
pub(super) struct Ticket {
    told: watch::Sender<Receipt>,
    all: broadcast::Sender<Receipt>,
}

/// A prompt on its way. Dropped, it goes its way all the same.
#[derive(Debug, Clone)]
pub struct Pending {
    id: PromptId,
    told: watch::Receiver<Receipt>,
    commands: mpsc::Sender<Command>,
}

/// The last prompts of a session.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pages: Arc<Mutex<Pages>>,
    all: broadcast::Sender<Receipt>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            pages: Arc::default(),
            all: broadcast::Sender::new(BEHIND),
        }
    }
}

/// The prompts of a session that have not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    pub count: usize,
    /// What the first of them waits for, and since when it was asked for.
    pub reason: Option<Reason>,
    pub waited: Option<Duration>,
}

#[derive(Debug, Default)]
struct Pages {
    /// How many there were.
    count: u64,
    last: VecDeque<watch::Receiver<Receipt>>,
}

impl Pending {
    pub(super) fn new(
        id: PromptId,
        told: watch::Receiver<Receipt>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self { id, told, commands }
    }

    /// By what [`super::Session::receipt`] knows it.
    #[must_use]
    pub fn id(&self) -> PromptId {
        self.id
    }

    /// How it stands.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        so_far(&self.told)
    }

    /// The same, now and whenever it has come further or waits for something
    /// else. [`Pending::ended`] knows more: it sees the end of the session.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Receipt> {
        self.told.clone()
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> Receipt {
        let has_ended = |receipt: &Receipt| receipt.outcome().is_some();
        // An error is the end of a session without a word: the receipt says so.
        let _ = self.told.wait_for(has_ended).await;
        self.receipt()
    }

    /// Takes it back: if it was not typed by now, it never is. The receipt says
    /// what became of it.
    pub async fn withdraw(&self) {
        // A session that has ended types nothing any more.
        let _ = self.commands.send(Command::Withdraw(self.id)).await;
    }

    /// Takes it back unless some of it was typed: then it goes its way.
    pub async fn recall(&self) {
        // A session that has ended types nothing any more.
        let _ = self.commands.send(Command::Recall(self.id)).await;
    }
}

impl Ticket {
    pub(super) fn tell(&self, receipt: Receipt) {
        // Nobody may follow.
        let _ = self.all.send(receipt.clone());
        self.told.send_replace(receipt);
    }
}

impl Book {
    /// Every receipt from now on, whenever it has come further.
    pub(super) fn follow(&self) -> broadcast::Receiver<Receipt> {
        self.all.subscribe()
    }

    /// Makes a ticket for the next prompt.
    pub(super) fn open(&self, now: Instant) -> (PromptId, Ticket, watch::Receiver<Receipt>) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.count += 1;
        let id = PromptId(pages.count);
        let receipt = Receipt::new(id, now);
        let (sender, told) = watch::channel(receipt.clone());
        if pages.last.len() >= REMEMBERED {
            pages.last.pop_front();
        }
        pages.last.push_back(told.clone());
        let ticket = Ticket {
            told: sender,
            all: self.all.clone(),
        };
        ticket.tell(receipt);
        (id, ticket, told)
    }

    /// Those of the last that have not ended.
    pub(super) fn waiting(&self) -> Waiting {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let receipts = pages.last.iter().map(so_far);
        let waiting: Vec<Receipt> = receipts
            .filter(|receipt| receipt.outcome().is_none())
            .collect();
        // Who is typed goes first, and so does who waits for more than others.
        let tells = |receipt: &&Receipt| receipt.reason() != Some(&Reason::Behind);
        let first = waiting.iter().find(tells).or(waiting.first());
        Waiting {
            count: waiting.len(),
            reason: first.and_then(|receipt| receipt.reason().cloned()),
            waited: first.map(|receipt| receipt.asked.elapsed()),
        }
    }

    /// How a prompt stands, if it is one of the last.
    pub(super) fn find(&self, id: PromptId) -> Option<Receipt> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pages.last.iter().find(|told| told.borrow().id == id)?;
        Some(so_far(found))
    }
}

/// What was told last, or what follows from its being the last.
fn so_far(told: &watch::Receiver<Receipt>) -> Receipt {
    let is_over = told.has_changed().is_err();
    let receipt = told.borrow().clone();
    if is_over {
        receipt.abandoned(Instant::now())
    } else {
        receipt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::receipt::Word;

    #[test]
    fn the_last_prompts_are_remembered() {
        let book = Book::default();
        let word = |id| book.find(PromptId(id)).map(|receipt| receipt.word());
        let (_, first, _told) = book.open(Instant::now());
        assert_eq!(word(1), Some(Word::Queued));
        drop(first);
        assert_eq!(word(1), Some(Word::Refused), "nobody types it any more");
        let tickets: Vec<Ticket> = (0..REMEMBERED)
            .map(|_| book.open(Instant::now()).1)
            .collect();
        assert_eq!((word(1), word(2)), (None, Some(Word::Queued)));
        assert_eq!(word(257), Some(Word::Queued));
        assert_eq!((word(258), tickets.len()), (None, REMEMBERED));
    }
}

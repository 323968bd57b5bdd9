//! The session as others hold it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::audience::{Show, Typed, Viewer, ViewerId};
use super::detect::{Verdict, View};
use super::pending::{Book, Pending, Ticket, Waiting};
use super::receipt::{Options, PromptId, Receipt};
use crate::types::exit::AgentExit;
use crate::types::size::TermSize;

/// Pieces of what viewers type that may wait for an agent that takes no keys.
const KEYS: usize = 4;

/// A handle of a running session; clones are handles of the same.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    busy: watch::Receiver<bool>,
    doing: watch::Receiver<State>,
    last_words: watch::Receiver<Vec<String>>,
    book: Book,
    keys: mpsc::Sender<Typed>,
    viewers: watch::Receiver<usize>,
    /// The next viewer's id.
    next: Arc<AtomicU64>,
}

/// The session's own end.
#[derive(Debug)]
pub struct Mailbox {
    pub(super) commands: mpsc::Receiver<Command>,
    /// What viewers type.
    pub(super) keys: mpsc::Receiver<Typed>,
    pub(super) viewers: watch::Sender<usize>,
    pub(super) status: watch::Sender<Status>,
    pub(super) busy: watch::Sender<bool>,
    pub(super) doing: watch::Sender<State>,
    pub(super) last_words: watch::Sender<Vec<String>>,
}

/// What a session may be asked; each asks for its answer.
#[derive(Debug)]
pub(super) enum Command {
    Type {
        id: PromptId,
        text: String,
        options: Options,
        ticket: Ticket,
    },
    Withdraw(PromptId),
    Recall(PromptId),
    Judge(oneshot::Sender<Judged>),
    Stop {
        grace: Duration,
    },
    Restart {
        grace: Duration,
    },
    Interest(ViewerId, Interest),
}

/// What one who looks on wants.
#[derive(Debug)]
pub(super) enum Interest {
    Watch {
        size: Option<TermSize>,
        /// How much may wait for it, in bytes.
        room: usize,
        show: oneshot::Sender<Show>,
    },
    Resize(TermSize),
    Repaint,
    Leave,
}

/// How a session stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    pub life: Life,
    /// The agent's process, while there is one.
    pub agent_pid: Option<u32>,
    /// How often the agent was started again.
    pub restarts: u32,
    /// How the last one ended.
    pub exit: Option<AgentExit>,
}

/// Whether there is an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Life {
    /// The agent is about to run, for the first time or again.
    #[default]
    Starting,
    Running,
    /// The agent is gone for good.
    Exited,
}

/// What an agent is doing, as far as its screen tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Starting,
    /// It waits for a prompt.
    Idle,
    Busy,
    /// A question is open.
    Blocked,
    /// The agent is stopped, and the session with it, until both are continued.
    Suspended,
    Exited,
    /// The session does not say.
    Unknown,
}

/// An agent's screen, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub state: State,
    pub verdict: Verdict,
    pub view: View,
    /// Why a prompt would wait now; None: it would be typed.
    pub waits_for: Option<String>,
    /// [`super::detect::Manifest::stash`].
    pub stash: Option<Vec<u8>>,
}

/// Makes the two ends of a session.
#[must_use]
pub fn open() -> (Session, Mailbox) {
    let (commands, inbox) = mpsc::channel(64);
    let (publish, status) = watch::channel(Status::default());
    let (tell, busy) = watch::channel(false);
    let (seen, doing) = watch::channel(State::Starting);
    let (leave, last_words) = watch::channel(Vec::new());
    let (keys, typed) = mpsc::channel(KEYS);
    let (count, viewers) = watch::channel(0);
    let mailbox = Mailbox {
        commands: inbox,
        keys: typed,
        viewers: count,
        status: publish,
        busy: tell,
        doing: seen,
        last_words: leave,
    };
    let session = Session {
        commands,
        status,
        busy,
        doing,
        last_words,
        book: Book::default(),
        keys,
        viewers,
        next: Arc::default(),
    };
    (session, mailbox)
}

impl Session {
    /// Queues a prompt. Prompts are typed in the order of the calls.
    pub async fn prompt(&self, text: impl Into<String>, options: Options) -> Pending {
        let (id, ticket, told) = self.book.open(Instant::now());
        let command = Command::Type {
            id,
            text: text.into(),
            options,
            ticket,
        };
        // A session that has ended drops the ticket, which says so.
        let _ = self.commands.send(command).await;
        Pending::new(id, told, self.commands.clone())
    }

    /// How one of the last prompts stands.
    #[must_use]
    pub fn receipt(&self, id: PromptId) -> Option<Receipt> {
        self.book.find(id)
    }

    /// The prompts that wait.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.book.waiting()
    }

    /// Whether the agent works, now and from now on.
    #[must_use]
    pub fn busy(&self) -> watch::Receiver<bool> {
        self.busy.clone()
    }

    /// What the agent does, now and from now on, as it is seen whenever it has
    /// written something or has fallen silent.
    #[must_use]
    pub fn doing(&self) -> watch::Receiver<State> {
        self.doing.clone()
    }

    /// The last rows of the screen that the agent's last life has left; none
    /// before it has ended.
    #[must_use]
    pub fn last_words(&self) -> Vec<String> {
        self.last_words.borrow().clone()
    }

    /// The receipts of all prompts, whenever one has come further.
    #[must_use]
    pub fn receipts(&self) -> broadcast::Receiver<Receipt> {
        self.book.follow()
    }

    /// Ends the agent and the session: SIGHUP to the agent's group, SIGTERM
    /// after half of `grace`, SIGKILL after the whole. Returns at once; the end
    /// is that of [`super::supervise`].
    pub async fn stop(&self, grace: Duration) {
        // A session that has ended already needs no more.
        let _ = self.commands.send(Command::Stop { grace }).await;
    }

    /// Ends the agent as [`Session::stop`] does, and starts it again, to go on
    /// with what it was at, where it can.
    pub async fn restart(&self, grace: Duration) {
        // A session that has ended has no agent to restart.
        let _ = self.commands.send(Command::Restart { grace }).await;
    }

    /// What the agent is doing.
    pub async fn state(&self) -> State {
        match self.status.borrow().life {
            Life::Starting => return State::Starting,
            Life::Exited => return State::Exited,
            Life::Running => {}
        }
        self.judged()
            .await
            .map_or(State::Unknown, |judged| judged.state)
    }

    /// What its screen shows, and why that is so; None while no agent runs.
    pub async fn judged(&self) -> Option<Judged> {
        self.ask(Command::Judge).await
    }

    /// How the session stands, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Another terminal that looks on, or may.
    #[must_use]
    pub fn viewer(&self) -> Viewer {
        let id = ViewerId(self.next.fetch_add(1, Ordering::Relaxed));
        Viewer::new(id, self.commands.clone(), self.keys.clone())
    }

    /// How many terminals look on, besides the session's own.
    #[must_use]
    pub fn viewers(&self) -> usize {
        *self.viewers.borrow()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

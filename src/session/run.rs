//! One life of the agent: bytes both ways, prompts between them, an end.
//!
//! *Invariant*: the user's bytes come first. The screen model and the typist
//! are served after them and never waited for.

mod eyes;

use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};

use super::detect::Manifest;
use super::ending::{Ending, sweep};
use super::handle::Command;
use super::pending::Ticket;
use super::receipt::{Options, PromptId, Receipt};
use super::relay::{Down, Moved, Up};
use super::typist::Typist;
use crate::terminal::{Change, Feed, Process, Pty, Tty};
use crate::types::exit::AgentExit;
use eyes::Eyes;

/// How long the agent's terminal must be silent after the agent's end, if
/// somebody else still holds it open; and how much the kernel may have kept.
const SILENCE: Duration = Duration::from_millis(50);
const KEPT: usize = 256 * 1024;

/// The grace of an agent whose terminal has gone.
const HANGUP_GRACE: Duration = Duration::from_secs(5);

/// How long the last output of an agent that was stopped may take.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// What outlives one life of the agent.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) typist: Typist<Ticket>,
    pub(super) manifest: Manifest,
    pub(super) busy: watch::Sender<bool>,
}

impl Desk {
    /// Queues a prompt.
    pub(super) fn take(&mut self, id: PromptId, prompt: (&str, Options), ticket: Ticket) {
        if let Some((ticket, receipt)) = self.typist.push(Instant::now(), id, prompt, ticket) {
            answer(&ticket, receipt);
        }
    }

    /// Ends the prompts whose time is over.
    pub(super) fn expire(&mut self) {
        while let Some((ticket, receipt)) = self.typist.expire(Instant::now()) {
            answer(&ticket, receipt);
        }
    }

    /// Tells how the others stand.
    pub(super) fn tell(&mut self) {
        while let Some((ticket, receipt)) = self.typist.news() {
            answer(ticket, receipt.clone());
        }
    }
}

/// How a life ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) exit: AgentExit,
    pub(super) end: End,
}

/// Who ended a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The agent.
    Own,
    /// We did: we were asked to, or the user's terminal has gone.
    Stopped,
    /// We did, to begin another, which goes on with what this one was at.
    Again { resume: bool },
}

/// Relays until the agent has ended and its output is shown.
pub(super) async fn run(
    pty: &Pty,
    process: &mut Process,
    tty: &impl Tty,
    desk: &mut Desk,
) -> io::Result<Ended> {
    let mut eyes = Eyes::open(tty)?;
    let (mut up, mut down) = (Up::new(pty, tty), Down::new(pty, tty));
    let mut ending: Option<Ending> = None;
    let mut again = None;
    tty.note_alternate(true);
    desk.typist.agent_started(Instant::now());
    let exit = loop {
        let wake = match &ending {
            Some(ending) => ending.wake(),
            None => eyes.wake(desk, down.is_idle()),
        };
        let mut hung_up = false;
        let room = eyes.feed.room();
        tokio::select! {
            biased;
            moved = down.next() => match moved {
                Moved::Read(n) => {
                    let keys = desk.typist.user(Instant::now(), down.keys(n));
                    down.send(&keys).await;
                }
                Moved::Written if down.is_idle() => desk.typist.written(Instant::now()),
                Moved::Written => {}
                // The agent is going; its exit says the rest.
                Moved::Lost(error) => tracing::debug!(%error, "keys were lost"),
                Moved::Closed => hung_up = true,
            },
            Some(command) = desk.commands.recv() => match command {
                Command::Type { id, text, options, ticket } => {
                    desk.take(id, (&text, options), ticket);
                }
                Command::Withdraw(id) => desk.typist.withdraw(Instant::now(), id),
                Command::View(reply) => eyes.tell(reply),
                Command::Judge(reply) => eyes.judge(reply, desk.manifest.clone()),
                Command::Stop { grace } => {
                    again = None;
                    ending = Some(Ending::begin(process, grace));
                }
                // An end that was asked for stays one.
                Command::Restart { grace, resume } if ending.is_none() => {
                    again = Some(resume);
                    ending = Some(Ending::begin(process, grace));
                }
                Command::Restart { .. } => {}
            },
            change = process.change() => match change? {
                Change::Ended(exit) => break exit,
                Change::Stopped => suspend(pty, process, tty)?,
            },
            looked = eyes.next() => eyes.take(looked, desk, &mut down).await,
            () = tty.resized() => {
                eyes.feed.resize(tty.size());
                pty.resize(tty.size())?;
            }
            () = until(wake) => {}
            moved = up.next_after(room) => match moved {
                Moved::Read(n) => eyes.output(up.show(n).await),
                Moved::Written => {}
                Moved::Lost(_) => hung_up = true,
                Moved::Closed => up.closed = true,
            },
        }
        if hung_up {
            tracing::info!("the terminal has gone");
            again = None;
            (up.blind, down.closed) = (true, true);
            ending.get_or_insert_with(|| Ending::begin(process, HANGUP_GRACE));
        }
        if let Some(ending) = &mut ending {
            ending.step(process);
        } else {
            desk.expire();
            eyes.guide(desk, &mut down).await;
            eyes.attend(desk.typist.is_busy());
            eyes.follow_silence();
            desk.tell();
        }
    };
    if let Some((ticket, receipt)) = desk.typist.agent_ended(Instant::now()) {
        answer(&ticket, receipt);
    }
    desk.tell();
    eyes::tell(&desk.busy, false);
    let stopped = ending.is_some();
    if stopped {
        // A terminal that takes nothing must not hold up an end that was asked for.
        let _ = timeout(LAST_OUTPUT, drain(&mut up, &eyes.feed)).await;
        sweep(process).await;
    } else {
        drain(&mut up, &eyes.feed).await;
    }
    if let Ok(Ok(look)) = timeout(LAST_OUTPUT, eyes.look()).await {
        tty.note_alternate(look.picture.alternate);
    }
    let end = match (stopped, again) {
        (false, _) => End::Own,
        (true, None) => End::Stopped,
        (true, Some(resume)) => End::Again { resume },
    };
    Ok(Ended { exit, end })
}

/// The agent was suspended, so we are as well; then both go on.
fn suspend(pty: &Pty, process: &Process, tty: &impl Tty) -> io::Result<()> {
    tracing::info!("suspended");
    if let Err(error) = tty.suspend() {
        tracing::warn!(%error, "cannot give the terminal back");
    }
    pty.resize(tty.size())?;
    process.signal(Signal::SIGCONT);
    Ok(())
}

/// Shows what the agent wrote before it ended. Whoever else holds its terminal
/// open is not waited for.
async fn drain<T: Tty>(up: &mut Up<'_, T>, feed: &Feed) {
    let mut read = 0;
    while !up.closed || !up.is_idle() {
        let moved = if up.is_idle() {
            match timeout(SILENCE, up.next()).await {
                Ok(moved) if read <= KEPT => moved,
                _ => return,
            }
        } else {
            up.next().await
        };
        match moved {
            Moved::Read(n) => {
                read += n;
                feed.output(up.show(n).await);
            }
            Moved::Written => {}
            Moved::Closed => up.closed = true,
            Moved::Lost(_) => return,
        }
    }
}

/// Tells whoever asked how a prompt stands.
pub(super) fn answer(ticket: &Ticket, receipt: Receipt) {
    tracing::debug!(id = %receipt.id, stage = ?receipt.stage, "a prompt has come further");
    ticket.send_replace(receipt);
}

pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

//! One life of the agent: bytes both ways, prompts between them, an end.
//!
//! *Invariant*: the user's bytes come first. The screen model and the typist
//! are served after them and never waited for; the model only while somebody
//! looks on who follows all of the output, for what is shown has to be right.

mod eyes;
mod stage;

use std::future::pending;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout};

use super::audience::Audience;
use super::detect::Manifest;
use super::ending::{Course, End, sweep};
use super::handle::{Command, Interest, Mailbox, State, Status};
use super::pending::Ticket;
use super::receipt::{Options, PromptId, Receipt, Word};
use super::relay::{Down, Moved, Up};
use super::restart::Reached;
use super::typist::Typist;
use crate::terminal::{Change, Feed, Picture, Process, Pty, Tty};
use crate::types::agent::Pacing;
use crate::types::exit::AgentExit;
use crate::types::size::TermSize;
use eyes::Eyes;
use stage::Stage;

/// How long the agent's terminal must be silent after the agent's end, if
/// somebody else still holds it open; and how much the kernel may have kept.
const SILENCE: Duration = Duration::from_millis(50);
const KEPT: usize = 256 * 1024;

/// How long the last output of an agent that was stopped may take.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// How much of the last screen is kept.
const LAST_ROWS: usize = 20;

/// In a build for tests the session panics instead of typing this.
const FAULT: &str = "wrapper: panic";

/// What outlives one life of the agent.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) typist: Box<Typist<Ticket>>,
    pub(super) manifest: Manifest,
    pub(super) busy: watch::Sender<bool>,
    pub(super) doing: watch::Sender<State>,
    pub(super) last_words: watch::Sender<Vec<String>>,
    pub(super) audience: Audience,
}

impl Desk {
    /// The desk of a session that begins, and where it says how it stands.
    pub(super) fn open(
        mailbox: Mailbox,
        pacing: Pacing,
        manifest: Manifest,
        size: TermSize,
    ) -> (Self, watch::Sender<Status>) {
        let desk = Self {
            commands: mailbox.commands,
            typist: Box::new(Typist::new(
                pacing,
                manifest.habits().clone(),
                Instant::now(),
            )),
            manifest,
            busy: mailbox.busy,
            doing: mailbox.doing,
            last_words: mailbox.last_words,
            audience: Audience::new(mailbox.keys, mailbox.viewers, size),
        };
        (desk, mailbox.status)
    }

    /// Queues a prompt.
    pub(super) fn take(&mut self, id: PromptId, prompt: (&str, Options), ticket: Ticket) {
        if cfg!(feature = "fakes") {
            assert_ne!(prompt.0, FAULT, "a prompt asks for it");
        }
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
    pub(super) reached: Reached,
}

/// Relays until the agent has ended and its output is shown.
pub(super) async fn run(
    pty: &Pty,
    process: &mut Process,
    tty: &impl Tty,
    desk: &mut Desk,
) -> io::Result<Ended> {
    let mut eyes = Eyes::open(tty, desk.audience.size())?;
    let mut stage = Stage::new(pty, &mut desk.audience);
    let (mut up, mut down) = (Up::new(pty, tty), Down::new(pty, tty));
    let mut course = Course::default();
    tty.note_alternate(true);
    desk.typist.agent_started(Instant::now());
    eyes::tell(&desk.doing, State::Starting);
    let exit = loop {
        stage.settle(&mut desk.audience, &eyes.feed)?;
        let wake = match course.ending() {
            Some(ending) => ending.wake(),
            None => sooner(eyes.wake(desk, down.is_idle()), stage.wake()),
        };
        let mut hung_up = false;
        let room = eyes.feed.room();
        tokio::select! {
            biased;
            moved = down.next() => match moved {
                Moved::Read(n) => {
                    desk.audience.own_keys(down.keys(n), tty);
                    // The size is there before what was typed for it.
                    stage.settle(&mut desk.audience, &eyes.feed)?;
                    let keys = eyes.user(&mut desk.typist, down.keys(n));
                    down.send(&keys).await;
                }
                Moved::Written if down.is_idle() => desk.typist.written(Instant::now()),
                Moved::Written => {}
                // The agent is going; its exit says the rest.
                Moved::Lost(error) => tracing::debug!(%error, "keys were lost"),
                Moved::Closed => hung_up = true,
            },
            typed = desk.audience.keys(), if down.is_idle() => {
                desk.audience.typed(&typed);
                stage.settle(&mut desk.audience, &eyes.feed)?;
                let keys = eyes.user(&mut desk.typist, &typed.keys);
                down.send(&keys).await;
            }
            Some(command) = desk.commands.recv() => {
                obey(command, tty, desk, (&mut eyes, &mut stage), (&mut course, process));
            }
            change = process.change() => match change? {
                Change::Ended(exit) => break exit,
                Change::Stopped => {
                    announce(&desk.doing).await;
                    suspend(pty, process, tty, desk.audience.size())?;
                    eyes.reconsider();
                }
            },
            looked = eyes.next() => eyes.take(looked, desk, &mut down).await,
            () = tty.resized() => desk.audience.own_size(tty.size()),
            () = until(wake) => {}
            moved = up.next_after(room) => match moved {
                Moved::Read(n) => {
                    let chunk = up.show(n).await;
                    eyes.output(chunk);
                    desk.audience.output(chunk);
                }
                Moved::Written => {}
                Moved::Lost(_) => hung_up = true,
                Moved::Closed => up.closed = true,
            },
        }
        if hung_up {
            (up.blind, down.closed) = (true, true);
            course.hang_up(process);
        }
        if let Some(ending) = course.ending() {
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
    if course.ending().is_some() {
        // A terminal that takes nothing must not hold up an end that was asked for.
        let _ = timeout(LAST_OUTPUT, drain(&mut up, &eyes.feed, &mut desk.audience)).await;
        sweep(process).await;
    } else {
        drain(&mut up, &eyes.feed, &mut desk.audience).await;
    }
    if let Ok(Ok(look)) = timeout(LAST_OUTPUT, eyes.look()).await {
        tty.note_alternate(look.picture.alternate);
        tty.note_below(below(&look.picture, course.end()));
        eyes.note_last(&look, desk);
        desk.last_words.send_replace(last_rows(&look.picture.rows));
    }
    Ok(Ended {
        exit,
        end: course.end(),
        reached: eyes.reached(),
    })
}

/// How far it is from the cursor to below what stands on the screen; an agent that
/// was stopped has not ended its line itself.
fn below(picture: &Picture, end: End) -> u16 {
    let (row, column) = picture.cursor;
    let last = picture.rows.iter().rposition(|row| !row.is_empty());
    let last = last.and_then(|last| u16::try_from(last).ok()).unwrap_or(0);
    match last.checked_sub(row) {
        _ if picture.alternate => 0,
        Some(rows @ 1..) => rows + 1,
        _ => u16::from(end == End::Stopped && column > 0),
    }
}

/// Does what others ask of the session.
fn obey(
    command: Command,
    tty: &impl Tty,
    desk: &mut Desk,
    (eyes, stage): (&mut Eyes, &mut Stage),
    (course, process): (&mut Course, &Process),
) {
    match command {
        Command::Type {
            id,
            text,
            options,
            ticket,
        } => desk.take(id, (&text, options), ticket),
        Command::Recall(id) => desk.typist.recall(Instant::now(), id),
        Command::Interest(_, Interest::Repaint) => stage.repaint(),
        Command::Interest(viewer, interest) => desk.audience.hear(viewer, interest, tty),
        Command::Withdraw(id) => desk.typist.withdraw(Instant::now(), id),
        Command::Judge(reply) => eyes.judge(reply),
        Command::Stop { grace } => course.stop(process, grace),
        Command::Restart { grace } => course.restart(process, grace),
    }
}

/// Says that the agent is suspended, while there is time: nothing is said after
/// we are, too.
async fn announce(doing: &watch::Sender<State>) {
    /// As many steps as it takes from here to the sockets of those who follow.
    const STEPS: u32 = 64;
    eyes::tell(doing, State::Suspended);
    for _ in 0..STEPS {
        yield_now().await;
    }
}

/// The agent was suspended, so we are as well; then both go on.
fn suspend(pty: &Pty, process: &Process, tty: &impl Tty, size: TermSize) -> io::Result<()> {
    tracing::info!("suspended");
    if let Err(error) = tty.suspend() {
        tracing::warn!(%error, "cannot give the terminal back");
    }
    pty.resize(size)?;
    process.signal(Signal::SIGCONT);
    Ok(())
}

/// The end of what stands on a screen.
fn last_rows(rows: &[String]) -> Vec<String> {
    let mut last: Vec<&String> = rows.iter().rev().filter(|row| !row.is_empty()).collect();
    last.truncate(LAST_ROWS);
    last.into_iter().rev().cloned().collect()
}

/// Shows what the agent wrote before it ended. Whoever else holds its terminal
/// open is not waited for.
async fn drain<T: Tty>(up: &mut Up<'_, T>, feed: &Feed, audience: &mut Audience) {
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
                let chunk = up.show(n).await;
                feed.output(chunk);
                audience.output(chunk);
                feed.room().await;
            }
            Moved::Written => {}
            Moved::Closed => up.closed = true,
            Moved::Lost(_) => return,
        }
    }
}

/// Tells whoever asked how a prompt stands, and the log.
pub(super) fn answer(ticket: &Ticket, receipt: Receipt) {
    let (id, stage) = (receipt.id, receipt.word());
    let reason = receipt.reason().map(ToString::to_string);
    if stage == Word::Unknown {
        tracing::warn!(%id, ?stage, reason, "a prompt has come further");
    } else {
        tracing::info!(%id, ?stage, reason, "a prompt has come further");
    }
    ticket.tell(receipt);
}

fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

pub(super) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

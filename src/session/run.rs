//! One life of the agent: bytes both ways, prompts between them, an end.
//!
//! *Invariant*: the user's bytes come first. The screen model and the typist
//! are served after them and never waited for.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use super::detect::{Manifest, Verdict, View};
use super::ending::{Ending, sweep};
use super::handle::{Command, Judged, Receipt};
use super::relay::{Down, Moved, Up};
use super::typist::{Act, Scene, Typist};
use crate::terminal::{Change, Feed, Look, Picture, Process, Pty, Tty};
use crate::types::exit::AgentExit;

/// How long the agent's terminal must be silent after the agent's end, if
/// somebody else still holds it open; and how much the kernel may have kept.
const SILENCE: Duration = Duration::from_millis(50);
const KEPT: usize = 256 * 1024;

/// The grace of an agent whose terminal has gone.
const HANGUP_GRACE: Duration = Duration::from_secs(5);

/// How long the last output of an agent that was stopped may take.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Whoever asked for a prompt.
pub(super) type Ticket = oneshot::Sender<Receipt>;

/// What outlives one life of the agent.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) typist: Typist<Ticket>,
    pub(super) manifest: Manifest,
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
    let (born, mut again) = (Instant::now(), None);
    tty.note_alternate(true);
    desk.typist.agent_started(Instant::now());
    let exit = loop {
        let wake = match &ending {
            Some(ending) => ending.wake(),
            None if down.is_idle() => eyes.wake(&desk.typist),
            None => None,
        };
        let mut hung_up = false;
        tokio::select! {
            biased;
            moved = down.next() => match moved {
                Moved::Read(n) => {
                    let keys = desk.typist.user(Instant::now(), down.keys(n));
                    down.send(&keys).await;
                }
                Moved::Written => {}
                // The agent is going; its exit says the rest.
                Moved::Lost(error) => tracing::debug!(%error, "keys were lost"),
                Moved::Closed => hung_up = true,
            },
            Some(command) = desk.commands.recv() => match command {
                Command::Type { text, done } => {
                    answer(desk.typist.push(Instant::now(), &text, done));
                }
                Command::View(reply) => eyes.tell(reply),
                Command::Judge(reply) => {
                    let (lived, still) = (born.elapsed(), up.moved_at.elapsed());
                    eyes.judge(reply, desk.manifest.clone(), lived, still);
                }
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
            look = eyes.feed.next(), if eyes.attended => eyes.see(look, &desk.manifest),
            () = tty.resized() => {
                eyes.feed.resize(tty.size());
                pty.resize(tty.size())?;
            }
            () = until(wake) => {}
            moved = up.next() => match moved {
                Moved::Read(n) => eyes.feed.output(up.show(n).await),
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
            eyes.guide(&mut desk.typist, &mut down).await;
            eyes.attend(desk.typist.is_busy(), up.moved_at);
        }
    };
    answer(desk.typist.agent_ended(Instant::now()));
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

/// What is seen of the agent's screen, for as long as the typist needs it.
struct Eyes {
    feed: Feed,
    attended: bool,
    seen: Option<Seen>,
    still_since: Instant,
}

/// The last look, judged.
struct Seen {
    look: Arc<Look>,
    view: View,
    verdict: Verdict,
    typed: Option<String>,
}

impl Eyes {
    fn open(tty: &impl Tty) -> io::Result<Self> {
        Ok(Self {
            feed: Feed::start(tty.size())?,
            attended: false,
            seen: None,
            still_since: Instant::now(),
        })
    }

    fn see(&mut self, look: Arc<Look>, manifest: &Manifest) {
        let view = view(&look.picture);
        if self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.view.rows != view.rows)
        {
            self.still_since = Instant::now();
        }
        self.seen = Some(Seen {
            verdict: manifest.judge(&view),
            typed: manifest.typed(&view),
            view,
            look,
        });
    }

    /// What is seen, unless it is out of date.
    fn current(&self) -> Option<&Seen> {
        self.seen
            .as_ref()
            .filter(|seen| self.feed.is_current(&seen.look))
    }

    /// When the typist is to be guided without news.
    fn wake(&self, typist: &Typist<Ticket>) -> Option<Instant> {
        match self.current() {
            Some(_) => typist.wake(Instant::now(), self.still_since),
            None => typist.stalls_at(),
        }
    }

    /// Lets the typist look, and does what it says.
    async fn guide<T: Tty>(&mut self, typist: &mut Typist<Ticket>, down: &mut Down<'_, T>) {
        // Nothing is typed between the bytes of what the agent has yet to take.
        while down.is_idle() {
            let now = Instant::now();
            let act = match self.current() {
                Some(Seen {
                    look,
                    view,
                    verdict,
                    typed,
                }) => typist.step(
                    now,
                    &Scene {
                        view,
                        sight: &verdict.sight,
                        typed: typed.as_deref(),
                        printed: &look.printed,
                        unsure: look.unsure,
                        still_since: self.still_since,
                    },
                ),
                None => typist.stall(now),
            };
            match act {
                None => break,
                Some(Act::Paste(keys)) => {
                    self.feed.mark();
                    down.send(&keys).await;
                }
                Some(Act::Keys(keys)) => down.send(&keys).await,
                Some(Act::Report(ticket, receipt)) => answer(Some((ticket, receipt))),
            }
        }
    }

    /// Opens the eyes while prompts wait. Last output counts as last change
    /// until more is known.
    fn attend(&mut self, attended: bool, last_output: Instant) {
        if attended != self.attended {
            self.attended = attended;
            self.feed.attend(attended);
            self.seen = None;
            self.still_since = last_output;
        }
    }

    /// The screen after everything that was shown so far.
    fn look(&self) -> oneshot::Receiver<Arc<Look>> {
        let (ask, look) = oneshot::channel();
        self.feed.ask(ask);
        look
    }

    /// Tells what the agent is doing to whoever asked.
    fn judge(
        &self,
        reply: oneshot::Sender<Judged>,
        manifest: Manifest,
        lived: Duration,
        still: Duration,
    ) {
        let look = self.look();
        tokio::spawn(async move {
            if let Ok(look) = look.await {
                let view = view(&look.picture);
                let verdict = manifest.judge(&view);
                // Who asked may have gone away.
                let _ = reply.send(Judged {
                    state: verdict.state(view.bracketed_paste, lived, still),
                    stash: manifest.stash().map(<[u8]>::to_vec),
                    verdict,
                    view,
                });
            }
        });
    }

    /// Tells the screen to whoever asked, when it is up to date.
    fn tell(&self, reply: oneshot::Sender<View>) {
        let look = self.look();
        tokio::spawn(async move {
            if let Ok(look) = look.await {
                // Who asked may have gone away.
                let _ = reply.send(view(&look.picture));
            }
        });
    }
}

fn view(picture: &Picture) -> View {
    View {
        rows: picture.rows.clone(),
        cursor: picture.cursor,
        bracketed_paste: picture.bracketed_paste,
    }
}

/// Tells whoever asked what became of a prompt; the asker may have gone away.
pub(super) fn answer(report: Option<(Ticket, Receipt)>) {
    if let Some((ticket, receipt)) = report {
        tracing::debug!(outcome = ?receipt.outcome, "a prompt has ended");
        let _ = ticket.send(receipt);
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

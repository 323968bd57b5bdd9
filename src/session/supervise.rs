//! Runs the agent, and runs it again when it dies.

use std::time::{Duration, Instant};

use super::detect::Manifest;
use super::handle::{Command, Life, Mailbox, Status};
use super::restart::{History, Next, next};
use super::run::{Desk, End, Ended, answer, run, until};
use super::typist::Typist;
use crate::terminal::{Launch, Pty, SpawnError, Tty};
use crate::types::agent::{Pacing, Restart};
use crate::types::exit::AgentExit;

/// What a session runs, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The first life's.
    pub launch: Launch,
    pub restart: Restart,
    pub pacing: Pacing,
    pub manifest: Manifest,
}

/// Why there is another life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The last one ended by itself.
    Died,
    /// It was asked for; what the agent was at is to go on, where it can.
    Asked { resume: bool },
}

/// An agent that ends that soon after it was to go on with what it was at may
/// have had nothing to go on with: it starts afresh.
const NOTHING_TO_RESUME: Duration = Duration::from_secs(10);

/// How long a terminal that is stalled may hold up our own words.
const SHORT: Duration = Duration::from_secs(1);

/// Runs the agent in the user's terminal until it has ended for good, and
/// returns how. Prompts that wait survive its restarts. `prepare` is asked what
/// to run before every life but the first.
///
/// # Errors
/// If the agent could not be started the first time.
pub async fn supervise(
    job: Job,
    tty: impl Tty,
    mailbox: Mailbox,
    mut prepare: impl FnMut(Why) -> Launch,
) -> Result<AgentExit, SpawnError> {
    let mut launch = job.launch;
    let Mailbox {
        commands,
        status,
        busy,
    } = mailbox;
    let mut desk = Desk {
        commands,
        typist: Typist::new(job.pacing, Instant::now()),
        manifest: job.manifest,
        busy,
    };
    let mut history = History::default();
    let mut restarts = 0;
    let mut why = Why::Died;
    let tell = |life, agent_pid, restarts| {
        status.send_replace(Status {
            life,
            agent_pid,
            restarts,
        });
    };
    let result = loop {
        let began = Instant::now();
        let ended = match Pty::spawn(&launch, tty.size()) {
            Ok((pty, mut process)) => {
                tell(Life::Running, Some(process.pid()), restarts);
                run(&pty, &mut process, &tty, &mut desk)
                    .await
                    .map_err(SpawnError::Terminal)
            }
            // It ran before, so it may run again: perhaps it is being updated.
            Err(error) if restarts > 0 => {
                tracing::warn!(%error, "the agent did not start again");
                Ok(Ended {
                    exit: AgentExit::Code(127),
                    end: End::Own,
                })
            }
            Err(error) => Err(error),
        };
        let Ended { exit, end } = match ended {
            Ok(ended) => ended,
            Err(error) => break Err(error),
        };
        let had_nothing = end == End::Own
            && why == Why::Asked { resume: true }
            && !exit.is_clean()
            && began.elapsed() < NOTHING_TO_RESUME;
        let again = match end {
            End::Again { resume } => Some(Why::Asked { resume }),
            _ if had_nothing => Some(Why::Died),
            _ => None,
        };
        if let Some(reason) = again {
            why = reason;
            tracing::info!(%exit, ?why, "the agent is started again");
            restarts += 1;
            tell(Life::Starting, None, restarts);
            clear(&tty).await;
            launch = prepare(why);
            continue;
        }
        history.note(began, Instant::now());
        match next(job.restart, exit, &history) {
            _ if end == End::Stopped => break Ok(exit),
            Next::End => break Ok(exit),
            Next::GiveUp { deaths, within } => {
                let within = within.as_secs();
                say(
                    &tty,
                    &format!("the agent died {deaths} times in {within} s: giving up"),
                )
                .await;
                break Ok(exit);
            }
            Next::Again(pause) => {
                restarts += 1;
                tell(Life::Starting, None, restarts);
                let seconds = pause.as_secs();
                say(
                    &tty,
                    &format!("the agent {exit}: again in {seconds} s (Ctrl-C ends, any other key starts it now)"),
                )
                .await;
                why = match wait(pause, &tty, &mut desk).await {
                    None => break Ok(exit),
                    Some(why) => why,
                };
                launch = prepare(why);
            }
        }
    };
    tell(Life::Exited, None, restarts);
    for (ticket, receipt) in desk.typist.close(Instant::now()) {
        answer(&ticket, receipt);
    }
    // An end that nobody reads is no reason to stay.
    let _ = tokio::time::timeout(SHORT, tty.flush()).await;
    result
}

/// Waits between two lives; why there is another. None if the session is to
/// end.
async fn wait(pause: Duration, tty: &impl Tty, desk: &mut Desk) -> Option<Why> {
    let again = tokio::time::sleep(pause);
    tokio::pin!(again);
    let mut keys = [0; 256];
    loop {
        let due = desk.typist.expires_at();
        tokio::select! {
            () = &mut again => return Some(Why::Died),
            () = until(due) => {}
            read = tty.read(&mut keys) => return match read {
                Ok(n) if n > 0 && !keys[..n].contains(&0x03) => Some(Why::Died),
                _ => None,
            },
            Some(command) = desk.commands.recv() => match command {
                Command::Type { id, text, options, ticket } => {
                    desk.take(id, (&text, options), ticket);
                }
                Command::Recall(id) => desk.typist.recall(Instant::now(), id),
                Command::Withdraw(id) => desk.typist.withdraw(Instant::now(), id),
                // Nothing to look at: the asker sees the closed channel.
                Command::View(_) | Command::Judge(_) => {}
                Command::Stop { .. } => return None,
                Command::Restart { resume, .. } => return Some(Why::Asked { resume }),
            },
        }
        desk.expire();
        desk.tell();
    }
}

/// Says a line of our own, on a terminal that the agent may have left in any
/// state. Without a terminal it stands among the agent's output.
async fn say(tty: &impl Tty, line: &str) {
    tracing::info!("{line}");
    show(
        tty,
        &[&tty.undo()[..], b"\r\nwrapper: ", line.as_bytes(), b"\r\n"].concat(),
    )
    .await;
}

/// Takes back what the agent did to the terminal, for the next.
async fn clear(tty: &impl Tty) {
    show(tty, &[&tty.undo()[..], b"\r\n"].concat()).await;
}

async fn show(tty: &impl Tty, text: &[u8]) {
    let write = async {
        let mut rest = text;
        while !rest.is_empty() {
            match tty.write(rest).await {
                Ok(n) => rest = &rest[n..],
                Err(error) => return tracing::debug!(%error, "the terminal has gone"),
            }
        }
    };
    // A terminal that takes nothing must not hold up what follows.
    let _ = tokio::time::timeout(SHORT, write).await;
}

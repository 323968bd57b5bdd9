//! Runs the agent, and runs it again when it dies.

use std::time::{Duration, Instant};

use super::audience::Audience;
use super::detect::Manifest;
use super::ending::End;
use super::handle::{Command, Life, Mailbox, Status};
use super::restart::{History, Next, Reached, next};
use super::run::{Desk, Ended, answer, run, until};
use crate::terminal::{Launch, Pty, SpawnError, Tty};
use crate::types::agent::{Pacing, Restart};
use crate::types::exit::AgentExit;

/// What a session runs, and how.
#[derive(Debug, Clone)]
pub struct Job {
    /// The first life's.
    pub life: Prepared,
    pub restart: Restart,
    pub pacing: Pacing,
    pub manifest: Manifest,
}

/// One life, ready to begin.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub launch: Launch,
    /// It goes on with what an earlier one was at.
    pub resumes: bool,
}

/// How another life is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what the last one was at, where the agent can: that one died, or
    /// was ended for this.
    GoOn,
    /// With nothing: the last one had ended well, or found nothing to go on
    /// with.
    Afresh,
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
    mut prepare: impl AsyncFnMut(Start) -> Prepared,
) -> Result<AgentExit, SpawnError> {
    let mut life = job.life;
    let (mut desk, status) = Desk::open(mailbox, job.pacing, job.manifest, tty.size());
    let mut history = History::default();
    let mut restarts = 0;
    let tell = |life, agent_pid, restarts| {
        status.send_modify(|status| {
            (status.life, status.agent_pid, status.restarts) = (life, agent_pid, restarts);
        });
    };
    let result = loop {
        let began = Instant::now();
        let ended = match Pty::spawn(&life.launch, desk.audience.size()) {
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
                    reached: Reached::Nothing,
                })
            }
            Err(error) => Err(error),
        };
        let Ended { exit, end, reached } = match ended {
            Ok(ended) => ended,
            Err(error) => break Err(error),
        };
        status.send_modify(|status| status.exit = Some(exit));
        let lived = began.elapsed();
        // Who finds nothing says so; who is killed has found it.
        let in_vain = life.resumes && matches!(exit, AgentExit::Code(1..));
        if let Some(start) = at_once(end, in_vain, lived) {
            tracing::info!(%exit, ?start, "the agent is started again");
            restarts += 1;
            tell(Life::Starting, None, restarts);
            desk.audience.end(None, "the agent starts again");
            clear(&tty).await;
            life = prepare(start).await;
            continue;
        }
        history.note(began, Instant::now(), reached);
        if !tty.answers() && (reached < Reached::Ready || !exit.is_clean()) {
            log_last_words(exit, &desk.last_words.borrow());
        }
        match next(job.restart, exit, &history) {
            _ if end == End::Stopped => break Ok(exit),
            Next::End => break Ok(exit),
            Next::GiveUp { deaths, within } => {
                let within = within.as_secs();
                let text = format!("the agent died {deaths} times in {within} s: giving up");
                say(&tty, &mut desk.audience, exit, &text).await;
                break Ok(exit);
            }
            Next::Again(pause) => {
                restarts += 1;
                tell(Life::Starting, None, restarts);
                let seconds = pause.as_secs();
                let text = format!(
                    "the agent {exit}: again in {seconds} s (Ctrl-C ends, any other key starts it now)"
                );
                say(&tty, &mut desk.audience, exit, &text).await;
                if !wait(pause, &tty, &mut desk).await {
                    break Ok(exit);
                }
                let afresh = exit.is_clean();
                life = prepare(if afresh { Start::Afresh } else { Start::GoOn }).await;
            }
        }
    };
    status.send_replace(Status {
        life: Life::Exited,
        agent_pid: None,
        restarts,
        exit: result.as_ref().ok().copied(),
    });
    for (ticket, receipt) in desk.typist.close(Instant::now()) {
        answer(&ticket, receipt);
    }
    // An end that nobody reads is no reason to stay.
    let _ = tokio::time::timeout(SHORT, tty.flush()).await;
    result
}

/// Logs what an agent without a terminal has left on its screen.
fn log_last_words(exit: AgentExit, rows: &[String]) {
    tracing::warn!("the agent {exit}; its last screen:");
    for row in rows {
        tracing::warn!("| {row}");
    }
}

/// Whether another life begins without a pause, and how; `in_vain` if this one
/// was to go on with an earlier one, and failed.
fn at_once(end: End, in_vain: bool, lived: Duration) -> Option<Start> {
    match end {
        End::Again => Some(Start::GoOn),
        End::Own if in_vain && lived < NOTHING_TO_RESUME => Some(Start::Afresh),
        End::Own | End::Stopped => None,
    }
}

/// Waits between two lives. False if the session is to end.
async fn wait(pause: Duration, tty: &impl Tty, desk: &mut Desk) -> bool {
    let again = tokio::time::sleep(pause);
    tokio::pin!(again);
    let mut keys = [0; 256];
    loop {
        let due = desk.typist.expires_at();
        tokio::select! {
            () = &mut again => return true,
            () = until(due) => {}
            read = tty.read(&mut keys) => {
                return matches!(read, Ok(n) if n > 0 && starts(&keys[..n]));
            }
            typed = desk.audience.keys() => return starts(&typed.keys),
            Some(command) = desk.commands.recv() => match command {
                Command::Type { id, text, options, ticket } => {
                    desk.take(id, (&text, options), ticket);
                }
                Command::Recall(id) => desk.typist.recall(Instant::now(), id),
                Command::Withdraw(id) => desk.typist.withdraw(Instant::now(), id),
                // Nothing to look at: the asker sees the closed channel.
                Command::Judge(_) => {}
                Command::Interest(viewer, interest) => desk.audience.hear(viewer, interest, tty),
                Command::Stop { .. } => return false,
                Command::Restart { .. } => return true,
            },
        }
        desk.audience.idle();
        desk.expire();
        desk.tell();
    }
}

/// What a key between two lives does: Ctrl-C ends, any other starts the agent.
fn starts(keys: &[u8]) -> bool {
    !keys.contains(&0x03)
}

/// Says a line of our own, on a terminal that the agent may have left in any
/// state. Without a terminal it stands among the agent's output.
async fn say(tty: &impl Tty, audience: &mut Audience, exit: AgentExit, line: &str) {
    tracing::info!("{line}");
    audience.end(Some(exit), line);
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

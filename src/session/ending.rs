//! The end of an agent that is to end: SIGHUP to its group, then SIGTERM, then
//! SIGKILL.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use crate::terminal::Process;

/// The grace of what a stopped agent leaves behind in its group.
const ORPHAN_GRACE: Duration = Duration::from_secs(1);

/// How often a group is asked whether it is empty: nobody tells.
const ASK: Duration = Duration::from_millis(10);

/// The grace of an agent whose terminal has gone.
const HANGUP_GRACE: Duration = Duration::from_secs(5);

/// Who ended a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The agent.
    Own,
    /// We did: we were asked to, or the user's terminal has gone.
    Stopped,
    /// We did, to begin another.
    Again,
}

/// Whether an agent is to end, and what for.
#[derive(Debug, Default)]
pub(super) struct Course {
    ending: Option<Ending>,
    /// Another life follows.
    again: bool,
}

/// The signals that are still to be sent.
#[derive(Debug)]
pub(super) struct Ending {
    /// The next last.
    due: Vec<(Instant, Signal)>,
}

impl Course {
    /// The agent is to end, and so is the session.
    pub(super) fn stop(&mut self, process: &Process, grace: Duration) {
        self.again = false;
        self.ending = Some(Ending::begin(process, grace));
    }

    /// The agent is to end and to start again. An end that was asked for stays
    /// one.
    pub(super) fn restart(&mut self, process: &Process, grace: Duration) {
        if self.ending.is_none() {
            self.again = true;
            self.ending = Some(Ending::begin(process, grace));
        }
    }

    /// The user's terminal has gone.
    pub(super) fn hang_up(&mut self, process: &Process) {
        tracing::info!("the terminal has gone");
        self.again = false;
        self.ending
            .get_or_insert_with(|| Ending::begin(process, HANGUP_GRACE));
    }

    /// The end that is on its way.
    pub(super) fn ending(&mut self) -> Option<&mut Ending> {
        self.ending.as_mut()
    }

    /// Who has ended the agent that has ended.
    pub(super) fn end(&self) -> End {
        match (&self.ending, self.again) {
            (None, _) => End::Own,
            (Some(_), false) => End::Stopped,
            (Some(_), true) => End::Again,
        }
    }
}

impl Ending {
    /// Sends the first signal; the others follow within `grace`.
    fn begin(process: &Process, grace: Duration) -> Self {
        let now = Instant::now();
        process.end_all();
        process.signal(Signal::SIGHUP);
        // A stopped process takes no signal but SIGKILL until it goes on.
        process.signal(Signal::SIGCONT);
        Self {
            due: vec![
                (now + grace, Signal::SIGKILL),
                (now + grace / 2, Signal::SIGTERM),
            ],
        }
    }

    /// When the next signal is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.due.last().map(|(at, _)| *at)
    }

    /// Sends what is due.
    pub(super) fn step(&mut self, process: &Process) {
        while let Some((_, signal)) = self.due.pop_if(|(at, _)| *at <= Instant::now()) {
            tracing::info!(%signal, "the agent is still there");
            process.signal(signal);
        }
    }
}

/// Ends what a stopped agent has left in its group.
pub(super) async fn sweep(process: &Process) {
    let until = Instant::now() + ORPHAN_GRACE;
    process.signal(Signal::SIGTERM);
    while process.is_peopled() {
        if Instant::now() >= until {
            process.signal(Signal::SIGKILL);
            return;
        }
        sleep(ASK).await;
    }
}

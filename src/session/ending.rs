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

/// The signals that are still to be sent.
#[derive(Debug)]
pub(super) struct Ending {
    /// The next last.
    due: Vec<(Instant, Signal)>,
}

impl Ending {
    /// Sends the first signal; the others follow within `grace`.
    pub(super) fn begin(process: &Process, grace: Duration) -> Self {
        let now = Instant::now();
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

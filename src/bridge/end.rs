//! The end that comes from outside: a signal, or the death of our parent.

use std::future::pending;
use std::io;

use nix::unistd::{Pid, getppid};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What may end us.
#[derive(Debug)]
pub(super) struct End {
    parent: Pid,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    orphaned: Option<Signal>,
}

impl End {
    /// Watches from now on. `parent` is the process that started us.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn watch(parent: Pid) -> io::Result<Self> {
        Ok(Self {
            parent,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            orphaned: orphaned()?,
        })
    }

    /// Returns when it is time to end.
    pub(super) async fn comes(mut self) {
        let why = tokio::select! {
            _ = self.terminate.recv() => "terminated",
            _ = self.interrupt.recv() => "interrupted",
            _ = self.hangup.recv() => "hung up",
            () = death(self.parent, self.orphaned) => "our parent is dead",
        };
        tracing::info!(why, "told to end");
    }
}

/// Returns when `parent` is dead. The signal comes as well when no more has
/// died than the thread that started us, and then means nothing; so it is one
/// that nobody minds.
async fn death(parent: Pid, orphaned: Option<Signal>) {
    let Some(mut orphaned) = orphaned else {
        return pending().await;
    };
    // It may have died before we asked to be told.
    while getppid() == parent {
        orphaned.recv().await;
    }
}

#[cfg(target_os = "linux")]
fn orphaned() -> io::Result<Option<Signal>> {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal::SIGURG;

    let orphaned = signal(SignalKind::from_raw(SIGURG as i32))?;
    set_pdeathsig(SIGURG)?;
    Ok(Some(orphaned))
}

/// Where nobody tells, the end of standard input has to do.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
fn orphaned() -> io::Result<Option<Signal>> {
    Ok(None)
}

//! Keeps the session registered: heartbeats, registers again when the hub has
//! forgotten us, publishes the identity that holds now.
//!
//! *Invariant*: this is the only writer of the identity in [`Live`], so that
//! however many callers find it stale, it is renewed once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
#[cfg(not(target_os = "linux"))]
use tokio::time::sleep as sleep_through;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::hub::client::{Client, Error};
use crate::types::hub::HubState;
use crate::types::identity::{AgentName, Identity, Token};
use crate::types::upstream::Live;

/// Between two heartbeats: a third of the 15 s after which hubs give us up.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Between two tries while the hub does not answer or will not have us.
const RETRY: Duration = Duration::from_secs(1);

/// The same while a call waits for a hub of this machine, which is back soon
/// when it restarts; and how long that is believed.
const HURRY: Duration = Duration::from_millis(25);
const HURRIED: Duration = Duration::from_secs(15);

/// What keeps one instance registered.
pub struct Presence {
    pub client: Client,
    pub base: AgentName,
    pub label: Option<String>,
    /// What lets us register with a hub of our own user.
    pub human: Option<Token>,
    pub live: watch::Sender<Live>,
    pub state: watch::Sender<HubState>,
    /// Somebody was refused: look now, not at the next beat.
    pub nudge: Arc<Notify>,
}

/// What a heartbeat came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    /// We are registered.
    Well,
    /// Nothing answers.
    Away,
    Refused,
}

impl Presence {
    /// Runs until told to stop; never fails: a hub that is away comes back.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = HEARTBEAT;
        let mut nudged: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_through(pause) => {}
                () = self.nudge.notified() => nudged = Some(Instant::now()),
            }
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = self.beat() => beat,
            };
            if beat == Beat::Well {
                nudged = None;
            }
            let is_hurried = nudged.is_some_and(|at| at.elapsed() < HURRIED);
            pause = match beat {
                Beat::Well => HEARTBEAT,
                Beat::Away if is_hurried && self.client.is_local() => HURRY,
                Beat::Away | Beat::Refused => RETRY,
            };
        }
    }

    /// One heartbeat and what follows from it.
    async fn beat(&self) -> Beat {
        let Some(identity) = self.live.borrow().identity.clone() else {
            return Beat::Well;
        };
        let result = match self.client.heartbeat(&identity, None).await {
            Ok(name) if name == identity.name => Ok(()),
            Ok(name) => {
                info!(from = %identity.name, to = %name, "renamed by the hub");
                self.publish(Identity {
                    name,
                    token: identity.token.clone(),
                });
                Ok(())
            }
            Err(Error::Conflict | Error::Unauthorized { .. }) => self.register(&identity).await,
            Err(error) => Err(error),
        };
        let (beat, state) = match &result {
            Ok(()) => (Beat::Well, HubState::Registered),
            Err(Error::Unreachable { .. }) => (Beat::Away, HubState::Connecting),
            Err(_) => (Beat::Refused, HubState::Connecting),
        };
        let changed = self
            .state
            .send_if_modified(|now| std::mem::replace(now, state) != state);
        match result {
            Ok(()) if changed => info!("registered with the hub again"),
            Err(error) if changed => warn!(%error, "the hub is away"),
            _ => {}
        }
        beat
    }

    /// Registers again, as whom the old token spoke for.
    async fn register(&self, old: &Identity) -> Result<(), Error> {
        let new = self
            .client
            .register(
                &self.base,
                self.label.as_deref(),
                Some(&old.token),
                self.human.as_ref(),
            )
            .await?;
        info!(from = %old.name, to = %new.identity.name, "registered again: the token was stale");
        self.publish(new.identity);
        Ok(())
    }

    fn publish(&self, identity: Identity) {
        self.live
            .send_modify(|live| live.identity = Some(Arc::new(identity)));
    }
}

/// Sleeps without waking up: the runtime's timers do so twice on their way to
/// a moment that is seconds away, the kernel's do not.
#[cfg(target_os = "linux")]
async fn sleep_through(time: Duration) {
    match kernel_timer(time) {
        Ok(timer) if timer.readable().await.is_ok() => {}
        _ => tokio::time::sleep(time).await,
    }
}

/// A descriptor that becomes readable; to the runtime it is a pipe.
#[cfg(target_os = "linux")]
fn kernel_timer(time: Duration) -> std::io::Result<tokio::net::unix::pipe::Receiver> {
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
    timer.set(Expiration::OneShot(time.into()), TimerSetTimeFlags::empty())?;
    tokio::net::unix::pipe::Receiver::from_file_unchecked(std::os::fd::OwnedFd::from(timer).into())
}

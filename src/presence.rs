//! Keeps the session registered: heartbeats, registers again when the hub has
//! forgotten us, publishes the identity that holds now.
//!
//! *Invariant*: this is the only writer of the identity in [`Live`], so that
//! however many callers find it stale, it is renewed once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
#[cfg(not(target_os = "linux"))]
use tokio::time::sleep as sleep_through;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::hub::client::{Client, Error};
use crate::types::identity::{AgentName, Identity, Token};
use crate::types::upstream::Live;

/// Between two heartbeats: a third of the 15 s after which hubs give us up.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Between two tries while the hub does not answer or will not have us.
const RETRY: Duration = Duration::from_secs(1);

/// How a session stands with its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubState {
    Registered,
    /// It does not answer, or refuses us; we go on trying.
    Connecting,
    /// We were told to do without.
    Offline,
}

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

impl Presence {
    /// Runs until told to stop; never fails: a hub that is away comes back.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = HEARTBEAT;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_through(pause) => {}
                () = self.nudge.notified() => {}
            }
            let beat = tokio::select! {
                () = stop.cancelled() => return,
                beat = self.beat() => beat,
            };
            pause = if beat { HEARTBEAT } else { RETRY };
        }
    }

    /// One heartbeat and what follows from it; true if we are registered.
    async fn beat(&self) -> bool {
        let Some(identity) = self.live.borrow().identity.clone() else {
            return true;
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
        let state = if result.is_ok() {
            HubState::Registered
        } else {
            HubState::Connecting
        };
        let changed = self
            .state
            .send_if_modified(|now| std::mem::replace(now, state) != state);
        match result {
            Ok(()) if changed => info!("registered with the hub again"),
            Err(error) if changed => warn!(%error, "the hub is away"),
            _ => {}
        }
        state == HubState::Registered
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

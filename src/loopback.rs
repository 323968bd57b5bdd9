//! Whose process is at the other end of a loopback connection.
//!
//! Any user of this machine may listen on a port of ours that is free, so no
//! secret crosses a loopback connection before its other end is known. The
//! system fixes the owner of an accepted socket when it is accepted: what is
//! proven once about a connection holds for all of it.
//!
//! *Invariant*: a connection whose owner cannot be looked up is a stranger's.

#[cfg(target_os = "linux")]
mod diag;
mod table;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::unistd::{Uid, User};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::types::owner::Owner;

/// This system tells whose a connection is.
pub const IS_TOLD: bool = cfg!(target_os = "linux");

/// What the system shows for users of other namespaces.
const OVERFLOW_UID: u32 = 65534;

/// How long a connection is asked after without a timer: as long as a server
/// that runs takes to accept.
const SPIN: Duration = Duration::from_micros(300);

/// Between two questions after that.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(20);

/// How long a connection may have no other end that the system knows.
const NOWHERE: Duration = Duration::from_millis(100);

/// How long it may wait to be accepted.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the system says of the far end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    /// It was accepted by a process of this user.
    Owned(u32),
    /// Nobody has accepted it yet.
    Waiting,
    /// It was closed.
    Closed,
    /// The system knows no such socket here.
    Nowhere,
}

/// The other end of a loopback connection is not one that may be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The user, by id and name; none where that cannot be told.
    user: Option<(u32, Option<String>)>,
}

impl Stranger {
    fn of(uid: u32) -> Self {
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = name.map(|user| user.name);
        Self {
            user: (uid != OVERFLOW_UID).then_some((uid, name)),
        }
    }

    /// The stranger that an error of [`prove`] tells of.
    #[must_use]
    pub fn in_error(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What `owner` in the configuration would have to say to allow it.
    #[must_use]
    pub fn as_owner(&self) -> String {
        match &self.user {
            Some((_, Some(name))) => name.clone(),
            Some((uid, None)) => uid.to_string(),
            None => "*".into(),
        }
    }
}

impl std::error::Error for Stranger {}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some((uid, Some(name))) => {
                write!(
                    f,
                    "the process there is of user `{name}` (uid {uid}), not yours"
                )
            }
            Some((uid, None)) => write!(f, "the process there is of uid {uid}, not yours"),
            None => f.write_str("the system does not tell whose process is there"),
        }
    }
}

impl From<Stranger> for io::Error {
    fn from(stranger: Stranger) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, stranger)
    }
}

/// Waits until the other end of `stream` has accepted it, and sees that it is
/// one of ours, or of `owner`. Passes connections that leave this machine.
/// Nothing may be written before.
///
/// # Errors
/// [`Stranger`], found by [`Stranger::in_error`]; or an error of the
/// connection.
pub async fn prove(stream: &TcpStream, owner: &Owner) -> io::Result<()> {
    let (near, far) = (stream.local_addr()?, stream.peer_addr().map_err(reset)?);
    if near == far {
        // A free port may be given to the very socket that asks for it.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    if *owner == Owner::Anyone || !far.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let uid = accepted(|| look(far, near), || stream.take_error()).await?;
    if is_allowed(uid, owner) {
        Ok(())
    } else {
        Err(Stranger::of(uid).into())
    }
}

/// A connection that is none any more was reset: its listener has gone.
fn reset(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotConnected => io::ErrorKind::ConnectionReset.into(),
        _ => error,
    }
}

/// True if the socket at `far`, connected to ours at `near`, is our user's.
#[must_use]
pub fn is_ours(far: SocketAddr, near: SocketAddr) -> bool {
    matches!(look(far, near), Ok(Far::Owned(uid)) if is_allowed(uid, &Owner::Us))
}

fn is_allowed(uid: u32, owner: &Owner) -> bool {
    if uid == OVERFLOW_UID {
        return false;
    }
    uid == Uid::effective().as_raw()
        || match owner {
            Owner::Us => false,
            Owner::Id(id) => uid == *id,
            Owner::Name(name) => {
                let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
                user.is_some_and(|user| user.name == *name)
            }
            Owner::Anyone => true,
        }
}

/// Asks until the far end has accepted; its owner.
async fn accepted(
    look: impl Fn() -> io::Result<Far>,
    broken: impl Fn() -> io::Result<Option<io::Error>>,
) -> io::Result<u32> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match look() {
            Ok(Far::Owned(uid)) => return Ok(uid),
            Ok(Far::Closed) => return Err(io::ErrorKind::ConnectionReset.into()),
            Ok(Far::Waiting) if start.elapsed() < PATIENCE => {}
            Ok(Far::Waiting) => return Err(io::ErrorKind::TimedOut.into()),
            // Its listener may have gone, and the connection with it.
            Ok(Far::Nowhere) => match broken()? {
                Some(error) => return Err(error),
                None if start.elapsed() < NOWHERE => {}
                None => return Err(Stranger { user: None }.into()),
            },
            Err(error) => {
                tracing::debug!(%error, "cannot look up whose a connection is");
                return Err(Stranger { user: None }.into());
            }
        }
        if start.elapsed() < SPIN {
            // Who is to accept may wait for this very processor, or thread.
            nix::sched::sched_yield()?;
            tokio::task::yield_now().await;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }
}

/// Asks the system once about the socket at `at` that is connected to `to`.
#[cfg(target_os = "linux")]
fn look(at: SocketAddr, to: SocketAddr) -> io::Result<Far> {
    match diag::look(at, to) {
        Ok(Some(far)) => Ok(far),
        // The kernel may lack that service: it says the same then.
        Ok(None) => Ok(table::look(at, to).unwrap_or(Far::Nowhere)),
        Err(error) => table::look(at, to).map_err(|_| error),
    }
}

#[cfg(not(target_os = "linux"))]
fn look(at: SocketAddr, to: SocketAddr) -> io::Result<Far> {
    table::look(at, to)
}

#[cfg(test)]
mod tests;

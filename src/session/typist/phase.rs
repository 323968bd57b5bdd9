//! How far the typist has come with the first prompt. Pure.

use std::time::Instant;

use super::entered::Entered;

#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing of ours is under way.
    Resting,
    /// The agent was told to put the user's line aside; waiting for that until
    /// then.
    Stashing(Instant),
    /// Pasted; waiting for the echo until then.
    Pasted(Instant),
    /// Echoed; Enter is due then.
    Echoed(Instant),
    /// Entered; waiting for a reaction.
    Entered(Entered),
}

impl Phase {
    /// When it ends by itself.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Resting => None,
            Self::Stashing(at) | Self::Pasted(at) | Self::Echoed(at) => Some(*at),
            Self::Entered(entered) => Some(entered.until()),
        }
    }

    /// When there is something to do without news.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self {
            Self::Entered(entered) => Some(entered.wake()),
            other => other.until(),
        }
    }
}

//! How far the typist has come with the first prompt. Pure.

use std::time::Instant;

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
    /// Entered; waiting for a reaction until then. Holds what stood on the
    /// screen from the echo on, and the row of the cursor.
    Entered(Instant, (Vec<String>, u16)),
}

impl Phase {
    /// When it ends by itself.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::Resting => None,
            Self::Stashing(at) | Self::Pasted(at) | Self::Echoed(at) | Self::Entered(at, _) => {
                Some(*at)
            }
        }
    }
}

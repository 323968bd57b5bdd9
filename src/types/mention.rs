//! What wakes an agent: it was mentioned, somewhere in the chat of some hub.

use std::fmt;

use super::trigger::ChannelName;

/// One mention that waits for its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    pub place: Place,
    /// What to say to the agent instead of where to read; nothing was checked.
    pub prompt: Option<String>,
}

/// Where a mention is to be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    Channel(ChannelName),
    /// The thread of a job, by its number.
    Job(u64),
    /// In a channel whose name cannot be repeated safely.
    Somewhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(name) => write!(f, "#{name}"),
            Self::Job(number) => write!(f, "job {number}"),
            Self::Somewhere => f.write_str("a channel"),
        }
    }
}

impl Mention {
    /// A mention in a channel, of whatever name.
    #[must_use]
    pub fn in_channel(name: &str) -> Self {
        Self {
            place: name.parse().map_or(Place::Somewhere, Place::Channel),
            prompt: None,
        }
    }
}

//! What the chat is told of mentions that do not arrive.

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::hub::client::Client;
use crate::types::mention::{Mention, Place};
use crate::types::trigger::ChannelName;
use crate::types::upstream::Live;

/// Says in the chat which mentions do not arrive, and why.
pub(super) struct Notices {
    client: Client,
    live: watch::Receiver<Live>,
    left: Option<Left>,
}

/// Mentions that wait.
#[derive(Debug)]
struct Left {
    count: usize,
    /// Where the first was made.
    channel: ChannelName,
    since: Instant,
    /// The chat knows.
    is_told: bool,
}

/// What becomes of mentions that were not submitted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// They wait.
    Late,
    /// They were typed, and nobody knows what came of it.
    Doubtful,
    /// They can never be typed.
    Hopeless,
}

impl Notices {
    pub(super) fn new(client: Client, live: watch::Receiver<Live>) -> Self {
        let left = None;
        Self { client, live, left }
    }

    /// These wait, the oldest first: perhaps more than before.
    pub(super) fn wait<'a>(&mut self, mut mentions: impl Iterator<Item = &'a Mention> + Clone) {
        let count = mentions.clone().count();
        let left = self.left.get_or_insert_with(|| Left {
            count,
            channel: mentions
                .find_map(|mention| match &mention.place {
                    Place::Channel(name) => Some(name.clone()),
                    Place::Job(_) | Place::Somewhere => None,
                })
                .unwrap_or_else(ChannelName::general),
            since: Instant::now(),
            is_told: false,
        });
        left.count = count;
    }

    /// Since when they wait.
    pub(super) fn since(&self) -> Instant {
        let left = self.left.as_ref();
        left.map_or_else(Instant::now, |left| left.since)
    }

    /// The first of them do not wait any more; the others have just come.
    pub(super) fn forget(&mut self) {
        self.left = None;
    }

    /// Says, once, that they wait, and why.
    pub(super) async fn late(&mut self, reason: &str) {
        let waits = |left: &&Left| !left.is_told;
        let Some(count) = self.left.as_ref().filter(waits).map(|left| left.count) else {
            return;
        };
        let is_told = self.tell(Fate::Late, count, reason).await;
        if let Some(left) = &mut self.left {
            left.is_told = is_told;
        }
    }

    /// Says what becomes of so many of them, and why. False if the hub does not
    /// take it.
    pub(super) async fn tell(&self, fate: Fate, count: usize, reason: &str) -> bool {
        let identity = self.live.borrow().identity.clone();
        let (Some(left), Some(identity)) = (&self.left, identity) else {
            return false;
        };
        let text = fate.words(identity.name.as_str(), count, reason);
        let sent = self.client.send(&identity.token, &text, &left.channel);
        match sent.await {
            Ok(_) => info!(?fate, count, reason, "the chat was told of mentions"),
            Err(error) => {
                warn!(%error, ?fate, count, reason, "the chat was not told of mentions");
                return false;
            }
        }
        true
    }
}

impl Fate {
    /// One line for the chat.
    fn words(self, name: &str, count: usize, reason: &str) -> String {
        let (reached, mentions, then) = match self {
            Self::Late => (
                "has not been reached",
                "wait",
                "; they are delivered when that is possible",
            ),
            Self::Doubtful => (
                "may not have been reached",
                "may be lost",
                "; they are not typed again",
            ),
            Self::Hopeless => ("cannot be reached", "are lost", ""),
        };
        format!("(wrapper) {name} {reached}: {reason}. mentions that {mentions}: {count}{then}.")
    }
}

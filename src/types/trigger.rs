//! What wakes an agent: a mention in a channel, on its way to become a prompt.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A channel of the chat: `^[a-z0-9][a-z0-9-]{0,19}$`, as agentchattr names them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelName(String);

/// A channel name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no channel name: it takes 1 to 20 of a-z, 0-9 and `-`, and does not start with `-`"
)]
pub struct BadChannel(String);

impl ChannelName {
    /// The channel of everybody who names none.
    #[must_use]
    pub fn general() -> Self {
        Self("general".into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ChannelName {
    type Error = BadChannel;

    fn try_from(text: String) -> Result<Self, BadChannel> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=20).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(letter) {
            Ok(Self(text))
        } else {
            Err(BadChannel(text))
        }
    }
}

impl std::str::FromStr for ChannelName {
    type Err = BadChannel;

    fn from_str(text: &str) -> Result<Self, BadChannel> {
        text.to_owned().try_into()
    }
}

impl From<ChannelName> for String {
    fn from(name: ChannelName) -> Self {
        name.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One mention that waits for its instance. The hub keeps it until it is
/// acknowledged by `id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// Rises from 1 within one hub, for ever.
    pub id: u64,
    pub channel: ChannelName,
    /// Who wrote the message.
    pub sender: String,
    /// The id of the message that mentions the instance.
    pub message: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_lower_case_words() {
        for good in ["general", "dev", "0", "a-b-c", &"x".repeat(20)] {
            assert!(good.parse::<ChannelName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "General",
            "a b",
            "a_b",
            "x\r!id\r",
            &"x".repeat(21),
        ] {
            assert!(bad.parse::<ChannelName>().is_err(), "{bad:?}");
        }
    }
}

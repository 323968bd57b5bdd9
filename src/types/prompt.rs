//! What a prompt may be asked to wait for.

use serde::{Deserialize, Serialize};

/// What an agent must have come to before it gets a prompt. None gets one while
/// it starts, asks something, or shows a line that the user has begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// Nothing more: one that works takes it up when it can
    #[default]
    Busy,
    /// The agent has nothing to do
    Idle,
}

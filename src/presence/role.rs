//! Remembers the role that the human has given us, for a hub that loses it
//! with our registration.
//!
//! Read cursors are lost in the same way, and cannot be given back: a hub of
//! agentchattr's moves them by reading alone, so the agent's next `chat_read`
//! begins with the last messages, some of which it may know.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::hub::client::{Client, Error};
use crate::types::identity::Identity;

/// Between two looks at what our role is.
const LOOK: Duration = Duration::from_secs(30);

/// Bytes of a role that is kept: the hub sets no limit.
const LONGEST: usize = 4096;

/// The role as it was at the last look.
#[derive(Debug, Default)]
pub(super) struct Role {
    text: String,
    looked: Option<Instant>,
}

impl Role {
    /// Looks what our role is, unless it has just been done.
    pub(super) async fn look(&mut self, client: &Client, who: &Identity) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        match current(client, who).await {
            Ok(text) => self.text = text,
            Err(error) => info!(%error, "cannot see our role"),
        }
    }

    /// Gives us our role again, unless we have one.
    pub(super) async fn restore(&mut self, client: &Client, who: &Identity) {
        if self.text.is_empty() {
            return;
        }
        let restored = async {
            if current(client, who).await?.is_empty() {
                client.set_role(&who.token, &who.name, &self.text).await?;
                info!("our role was lost: set again");
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = restored.await {
            warn!(%error, "cannot set our role again");
        }
    }
}

async fn current(client: &Client, who: &Identity) -> Result<String, Error> {
    let mut roles = client.roles(&who.token).await?;
    let role = roles.remove(who.name.as_str()).unwrap_or_default();
    Ok(if role.len() <= LONGEST {
        role
    } else {
        String::new()
    })
}

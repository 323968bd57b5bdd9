//! Turns the hub's triggers into prompts for the session, and acknowledges
//! those that were typed.
//!
//! *Invariant*: a trigger is acknowledged after its prompt was submitted, or
//! its outcome is unknown; never before. The hub sends what was not
//! acknowledged again, so a mention outlives the agent, the hub and us.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::hub::client::{Client, Error, Events};
use crate::session::{Options, Outcome, Session};
use crate::types::identity::Token;
use crate::types::trigger::{ChannelName, Trigger};
use crate::types::upstream::Live;

/// Between two tries to open the stream of triggers.
const RETRY: Duration = Duration::from_secs(1);

/// What carries mentions from the hub to the agent.
pub struct Inbox {
    pub client: Client,
    pub live: watch::Receiver<Live>,
    pub session: Session,
    /// Rung when the hub refuses our token.
    pub nudge: Arc<Notify>,
}

impl Inbox {
    /// Runs until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(Box::pin(self.follow())).await;
    }

    /// Opens the stream again whenever it ends, with the identity of the hour.
    async fn follow(&mut self) {
        // Typed, but not acknowledged: sent again, it is not typed again.
        let mut typed = None;
        loop {
            let Some(identity) = self.live.borrow_and_update().identity.clone() else {
                return;
            };
            let ended = match self.client.triggers(&identity.token).await {
                Ok(stream) => self.drain(stream, &identity.token, &mut typed).await,
                Err(error) => Err(error),
            };
            match ended {
                // A hub that closes the stream may have closed our account.
                Ok(()) | Err(Error::Conflict | Error::Unauthorized { .. }) => {
                    self.nudge.notify_one();
                }
                Err(Error::Unsupported) => {
                    warn!("this hub has no stream of triggers: mentions do not reach the agent");
                    return;
                }
                Err(error) => info!(%error, "no stream of triggers"),
            }
            tokio::select! {
                _ = self.live.changed() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Types what comes until the hub ends the stream. What comes while a
    /// prompt waits or is typed goes into the next one.
    async fn drain(
        &self,
        mut stream: Events<Trigger>,
        token: &Token,
        typed: &mut Option<u64>,
    ) -> Result<(), Error> {
        let mut waiting = Vec::new();
        let mut open = true;
        loop {
            if waiting.is_empty() {
                match stream.next().await? {
                    Some(trigger) => waiting.push(trigger),
                    None => return Ok(()),
                }
            }
            let mut batch: Vec<Trigger> = std::mem::take(&mut waiting);
            let upto = batch.iter().map(|trigger| trigger.id).max();
            let upto = upto.unwrap_or_default();
            batch.retain(|trigger| typed.is_none_or(|typed| trigger.id > typed));
            if !batch.is_empty() {
                let mut typing = self
                    .session
                    .prompt(prompt(&batch), Options::default())
                    .await;
                let receipt = loop {
                    tokio::select! {
                        biased;
                        receipt = typing.ended() => break receipt,
                        more = stream.next(), if open => match more {
                            Ok(Some(trigger)) => waiting.push(trigger),
                            // What has come is sent again on the next stream.
                            Ok(None) | Err(_) => open = false,
                        },
                    }
                };
                let reason = receipt.reason().map(ToString::to_string);
                match receipt.outcome() {
                    Some(Outcome::Submitted) => info!(upto, "typed a mention"),
                    Some(Outcome::Unknown(_)) => {
                        warn!(upto, reason, "typed a mention, with unknown outcome");
                    }
                    Some(Outcome::Refused(_)) | None => {
                        // Not acknowledged: it waits at the hub.
                        warn!(upto, reason, "a mention was not typed");
                        return Ok(());
                    }
                }
                *typed = Some(upto);
            }
            self.client.ack(token, upto).await?;
            *typed = None;
            if !open {
                return Ok(());
            }
        }
    }
}

/// The prompt for a batch: the sentence that agentchattr's agents know, naming
/// every channel once, in the order of the mentions.
fn prompt(batch: &[Trigger]) -> String {
    let mut channels: Vec<&ChannelName> = Vec::new();
    for trigger in batch {
        if !channels.contains(&&trigger.channel) {
            channels.push(&trigger.channel);
        }
    }
    let names: Vec<String> = channels
        .iter()
        .map(|channel| format!("#{channel}"))
        .collect();
    let names = match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    };
    format!("use mcp to read {names} - you're mentioned, take appropriate action and respond")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_names_every_channel_once_in_order() {
        for (channels, names) in [
            (&["general"][..], "#general"),
            (&["dev", "general", "dev"], "#dev and #general"),
            (&["a", "b", "c", "b"], "#a, #b and #c"),
        ] {
            let batch: Vec<Trigger> = channels
                .iter()
                .zip(1..)
                .map(|(channel, id)| Trigger {
                    id,
                    channel: channel.parse().expect("a channel"),
                    sender: "user".into(),
                    message: id,
                })
                .collect();
            let said = prompt(&batch);
            assert_eq!(
                said,
                format!(
                    "use mcp to read {names} - you're mentioned, take appropriate action and respond"
                )
            );
        }
    }
}

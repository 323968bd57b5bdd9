//! Mentions from a hub of ours: triggers, which it keeps until they are
//! acknowledged.

use crate::hub::client::{Client, Error, Events};
use crate::types::identity::Token;
use crate::types::mention::{Mention, Place};
use crate::types::trigger::Trigger;

use super::Source;

/// One stream, until the hub ends it.
pub(super) struct Stream<'a> {
    client: &'a Client,
    token: &'a Token,
    events: Events<Trigger>,
    /// The last trigger that was typed and not acknowledged.
    typed: &'a mut Option<u64>,
    has_ended: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        client: &'a Client,
        token: &'a Token,
        events: Events<Trigger>,
        typed: &'a mut Option<u64>,
    ) -> Self {
        Self {
            client,
            token,
            events,
            typed,
            has_ended: false,
        }
    }
}

impl Source for Stream<'_> {
    type Mark = u64;

    async fn next(&mut self) -> Result<Vec<(Mention, u64)>, Error> {
        loop {
            if self.has_ended {
                return Ok(Vec::new());
            }
            let Some(trigger) = self.events.next().await? else {
                self.has_ended = true;
                return Ok(Vec::new());
            };
            if self.typed.is_some_and(|typed| trigger.id <= typed) {
                let typed = *self.typed;
                self.client.ack(self.token, trigger.id).await?;
                if typed == Some(trigger.id) {
                    *self.typed = None;
                }
                continue;
            }
            let mention = Mention {
                place: Place::Channel(trigger.channel),
                prompt: None,
            };
            return Ok(vec![(mention, trigger.id)]);
        }
    }

    async fn done(&mut self, upto: u64) -> Result<(), Error> {
        *self.typed = Some(upto);
        self.client.ack(self.token, upto).await?;
        *self.typed = None;
        Ok(())
    }
}

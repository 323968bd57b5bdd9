//! What the hub calls us: heard in heartbeats, and asked for where they name
//! another.

use std::time::Instant;

use tracing::{info, warn};

use super::{Memory, Presence};
use crate::hub::client::{Claim, Error};
use crate::types::identity::{Identity, InstanceName};
use crate::types::trigger::ChannelName;

impl Presence {
    /// Shows the hub that we live, and hears what it calls us.
    pub(super) async fn hear(
        &self,
        identity: &Identity,
        report: Option<bool>,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        if let (Some(books), Some(other)) = (self.books(), memory.doubt.muted_for(Instant::now()))
            && !self.family.bears(other).await
        {
            // A heartbeat would keep `other` online, which may be dead. This
            // is a sign of life as well.
            let owned = Box::pin(books.owned(identity)).await?;
            return self.owns(identity, None, owned, memory).await;
        }
        let name = self.client.heartbeat(identity, report).await?;
        if name == identity.name {
            memory.doubt.clear();
            return Ok(());
        }
        let Some(books) = self.books() else {
            self.called(identity, name).await;
            return Ok(());
        };
        if !memory.doubt.hear(&name, Instant::now()) {
            return Ok(());
        }
        match Box::pin(books.owned(identity)).await {
            Ok(owned) => self.owns(identity, Some(&name), owned, memory).await,
            Err(error @ (Error::Conflict | Error::BadName)) => Err(error),
            Err(error) => {
                info!(%error, heard = %name, "cannot ask the hub for our name");
                memory.doubt.clear();
                Ok(())
            }
        }
    }

    /// The hub says that our token is of the instance in `owned`, after a
    /// heartbeat that was answered with `heard`.
    async fn owns(
        &self,
        identity: &Identity,
        heard: Option<&InstanceName>,
        owned: Claim,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let owned = match owned {
            Claim::Confirmed(name) => name,
            Claim::Refused(why) => {
                info!(why, "the hub does not say our name");
                return Ok(());
            }
        };
        if owned == identity.name {
            if let Some(heard) = heard {
                info!(name = %owned, %heard, "a heartbeat is answered with another's name");
            }
            return Ok(());
        }
        // The owner of the bare name of the base, and nobody else, is told the
        // first of the family.
        let is_bare = |name: &InstanceName| name.as_str() == self.base.as_str();
        let name = if self.family.bears(&owned).await {
            heard.filter(|heard| is_bare(heard))
        } else if is_bare(&identity.name) && heard != Some(&owned) {
            None
        } else {
            Some(&owned)
        };
        match name {
            Some(name) if *name == owned || !self.family.bears(name).await => {
                memory.doubt.clear();
                self.called(identity, name.clone()).await;
            }
            _ => info!(name = %identity.name, %owned, "the hub takes us for another"),
        }
        Ok(())
    }

    /// Takes our name back where an agent has claimed one that could not be a
    /// word in a mention, and tells the chat.
    pub(super) async fn keep_name(&self, identity: &Identity) {
        let name = &identity.name;
        let kept = match self.books() {
            Some(books) => Box::pin(books.keep(identity)).await,
            None => Err(Error::BadName),
        };
        let text = match kept {
            Ok(()) => format!(
                "(wrapper) {name} keeps its name: a name takes 1 to 64 letters, digits, `-` and `_`, and does not start with `-`."
            ),
            Err(error) => {
                warn!(%name, %error, "cannot take our name back");
                format!(
                    "(wrapper) {name} has a name that cannot be mentioned: mentions do not reach it. A name takes 1 to 64 letters, digits, `-` and `_`."
                )
            }
        };
        warn!(%name, error = %Error::BadName, "keeping the name we had");
        let general = ChannelName::general();
        let sent = self.client.send(&identity.token, &text, &general);
        if let Err(error) = sent.await {
            warn!(%error, "the chat was not told of a name that is none");
        }
    }
}

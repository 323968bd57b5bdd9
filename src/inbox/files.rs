//! Mentions from agentchattr's server: entries of queue files, under whatever
//! name the instance has or had.

use std::path::PathBuf;

use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::hub::client::{Client, Error};
use crate::presence::Event;
use crate::queue::{Entry, Position, Queue, Stale, Waiting, flag_recovered};
use crate::types::mention::{Mention, Place};
use crate::types::trigger::ChannelName;
use crate::types::upstream::Live;

use super::Source;

/// The queue of one instance, followed through its names.
pub(super) struct Files {
    queue: Box<Queue>,
    data_dir: PathBuf,
    events: mpsc::UnboundedReceiver<Event>,
    client: Client,
    live: watch::Receiver<Live>,
    /// The last mention that is on its way to the agent.
    on_the_way: Option<Position>,
    /// The last entry that is not for us, and waits to be acknowledged.
    given_up: Option<Position>,
    /// Entries that are not for us, of which the chat was not told: old ones,
    /// and prompts.
    untold: [usize; 2],
    ready: Vec<(Mention, Position)>,
}

impl Files {
    pub(super) fn new(
        queue: Box<Queue>,
        data_dir: PathBuf,
        events: mpsc::UnboundedReceiver<Event>,
        client: Client,
        live: watch::Receiver<Live>,
    ) -> Self {
        Self {
            queue,
            data_dir,
            events,
            client,
            live,
            on_the_way: None,
            given_up: None,
            untold: [0, 0],
            ready: Vec::new(),
        }
    }

    /// Parts the mentions of a batch from what is not for us.
    fn sort(&mut self, batch: Vec<Waiting>) {
        for waiting in batch {
            match waiting.stale {
                Some(Stale::Old) => self.untold[0] += 1,
                Some(Stale::Foreign) => self.untold[1] += 1,
                None => {
                    self.on_the_way = Some(waiting.position);
                    self.ready.push((mention(waiting.entry), waiting.position));
                    continue;
                }
            }
            self.given_up = Some(waiting.position);
        }
    }

    /// Tells the chat, in one line, what is given up.
    async fn tell(&self) {
        let [old, foreign] = self.untold;
        warn!(old, foreign, "entries of an earlier session are given up");
        let Some(identity) = self.live.borrow().identity.clone() else {
            return;
        };
        let text = format!(
            "(wrapper) {}: not typed, as they were for an earlier session of this name: {old} mentions of more than 24 hours ago, {foreign} prompts.",
            identity.name
        );
        let general = ChannelName::general();
        let sent = self.client.send(&identity.token, &text, &general);
        if let Err(error) = sent.await {
            warn!(%error, "the chat was not told of entries that are given up");
        }
    }

    /// Acknowledges what was given up, once nothing before it is on its way.
    async fn settle(&mut self) {
        if self.on_the_way.is_none()
            && let Some(upto) = self.given_up.take()
            && let Err(error) = self.queue.ack(upto).await
        {
            warn!(
                error = format!("{error:#}"),
                "entries may be given up again"
            );
        }
    }

    /// Follows the instance to its next name.
    fn called(&mut self, event: &Event) {
        for name in event.via.iter().chain([&event.to]) {
            if let Err(error) = self.queue.rename(name) {
                warn!(
                    error = format!("{error:#}"),
                    "a name is not shared with other wrappers"
                );
            }
        }
        if event.again
            && let Err(error) = flag_recovered(&self.data_dir, &event.to)
        {
            warn!(
                error = format!("{error:#}"),
                "the server is not told of a gap"
            );
        }
    }
}

impl Source for Files {
    type Mark = Position;

    async fn next(&mut self) -> Result<Vec<(Mention, Position)>, Error> {
        loop {
            if self.untold != [0, 0] {
                self.tell().await;
                self.untold = [0, 0];
            }
            self.settle().await;
            if !self.ready.is_empty() {
                return Ok(std::mem::take(&mut self.ready));
            }
            tokio::select! {
                Some(event) = self.events.recv() => self.called(&event),
                batch = self.queue.next() => self.sort(batch),
            }
        }
    }

    async fn done(&mut self, upto: Position) -> Result<(), Error> {
        if let Err(error) = self.queue.ack(upto).await {
            // It is not typed again by us; by who comes after us, perhaps.
            warn!(error = format!("{error:#}"), "a delivery is not noted");
        }
        self.on_the_way = self.on_the_way.filter(|last| *last > upto);
        Ok(())
    }
}

/// What an entry says, as far as we use it.
fn mention(entry: Entry) -> Mention {
    let place = match entry.job_id {
        Some(id) => Place::Job(id),
        None => Mention::in_channel(&entry.channel).place,
    };
    Mention {
        place,
        prompt: entry.prompt,
    }
}

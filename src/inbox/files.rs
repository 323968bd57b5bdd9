//! Mentions from agentchattr's server: entries of queue files, under whatever
//! name the instance has or had.

use std::path::PathBuf;

use tokio::sync::mpsc;
use tracing::warn;

use crate::hub::client::Error;
use crate::presence::Event;
use crate::queue::{Entry, Position, Queue, flag_recovered};
use crate::types::mention::{Mention, Place};

use super::Source;

/// The queue of one instance, followed through its names.
pub(super) struct Files {
    queue: Box<Queue>,
    data_dir: PathBuf,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Files {
    pub(super) fn new(
        queue: Box<Queue>,
        data_dir: PathBuf,
        events: mpsc::UnboundedReceiver<Event>,
    ) -> Self {
        Self {
            queue,
            data_dir,
            events,
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
            tokio::select! {
                Some(event) = self.events.recv() => self.called(&event),
                waiting = self.queue.next() => {
                    let mentions = waiting
                        .into_iter()
                        .map(|waiting| (mention(waiting.entry), waiting.position));
                    return Ok(mentions.collect());
                }
            }
        }
    }

    async fn done(&mut self, upto: Position) -> Result<(), Error> {
        if let Err(error) = self.queue.ack(upto).await {
            // It is not typed again by us; by who comes after us, perhaps.
            warn!(error = format!("{error:#}"), "a delivery is not noted");
        }
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

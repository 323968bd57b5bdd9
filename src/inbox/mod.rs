//! Turns mentions into prompts for the session: those of our own hub come by a
//! stream, those of agentchattr's server in queue files.
//!
//! *Invariant*: a mention is acknowledged after its prompt was submitted, or
//! its outcome is unknown; never before. What was not acknowledged comes
//! again, so a mention outlives the agent, the hub and us.

mod advice;
mod carrier;
mod files;
mod notices;
mod prompt;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::hub::client::{Client, Error};
use crate::presence::Event;
use crate::queue::Queue;
use crate::session::Session;
use crate::types::mention::Mention;
use crate::types::upstream::Live;

use carrier::Carrier;
use files::Files;
use stream::Stream;

/// Between two tries to open the stream of triggers.
const RETRY: Duration = Duration::from_secs(1);

/// What carries mentions from the hub to the agent.
pub struct Inbox {
    pub client: Client,
    pub live: watch::Receiver<Live>,
    pub session: Session,
    /// Rung when the hub refuses our token.
    pub nudge: Arc<Notify>,
    pub post: Post,
    /// The instance began as a later one of its base.
    pub is_later: bool,
    /// How long a mention may wait before the chat is told.
    pub patience: Duration,
}

/// How mentions come.
#[derive(Debug)]
pub enum Post {
    /// By a stream of a hub of ours.
    Stream,
    /// In queue files.
    Files {
        queue: Box<Queue>,
        /// Where they are.
        data_dir: PathBuf,
        /// What becomes of our name.
        events: mpsc::UnboundedReceiver<Event>,
    },
}

/// Where mentions come from.
trait Source {
    /// How far they were delivered.
    type Mark: Copy;

    /// Waits for more; none: there are no more. Cancel safe.
    async fn next(&mut self) -> Result<Vec<(Mention, Self::Mark)>, Error>;

    /// All up to this one were delivered.
    async fn done(&mut self, upto: Self::Mark) -> Result<(), Error>;
}

impl Inbox {
    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            client,
            live,
            session,
            nudge,
            post,
            is_later,
            patience,
        } = self;
        let mut carrier = Carrier::new(client.clone(), live.clone(), session, is_later, patience);
        match post {
            Post::Stream => {
                let follow = follow(&client, live, &nudge, &mut carrier);
                stop.run_until_cancelled(Box::pin(follow)).await;
            }
            Post::Files {
                queue,
                data_dir,
                events,
            } => {
                let mut files = Files::new(queue, data_dir, events, client.clone(), live);
                let carry = Box::pin(carrier.carry(&mut files));
                if let Some(Err(error)) = stop.run_until_cancelled(carry).await {
                    warn!(%error, "mentions do not reach the agent any more");
                }
            }
        }
        carrier.take_leave().await;
    }
}

/// Opens the stream again whenever it ends, with the identity of the hour.
async fn follow(
    client: &Client,
    mut live: watch::Receiver<Live>,
    nudge: &Notify,
    carrier: &mut Carrier,
) {
    // Typed, but not acknowledged: sent again, it is not typed again.
    let mut typed = None;
    loop {
        let Some(identity) = live.borrow_and_update().identity.clone() else {
            return;
        };
        let ended = match client.triggers(&identity.token).await {
            Ok(events) => {
                let mut stream = Stream::new(client, &identity.token, events, &mut typed);
                carrier.carry(&mut stream).await
            }
            Err(error) => Err(error),
        };
        match ended {
            // A hub that closes the stream may have closed our account.
            Ok(()) | Err(Error::Conflict | Error::Unauthorized { .. }) => nudge.notify_one(),
            Err(Error::Unsupported) => {
                warn!("this hub has no stream of triggers: mentions do not reach the agent");
                return;
            }
            Err(error) => info!(%error, "no stream of triggers"),
        }
        tokio::select! {
            _ = live.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

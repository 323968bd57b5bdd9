//! How mentions reach a session: by a stream of our own hub, or in the queue
//! files of agentchattr's server.

use tokio::sync::mpsc;

use super::registration::Registration;
use super::setting::Setting;
use crate::inbox::Post;
use crate::presence::Event;
use crate::queue::Queue;
use crate::report;
use crate::types::agent::AgentSpec;
use crate::types::identity::SessionId;

/// Opens the queue of the instance that was registered, before the agent runs:
/// what is written from now on is delivered. Warns where that does not work.
pub(super) fn queue(
    setting: &Setting,
    spec: &AgentSpec,
    session: &SessionId,
    registration: &Registration,
) -> Option<Queue> {
    registration.claims.as_ref()?;
    let dir = &setting.config.hub.data_dir;
    match Queue::open(dir, session, &spec.name, &registration.identity.name) {
        Ok(queue) => {
            if let Some(why) = queue.polls() {
                report::warning(format_args!("mentions are looked for once a second: {why}"));
            }
            Some(queue)
        }
        Err(error) => {
            report::warning(format_args!(
                "mentions do not reach the agent: {error:#}: `data_dir` of `[server]` must be the hub's own"
            ));
            None
        }
    }
}

/// The way of mentions, if there is one.
pub(super) fn post(
    setting: &Setting,
    registration: &Registration,
    queue: Option<Queue>,
    events: mpsc::UnboundedReceiver<Event>,
) -> Option<Post> {
    if registration.claims.is_none() {
        return Some(Post::Stream);
    }
    Some(Post::Files {
        queue: Box::new(queue?),
        data_dir: setting.config.hub.data_dir.clone(),
        events,
    })
}

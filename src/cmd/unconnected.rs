//! Warns of servers that the agent was told of and does not connect to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::catalog::Catalog;
use crate::session::{Life, Session, State, Status};

/// The time that an agent has for it once it is ready.
const TIME: Duration = Duration::from_secs(20);

/// How often an agent that starts is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Watches every life of the agent.
pub(super) async fn watch(session: Session, catalog: Arc<Catalog>) {
    let mut status = session.status();
    let running = |status: &Status| status.life == Life::Running;
    while status.wait_for(running).await.is_ok() {
        let life = status.borrow().restarts;
        ready(&session).await;
        if over(&mut status, life).await {
            continue;
        }
        for server in catalog.unconnected() {
            let why = catalog.trouble(&server).unwrap_or_default();
            warn!(%server, %why, "the agent has not connected to this MCP server");
        }
        let another = |status: &Status| status.life != Life::Running || status.restarts != life;
        if status.wait_for(another).await.is_err() {
            return;
        }
    }
}

/// Waits until the agent is no longer starting.
async fn ready(session: &Session) {
    while session.state().await == State::Starting {
        sleep(LOOK).await;
    }
}

/// Lets the time pass; true if the life ends before.
async fn over(status: &mut watch::Receiver<Status>, life: u32) -> bool {
    let ended = |status: &Status| status.life != Life::Running || status.restarts != life;
    timeout(TIME, status.wait_for(ended)).await.is_ok()
}

//! Undoes what sessions left that were killed, or that could not undo it
//! themselves, and tells their hubs.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use tracing::info;

use crate::control::roster::{self, Dead};
use crate::control::succession::{self, Instance};
use crate::hub::{self, client};
use crate::inject::{self, Owed};
use crate::types::identity::SessionId;
use crate::types::upstream::Endpoint;

/// What a hub may take to hear of a dead session.
const PATIENCE: Duration = Duration::from_secs(1);

/// The sessions that were cleared up after.
#[derive(Debug, Default)]
#[must_use = "their hubs do not know yet"]
pub(super) struct Buried {
    /// Their instances on hubs of ours.
    instances: Vec<Instance>,
    /// The names and the hubs of others: nobody else has their tokens.
    pub(super) online: Vec<(String, String)>,
}

/// Puts back what they changed, and removes their directories; tells
/// `complain` of what it could not.
pub(super) fn bury(state: &Path, complain: impl Fn(anyhow::Error)) -> Buried {
    let mut buried = Buried::default();
    for dead in roster::roster(state).dead {
        info!(path = %dead.path.display(), "clearing up after a session that was killed");
        if let Err(error) = buried.note(state, &dead) {
            complain(error);
        }
        let cleared = inject::undo_journal(&dead.path)
            .and_then(|undone| if undone { dead.remove() } else { Ok(()) })
            .context("cannot clear up after a killed session");
        if let Err(error) = cleared {
            complain(error);
        }
    }
    buried
}

impl Buried {
    /// Keeps what the next launch has to know of a dead session.
    fn note(&mut self, state: &Path, dead: &Dead) -> anyhow::Result<()> {
        let Some(instance) = succession::noted(&dead.path) else {
            let session = roster::noted(&dead.path);
            let hub = session.and_then(|session| Some((session.name, session.hub.url?)));
            self.online.extend(hub);
            return Ok(());
        };
        let name = dead.path.file_name().unwrap_or_default().to_string_lossy();
        let id: SessionId = name.parse()?;
        succession::leave(state, &id, &instance)?;
        succession::forget(&dead.path);
        self.instances.push(instance);
        Ok(())
    }

    /// Tells their hubs: they are offline, and what waits for them waits on.
    pub(super) async fn tell(self) {
        for instance in self.instances {
            let told = timeout(PATIENCE, died(&instance)).await;
            match told {
                Ok(Ok(())) => info!(name = instance.name, "the hub knows of a dead session"),
                Ok(Err(error)) => {
                    info!(
                        name = instance.name,
                        "a dead session is not reported: {error:#}"
                    );
                }
                Err(_) => info!(
                    name = instance.name,
                    "the hub does not hear of a dead session"
                ),
            }
        }
    }
}

async fn died(instance: &Instance) -> anyhow::Result<()> {
    let (client, human) = books(instance)?;
    match client.report_dead(&human, &instance.uid).await {
        // Somebody has it already.
        Err(client::Error::Refused { status: 404, .. }) => Ok(()),
        told => Ok(told?),
    }
}

/// Ends the registration of a session that was killed on purpose: nobody is to
/// follow it. False if its hub does not hear of it.
pub(super) async fn deregister(dir: &Path) -> bool {
    let Some(instance) = succession::noted(dir) else {
        return false;
    };
    let ended = async {
        let (client, human) = books(&instance)?;
        match client.deregister_dead(&human, &instance.uid).await {
            Err(client::Error::Refused { status: 404, .. }) => Ok(()),
            told => anyhow::Ok(told?),
        }
    };
    match timeout(PATIENCE, ended).await {
        Ok(Ok(())) => {
            succession::forget(dir);
            true
        }
        Ok(Err(error)) => {
            info!(
                name = instance.name,
                "a session is not deregistered: {error:#}"
            );
            false
        }
        Err(_) => false,
    }
}

/// The hub of an instance, and the human's token there.
fn books(instance: &Instance) -> anyhow::Result<(hub::Client, crate::types::identity::Token)> {
    let endpoint: Endpoint = instance.hub.parse().context("no hub")?;
    Ok((
        hub::Client::new(endpoint),
        hub::human_token(&instance.data_dir)?,
    ))
}

/// Tries again to put back what could not be put back before; tells `complain`
/// of each file that still has an entry of ours, in one line.
pub(super) fn settle(state: &Path, mut complain: impl FnMut(String)) {
    match inject::settle(state) {
        Ok(owed) => owed.iter().map(sentence).for_each(complain),
        Err(error) => complain(format!(
            "cannot take entries of ended sessions out of your settings: {error:#}"
        )),
    }
}

/// What is said of a file that has an entry still.
fn sentence(owed: &Owed) -> String {
    format!(
        "an entry of an ended session is still in {}: {}: every start tries again to take it out",
        owed.file.display(),
        owed.why
    )
}

//! A launch's place in the hub's books: entered, kept a hub for, left. A launch
//! that follows a dead session has that one's place.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::watch;
use tracing::{info, warn};

use super::family::Siblings;
use super::serve;
use super::setting::{STUCK, Setting};
use crate::control::succession::{self, Heir, Instance, Wish};
use crate::hub::client::{Client, Entry, Error as HubError, Registered};
use crate::paths;
use crate::report::Failure;
use crate::types::agent::{AgentSpec, Transport};
use crate::types::exit::Exit;
use crate::types::hub::HubState;
use crate::types::identity::{AgentName, Identity, Token};
use crate::types::upstream::{Endpoint, Live, Scheme};

/// How long a hub may be away before we start another.
const HUB_AWAY: Duration = Duration::from_secs(3);

/// What the hub may take to hear that we leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// A place in the hub's books.
pub(super) struct Registration {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) human: Option<Token>,
    /// Where the hub's tools are, over the agent's transport; None: it does
    /// not speak that.
    pub(super) tools: Option<Endpoint>,
    /// Where names are claimed; None: it is a hub of ours, which another can
    /// take the place of.
    pub(super) claims: Option<Endpoint>,
    /// What the hub shows.
    pub(super) label: String,
    /// What our successor has to know, on a hub of ours.
    pub(super) instance: Option<Instance>,
}

/// Enters us into the hub's books, starting a hub if none answers. `team` is
/// the member that we are.
pub(super) async fn register(
    setting: &Setting,
    spec: &AgentSpec,
    team: Option<&str>,
) -> Result<Registration, Failure> {
    let client = setting.client();
    let mut human = setting.human_if_any();
    let hub = client.url();
    let label = spec.own_label.as_deref();
    let heirs = succession::heirs(
        &paths::state(&setting.env),
        Wish {
            hub: &hub,
            base: &spec.name,
            cwd: &spec.cwd,
            label,
            team,
        },
    );
    let uids: Vec<String> = heirs.iter().map(|heir| heir.instance.uid.clone()).collect();
    let agents: Vec<AgentName> = setting.config.agents().cloned().collect();
    let enter = async |human: Option<&Token>| {
        let family = spec.label.as_deref().filter(|_| label.is_none());
        let entry = Entry {
            base: &spec.name,
            label,
            family,
            previous: None,
            human,
            succeeds: &uids,
            agents: &agents,
        };
        client.enter(&entry).await
    };
    let mut result = enter(human.as_ref()).await;
    if let Err(HubError::Unreachable {
        why: io::ErrorKind::ConnectionRefused,
        ..
    }) = &result
        && setting.config.hub.autostart
    {
        if setting.is_agentchattrs() {
            return Err(not_in_its_place(setting));
        }
        serve::ensure(setting)
            .await
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        human = setting.human_if_any();
        result = enter(human.as_ref()).await;
    }
    let registered = result.map_err(register_failure)?;
    let ours = registered.mcp_port.is_some();
    let port = match spec.hub_transport() {
        Transport::Http => registered.mcp_port,
        Transport::Sse => registered.sse_port,
    };
    // Another's hub does not say: it is where the configuration has it.
    let tools = (port.is_some() || !ours).then(|| tools(setting, spec.hub_transport(), port));
    let claims = (!ours).then(|| self::tools(setting, Transport::Http, None));
    let instance = ours.then(|| {
        settle_estate(&heirs, &registered);
        Instance {
            hub,
            data_dir: setting.config.hub.data_dir.clone(),
            uid: registered.uid.clone(),
            base: spec.name.clone(),
            name: registered.identity.name.to_string(),
            cwd: spec.cwd.clone(),
            label: spec.own_label.clone(),
            team: team.map(ToOwned::to_owned),
        }
    });
    let mut identity = registered.identity;
    if let Some(claims) = &claims {
        let siblings = siblings(setting, spec, &client);
        let settled = siblings.settle(&client, claims, label, identity).await;
        identity = settled.map_err(register_failure)?;
    }
    Ok(Registration {
        client,
        identity,
        human,
        tools,
        claims,
        label: registered.label,
        instance,
    })
}

/// Removes the notes that have served: of the instance that we have now, and
/// of those before it, which the hub does not know any more.
fn settle_estate(heirs: &[Heir], registered: &Registered) {
    let had = |heir: &Heir| Some(&heir.instance.uid) == registered.succeeded.as_ref();
    let done = heirs.iter().position(had).map_or(heirs.len(), |at| at + 1);
    if done <= heirs.len() && registered.succeeded.is_some() {
        info!(name = %registered.identity.name, "took over from a session that is gone");
    }
    for heir in &heirs[..done] {
        heir.forget();
    }
}

/// Where a hub's tools are, at `port` or where the configuration has them.
pub(super) fn tools(setting: &Setting, transport: Transport, port: Option<u16>) -> Endpoint {
    let mcp = &setting.config.mcp;
    let (configured, path) = match transport {
        Transport::Http => (mcp.http_port, "/mcp"),
        Transport::Sse => (mcp.sse_port, "/sse"),
    };
    Endpoint {
        scheme: Scheme::Http,
        host: setting.config.hub.host.clone(),
        port: port.unwrap_or(configured),
        path: path.into(),
    }
}

/// Starts a hub where ours has gone and does not come back by itself.
pub(super) async fn revive(setting: Arc<Setting>, mut state: watch::Receiver<HubState>) {
    let away = |state: &HubState| *state == HubState::Connecting;
    while state.wait_for(away).await.is_ok() {
        tokio::time::sleep(HUB_AWAY).await;
        if !away(&state.borrow()) {
            continue;
        }
        // Where another user's process has the port, no hub can be started.
        if let Err(HubError::Foreign { .. }) = setting.client().health().await {
            continue;
        }
        match serve::ensure(&setting).await {
            Ok(()) => info!("the hub was away: started"),
            Err(error) => warn!(error = format!("{error:#}"), "cannot start the hub again"),
        }
    }
}

/// Gives up a registration that is under way.
pub(super) async fn forgo(registering: impl Future<Output = Result<Registration, Failure>>) {
    if let Ok(Ok(registered)) = tokio::time::timeout(FAREWELL, registering).await {
        leave(&registered.client, &registered.identity).await;
    }
}

/// Who else is registered like us, while we have no session.
pub(super) fn siblings(setting: &Setting, spec: &AgentSpec, client: &Client) -> Siblings {
    let root = paths::state(&setting.env);
    Siblings::new(root, spec.name.clone(), client.url())
}

/// Leaves the hub's books. False if the hub has not heard of it.
pub(super) async fn farewell(client: &Client, live: &watch::Sender<Live>) -> bool {
    let identity = live.borrow().identity.clone();
    match identity {
        Some(identity) => leave(client, &identity).await,
        None => true,
    }
}

async fn leave(client: &Client, identity: &Identity) -> bool {
    match tokio::time::timeout(FAREWELL, client.deregister(identity)).await {
        // It has forgotten us already.
        Ok(Ok(()) | Err(HubError::Conflict)) => return true,
        Ok(Err(error)) => warn!(%error, "not deregistered"),
        Err(_) => warn!("not deregistered: the hub does not answer"),
    }
    false
}

fn register_failure(error: HubError) -> Failure {
    if let HubError::Foreign { .. } = &error {
        return foreign(Exit::Failed, error);
    }
    let hint = match &error {
        HubError::Unreachable {
            why: io::ErrorKind::ConnectionRefused,
            ..
        } => "start it with `wrapper serve`, or pass `--offline`",
        HubError::Unreachable {
            why: io::ErrorKind::TimedOut,
            ..
        } => STUCK,
        HubError::Unreachable { .. } | HubError::NotAHub { .. } => {
            "another program may have this port: pick others with `--port` and `--mcp-http-port`, or pass `--offline`"
        }
        HubError::Unauthorized { .. } => {
            "is it the hub of another user? pick other ports, or pass `--offline`"
        }
        _ => "pass `--offline` to do without a hub",
    };
    Failure::new(
        Exit::Failed,
        anyhow::Error::new(error).context("cannot register with the hub"),
    )
    .hint(hint)
}

/// Another user's process has the hub's port: what to do.
pub(super) fn foreign(exit: Exit, error: HubError) -> Failure {
    let owner = match &error {
        HubError::Foreign { stranger, .. } => stranger.as_owner(),
        _ => String::new(),
    };
    Failure::new(exit, error).hint(format!(
        "nothing was sent to it: pick other ports with `--port`, `--mcp-http-port` and \
         `--mcp-sse-port`; if you trust that hub with your agents, put `owner = {owner:?}` under \
         `[server]` in config.toml"
    ))
}

/// agentchattr's server is not up yet: what to do.
fn not_in_its_place(setting: &Setting) -> Failure {
    let (url, dir) = (
        setting.client().url(),
        setting.config.hub.data_dir.display(),
    );
    Failure::new(
        Exit::Failed,
        anyhow!(
            "no hub answers at {url}, and {dir} is agentchattr's: ours was not started in its place"
        ),
    )
    .hint(
        "start agentchattr's server first (`python run.py` in its directory), or pass \
         `--hub embedded` for ours",
    )
}

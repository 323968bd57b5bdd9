//! A launch's place in the hub's books: entered, kept a hub for, left.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::family::Siblings;
use super::serve;
use super::setting::Setting;
use crate::hub::client::{Client, Error as HubError};
use crate::paths;
use crate::report::Failure;
use crate::types::agent::{AgentSpec, Transport};
use crate::types::exit::Exit;
use crate::types::hub::HubState;
use crate::types::identity::{Identity, Token};
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
}

/// Enters us into the hub's books, starting a hub if none answers.
pub(super) async fn register(setting: &Setting, spec: &AgentSpec) -> Result<Registration, Failure> {
    let client = setting.client();
    let mut human = setting.human_if_any();
    let label = spec.label.as_deref();
    let mut result = client
        .register(&spec.name, label, None, human.as_ref())
        .await;
    if let Err(HubError::Unreachable {
        why: io::ErrorKind::ConnectionRefused,
        ..
    }) = &result
        && setting.config.hub.autostart
    {
        serve::ensure(setting)
            .await
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        human = setting.human_if_any();
        result = client
            .register(&spec.name, label, None, human.as_ref())
            .await;
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
    let mut identity = registered.identity;
    if let Some(claims) = &claims {
        let siblings = siblings(setting, spec, &client);
        identity = siblings.settle(claims, identity).await;
    }
    Ok(Registration {
        client,
        identity,
        human,
        tools,
        claims,
    })
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

/// Leaves the hub's books, if it listens.
pub(super) async fn farewell(client: &Client, live: &watch::Sender<Live>) {
    let identity = live.borrow().identity.clone();
    if let Some(identity) = identity {
        leave(client, &identity).await;
    }
}

async fn leave(client: &Client, identity: &Identity) {
    match tokio::time::timeout(FAREWELL, client.deregister(identity)).await {
        // It has forgotten us already.
        Ok(Ok(()) | Err(HubError::Conflict)) => {}
        Ok(Err(error)) => warn!(%error, "not deregistered"),
        Err(_) => warn!("not deregistered: the hub does not answer"),
    }
}

fn register_failure(error: HubError) -> Failure {
    let hint = match &error {
        HubError::Unreachable {
            why: io::ErrorKind::ConnectionRefused,
            ..
        } => "start it with `wrapper serve`, or pass `--offline`",
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

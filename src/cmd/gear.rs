//! What a session carries its servers with: the proxy, living credentials,
//! commands that we run, and the catalog over them.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::hosted;
use super::plan::Wiring;
use super::program::environment;
use super::setting::Setting;
use crate::catalog::{Catalog, Parts};
use crate::credential::Keepers;
use crate::hosting::Hosting;
use crate::inject;
use crate::proxy::{self, Ledger, Proxy};
use crate::types::agent::{AgentSpec, Inject, Route, Transport};
use crate::types::identity::Token;
use crate::types::server::Origin;
use crate::types::upstream::Live;

/// Made before the agent is told of anything; served while it runs.
pub(super) struct Gear {
    pub(super) catalog: Arc<Catalog>,
    pub(super) hosting: Arc<Hosting>,
    /// None: the agent is told of no servers.
    pub(super) door: Option<Door>,
}

/// The proxy and its port.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) proxy: Proxy,
    pub(super) port: u16,
    pub(super) key: Token,
}

impl Gear {
    /// Opens the proxy's port, and tells `wiring` of it; `stale` is woken when
    /// the hub has forgotten us.
    pub(super) fn new(
        spec: &AgentSpec,
        setting: &Setting,
        wiring: &mut Wiring,
        live: &watch::Sender<Live>,
        stale: Arc<Notify>,
    ) -> anyhow::Result<Self> {
        let env = environment(spec, &setting.env);
        let variables = wiring.context.variables(&spec.session_env_prefix);
        let keepers = Arc::new(Keepers::new(env.clone(), variables.clone()));
        let program = hosted::program().context("cannot tell where our program is")?;
        let hosting = Hosting::new(env.clone(), variables, spec.cwd.clone()).guarded_by(program);
        let hosting = Arc::new(hosting);
        let ledger = Ledger::default();
        let door = if spec.inject.is_some() {
            let listener = proxy::bind().context("cannot open the proxy")?;
            let address = listener.local_addr().context("cannot open the proxy")?;
            let key = Token::random();
            wiring.proxy = Some(inject::Proxy {
                base: format!("http://{address}"),
                key: key.clone(),
            });
            let settings = proxy::Settings {
                key: key.clone(),
                live: live.subscribe(),
                context: wiring.context.clone(),
                stale,
                keepers: Arc::clone(&keepers),
                patience: proxy::Patience::default(),
                ledger: ledger.clone(),
                hosting: Arc::clone(&hosting),
                env: env.clone(),
            };
            Some(Door {
                proxy: Proxy::new(settings, address.port()),
                listener,
                port: address.port(),
                key,
            })
        } else {
            None
        };
        let route = spec.inject.as_ref().map(Inject::route);
        let has_hub = wiring
            .servers
            .iter()
            .any(|server| server.origin == Origin::Hub);
        let parts = Parts {
            own: setting.config.mcp.server_name.clone(),
            dialect: spec.dialect,
            owner: setting.config.hub.owner.clone(),
            // Where the whole entry is trusted, other tools must not stand on it.
            has_door: has_hub
                && !inject::trusts_entry(spec)
                && matches!(route, Some(Route::Proxy | Route::Bridge))
                && spec.hub_transport() == Transport::Http,
            live: live.clone(),
            proxy: door.as_ref().map(|door| door.proxy.clone()),
            keepers,
            hosting: Arc::clone(&hosting),
            ledger,
            env,
            cwd: spec.cwd.clone(),
        };
        Ok(Self {
            catalog: Arc::new(Catalog::new(parts, &wiring.servers).without(wiring.left_out())),
            hosting,
            door,
        })
    }
}

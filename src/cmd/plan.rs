//! What a launch tells its agent, the proxy and the bridge of the servers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::watch;
use tracing::{info, warn};

use super::gather::Told;
use super::program::environment;
use super::registration;
use super::setting::Setting;
use crate::catalog::Catalog;
use crate::catalog::shown::{self, Listed};
use crate::inject::{self, InjectPlan, Link, Proxy, Refused, Unable};
use crate::paths::{self, Env};
use crate::report::Failure;
use crate::terminal::pty::Launch;
use crate::types::agent::{AgentSpec, Transport};
use crate::types::context::SessionContext;
use crate::types::exit::Exit;
use crate::types::identity::{ServerName, SessionId, Token};
use crate::types::server::{ContextLevel, Headers, Kind, Origin, Remote, Server};
use crate::types::upstream::{Endpoint, Live};

/// A session's servers, and how what the agent speaks to finds it.
#[derive(Debug, Clone)]
pub(super) struct Wiring {
    pub(super) servers: Vec<Server>,
    pub(super) context: SessionContext,
    pub(super) proxy: Option<Proxy>,
    pub(super) dir: PathBuf,
    program: PathBuf,
    told: Arc<Told>,
}

impl Wiring {
    /// The servers of `told`, and the hub's if there is one. `dir` is the
    /// session's; the proxy is opened later.
    pub(super) fn new(
        told: Arc<Told>,
        hub: Option<Server>,
        context: SessionContext,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot tell where our program is")?;
        Ok(Self {
            servers: hub
                .into_iter()
                .chain(told.servers.iter().cloned())
                .collect(),
            context,
            proxy: None,
            dir: dir.to_owned(),
            program,
            told,
        })
    }

    /// How the agent is told of the servers.
    pub(super) fn plan(&self, spec: &AgentSpec) -> Result<InjectPlan, Failure> {
        self.planned(spec).map_err(unable)
    }

    fn planned(&self, spec: &AgentSpec) -> Result<InjectPlan, Unable> {
        let context = self.context.variables(&spec.session_env_prefix);
        let link = Link {
            proxy: self.proxy.clone(),
            program: &self.program,
            context: &context,
            dir: &self.dir,
            project: self.project(),
            displaced: self.told.displaced.clone(),
            settings: self.told.settings.clone(),
        };
        let servers: Vec<Server> = self.servers.iter().map(Server::as_told).collect();
        inject::plan(spec, &servers, &link)
    }
}

impl Wiring {
    /// The project's servers that the agent is not told of, as they are listed.
    /// One whose name no server can have is told on stderr alone.
    pub(super) fn left_out(&self) -> Vec<Listed> {
        let left_out = self.told.left_out.iter().filter_map(|left_out| {
            let kind = if left_out.is_command {
                shown::Type::Local
            } else {
                shown::Type::Remote
            };
            let name = left_out.name.parse().ok()?;
            Some(Listed::left_out(name, kind, left_out.why.clone()))
        });
        left_out.collect()
    }

    /// The project's file, without what has been taken away since.
    fn project(&self) -> Option<inject::Project> {
        let mut project = self.told.project.clone()?;
        let was_there = |name: &str| has(&self.told.servers, name);
        project
            .wanted
            .retain(|name| has(&self.servers, name) || !was_there(name));
        Some(project)
    }
}

fn has(servers: &[Server], name: &str) -> bool {
    servers.iter().any(|server| server.name.as_str() == name)
}

/// The hub as a server, opened by `token`.
pub(super) fn hub(
    name: &ServerName,
    endpoint: &Endpoint,
    transport: Transport,
    token: &Token,
) -> Server {
    Server {
        name: name.clone(),
        origin: Origin::Hub,
        kind: Kind::Remote(Remote {
            endpoint: endpoint.clone(),
            transport,
            headers: bearer(token),
            auth: None,
        }),
        context: ContextLevel::None,
    }
}

fn bearer(token: &Token) -> Headers {
    let value = Token::new(format!("Bearer {}", token.expose()));
    vec![("Authorization".to_owned(), value)]
}

/// A plan's error with its way out.
fn unable(error: Unable) -> Failure {
    let hint = error.hint.clone();
    Failure::new(Exit::Failed, error).hint(hint)
}

/// A user's file that cannot be merged, with its way out.
pub(super) fn refused(spec: &AgentSpec, exit: Exit, error: Refused) -> Failure {
    let hint = error.is_read_only.then(|| {
        format!(
            "add what `wrapper {agent} --dry-run` shows to where the file is made, or tell the agent by \
             another way: `mcp_inject` of `[agents.{agent}]` as \"proxy_file\" with `mcp_flag`, or as \
             \"env\" with `mcp_env_var`; if the file is yours to change, `chmod u+w` does as well",
            agent = spec.name
        )
    });
    Failure {
        hint,
        ..Failure::new(exit, error)
    }
}

/// Writes the files of ours again whenever the hub gives another token, for an
/// agent that is told the token itself; some read them again.
pub(super) async fn refresh(
    spec: AgentSpec,
    mut wiring: Wiring,
    catalog: Arc<Catalog>,
    mut live: watch::Receiver<Live>,
) {
    while live.changed().await.is_ok() {
        let Some(identity) = live.borrow_and_update().identity.clone() else {
            continue;
        };
        wiring.servers = catalog.told();
        for server in &mut wiring.servers {
            if let (Origin::Hub, Kind::Remote(remote)) = (server.origin, &mut server.kind) {
                remote.headers = bearer(&identity.token);
            }
        }
        let written = wiring
            .plan(&spec)
            .map_err(|failure| failure.error)
            .and_then(|plan| plan.write_owned());
        match written {
            Ok(()) => info!("told the agent's file of the new token"),
            Err(error) => warn!(
                error = format!("{error:#}"),
                "the agent's file has an old token"
            ),
        }
    }
}

/// The wiring as far as it is known before anything is registered or bound:
/// for eyes, and for the check that the user's files can take it. What the hub
/// and the system give later has a name in its place.
pub(super) fn rehearse(
    spec: &AgentSpec,
    setting: &Setting,
    told: &Arc<Told>,
    offline: bool,
) -> anyhow::Result<Wiring> {
    let dir = paths::state(&setting.env).join("sessions/SESSION");
    let tools = registration::tools(setting, spec.hub_transport(), None);
    let token = Token::new("HUB-TOKEN");
    let name = &setting.config.mcp.server_name;
    let hub = (!offline).then(|| hub(name, &tools, spec.hub_transport(), &token));
    let id: SessionId = "SESSION".parse()?;
    let context = context(spec, id, spec.name.as_str(), &dir);
    let mut wiring = Wiring::new(Arc::clone(told), hub, context, &dir)?;
    wiring.proxy = Some(Proxy {
        base: "http://127.0.0.1:PORT".to_owned(),
        key: Token::new("SESSION-KEY"),
    });
    Ok(wiring)
}

/// Why the agent cannot be told of that server, if it cannot.
pub(super) fn cannot_tell(
    spec: &AgentSpec,
    setting: &Setting,
    server: &Server,
) -> anyhow::Result<Option<String>> {
    let told = Told {
        servers: vec![server.clone()],
        ..Told::default()
    };
    let wiring = rehearse(spec, setting, &Arc::new(told), true)?;
    Ok(wiring.planned(spec).err().map(|unable| unable.why))
}

/// A session as its agent and its servers know it.
pub(super) fn context(spec: &AgentSpec, id: SessionId, name: &str, dir: &Path) -> SessionContext {
    SessionContext {
        id,
        title: spec.label.clone().unwrap_or_else(|| name.to_owned()),
        name: name.to_owned(),
        agent: spec.name.clone(),
        control: dir.join("control.sock"),
    }
}

/// What is to be run: the agent's own arguments, those of its `conversation`,
/// ours, the user's.
pub(super) fn launch(
    spec: &AgentSpec,
    env: &Env,
    program: &Path,
    conversation: &[String],
    user_args: &[OsString],
    plan: &InjectPlan,
    context: &SessionContext,
) -> Launch {
    let args = spec
        .args
        .iter()
        .chain(conversation)
        .map(OsString::from)
        .chain(plan.args.iter().cloned())
        .chain(user_args.iter().cloned())
        .collect();
    let mut env = environment(spec, env);
    env.extend(
        context
            .variables(&spec.session_env_prefix)
            .into_iter()
            .map(|(key, value)| (key.into(), value.into())),
    );
    for (key, value) in &plan.env {
        env.insert(key.into(), value.expose().into());
    }
    Launch {
        program: program.to_owned(),
        args,
        env,
        cwd: spec.cwd.clone(),
    }
}

//! `wrapper <agent>`: resolve, register, bind, inject, run; then the same in
//! reverse.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use anyhow::anyhow;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::attended::Attended;
use super::caught::caught;
use super::front::{Front, Ready};
use super::gather::Told;
use super::gear::Gear;
use super::lives::Lives;
use super::plan::Wiring;
use super::registration::{self, Registration};
use super::setting::{Setting, block_on};
use super::signals::{self, Signals};
use super::tmux::pane::Pane;
use super::{background, burial, dry_run, gather, log, plan, post, program, talk, tmux};
use crate::cli::Run;
use crate::control;
use crate::control::roster::SessionDir;
use crate::control::succession;
use crate::inject;
use crate::logging;
use crate::paths;
use crate::report::{self, Failure};
use crate::terminal::tty;
use crate::types::agent::AgentSpec;
use crate::types::context::SessionContext;
use crate::types::exit::Exit;
use crate::types::identity::SessionId;
use crate::types::upstream::Live;

pub(super) fn run(args: Run) -> Result<Exit, Failure> {
    if args.tmux && !args.dry_run {
        return tmux::run(&args);
    }
    if args.detach && !args.detached && !args.dry_run {
        return background::start(args.json);
    }
    let Some(socket) = &args.pane else {
        return launch(args, None);
    };
    let pane = Arc::new(Pane::enter(socket, &paths::env()).map_err(failed)?);
    let result = launch(args, Some(Arc::clone(&pane)));
    pane.ended(&result);
    result
}

fn launch(args: Run, pane: Option<Arc<Pane>>) -> Result<Exit, Failure> {
    let mut setting = Setting::load(&args.options, Exit::Failed)?;
    let front = Front::of(&args, &mut setting.env);
    let spec = program::agent(&args, &setting)?;
    let program = program::find(&spec, &setting)?;
    if !args.dry_run && front.is_terminal() && !tty::foreground() {
        return Err(Failure::new(
            Exit::Failed,
            anyhow!("cannot run `{}`: there is no terminal", spec.name),
        )
        .hint("start it in a terminal, in the background with `-d`, or with `--headless`"));
    }
    let told = gather::gather(&setting, &spec, &args).inspect_err(|failure| {
        if !args.dry_run {
            log::record(&setting, failure);
        }
    });
    let told = Arc::new(told?);
    if args.dry_run {
        return dry_run::show(&setting, &spec, &program, &told, &args);
    }
    front.leave()?;
    let launch = Launch {
        ready: Arc::new(Ready::new(front)),
        setting: Arc::new(setting),
        spec,
        program,
        told,
        agent_args: args.args,
        resume: args.resume,
        offline: args.offline,
        pane,
        team: args.team,
    };
    let result = catch_unwind(AssertUnwindSafe(|| block_on(Exit::Failed, launch.run())));
    result.unwrap_or_else(|_| {
        Err(Failure::new(
            Exit::Failed,
            anyhow!("an error of our own ended the session: it stands in the log"),
        ))
    })
}

/// What is known once everything is resolved.
pub(super) struct Launch {
    pub(super) setting: Arc<Setting>,
    pub(super) spec: AgentSpec,
    pub(super) program: PathBuf,
    pub(super) told: Arc<Told>,
    pub(super) agent_args: Vec<OsString>,
    pub(super) ready: Arc<Ready>,
    /// The last conversation goes on.
    pub(super) resume: bool,
    offline: bool,
    /// The tmux session that shows it, if it is ours.
    pub(super) pane: Option<Arc<Pane>>,
    /// The team file and the member that it was started for.
    pub(super) team: Option<String>,
}

impl Launch {
    async fn run(self) -> Result<Exit, Failure> {
        burial::settle(&paths::state(&self.setting.env), report::warning);
        let rehearsed = plan::rehearse(&self.spec, &self.setting, &self.told, self.offline)
            .map_err(failed)?
            .plan(&self.spec)?;
        let refused = |error| plan::refused(&self.spec, Exit::Failed, error);
        rehearsed.check().map_err(refused)?;
        if self.resume {
            talk::check(&self.setting.env, &self.spec, &self.agent_args).await?;
        }
        let mut heard = Signals::catch().map_err(failed)?;
        let registration = if self.offline {
            None
        } else {
            let mut registering = pin!(registration::register(
                &self.setting,
                &self.spec,
                self.team.as_deref()
            ));
            tokio::select! {
                biased;
                kind = heard.next() => {
                    // The hub may be about to have us: it has to hear the rest.
                    registration::forgo(registering).await;
                    return Ok(Exit::Agent(signals::exit(kind)));
                }
                registered = &mut registering => Some(registered?),
            }
        };
        let live = watch::Sender::new(Live {
            identity: (registration.as_ref())
                .map(|registration| Arc::new(registration.identity.clone())),
            upstreams: Arc::default(),
        });
        // Held until the hub has heard: whoever waits for our end may want our name.
        let mut dir = None;
        let running = self.registered(registration.as_ref(), &live, &mut dir, heard);
        let result = caught(running).await;
        if let Some(registration) = registration {
            let is_left = registration::farewell(&registration.client, &live).await;
            if let (false, Some(dir)) = (is_left, &dir)
                && let Some(instance) = succession::noted(&dir.path)
            {
                let root = paths::state(&self.setting.env);
                if let Err(error) = succession::leave(&root, &dir.id, &instance) {
                    warn!("{error:#}");
                }
            }
            drop(dir);
            if registration.claims.is_some() {
                let client = &registration.client;
                let siblings = registration::siblings(&self.setting, &self.spec, client);
                siblings.hear().await;
            }
        }
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// The session's servers, as far as they are known before the proxy is.
    fn wiring(
        &self,
        registration: Option<&Registration>,
        context: SessionContext,
        dir: &Path,
    ) -> Result<Wiring, Failure> {
        let hub = registration.map(|registration| {
            let name = &self.setting.config.mcp.server_name;
            let token = &registration.identity.token;
            let tools = registration.tools.as_ref().ok_or_else(|| self.no_sse())?;
            Ok(plan::hub(name, tools, self.spec.hub_transport(), token))
        });
        Wiring::new(Arc::clone(&self.told), hub.transpose()?, context, dir).map_err(failed)
    }

    /// What the session is called beside its name: as the hub shows it, which
    /// numbers those of one agent.
    fn title(&self, registration: Option<&Registration>, name: &str) -> String {
        let label = registration.map(|registration| registration.label.clone());
        let label = label.filter(|label| !label.is_empty());
        let own = self.spec.own_label.clone().or(label);
        own.or_else(|| self.spec.label.clone())
            .unwrap_or_else(|| name.to_owned())
    }

    /// The hub lacks the transport of the agent.
    fn no_sse(&self) -> Failure {
        let (agent, port) = (&self.spec.name, self.setting.config.mcp.sse_port);
        Failure::new(
            Exit::Failed,
            anyhow!(
                "cannot tell `{agent}` of the hub: agent `{agent}` has `mcp_transport = \"sse\"`, which this hub does not serve"
            ),
        )
        .hint(format!(
            "its port was taken when it started: free port {port}, or pick another with `--mcp-sse-port`, and start the hub again"
        ))
    }

    /// Session directory, log, proxy, injection; then the agent.
    async fn registered(
        &self,
        registration: Option<&Registration>,
        live: &watch::Sender<Live>,
        held: &mut Option<SessionDir>,
        signals: Signals,
    ) -> Result<Exit, Failure> {
        let state = paths::state(&self.setting.env);
        let made = SessionDir::make(&state, SessionId::random()).map_err(failed)?;
        let dir = &*held.insert(made);
        let instance = registration.and_then(|registration| registration.instance.as_ref());
        if let Some(instance) = instance {
            succession::note(&dir.path, instance).map_err(failed)?;
        }
        let log = log::open(&state, &dir.id, &self.setting, self.ready.front()).map_err(failed)?;
        let name = live.borrow().identity.as_ref().map_or_else(
            || self.spec.name.to_string(),
            |identity| identity.name.to_string(),
        );
        if let Some(pane) = &self.pane {
            pane.rename(&name).await?;
        }
        info!(session = %dir.id, agent = %self.spec.name, name, "launched");
        for text in &self.told.warnings {
            warn!(text, "told the user");
        }
        let buried = burial::bury(&state, |error| warn!("{error:#}"));
        Box::pin(buried.tell()).await;

        let control = control::bind(&dir.path).map_err(|error| {
            failed(error).hint("set `WRAPPER_STATE_DIR` to a short path that can hold a socket")
        })?;
        let context = SessionContext {
            title: self.title(registration, &name),
            ..plan::context(&self.spec, dir.id.clone(), &name, &dir.path)
        };
        let mut wiring = self.wiring(registration, context, &dir.path)?;
        let stale = Arc::new(Notify::new());
        let gear = Gear::new(
            &self.spec,
            &self.setting,
            &mut wiring,
            live,
            Arc::clone(&stale),
        );
        let gear = gear.map_err(failed)?;
        wiring.servers = gear.catalog.adopt();
        let plan = wiring.plan(&self.spec)?;
        if plan.merges() {
            let common = paths::common_state(&self.setting.env);
            inject::introduce(&state, &common).unwrap_or_else(|error| warn!("{error:#}"));
        }
        let applied = plan.apply(&dir.path).map_err(failed)?;
        let mut lives = Lives::new(
            self,
            wiring.clone(),
            Arc::clone(&gear.catalog),
            applied,
            plan,
        );
        let attended = Attended {
            launch: self,
            registration,
            live,
            wiring: &wiring,
            stale,
            log: &log,
        };
        let queue = registration
            .and_then(|registration| post::queue(&self.setting, &self.spec, &dir.id, registration));
        let result = attended
            .run(control, gear, queue, &mut lives, signals)
            .await;
        drop(lives);
        burial::settle(&state, report::warning);
        match logging::warnings() {
            // Or it stood there already.
            _ if !self.ready.front().is_terminal() => {}
            0 => {}
            1 => report::note(format_args!("a warning stands in {}", log.display())),
            many => report::note(format_args!("{many} warnings stand in {}", log.display())),
        }
        result
    }
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

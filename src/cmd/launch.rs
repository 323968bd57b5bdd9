//! `wrapper <agent>`: resolve, register, bind, inject, run; then the same in
//! reverse.

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::gather::Told;
use super::plan::Wiring;
use super::registration::{self, Registration};
use super::setting::{self, Setting, block_on};
use super::{dry_run, gather, plan, program};
use crate::cli::Run;
use crate::control;
use crate::control::roster::{self, SessionDir};
use crate::inbox::Inbox;
use crate::inject::{self, Proxy};
use crate::logging;
use crate::paths;
use crate::presence::{HubState, Presence};
use crate::proxy;
use crate::report::{self, Failure};
use crate::session::{self, Job, Session};
use crate::terminal::tty::{self, DevTty};
use crate::types::agent::{AgentSpec, Inject, Route};
use crate::types::context::SessionContext;
use crate::types::exit::Exit;
use crate::types::identity::{SessionId, Token};
use crate::types::upstream::Live;

/// Between the polite signal to the agent and the next, ruder one.
const GRACE: Duration = Duration::from_secs(5);

/// What tasks and streams may take to end, once the agent is gone.
const DRAIN: Duration = Duration::from_secs(5);

/// Logs that are kept.
const LOGS: usize = 50;

pub(super) fn run(args: Run) -> Result<Exit, Failure> {
    let setting = Setting::load(&args.options, Exit::Failed)?;
    let spec = setting
        .config
        .agent(&args.agent, &args.of_agent)
        .map_err(|error| setting::failure(Exit::Failed, error))?;
    let program = program::find(&spec, &setting)?;
    if !args.dry_run && !tty::foreground() {
        return Err(Failure::new(
            Exit::Failed,
            anyhow!("cannot run `{}`: there is no terminal", spec.name),
        )
        .hint("start it in a terminal; `--dry-run` shows what it would do"));
    }
    let told = gather::gather(&setting, &spec, &args).inspect_err(|failure| {
        if !args.dry_run {
            record(&setting, failure);
        }
    });
    let told = Arc::new(told?);
    if args.dry_run {
        return dry_run::show(&setting, &spec, &program, &told, &args);
    }
    let launch = Launch {
        setting: Arc::new(setting),
        spec,
        program,
        told,
        agent_args: args.args,
        offline: args.offline,
    };
    let result =
        std::panic::catch_unwind(AssertUnwindSafe(|| block_on(Exit::Failed, launch.run())));
    result.unwrap_or_else(|_| {
        Err(Failure::new(
            Exit::Failed,
            anyhow!("an error of our own ended the session: it stands in the log"),
        ))
    })
}

/// Where a session can be reached, bound and not yet served.
struct Doors {
    control: UnixListener,
    proxy: Option<TcpListener>,
}

/// What is known once everything is resolved.
struct Launch {
    setting: Arc<Setting>,
    spec: AgentSpec,
    program: PathBuf,
    told: Arc<Told>,
    agent_args: Vec<OsString>,
    offline: bool,
}

impl Launch {
    async fn run(self) -> Result<Exit, Failure> {
        let rehearsed = plan::rehearse(&self.spec, &self.setting, &self.told, self.offline)
            .map_err(failed)?
            .plan(&self.spec)?;
        rehearsed.check().map_err(failed)?;
        let registration = if self.offline {
            None
        } else {
            Some(registration::register(&self.setting, &self.spec).await?)
        };
        let live = watch::Sender::new(Live {
            identity: (registration.as_ref())
                .map(|registration| Arc::new(registration.identity.clone())),
            upstreams: Arc::default(),
        });
        let result = self.registered(registration.as_ref(), &live).await;
        if let Some(registration) = registration {
            registration::farewell(&registration.client, &live).await;
        }
        result
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
    ) -> Result<Exit, Failure> {
        let state = paths::state(&self.setting.env);
        let dir = SessionDir::make(&state, SessionId::random()).map_err(failed)?;
        let log = open_log(&state, &dir.id, self.setting.log_level()).map_err(failed)?;
        let name = live.borrow().identity.as_ref().map_or_else(
            || self.spec.name.to_string(),
            |identity| identity.name.to_string(),
        );
        info!(session = %dir.id, agent = %self.spec.name, name, "launched");
        for text in &self.told.warnings {
            warn!(text, "told the user");
        }
        bury_the_dead(&state);

        let control = control::bind(&dir.path).map_err(|error| {
            failed(error).hint("set `WRAPPER_STATE_DIR` to a short path that can hold a socket")
        })?;
        let context = plan::context(&self.spec, dir.id.clone(), &name, &dir.path);
        let mut wiring = self.wiring(registration, context, &dir.path)?;
        let proxy = if wiring.needs_proxy(&self.spec) {
            Some(open_proxy(&mut wiring).map_err(failed)?)
        } else {
            None
        };
        live.send_modify(|live| live.upstreams = Arc::new(wiring.upstreams()));
        let plan = wiring.plan(&self.spec)?;
        let applied = plan.apply(&dir.path).map_err(failed)?;

        let job = plan::job(
            &self.spec,
            &self.setting.env,
            &self.program,
            &self.agent_args,
            &plan,
            &wiring.context,
        );
        let doors = Doors { control, proxy };
        let result = self.attended(job, registration, live, doors, wiring).await;
        drop(applied);
        drop(dir);
        match logging::warnings() {
            0 => {}
            1 => report::note(format_args!("a warning stands in {}", log.display())),
            many => report::note(format_args!("{many} warnings stand in {}", log.display())),
        }
        result
    }

    /// Runs the agent among the tasks that serve it.
    async fn attended(
        &self,
        job: Job,
        registration: Option<&Registration>,
        live: &watch::Sender<Live>,
        doors: Doors,
        wiring: Wiring,
    ) -> Result<Exit, Failure> {
        let tty = DevTty::open().map_err(|error| Failure::new(Exit::Failed, error))?;
        let (session, mailbox) = session::open();
        let stop = CancellationToken::new();
        let nudge = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        stop_on_signals(&session, &mut tasks, &stop)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let address = (doors.proxy.as_ref()).and_then(|listener| listener.local_addr().ok());
        let port = address.map(|address| address.port());
        let desk = control::Desk {
            context: wiring.context.clone(),
            cwd: self.spec.cwd.clone(),
            proxy: port.zip(wiring.proxy.as_ref().map(|proxy| proxy.key.clone())),
            live: live.subscribe(),
            commands: Arc::new(wiring.commands()),
            prefixes: self.spec.session_env_prefix.clone(),
        };
        tasks.spawn(control::serve(doors.control, desk, stop.clone()));
        if let (Some(listener), Some(proxy)) = (doors.proxy, &wiring.proxy) {
            let settings = proxy::Settings {
                key: proxy.key.clone(),
                live: live.subscribe(),
                context: wiring.context.clone(),
                stale: Arc::clone(&nudge),
                patience: proxy::Patience::default(),
            };
            let stop = stop.clone();
            tasks.spawn(async move {
                if let Err(error) = proxy::serve(listener, settings, stop).await {
                    error!(%error, "the proxy ended");
                }
            });
        }
        if let Some(Registration {
            client,
            human,
            ours,
            ..
        }) = registration
        {
            let told = self.spec.inject.as_ref().map(Inject::route);
            if told == Some(Route::Direct) {
                let refresh = plan::refresh(self.spec.clone(), wiring.clone(), live.subscribe());
                let stop = stop.clone();
                tasks.spawn(async move {
                    stop.run_until_cancelled(refresh).await;
                });
            }
            let presence = Presence {
                client: client.clone(),
                base: self.spec.name.clone(),
                label: self.spec.label.clone(),
                human: human.clone(),
                live: live.clone(),
                state: watch::Sender::new(HubState::Registered),
                nudge: Arc::clone(&nudge),
            };
            if *ours && self.setting.config.hub.autostart {
                let state = presence.state.subscribe();
                let revived = Box::pin(registration::revive(Arc::clone(&self.setting), state));
                let stop = stop.clone();
                tasks.spawn(async move {
                    stop.run_until_cancelled(revived).await;
                });
            }
            tasks.spawn(presence.run(stop.clone()));
            let inbox = Inbox {
                client: client.clone(),
                live: live.subscribe(),
                session,
                nudge,
            };
            tasks.spawn(inbox.run(stop.clone()));
        }

        let result = session::supervise(job, tty, mailbox).await;
        stop.cancel();
        let drained = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    error!(%error, "a task failed");
                }
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            warn!("a task did not end");
        }
        result.map(Exit::Agent).map_err(program::spawn_failure)
    }
}

/// Opens the proxy's port, and tells `wiring` of it.
fn open_proxy(wiring: &mut Wiring) -> anyhow::Result<TcpListener> {
    let listener = proxy::bind().context("cannot open the proxy")?;
    let address = listener.local_addr().context("cannot open the proxy")?;
    wiring.proxy = Some(Proxy {
        base: format!("http://{address}"),
        key: Token::random(),
    });
    Ok(listener)
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

/// SIGTERM, SIGHUP and SIGINT to us end the agent, politely at first.
fn stop_on_signals(
    session: &Session,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ] {
        let mut signals = signal(kind).context("cannot watch for signals")?;
        let (session, stop) = (session.clone(), stop.clone());
        tasks.spawn(async move {
            while let Some(Some(())) = stop.run_until_cancelled(signals.recv()).await {
                info!(?kind, "told to end");
                session.stop(GRACE).await;
            }
        });
    }
    Ok(())
}

fn open_log(state: &Path, id: &SessionId, level: Option<&str>) -> anyhow::Result<PathBuf> {
    let logs = state.join("logs");
    paths::private_dir(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let log = logs.join(format!("{id}.log"));
    logging::to_file(&log, level)?;
    roster::trim_logs(&logs, LOGS);
    Ok(log)
}

/// Leaves a log of a launch that failed before its session began: what git
/// said has to be found later.
fn record(setting: &Setting, failure: &Failure) {
    let state = paths::state(&setting.env);
    match open_log(&state, &SessionId::random(), setting.log_level()) {
        Ok(_) => error!(error = format!("{:#}", failure.error), "not launched"),
        Err(error) => report::warning(format_args!("{error:#}")),
    }
}

/// Undoes what sessions left that were killed.
fn bury_the_dead(state: &Path) {
    for dead in roster::roster(state).dead {
        info!(path = %dead.path.display(), "clearing up after a session that was killed");
        let cleared = inject::undo_journal(&dead.path)
            .and_then(|undone| if undone { dead.remove() } else { Ok(()) });
        if let Err(error) = cleared {
            warn!(
                error = format!("{error:#}"),
                "cannot clear up after a killed session"
            );
        }
    }
}

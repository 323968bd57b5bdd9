//! `wrapper <agent>`: resolve, register, bind, inject, run; then the same in
//! reverse.

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::registration::{self, Registration};
use super::setting::{self, Setting, block_on};
use super::{dry_run, plan};
use crate::cli::Run;
use crate::control::roster::{self, SessionDir};
use crate::inbox::Inbox;
use crate::inject;
use crate::logging;
use crate::paths;
use crate::presence::{HubState, Presence};
use crate::proxy;
use crate::report::{self, Failure};
use crate::session::{self, Job, Session};
use crate::terminal::tty::{self, DevTty};
use crate::types::agent::Transport;
use crate::types::agent::{AgentSpec, Inject, Route};
use crate::types::exit::Exit;
use crate::types::identity::{SessionId, Token};
use crate::types::server::ContextLevel;
use crate::types::upstream::{Credential, Live, Upstream};

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
    let program = plan::program(&spec, &setting)?;
    if args.dry_run {
        return dry_run::show(&setting, &spec, &program, &args);
    }
    if !tty::foreground() {
        return Err(Failure::new(
            Exit::Failed,
            anyhow!("cannot run `{}`: there is no terminal", spec.name),
        )
        .hint("start it in a terminal; `--dry-run` shows what it would do"));
    }
    let launch = Launch {
        setting: Arc::new(setting),
        spec,
        program,
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

/// What is known once everything is resolved.
struct Launch {
    setting: Arc<Setting>,
    spec: AgentSpec,
    program: PathBuf,
    agent_args: Vec<OsString>,
    offline: bool,
}

impl Launch {
    async fn run(self) -> Result<Exit, Failure> {
        plan::rehearse(&self.spec, &self.setting)
            .and_then(|plan| plan.check())
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let registration = if self.offline {
            None
        } else {
            Some(registration::register(&self.setting, &self.spec).await?)
        };
        let live = watch::Sender::new(match &registration {
            Some(registration) => self.live(registration),
            None => Live::default(),
        });
        let result = self.registered(registration.as_ref(), &live).await;
        if let Some(registration) = registration {
            registration::farewell(&registration.client, &live).await;
        }
        result
    }

    /// Who we are, and what the proxy forwards to.
    fn live(&self, registration: &Registration) -> Live {
        let hub = Upstream {
            endpoint: registration.mcp.clone(),
            transport: Transport::Http,
            credential: Credential::Identity,
            context: ContextLevel::None,
        };
        let name = self.setting.config.mcp.server_name.clone();
        Live {
            identity: Some(Arc::new(registration.identity.clone())),
            upstreams: Arc::new([(name, Arc::new(hub))].into()),
        }
    }

    /// Session directory, log, proxy, injection; then the agent.
    async fn registered(
        &self,
        registration: Option<&Registration>,
        live: &watch::Sender<Live>,
    ) -> Result<Exit, Failure> {
        let failed = |error: anyhow::Error| Failure::new(Exit::Failed, error);
        let state = paths::state(&self.setting.env);
        let dir = SessionDir::make(&state, SessionId::random()).map_err(failed)?;
        let log = open_log(&state, &dir.id, self.setting.log_level()).map_err(failed)?;
        let name = live.borrow().identity.as_ref().map_or_else(
            || self.spec.name.to_string(),
            |identity| identity.name.to_string(),
        );
        info!(session = %dir.id, agent = %self.spec.name, name, "launched");
        bury_the_dead(&state);

        let key = Token::random();
        let listener = match (&self.spec.inject, registration) {
            (Some(inject), Some(_)) if inject.route() == Route::Proxy => Some(
                proxy::bind()
                    .context("cannot open the proxy")
                    .map_err(failed)?,
            ),
            _ => None,
        };
        let port = listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
            .map(|addr| addr.port());
        let plan = match registration {
            Some(registration) => plan::inject(
                &self.spec,
                &registration.mcp,
                &self.setting.config.mcp.server_name,
                port,
                &key,
                &registration.identity.token,
                &dir.path,
            )
            .map_err(failed)?,
            None => inject::InjectPlan::default(),
        };
        let applied = plan.apply(&dir.path).map_err(failed)?;

        let job = plan::job(
            &self.spec,
            &self.setting.env,
            &self.program,
            &self.agent_args,
            &plan,
            &dir.id,
            &name,
        );
        let result = self
            .attended(job, registration, live, listener, key, &dir.path)
            .await;
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
        listener: Option<TcpListener>,
        key: Token,
        dir: &Path,
    ) -> Result<Exit, Failure> {
        let tty = DevTty::open().map_err(|error| Failure::new(Exit::Failed, error))?;
        let (session, mailbox) = session::open();
        let stop = CancellationToken::new();
        let nudge = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        stop_on_signals(&session, &mut tasks, &stop)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        if let Some(listener) = listener {
            let settings = proxy::Settings {
                key,
                live: live.subscribe(),
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
            mcp,
            ours,
            ..
        }) = registration
        {
            let told = self.spec.inject.as_ref().map(Inject::route);
            if told == Some(Route::Direct) {
                let refresh = plan::refresh(
                    self.spec.clone(),
                    mcp.clone(),
                    self.setting.config.mcp.server_name.clone(),
                    dir.to_owned(),
                    live.subscribe(),
                );
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
        result.map(Exit::Agent).map_err(plan::spawn_failure)
    }
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

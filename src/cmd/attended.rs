//! The agent runs, among the tasks that serve it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::front::{Front, Ready};
use super::gear::Gear;
use super::launch::Launch;
use super::lives::Lives;
use super::plan::{self, Wiring};
use super::registration::{self, Registration};
use super::signals::Signals;
use super::{post, program, unconnected};
use crate::control;
use crate::control::succession::{self, Instance};
use crate::inbox::Inbox;
use crate::presence::{Check, Presence};
use crate::queue::Queue;
use crate::report::{self, Failure};
use crate::session::{self, Session, State};
use crate::terminal::{DevTty, Nowhere};
use crate::types::agent::{Inject, Route};
use crate::types::context::SessionContext;
use crate::types::exit::Exit;
use crate::types::hub::HubState;
use crate::types::identity::slot;
use crate::types::upstream::Live;

/// Between the polite signal to the agent and the next, ruder one.
const GRACE: Duration = Duration::from_secs(5);

/// How long an agent's start is waited for by who has started it in the
/// background.
const START: Duration = Duration::from_secs(30);

/// What tasks and streams may take to end, once the agent is gone.
const DRAIN: Duration = Duration::from_secs(5);

/// Siblings that wait at a time to hear how we stand with the hub.
const CHECKS: usize = 16;

/// A launch that is ready to run its agent.
pub(super) struct Attended<'a> {
    pub(super) launch: &'a Launch,
    pub(super) registration: Option<&'a Registration>,
    pub(super) live: &'a watch::Sender<Live>,
    pub(super) wiring: &'a Wiring,
    /// Woken when the hub has forgotten us.
    pub(super) stale: Arc<Notify>,
    pub(super) log: &'a Path,
}

/// The tasks of a session; none is started elsewhere.
#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    stop: CancellationToken,
}

impl Attended<'_> {
    /// Runs the agent to its end, and the tasks with it.
    pub(super) async fn run(
        &self,
        control: UnixListener,
        gear: Gear,
        queue: Option<Queue>,
        lives: &mut Lives<'_>,
        signals: Signals,
    ) -> Result<Exit, Failure> {
        let ready = &self.launch.ready;
        let tty = if ready.front().is_terminal() {
            Some(DevTty::open().map_err(|error| Failure::new(Exit::Failed, error))?)
        } else {
            None
        };
        let (session, mailbox) = session::open();
        let mut tasks = Tasks::default();
        tasks.stop_on_signals(signals, &session);
        let (checked, checks) = mpsc::channel(CHECKS);
        let hub = self.registration.map(|registration| {
            let state = watch::Sender::new(HubState::Registered);
            (registration, state)
        });
        let desk = control::Desk {
            context: self.wiring.context.clone(),
            cwd: self.launch.spec.cwd.clone(),
            proxy: gear.door.as_ref().map(|door| (door.port, door.key.clone())),
            live: self.live.subscribe(),
            catalog: Arc::clone(&gear.catalog),
            prefixes: self.launch.spec.session_env_prefix.clone(),
            session: session.clone(),
            hub: (hub.as_ref()).map(|(registration, state)| control::Standing {
                url: registration.client.url(),
                state: state.subscribe(),
                checks: checked,
            }),
            started_at: SystemTime::now(),
            is_attached: tty.is_some(),
            log: self.log.to_owned(),
            team: self.launch.team.clone(),
        };
        tasks
            .set
            .spawn(control::serve(control, desk, tasks.stop.clone()));
        if let Some(door) = gear.door {
            let stop = tasks.stop.clone();
            tasks.set.spawn(async move {
                door.proxy.serve(door.listener, stop).await;
            });
        }
        tasks.until_stop(unconnected::watch(
            session.clone(),
            Arc::clone(&gear.catalog),
        ));
        if let Some(pane) = &self.launch.pane {
            let (session, live) = (session.clone(), self.live.subscribe());
            tasks.until_stop(Arc::clone(pane).follow(self.wiring.context.clone(), session, live));
        }
        if let Some((registration, state)) = hub {
            self.attend_hub(
                registration,
                (state, checks),
                (session.clone(), queue),
                &gear.catalog,
                &mut tasks,
            );
        }
        let (told, context) = (Arc::clone(ready), self.wiring.context.clone());
        tasks.until_stop(follow(session.clone(), told, context));
        let job = lives.first();
        let hosting = Arc::clone(&gear.hosting);
        let again = async |start| {
            hosting.end_sessions();
            lives.next(start).await
        };
        let result = match tty {
            Some(tty) => session::supervise(job, tty, mailbox, again).await,
            None => session::supervise(job, Nowhere, mailbox, again).await,
        };
        if let Ok(exit) = &result {
            ready.ended(&self.wiring.context, *exit, session.last_words(), self.log);
        }
        ready.front().tell("STOPPING=1");
        tasks.stop.cancel();
        gear.hosting.end().await;
        tasks.drain().await;
        result.map(Exit::Agent).map_err(program::spawn_failure)
    }

    /// Presence and inbox, and what else a hub asks for.
    fn attend_hub(
        &self,
        registration: &Registration,
        (state, checks): (watch::Sender<HubState>, mpsc::Receiver<Check>),
        (session, queue): (Session, Option<Queue>),
        catalog: &Arc<crate::catalog::Catalog>,
        tasks: &mut Tasks,
    ) {
        let Launch { setting, spec, .. } = self.launch;
        let route = spec.inject.as_ref().map(Inject::route);
        if route == Some(Route::Direct) {
            let (wiring, live) = (self.wiring.clone(), self.live.subscribe());
            tasks.until_stop(plan::refresh(
                spec.clone(),
                wiring,
                Arc::clone(catalog),
                live,
            ));
        }
        if registration.claims.is_none() && setting.config.hub.autostart {
            let revived = registration::revive(Arc::clone(setting), state.subscribe());
            tasks.until_stop(Box::pin(revived));
        }
        let (events, heard) = mpsc::unbounded_channel();
        let siblings = registration::siblings(setting, spec, &registration.client).of(self
            .wiring
            .context
            .id
            .clone());
        let presence = Presence {
            client: registration.client.clone(),
            tools: registration.claims.clone(),
            base: spec.name.clone(),
            label: spec.own_label.clone(),
            human: registration.human.clone(),
            live: self.live.clone(),
            state,
            nudge: Arc::clone(&self.stale),
            busy: session.busy(),
            checks,
            family: Arc::new(siblings),
            uid: watch::Sender::new(String::new()),
            events,
        };
        if let Some(instance) = registration.instance.clone() {
            presence.uid.send_replace(instance.uid.clone());
            let dir = self.wiring.context.control.parent().map(Path::to_owned);
            tasks.until_stop(renoted(dir, instance, presence.uid.subscribe()));
        }
        tasks.set.spawn(presence.run(tasks.stop.clone()));
        let Some(post) = post::post(setting, registration, queue, heard) else {
            return;
        };
        let inbox = Inbox {
            client: registration.client.clone(),
            live: self.live.subscribe(),
            session,
            nudge: Arc::clone(&self.stale),
            post,
            is_later: slot(spec.name.as_str(), registration.identity.name.as_str())
                .is_some_and(|slot| slot > 1),
            patience: spec.pacing.undelivered_after,
        };
        tasks.set.spawn(inbox.run(tasks.stop.clone()));
    }
}

/// Writes down which instance the session has, when that becomes another.
async fn renoted(dir: Option<PathBuf>, mut instance: Instance, mut uid: watch::Receiver<String>) {
    while let (Some(dir), Ok(())) = (&dir, uid.changed().await) {
        instance.uid.clone_from(&uid.borrow_and_update());
        if let Err(error) = succession::note(dir, &instance) {
            warn!("{error:#}");
        }
    }
}

/// Tells whoever waits for it how the agent has started, and a service manager
/// what it does.
async fn follow(session: Session, ready: Arc<Ready>, context: SessionContext) {
    let Some(state) = started(&session).await else {
        return;
    };
    ready.tell(&context, state);
    let Front::Headless(notifier) = ready.front() else {
        return;
    };
    let mut doing = session.doing();
    loop {
        let state = report::word(&*doing.borrow_and_update());
        notifier.tell(&format!("STATUS={state}"));
        if doing.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until the agent is seen to do something else than start, for a while;
/// None: it has ended.
async fn started(session: &Session) -> Option<State> {
    let mut doing = session.doing();
    let has_started = doing.wait_for(|state| *state != State::Starting);
    match tokio::time::timeout(START, has_started).await {
        Ok(state) => state.ok().map(|state| *state),
        Err(_) => Some(State::Starting),
    }
}

impl Tasks {
    /// Runs `task` until it ends, or the session does.
    fn until_stop(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.set.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Signals to us end the agent, politely at first.
    fn stop_on_signals(&mut self, mut signals: Signals, session: &Session) {
        let session = session.clone();
        self.until_stop(async move {
            loop {
                let kind = signals.next().await;
                info!(?kind, "told to end");
                session.stop(GRACE).await;
            }
        });
    }

    /// Waits for the end of all, for a while.
    async fn drain(mut self) {
        let drained = async {
            while let Some(ended) = self.set.join_next().await {
                if let Err(error) = ended {
                    error!(%error, "a task failed");
                }
            }
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            warn!("a task did not end");
        }
    }
}

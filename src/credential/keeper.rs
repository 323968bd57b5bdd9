//! One credential, renewed by one run at a time.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use chrono::{Local, TimeZone};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::command;
use super::granted::{Granted, Ungranted};
use super::keepers::Status;
use super::parse::{self, Given};
use super::shapes::Clock;
use super::source::{self, Stamp};
use super::state::{Moment, Reason, State, Step};
use crate::paths::Env;
use crate::types::credential::{Auth, TokenCommand, TokenSource};
use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

/// What commands and variables find around them.
#[derive(Debug, Default)]
pub(super) struct Around {
    pub(super) env: Env,
    pub(super) variables: Vec<(String, String)>,
}

/// Whose credential it is, and where it comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) server: ServerName,
    pub(super) at: Endpoint,
    pub(super) auth: Auth,
}

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) wanted: Arc<Wanted>,
    around: Arc<Around>,
    desk: Mutex<Desk>,
    /// Told of every run that ends.
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Desk {
    state: State,
    /// The last run; it ends with its keeper.
    run: Option<AbortOnDropHandle<()>>,
    /// The file as it was read last.
    stamp: Option<Stamp>,
    has_warned: bool,
}

impl Keeper {
    pub(super) fn new(wanted: Wanted, around: Arc<Around>) -> Self {
        Self {
            wanted: Arc::new(wanted),
            around,
            desk: Mutex::default(),
            ended: watch::Sender::new(()),
        }
    }

    /// The credential; waits only where there is none that is valid.
    pub(super) async fn grant(self: Arc<Self>) -> Result<Arc<Granted>, Ungranted> {
        match &self.wanted.auth.source {
            TokenSource::Command(command) => self.await_run(command, State::grant).await,
            _ => self.read(false),
        }
    }

    /// Sees to it that there is another than `used`.
    pub(super) async fn renew(self: Arc<Self>, used: &Granted) -> Result<(), Ungranted> {
        let source = &self.wanted.auth.source;
        if let TokenSource::Command(command) = source {
            let renewed = self.await_run(command, |state, now| state.renew(now, used));
            return renewed.await.map(drop);
        }
        if self.read(true)?.headers != used.headers {
            return Ok(());
        }
        Err(self.ungranted(match source {
            TokenSource::Env(name) => format!("the variable `{name}` has no other"),
            TokenSource::File(path) => format!("{} has no other", path.display()),
            _ => "it is a fixed one".to_owned(),
        }))
    }

    pub(super) fn status(&self) -> Status {
        let desk = self.lock();
        let held = desk.state.held();
        Status {
            kind: self.wanted.auth.source.kind(),
            expires_at: held.and_then(|granted| granted.expires_at),
            error: desk.state.failure().cloned(),
        }
    }

    /// Takes the steps that `next` says until there is an answer.
    async fn await_run(
        self: &Arc<Self>,
        command: &TokenCommand,
        next: impl Fn(&State, Moment) -> Step,
    ) -> Result<Arc<Granted>, Ungranted> {
        loop {
            let mut ended = {
                let mut desk = self.lock();
                let ended = self.ended.subscribe();
                match next(&desk.state, now()) {
                    Step::Give(granted) => return Ok(granted),
                    Step::GiveAndRun(granted, reason) => {
                        self.start(&mut desk, command, reason);
                        return Ok(granted);
                    }
                    Step::Run(reason) => self.start(&mut desk, command, reason),
                    Step::Wait => {}
                    Step::Fail(why) => return Err(self.ungranted(why)),
                }
                ended
            };
            // We hold the sender.
            let _ = ended.changed().await;
        }
    }

    fn start(self: &Arc<Self>, desk: &mut Desk, command: &TokenCommand, reason: Reason) {
        desk.state.begin(reason);
        let running = Running {
            keeper: Arc::downgrade(self),
            interval: command.refresh_interval,
        };
        let (command, wanted) = (command.clone(), Arc::clone(&self.wanted));
        let env = self.around.variables(&wanted, reason);
        let header = wanted.auth.header.clone();
        let task = tokio::spawn(async move {
            let printed = command::run(&command, env).await;
            running.end(printed.and_then(|printed| {
                parse::printed(&printed, header.as_deref(), clock())
                    .map_err(|why| format!("what it printed is no credential: {why}"))
            }));
        });
        desk.run = Some(AbortOnDropHandle::new(task));
    }

    /// Reads a source that takes no time; `anew` whatever was read before.
    fn read(&self, anew: bool) -> Result<Arc<Granted>, Ungranted> {
        let header = self.wanted.auth.header.as_deref();
        let mut desk = self.lock();
        let given = match &self.wanted.auth.source {
            TokenSource::Literal(token) => match desk.state.held() {
                Some(held) => return Ok(Arc::clone(held)),
                None => source::literal(token, header),
            },
            TokenSource::Env(name) => source::variable(name, &self.around.env, header),
            TokenSource::File(path) => {
                if !anew
                    && source::is_unchanged(path, desk.stamp.as_ref())
                    && let Some(held) = desk.state.held()
                {
                    return Ok(Arc::clone(held));
                }
                self.read_file(&mut desk, path)
            }
            TokenSource::Command(_) => Err("it is no command's".to_owned()),
        };
        if let Err(why) = &given
            && desk.state.failure().is_none_or(|known| **known != **why)
        {
            tracing::warn!(server = %self.wanted.server, why, "no credential");
        }
        desk.state.end(now(), given, None);
        match (desk.state.held(), desk.state.failure()) {
            (Some(held), _) => Ok(Arc::clone(held)),
            (None, why) => Err(self.ungranted(why.cloned().unwrap_or_default())),
        }
    }

    fn read_file(&self, desk: &mut Desk, path: &Path) -> Result<Given, String> {
        let content = source::file(path, self.wanted.auth.header.as_deref())?;
        desk.stamp = content.stamp;
        if content.is_open && !desk.has_warned {
            desk.has_warned = true;
            let (server, path) = (&self.wanted.server, path.display());
            tracing::warn!(%server, %path, "other users can read this credential");
        }
        content.given
    }

    fn ungranted(&self, why: impl Into<Arc<str>>) -> Ungranted {
        Ungranted {
            kind: self.wanted.auth.source.kind(),
            why: why.into(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Around {
    /// All that a command finds in its environment.
    fn variables(&self, wanted: &Wanted, reason: Reason) -> Vec<(OsString, OsString)> {
        // A query may hold a credential.
        let path = wanted.at.path.split('?').next().unwrap_or_default();
        let own = [
            ("WRAPPER_SERVER_NAME", wanted.server.to_string()),
            ("WRAPPER_SERVER_URL", wanted.at.at(path).href()),
            ("WRAPPER_REASON", reason.as_str().to_owned()),
        ];
        let env = self.env.iter();
        let session = self.variables.iter();
        env.map(|(name, value)| (name.clone(), value.clone()))
            .chain(session.map(|(name, value)| (name.into(), value.into())))
            .chain(own.map(|(name, value)| (name.into(), value.into())))
            .collect()
    }
}

/// A run that has begun; says that it has ended, whatever comes of it.
struct Running {
    keeper: Weak<Keeper>,
    interval: Option<Duration>,
}

impl Running {
    fn end(mut self, given: Result<Given, String>) {
        self.tell(given);
    }

    fn tell(&mut self, given: Result<Given, String>) {
        let Some(keeper) = std::mem::take(&mut self.keeper).upgrade() else {
            return;
        };
        let mut desk = keeper.lock();
        desk.state.end(now(), given, self.interval);
        let server = &keeper.wanted.server;
        match desk.state.failure() {
            None => tracing::info!(%server, "a credential was given"),
            Some(why) => tracing::warn!(%server, %why, "no credential"),
        }
        drop(desk);
        keeper.ended.send_replace(());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell(Err("its run was given up".to_owned()));
    }
}

/// What the times in a credential are read by.
fn clock() -> Clock {
    Clock {
        now: SystemTime::now(),
        local: |time| Some(Local.from_local_datetime(&time).earliest()?.into()),
    }
}

fn now() -> Moment {
    Moment {
        wall: SystemTime::now(),
        tick: Instant::now(),
    }
}

//! One server that we run: its sessions, and when a process of it may start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::types::identity::{ServerName, Token};

use super::back_off::Lives;
use super::chatter::Chatter;
use super::group::Group;
use super::guard::Guard;
use super::life::live;
use super::program::Program;
use super::session::Session;

/// The most sessions of one server.
const MOST_SESSIONS: usize = 8;

/// How long a request may wait for a server that is not to start yet.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: ServerName,
    pub(super) program: Program,
    pub(super) secrets: Vec<Token>,
    pub(super) guard: Arc<Guard>,
    pub(super) tasks: TaskTracker,
    /// It is not to run any more.
    pub(super) stop: CancellationToken,
    pub(super) table: Mutex<Table>,
    /// Held by who starts the session of those that have none.
    pub(super) starting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) sessions: Vec<Arc<Session>>,
    pub(super) lives: Lives,
    /// In words why it did not start, or how it ended.
    pub(super) trouble: Option<String>,
}

impl Server {
    /// The session of this id, if it goes on.
    pub(super) fn find(&self, id: Option<&str>) -> Option<Arc<Session>> {
        let table = self.table();
        let mut sessions = table.sessions.iter();
        let found = sessions.find(|session| session.id.as_deref() == id);
        found.filter(|session| session.is_going()).cloned()
    }

    /// The session of requests that have none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn common(self: &Arc<Self>) -> Result<Arc<Session>, String> {
        let _alone = self.starting.lock().await;
        match self.find(None) {
            Some(session) => Ok(session),
            None => self.open(None).await,
        }
    }

    /// Starts a session, and its process.
    ///
    /// # Errors
    /// In words: the program cannot be started, or not now.
    pub(super) async fn open(self: &Arc<Self>, id: Option<String>) -> Result<Arc<Session>, String> {
        let pause = {
            let table = self.table();
            let pause = table.lives.pause(Instant::now().into_std());
            if pause > PATIENCE {
                let (deaths, how) = (table.lives.deaths, table.trouble.as_deref());
                return Err(format!(
                    "this MCP server is started again in {} s: {deaths} times in a row it {}. \
                     Nothing was done; try again then",
                    pause.as_secs() + 1,
                    how.unwrap_or("ended")
                ));
            }
            pause
        };
        if !pause.is_zero() {
            tracing::info!(server = %self.name, ?pause, "a server that ended is started again later");
            self.stop.run_until_cancelled(sleep(pause)).await;
        }
        if self.stop.is_cancelled() {
            return Err("this MCP server is not run any more. Nothing was done".into());
        }
        let started = self.make_room().and_then(|()| self.start(id));
        started.map_err(|why| {
            let mut table = self.table();
            if table.trouble.as_deref() != Some(&why) {
                tracing::warn!(server = %self.name, why, "a server cannot be started");
            }
            table.trouble = Some(why.clone());
            format!("this MCP server cannot be started: {why}. Nothing was done")
        })
    }

    fn start(self: &Arc<Self>, id: Option<String>) -> Result<Arc<Session>, String> {
        let (group, pipes) = Group::start(&self.program, &self.guard)?;
        let pid = group.pid();
        let chatter = Chatter::new(self.name.clone(), pid, self.secrets.clone());
        let (session, lines) = Session::new(id, pid, self.stop.child_token(), Arc::new(chatter));
        tracing::info!(server = %self.name, pid, "started a server");
        self.table().sessions.push(Arc::clone(&session));
        let (server, life) = (Arc::clone(self), Arc::clone(&session));
        let began = Instant::now();
        self.tasks.spawn(async move {
            let trouble = live(group, pipes, &life, lines).await;
            let mut table = server.table();
            table.sessions.retain(|other| !Arc::ptr_eq(other, &life));
            match trouble {
                None => tracing::info!(server = %server.name, pid, "ended a server"),
                Some(how) => {
                    tracing::warn!(server = %server.name, pid, how, "a server is gone");
                    let (began, now) = (began.into_std(), Instant::now().into_std());
                    table.lives.note(began, now);
                    table.trouble = Some(how);
                }
            }
        });
        Ok(session)
    }

    /// Ends the session that is missed least, if there are enough.
    fn make_room(&self) -> Result<(), String> {
        let table = self.table();
        let going = table.sessions.iter().filter(|session| session.is_going());
        if going.clone().count() < MOST_SESSIONS {
            return Ok(());
        }
        let idle = going.filter(|session| !session.usage().is_asked);
        let least = idle.min_by_key(|session| {
            let usage = session.usage();
            (usage.is_listened_to, usage.since)
        });
        match least {
            Some(least) => {
                tracing::info!(server = %self.name, pid = least.pid, "ending a session for another");
                least.end.cancel();
                Ok(())
            }
            None => Err(format!("all of its {MOST_SESSIONS} sessions are in use")),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

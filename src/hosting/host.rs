//! The servers of one session that we run.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{DuplexStream, duplex};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::paths::Env;
use crate::types::identity::ServerName;
use crate::types::server::Command;

use super::door;
use super::guard::Guard;
use super::program::Program;
use super::server::Server;

/// What is under way on a connection, in each direction.
const BUFFER: usize = 32 * 1024;

/// All servers that a session runs; they start when they are asked something.
#[derive(Debug, Default)]
pub struct Hosting(Arc<House>);

#[derive(Debug, Default)]
pub(super) struct House {
    env: Env,
    variables: Vec<(String, String)>,
    cwd: PathBuf,
    guard: Arc<Guard>,
    servers: Mutex<BTreeMap<ServerName, Arc<Server>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How a server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub phase: Phase,
    /// Its processes, one for each of its MCP sessions.
    pub pids: Vec<u32>,
    /// In words why it did not start, or how it ended, the last time.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has asked it anything.
    Idle,
    /// It runs, and has not said anything yet.
    Starting,
    Running,
    /// It ended too soon too often, and is not started until then.
    Waiting(Duration),
}

impl Hosting {
    /// Servers that get the agent's environment and, above all else, the
    /// session's `variables`, and run in `cwd` if their entry does not say.
    #[must_use]
    pub fn new(env: Env, variables: Vec<(String, String)>, cwd: PathBuf) -> Self {
        Self(Arc::new(House {
            env,
            variables,
            cwd,
            ..House::default()
        }))
    }

    /// With a guard: servers end even if we are killed, and have no terminal.
    /// `program` is our own: its verb `hosted` leads to [`super::guard`].
    #[must_use]
    pub fn guarded_by(self, program: PathBuf) -> Self {
        let House {
            env,
            variables,
            cwd,
            ..
        } = &*self.0;
        Self(Arc::new(House {
            env: env.clone(),
            variables: variables.clone(),
            cwd: cwd.clone(),
            guard: Arc::new(Guard::new(program)),
            ..House::default()
        }))
    }

    /// Runs `command` as `name` from now on, when it is asked something; ends
    /// what ran as that before.
    #[expect(clippy::needless_pass_by_value, reason = "it is given away")]
    pub fn put(&self, name: ServerName, command: Command) {
        let house = &self.0;
        let program = Program::new(&command, &house.env, &house.variables, &house.cwd);
        let server = Server {
            name: name.clone(),
            secrets: program.secrets(&command),
            program,
            guard: Arc::clone(&house.guard),
            tasks: house.tasks.clone(),
            stop: house.stop.child_token(),
            table: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
        };
        if let Some(old) = house.servers().insert(name, Arc::new(server)) {
            old.stop.cancel();
        }
    }

    /// Ends a server for good.
    pub fn remove(&self, name: &ServerName) {
        if let Some(old) = self.0.servers().remove(name) {
            old.stop.cancel();
        }
    }

    /// A connection to a server, on which it speaks streamable HTTP.
    ///
    /// # Errors
    /// If we run no such server, or none any more.
    pub fn connect(&self, name: &ServerName) -> io::Result<DuplexStream> {
        if self.0.stop.is_cancelled() {
            return Err(io::Error::other("the session ends"));
        }
        if self.0.find(name).is_none() {
            return Err(io::Error::other("no command is known by that name"));
        }
        let (ours, theirs) = duplex(BUFFER);
        let stop = self.0.stop.clone();
        let served = door::serve(theirs, Arc::clone(&self.0), name.clone(), stop);
        self.0.tasks.spawn(served);
        Ok(ours)
    }

    /// How a server stands; None if we run no such server.
    #[must_use]
    pub fn state(&self, name: &ServerName) -> Option<Standing> {
        let server = self.0.find(name)?;
        let table = server.table();
        let running = table.sessions.iter().filter(|session| session.is_going());
        let pids: Vec<u32> = running.clone().map(|session| session.pid).collect();
        let pause = table.lives.pause(Instant::now().into_std());
        let phase = if running.clone().any(|session| session.usage().has_spoken) {
            Phase::Running
        } else if !pids.is_empty() {
            Phase::Starting
        } else if !pause.is_zero() {
            Phase::Waiting(pause)
        } else {
            Phase::Idle
        };
        Some(Standing {
            phase,
            pids,
            trouble: table.trouble.clone(),
        })
    }

    /// Has every process end; who asks next gets a new one. For an agent that
    /// is started again.
    pub fn end_sessions(&self) {
        for server in self.0.servers().values() {
            for session in &server.table().sessions {
                session.end.cancel();
            }
        }
    }

    /// Ends everything: at most three seconds.
    pub async fn end(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.guard.close().await;
    }
}

impl House {
    pub(super) fn find(&self, name: &ServerName) -> Option<Arc<Server>> {
        self.servers().get(name).cloned()
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<ServerName, Arc<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The end of `--tmux` that runs inside tmux: becomes the launch that was asked
//! for outside, says there how it goes, and names the tmux session.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

use super::handover::Handover;
use super::server::{ask, session_name, slug};
use crate::cli::TmuxPane;
use crate::paths::{self, Env};
use crate::report::Failure;
use crate::session::{Life, Session};
use crate::types::context::SessionContext;
use crate::types::exit::Exit;
use crate::types::identity::SessionId;
use crate::types::upstream::Live;

/// What tmux says of the terminal that it gives: not the caller's to say.
const OF_TMUX: [&str; 6] = [
    "COLORTERM",
    "TERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "TMUX",
    "TMUX_PANE",
];

/// What is said outside, one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Told {
    Runs(Running),
    Failed {
        error: String,
        hint: Option<String>,
        code: u8,
    },
    Ended {
        code: u8,
    },
}

/// A launch whose agent runs, as it is printed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) name: String,
    pub(super) id: SessionId,
    pub(super) pid: u32,
    /// The name of the tmux session.
    pub(super) tmux: String,
}

/// `wrapper tmux-pane`: becomes the launch.
pub(in crate::cmd) fn run(args: &TmuxPane) -> Result<Exit, Failure> {
    let become_it = || -> Result<()> {
        let mut bytes = Vec::new();
        UnixStream::connect(&args.socket)?.read_to_end(&mut bytes)?;
        let asked = Handover::decode(&bytes).context("it says nothing that is one")?;
        let own = paths::env();
        let mut env = asked.env;
        for name in OF_TMUX {
            match own.get(OsStr::new(name)) {
                Some(value) => env.insert(name.into(), value.clone()),
                None => env.remove(OsStr::new(name)),
            };
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(asked.args).current_dir(asked.cwd);
        Err(command.env_clear().envs(env).exec().into())
    };
    let result = become_it().with_context(|| {
        format!(
            "cannot take over the launch that {} has",
            args.socket.display()
        )
    });
    result
        .map(|()| Exit::Done)
        .map_err(|error| Failure::new(Exit::Failed, error))
}

/// The tmux session that was made for this launch.
///
/// *Invariant*: it is only ever named by its id, which no other session of that
/// server gets.
#[derive(Debug)]
pub(in crate::cmd) struct Pane {
    outside: UnixStream,
    /// `$7`.
    id: String,
    slug: Option<String>,
    /// What it is called by now, if we have named it.
    name: Mutex<String>,
}

impl Pane {
    /// Reports from now on to who listens at `socket`.
    pub(in crate::cmd) fn enter(socket: &Path, env: &Env) -> Result<Self> {
        let outside = UnixStream::connect(socket)
            .with_context(|| format!("cannot tell {} how the launch goes", socket.display()))?;
        // SOCKET,PID,SESSION: tmux(1).
        let number = paths::var(env, "TMUX")
            .and_then(|tmux| tmux.to_str()?.rsplit(',').next())
            .context("cannot tell the tmux session: `TMUX` is not set")?;
        Ok(Self {
            outside,
            id: format!("${number}"),
            slug: slug(env),
            name: Mutex::default(),
        })
    }

    /// Names the tmux session after the instance.
    ///
    /// # Errors
    /// If there is a session of that name: it stays as it is.
    pub(in crate::cmd) async fn rename(&self, instance: &str) -> Result<(), Failure> {
        let wanted = session_name(self.slug.as_deref(), instance);
        let mut name = self.name.lock().await;
        if *name != wanted {
            let renamed = ask(&["rename-session", "-t", &self.id, &wanted]).await;
            renamed.map_err(|error| unnamed(&wanted, error))?;
            info!(tmux = wanted, "named the tmux session");
            *name = wanted;
        }
        Ok(())
    }

    /// Says outside when the agent runs; names the tmux session anew whenever
    /// the instance is.
    pub(in crate::cmd) async fn follow(
        self: Arc<Self>,
        context: SessionContext,
        session: Session,
        mut live: watch::Receiver<Live>,
    ) {
        let mut name = context.name;
        let mut status = session.status();
        let begun = status.wait_for(|now| now.life != Life::Starting).await;
        if begun.is_ok_and(|now| now.life == Life::Running) {
            let tmux = self.name.lock().await.clone();
            self.tell(&Told::Runs(Running {
                name: name.clone(),
                id: context.id,
                pid: std::process::id(),
                tmux,
            }));
        }
        loop {
            if let Some(identity) = &live.borrow_and_update().identity {
                name = identity.name.to_string();
            }
            if let Err(failure) = self.rename(&name).await {
                warn!(error = format!("{:#}", failure.error), "not renamed");
            }
            if live.changed().await.is_err() {
                return;
            }
        }
    }

    /// Says outside how the launch ended.
    pub(in crate::cmd) fn ended(&self, result: &Result<Exit, Failure>) {
        self.tell(&match result {
            Ok(exit) => Told::Ended { code: exit.code() },
            Err(failure) => Told::Failed {
                error: format!("{:#}", failure.error),
                hint: failure.hint.clone(),
                code: failure.exit.code(),
            },
        });
    }

    fn tell(&self, told: &Told) {
        let line = serde_json::to_string(told).map(|line| line + "\n");
        let said = line
            .map_err(Into::into)
            .and_then(|line| (&self.outside).write_all(line.as_bytes()));
        if let Err(error) = said {
            // Whoever asked has what they wanted, and has gone.
            tracing::debug!(%error, "nobody is told how the launch goes");
        }
    }
}

fn unnamed(wanted: &str, error: anyhow::Error) -> Failure {
    let tried = format!("cannot name the tmux session `{wanted}`");
    if !format!("{error:#}").contains("duplicate session") {
        return Failure::new(Exit::Failed, error.context(tried));
    }
    Failure::new(
        Exit::Failed,
        anyhow!("{tried}: there is one of that name"),
    )
    .hint(format!(
        "`tmux attach -t ={wanted}` shows it, `tmux kill-session -t ={wanted}` ends it; or set another `AGENTCHATTR_REPO_SLUG`"
    ))
}

//! What every verb starts from: environment, directory, configuration, and
//! the hub that they name.

use std::path::PathBuf;

use anyhow::Context;

use super::registration;
use crate::config::{self, Config};
use crate::hub::{self, Client};
use crate::paths::{self, Env};
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::identity::Token;
use crate::types::options::Options;
use crate::types::upstream::{Endpoint, Scheme};

/// What a hub may lack that is there and does not answer.
pub(super) const STUCK: &str = "it is there but does not answer: it may be suspended, or another program may lock its `hub.db`";

pub(super) struct Setting {
    pub(super) env: Env,
    pub(super) config: Config,
    /// `--hub embedded`
    insists: bool,
}

impl Setting {
    /// Reads the configuration; warns of what it ignores. A failure ends in
    /// `exit`.
    pub(super) fn load(options: &Options, exit: Exit) -> Result<Self, Failure> {
        let env = paths::env();
        let cwd = std::env::current_dir()
            .context("cannot tell the current directory")
            .map_err(|error| Failure::new(exit, error))?;
        let config = config::load(&env, &cwd, options).map_err(|error| failure(exit, error))?;
        for warning in &config.warnings {
            report::warning(warning);
        }
        let insists = options.hub.is_some();
        Ok(Self {
            env,
            config,
            insists,
        })
    }

    /// True if a hub that does not answer is agentchattr's server, for all that
    /// is to be seen: ours must not be started in its place and its directory.
    pub(super) fn is_agentchattrs(&self) -> bool {
        let hub = &self.config.hub;
        let is_there = |path: PathBuf| path.exists();
        let beside = |name: &str| {
            hub.data_dir
                .parent()
                .is_some_and(|dir| is_there(dir.join(name)))
        };
        !self.insists
            && (hub.is_agentchattrs
                || is_there(hub.data_dir.join("agentchattr_log.jsonl"))
                || beside("run.py") && beside("wrapper.py"))
    }

    /// A client of the configured hub.
    pub(super) fn client(&self) -> Client {
        let hub = &self.config.hub;
        Client::new(Endpoint {
            scheme: Scheme::Http,
            host: hub.host.clone(),
            port: hub.port,
            path: "/".into(),
        })
        .of(hub.owner.clone())
    }

    /// The human's token if there is one, for a launch, which can do without.
    pub(super) fn human_if_any(&self) -> Option<Token> {
        let missing = |error: &anyhow::Error| {
            let cause = error.root_cause().downcast_ref::<std::io::Error>();
            cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::NotFound)
        };
        match hub::human_token(&self.config.hub.data_dir) {
            Ok(token) => Some(token),
            Err(error) if missing(&error) => None,
            Err(error) => {
                report::warning(format_args!("{error:#}"));
                None
            }
        }
    }

    /// The human's token, for the verbs that speak as the human.
    pub(super) fn human(&self) -> Result<Token, Failure> {
        hub::human_token(&self.config.hub.data_dir).map_err(|error| {
            Failure::new(Exit::NotDone, error)
                .hint("the hub makes it when it starts: `wrapper serve`, or launch an agent")
        })
    }

    /// `WRAPPER_LOG`.
    pub(super) fn log_level(&self) -> Option<&str> {
        paths::var(&self.env, "WRAPPER_LOG").and_then(|level| level.to_str())
    }
}

/// A configuration's error with its hint.
pub(super) fn failure(exit: Exit, error: config::Error) -> Failure {
    let hint = error.hint.clone();
    Failure {
        hint,
        ..Failure::new(exit, error)
    }
}

/// A hub's error in a verb of the chat, with the way out.
pub(super) fn hub_failure(error: hub::client::Error) -> Failure {
    use hub::client::Error;
    let hint = match &error {
        Error::Foreign { .. } => return registration::foreign(Exit::NotDone, error),
        Error::Unreachable {
            why: std::io::ErrorKind::TimedOut,
            ..
        } => STUCK,
        Error::Unreachable { .. } => "start it with `wrapper serve`, or launch an agent",
        _ => return Failure::new(Exit::NotDone, error),
    };
    Failure::new(Exit::NotDone, error).hint(hint)
}

/// Runs a verb's future on the one thread that each process of ours has.
pub(super) fn block_on<T>(
    exit: Exit,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .map_err(|error| Failure::new(exit, error))?;
    let result = runtime.block_on(future);
    // A blocking read of a terminal or a name service must not hold the end.
    runtime.shutdown_background();
    result
}

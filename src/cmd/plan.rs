//! What a launch sets, writes and runs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use tokio::sync::watch;
use tracing::{info, warn};

use super::setting::Setting;
use crate::inject::{self, InjectPlan};
use crate::inject::{Key, Server};
use crate::paths::{self, Env};
use crate::report::Failure;
use crate::session::Job;
use crate::session::detect::Manifest;
use crate::terminal::pty::{Launch, SpawnError};
use crate::types::agent::{AgentSpec, Route};
use crate::types::exit::Exit;
use crate::types::identity::{ServerName, SessionId, Token};
use crate::types::upstream::{Endpoint, Live};

/// The agent's program, looked up on the `PATH` that the agent will have; and
/// the check that its directory exists.
pub(super) fn program(spec: &AgentSpec, setting: &Setting) -> Result<PathBuf, Failure> {
    if !spec.cwd.is_dir() {
        return Err(Failure::new(
            Exit::Failed,
            anyhow!(
                "cannot start `{}` in {}: no such directory",
                spec.name,
                spec.cwd.display()
            ),
        )
        .hint("set `--cwd`, or `cwd` of the agent in config.toml"));
    }
    let env = environment(spec, &setting.env);
    let hint = format!(
        "install it, or set `command` under `[agents.{}]` in config.toml",
        spec.name
    );
    find(&spec.command, paths::var(&env, "PATH"), &spec.cwd).map_err(|(exit, why)| {
        Failure::new(
            exit,
            anyhow!("cannot start `{}`: {why}", spec.command.display()),
        )
        .hint(hint)
    })
}

/// A command by its path, or the first executable file of its name on `path`.
fn find(
    command: &Path,
    path: Option<&OsString>,
    cwd: &Path,
) -> Result<PathBuf, (Exit, &'static str)> {
    let candidates: Vec<PathBuf> = if command.components().count() > 1 {
        vec![cwd.join(command)]
    } else {
        let path = path.map_or(
            OsStr::new("/usr/local/bin:/usr/bin:/bin"),
            OsString::as_os_str,
        );
        std::env::split_paths(path)
            .map(|dir| cwd.join(dir).join(command))
            .collect()
    };
    let mut found = Err((
        Exit::NotFound,
        if candidates.len() > 1 {
            "not found on PATH"
        } else {
            "not found"
        },
    ));
    for candidate in candidates {
        match candidate.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {
                return Ok(candidate);
            }
            Ok(_) => found = Err((Exit::CannotRun, "it is no executable file")),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                found = Err((Exit::CannotRun, "permission denied"));
            }
            // Not here: perhaps in the next directory.
            Err(_) => {}
        }
    }
    found
}

/// How the agent is told of the hub: by way of the proxy at `port`, or
/// straight if its mode says so.
pub(super) fn inject(
    spec: &AgentSpec,
    hub: &Endpoint,
    server: &ServerName,
    port: Option<u16>,
    key: &Token,
    token: &Token,
    dir: &Path,
) -> anyhow::Result<InjectPlan> {
    let Some(mode) = &spec.inject else {
        return Ok(InjectPlan::default());
    };
    let server = match mode.route() {
        Route::Proxy => Server {
            name: server.clone(),
            url: Endpoint::loopback(
                port.context("there is no proxy")?,
                &format!("/{server}/mcp"),
            ),
            key: Key::Env(key.clone()),
        },
        Route::Direct | Route::Bridge => Server {
            name: server.clone(),
            url: hub.clone(),
            key: Key::Literal(token.clone()),
        },
    };
    inject::plan(spec, &server, dir)
}

/// Writes the files of ours again whenever the hub gives another token, for an
/// agent that is told the token itself; some read them again.
pub(super) async fn refresh(
    spec: AgentSpec,
    hub: Endpoint,
    server: ServerName,
    dir: PathBuf,
    mut live: watch::Receiver<Live>,
) {
    while live.changed().await.is_ok() {
        let Some(identity) = live.borrow_and_update().identity.clone() else {
            continue;
        };
        let token = &identity.token;
        let written = inject(&spec, &hub, &server, None, token, token, &dir)
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

/// The plan as far as it is known before anything is registered or bound: for
/// eyes, and for the check that the user's files can take it. What the hub and
/// the system give later has a name in its place.
pub(super) fn rehearse(spec: &AgentSpec, setting: &Setting) -> anyhow::Result<InjectPlan> {
    let dir = paths::state(&setting.env).join("sessions/SESSION");
    let (key, token) = (Token::new("SESSION-KEY"), Token::new("HUB-TOKEN"));
    let (hub, mcp) = (&setting.config.hub, &setting.config.mcp);
    let endpoint = Endpoint {
        tls: false,
        host: hub.host.clone(),
        port: mcp.http_port,
        path: "/mcp".into(),
    };
    inject(
        spec,
        &endpoint,
        &mcp.server_name,
        Some(0),
        &key,
        &token,
        &dir,
    )
}

/// What is to be run: the agent's own arguments, ours, the user's.
pub(super) fn job(
    spec: &AgentSpec,
    env: &Env,
    program: &Path,
    user_args: &[OsString],
    plan: &InjectPlan,
    id: &SessionId,
    name: &str,
) -> Job {
    let args = spec
        .args
        .iter()
        .map(OsString::from)
        .chain(plan.args.iter().cloned())
        .chain(user_args.iter().cloned())
        .collect();
    let mut env = environment(spec, env);
    for (key, value) in &plan.env {
        env.insert((*key).into(), value.expose().into());
    }
    let context = [
        ("SESSION_ID", id.to_string()),
        (
            "SESSION_TITLE",
            spec.label.clone().unwrap_or_else(|| name.to_owned()),
        ),
    ];
    for (key, value) in &context {
        for prefix in spec
            .session_env_prefix
            .iter()
            .map(String::as_str)
            .chain(["WRAPPER"])
        {
            env.insert(format!("{prefix}_{key}").into(), value.into());
        }
    }
    env.insert("WRAPPER_SESSION_NAME".into(), name.into());
    env.insert("WRAPPER_AGENT".into(), spec.name.as_str().into());
    Job {
        launch: Launch {
            program: program.to_owned(),
            args,
            env,
            cwd: spec.cwd.clone(),
        },
        restart: spec.restart,
        pacing: spec.pacing,
        manifest: Manifest::of(&stem(&spec.command)),
    }
}

/// The caller's environment with what the configuration takes and sets.
fn environment(spec: &AgentSpec, env: &Env) -> BTreeMap<OsString, OsString> {
    let mut env = env.clone();
    for name in &spec.strip_env {
        env.remove(OsStr::new(name));
    }
    env.extend(
        spec.env
            .iter()
            .map(|(key, value)| (key.into(), value.into())),
    );
    env
}

fn stem(command: &Path) -> String {
    command
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub(super) fn spawn_failure(error: SpawnError) -> Failure {
    let exit = match &error {
        SpawnError::NotFound(_) => Exit::NotFound,
        SpawnError::CannotRun(..) => Exit::CannotRun,
        SpawnError::NoDirectory(_) | SpawnError::Terminal(_) => Exit::Failed,
    };
    Failure::new(exit, error)
}

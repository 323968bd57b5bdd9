//! The agent's program, and the environment that it has.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::setting::{self, Setting};
use crate::cli::{self, Run};
use crate::paths::{self, Env};
use crate::report::Failure;
use crate::terminal::pty::SpawnError;
use crate::types::agent::AgentSpec;
use crate::types::exit::Exit;
use crate::types::identity::Token;
use crate::types::no_proxy::exempt_loopback;
use crate::types::server::{Command, KEY_VAR, URL_VAR};

/// The agent that a launch names. A word that is none may have been meant for a
/// verb.
pub(super) fn agent(args: &Run, setting: &Setting) -> Result<AgentSpec, Failure> {
    let found = setting.config.agent(&args.agent, &args.of_agent);
    let is_known = (setting.config.agents()).any(|known| known.as_str() == args.agent);
    found.map_err(|error| {
        let failure = setting::failure(Exit::Failed, error);
        if is_known {
            return failure;
        }
        let agents = failure.hint.clone().unwrap_or_default();
        let verb =
            cli::verb_like(&args.agent).map(|verb| format!("did you mean `wrapper {verb}`? "));
        let verb = verb.unwrap_or_default();
        failure.hint(format!("{verb}{agents}; `wrapper --help` shows the verbs"))
    })
}

/// The agent's program, looked up on the `PATH` that the agent will have; and
/// the check that its directory exists.
pub(super) fn find(spec: &AgentSpec, setting: &Setting) -> Result<PathBuf, Failure> {
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
    lookup(&spec.command, paths::var(&env, "PATH"), &spec.cwd).map_err(|(exit, why)| {
        Failure::new(
            exit,
            anyhow!("cannot start `{}`: {why}", spec.command.display()),
        )
        .hint(hint)
    })
}

/// A command by its path, or the first executable file of its name on `path`.
fn lookup(command: &Path, path: Option<&OsString>, cwd: &Path) -> Result<PathBuf, (Exit, String)> {
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
            "not found on PATH".to_owned()
        } else {
            "not found".to_owned()
        },
    ));
    for candidate in candidates {
        match candidate.metadata() {
            Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => {
                return Ok(candidate);
            }
            Ok(_) => found = Err((Exit::CannotRun, "it is no executable file".to_owned())),
            // Not here: perhaps in the next directory.
            Err(error) if is_absent(&error) => {}
            Err(error) => found = Err((Exit::CannotRun, error.to_string())),
        }
    }
    found
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Why the agent will not be able to start a server's command, as far as can
/// be seen before.
pub(super) fn missing(server: &Command, env: &Env, cwd: &Path) -> Option<String> {
    let cwd = server.cwd.as_deref().unwrap_or(cwd);
    // A server may bring a PATH of its own.
    if server.env.contains_key("PATH") {
        return None;
    }
    let found = lookup(Path::new(&server.program), paths::var(env, "PATH"), cwd);
    found.err().map(|(_, why)| why)
}

/// The caller's environment with what the configuration takes and sets, for
/// the agent and for every command that we start for it. Our own addresses
/// never lead through a proxy.
pub(super) fn environment(spec: &AgentSpec, env: &Env) -> Env {
    let mut env = env.clone();
    // Those of a session around this one open that session's proxy.
    for name in [KEY_VAR, URL_VAR] {
        env.remove(OsStr::new(name));
    }
    for name in &spec.strip_env {
        env.remove(OsStr::new(name));
    }
    env.extend(
        spec.env
            .iter()
            .map(|(key, value)| (key.into(), value.into())),
    );
    exempt_loopback(&mut env);
    env
}

/// Has a server's own variables leave this machine's addresses alone, where
/// they name a proxy or its exceptions: they are laid over those of the agent,
/// which `env` are.
pub(super) fn exempt(server: &mut Command, env: &Env) {
    let own = server.env.iter();
    let mut whole = env.clone();
    whole.extend(own.map(|(name, value)| (name.into(), value.expose().into())));
    let before = whole.clone();
    exempt_loopback(&mut whole);
    for (name, value) in whole {
        if before.get(&name) != Some(&value)
            && let (Some(name), Some(value)) = (name.to_str(), value.to_str())
        {
            server.env.insert(name.to_owned(), Token::new(value));
        }
    }
}

pub(super) fn spawn_failure(error: SpawnError) -> Failure {
    let exit = match &error {
        SpawnError::NotFound(_) => Exit::NotFound,
        SpawnError::CannotRun(..) => Exit::CannotRun,
        SpawnError::NoDirectory(_) | SpawnError::Terminal(_) => Exit::Failed,
    };
    Failure::new(exit, error)
}

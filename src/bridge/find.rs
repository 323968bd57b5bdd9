//! The session that a bridge belongs to, and the command that takes its place.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::alone::Alone;
use crate::control;
use crate::control::client::Error;
use crate::control::protocol::Local;
use crate::paths::{self, Env};
use crate::types::context::CONTROL_VAR;
use crate::types::identity::SessionId;
use crate::types::no_proxy::exempt_loopback;

/// The variable that holds the session's id.
pub(super) const ID_VAR: &str = "WRAPPER_SESSION_ID";

/// Why there is no way to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// The session lives, and has no such server.
    Unknown(String),
    /// There is no session, or it does not answer.
    NoSession(String),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown { reason } => Self::Unknown(reason),
            error => Self::NoSession(error.to_string()),
        }
    }
}

impl From<Lost> for Alone {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Unknown(reason) => Self::Empty(reason),
            Lost::NoSession(why) => Self::Broken(format!(
                "this server works only below `wrapper <agent>`: {why}"
            )),
        }
    }
}

/// Where the session's control socket is: as the option says, or the
/// environment; an empty variable counts as unset.
pub(super) fn socket(control: Option<&Path>, env: &Env) -> Result<PathBuf, Lost> {
    let named = control
        .map(Path::to_owned)
        .or_else(|| paths::var(env, CONTROL_VAR).map(PathBuf::from));
    if let Some(socket) = named {
        return Ok(socket);
    }
    let Some(id) = paths::var(env, ID_VAR) else {
        let why = format!("neither `{CONTROL_VAR}` nor `{ID_VAR}` is set");
        return Err(Lost::NoSession(why));
    };
    let id: SessionId = id
        .to_str()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Lost::NoSession(format!("`{ID_VAR}` holds no session's id")))?;
    Ok(paths::state(env)
        .join("sessions")
        .join(id.as_str())
        .join(control::NAME))
}

/// Becomes the server's command. Returns why not, without what may be a
/// credential.
pub(super) fn exec(local: &Local) -> String {
    let shown = if local.private {
        "its command".to_owned()
    } else {
        format!("`{}`", local.command)
    };
    if let Some(cwd) = local.cwd.as_ref().filter(|cwd| !Path::new(cwd).is_dir()) {
        return format!("cannot run {shown} in {cwd}: no such directory");
    }
    let mut command = Command::new(&local.command);
    command.args(&local.args);
    let mut env = paths::env();
    let own = local.env.iter();
    env.extend(own.map(|(name, value)| (name.into(), value.expose().into())));
    exempt_loopback(&mut env);
    command.envs(env);
    if let Some(cwd) = &local.cwd {
        command.current_dir(cwd);
    }
    let error = command.exec();
    match error.kind() {
        io::ErrorKind::NotFound => format!("cannot run {shown}: not found"),
        io::ErrorKind::PermissionDenied => format!("cannot run {shown}: permission denied"),
        _ => format!("cannot run {shown}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_option_socket_or_id() {
        let none = Err(Lost::NoSession(
            "neither `WRAPPER_CONTROL` nor `WRAPPER_SESSION_ID` is set".into(),
        ));
        let bad = Err(Lost::NoSession(
            "`WRAPPER_SESSION_ID` holds no session's id".into(),
        ));
        for (option, control, id, found) in [
            (Some("/o"), "/c", "0123", Ok("/o")),
            (None, "/c", "0123", Ok("/c")),
            (None, "", "0123", Ok("/s/sessions/0123/control.sock")),
            (None, "", "", none),
            (None, "", "../../etc", bad),
        ] {
            let env: Env = [
                (CONTROL_VAR, control),
                (ID_VAR, id),
                ("WRAPPER_STATE_DIR", "/s"),
            ]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
            let found = found.map(PathBuf::from);
            assert_eq!(socket(option.map(Path::new), &env), found, "{control} {id}");
        }
    }

    #[test]
    fn a_command_that_may_hold_a_credential_is_not_shown() {
        let local = |command: &str, cwd: Option<&str>, private| Local {
            command: command.into(),
            args: Vec::new(),
            env: [].into(),
            cwd: cwd.map(Into::into),
            private,
        };
        for (local, reason) in [
            (
                local("/no/such/program", None, false),
                "cannot run `/no/such/program`: not found",
            ),
            (
                local("/no/such/program", None, true),
                "cannot run its command: not found",
            ),
            (
                local("/etc/passwd", None, false),
                "cannot run `/etc/passwd`: permission denied",
            ),
            (
                local("ls", Some("/no/such"), false),
                "cannot run `ls` in /no/such: no such directory",
            ),
        ] {
            assert_eq!(exec(&local), reason);
        }
    }
}

//! What every launch on this machine needs: a place for its state, a hub, a
//! terminal.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::burial;
use super::super::setting::Setting;
use super::super::tmux::server;
use super::{Checks, State};
use crate::control;
use crate::control::roster::{self, SessionDir};
use crate::hub::client::{Error as HubError, Kind};
use crate::hub::{self, BindError};
use crate::loopback::{self, Stranger};
use crate::paths;
use crate::terminal::tty;
use crate::types::identity::SessionId;

/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to do where another program has a port of the hub's.
const OTHER_PORTS: &str = "pick other ports, with `--port`, `--mcp-http-port` or in config.toml";

/// A session's directory for as long as the examination takes, and the
/// directories that were made for it.
pub(super) struct Lent {
    dir: Option<SessionDir>,
    made: Vec<PathBuf>,
}

impl Lent {
    pub(super) fn id(&self) -> Option<&SessionId> {
        self.dir.as_ref().map(|dir| &dir.id)
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.dir.as_ref().map(|dir| dir.path.as_path())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.dir = None;
        for dir in &self.made {
            if fs::remove_dir(dir).is_err() {
                // Somebody has put something there.
                return;
            }
        }
    }
}

/// Makes what a session has, and looks for what killed ones have left.
pub(super) fn state(setting: &Setting, checks: &mut Checks) -> Option<Lent> {
    let state = paths::state(&setting.env);
    let dead = roster::roster(&state).dead.len();
    let sessions = state.join("sessions");
    let missing = sessions.ancestors().take_while(|dir| !dir.exists());
    let mut lent = Lent {
        made: missing.map(Path::to_owned).collect(),
        dir: None,
    };
    let made = SessionDir::make(&state, SessionId::random());
    let bound = made.and_then(|dir| {
        let socket = control::bind(&dir.path);
        lent.dir = Some(dir);
        socket
    });
    let name = "state";
    match bound {
        Err(error) => {
            let cure = "set `WRAPPER_STATE_DIR` to a directory of yours that takes sockets";
            checks.add(name, State::Problem, format!("{error:#}"), Some(cure));
            return None;
        }
        Ok(_) if is_open(&state) => checks.add(
            name,
            State::Warning,
            format!("others than you can look into {}", state.display()),
            Some(format!("`chmod 700 {}`", state.display())),
        ),
        Ok(_) => checks.ok(name, format!("{} takes sessions", state.display())),
    }
    owed(&state, checks);
    if dead > 0 {
        let text = format!("sessions that were killed: {dead}");
        let cure = "the next launch puts back what they left in your settings";
        checks.add("leftovers", State::Warning, text, Some(cure));
    }
    Some(lent)
}

/// Tries again to put back what could not be put back before.
fn owed(state: &Path, checks: &mut Checks) {
    let cure = "let the file be written and parsed: every start, `wrapper ps` and this try again";
    let mut owed = Vec::new();
    burial::settle(state, |text| owed.push(text));
    for text in owed {
        checks.add("settings", State::Warning, text, Some(cure));
    }
}

fn is_open(dir: &Path) -> bool {
    let mode = fs::metadata(dir).map(|meta| meta.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o077 != 0)
}

/// A hub that answers, or one that could be started.
pub(super) async fn hub(setting: &Setting, checks: &mut Checks) {
    let client = setting.client();
    let (name, url) = ("hub", client.url());
    let config = &setting.config;
    let (whose, port) = match client.health().await {
        Ok(Kind::Ours(health)) => {
            if let Err(error) = hub::human_token(&config.hub.data_dir) {
                let text = format!("{error:#}");
                let cure = "is it the hub of another user or another `data_dir`?";
                checks.add(name, State::Warning, text, Some(cure));
                return;
            }
            (format!("ours, {}", health.version), health.mcp_port)
        }
        Ok(Kind::Agentchattr) => ("agentchattr's".to_owned(), config.mcp.http_port),
        Err(HubError::Unreachable {
            why: io::ErrorKind::ConnectionRefused,
            ..
        }) => {
            startable(setting, &url, checks);
            return;
        }
        Err(error) => {
            let text = error.to_string();
            checks.add(name, State::Problem, text, Some(OTHER_PORTS));
            return;
        }
    };
    let tools = async {
        let io = TcpStream::connect((config.hub.host.as_str(), port)).await?;
        loopback::prove(&io, &config.hub.owner).await
    };
    match timeout(PATIENCE, tools).await {
        Ok(Err(error)) if Stranger::in_error(&error).is_some() => checks.add(
            name,
            State::Problem,
            format!("{whose}, answers at {url}, but not on {port} for its tools: {error}"),
            Some(OTHER_PORTS),
        ),
        Ok(Ok(())) => checks.ok(
            name,
            format!("{whose}, answers at {url}, its tools on {port}"),
        ),
        _ => checks.add(
            name,
            State::Warning,
            format!("{whose}, answers at {url}, but not with its tools on {port}"),
            Some("set `http_port` under `[mcp]` in config.toml to where they are"),
        ),
    }
}

/// None answers: can one be started?
fn startable(setting: &Setting, url: &str, checks: &mut Checks) {
    let (hub, mcp) = (&setting.config.hub, &setting.config.mcp);
    let name = "hub";
    match hub::bind(&hub.host, hub.port, mcp.http_port, mcp.sse_port) {
        Err(error) => {
            let cure = match error {
                BindError::Taken { .. } => OTHER_PORTS,
                _ => "set `host` and `port` under `[server]` in config.toml",
            };
            checks.add(name, State::Problem, error.to_string(), Some(cure));
        }
        Ok(bound) if bound.sse_port().is_none() => checks.add(
            name,
            State::Warning,
            format!(
                "cannot listen on port {}: agents with `mcp_transport = \"sse\"` cannot be served",
                mcp.sse_port
            ),
            Some("pick another with `--mcp-sse-port`"),
        ),
        Ok(_) if hub.autostart => {
            checks.ok(
                name,
                format!("none answers at {url}; a launch starts one, its ports are free"),
            );
        }
        Ok(_) => checks.add(
            name,
            State::Problem,
            format!("none answers at {url}"),
            Some("start it with `wrapper serve`, or set `autostart` under `[server]`"),
        ),
    }
}

pub(super) fn terminal(setting: &Setting, checks: &mut Checks) {
    let name = "terminal";
    if !tty::foreground() {
        checks.ok(name, "there is none here; `-d` and `--headless` do without");
        return;
    }
    match paths::var(&setting.env, "TERM").and_then(|term| term.to_str()) {
        None | Some("dumb") => checks.add(
            name,
            State::Warning,
            "`TERM` does not say what it can do",
            Some("set it, to `xterm-256color` if you do not know better"),
        ),
        Some(term) => checks.ok(name, term),
    }
}

pub(super) async fn tmux(checks: &mut Checks) {
    let name = "tmux";
    match server::ask(&["-V"]).await {
        Err(_) => checks.ok(name, "it is not here; only `--tmux` needs it"),
        Ok(said) if server::version(&said).is_some_and(|version| version < server::OLDEST) => {
            let (major, minor) = server::OLDEST;
            let cure = format!("`--tmux` needs {major}.{minor} or newer");
            checks.add(
                name,
                State::Warning,
                format!("{said} is too old"),
                Some(cure),
            );
        }
        Ok(said) => checks.ok(name, said),
    }
}

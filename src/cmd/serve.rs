//! `wrapper serve`: the embedded hub, in the foreground; and how a launch
//! starts one in the background.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::hosted;
use super::setting::{Setting, block_on};
use crate::cli::Serve;
use crate::hub::client::Kind;
use crate::hub::{self, BindError};
use crate::logging;
use crate::paths;
use crate::report::{self, Failure};
use crate::terminal::anchor;
use crate::types::exit::Exit;

/// Messages from agent to agent until a human must speak: agentchattr's.
const MAX_HOPS: u32 = 4;

/// A hub that a launch started leaves after this long with nobody there.
const IDLE_EXIT: Duration = Duration::from_secs(600);

/// How long a hub may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a background hub is told of our environment: nothing of the agent's.
const KEPT: [&str; 10] = [
    "HOME",
    "PATH",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_DATA_HOME",
    "WRAPPER_STATE_DIR",
    "WRAPPER_LOG",
];

pub(super) fn run(args: &Serve) -> Result<Exit, Failure> {
    let setting = Setting::load(&args.options, Exit::NotDone)?;
    let failed = |error: anyhow::Error| Failure::new(Exit::NotDone, error);
    let data_dir = setting.config.hub.data_dir.clone();
    if args.background {
        // Not the launch's: its terminal may close, and its signals are its own.
        nix::unistd::setsid()
            .context("cannot leave the terminal")
            .and_then(|_| anchor::outlive().context("cannot outlive what started it"))
            .map_err(failed)?;
        paths::private_dir(&data_dir)
            .with_context(|| format!("cannot make {}", data_dir.display()))
            .map_err(failed)?;
        logging::to_file(&data_dir.join("hub.log"), setting.log_level()).map_err(failed)?;
    } else {
        logging::to_stderr(setting.log_level().or(Some("warn"))).map_err(failed)?;
    }
    block_on(Exit::NotDone, async {
        let (host, port) = (&setting.config.hub.host, setting.config.hub.port);
        let mcp = &setting.config.mcp;
        let bound = hub::bind(host, port, mcp.http_port, mcp.sse_port).map_err(bind_failure)?;
        let at = |port: u16| format!("http://{host}:{port}");
        let rest = at(bound.rest_port());
        let mcp = at(bound.mcp_port()) + "/mcp";
        let sse = bound.sse_port().map(|port| at(port) + "/sse");
        let settings = hub::Settings {
            data_dir,
            max_hops: MAX_HOPS,
            idle_exit: args.background.then_some(IDLE_EXIT),
        };
        let open = hub::open(bound, &settings).map_err(failed)?;
        let stop = CancellationToken::new();
        stop_on_signals(&stop).map_err(failed)?;
        if args.json {
            let pid = std::process::id();
            report::line(json!({"url": rest, "mcp_url": mcp, "sse_url": sse, "pid": pid}));
        } else {
            report::note(format_args!(
                "the hub is at {rest}, its tools at {mcp}; Ctrl-C ends it"
            ));
        }
        hub::serve(open, stop).await.map_err(failed)
    })?;
    Ok(Exit::Done)
}

/// Sees to it that a hub answers, starting one in the background if nothing
/// does. However many launches do so at once, one hub comes of it: the port
/// is the lock.
///
/// # Errors
/// If it does not start: its own words.
pub(super) async fn ensure(setting: &Setting) -> anyhow::Result<()> {
    let (hub, mcp) = (&setting.config.hub, &setting.config.mcp);
    let program = hosted::program().context("cannot find our own program")?;
    let mut command = tokio::process::Command::new(program);
    if let Ok(own) = std::env::current_exe() {
        // Its place, for who looks at the processes; an upgrade may have taken it.
        let own = own.to_string_lossy().into_owned();
        command.arg0(own.trim_end_matches(" (deleted)"));
    }
    command
        .args(["serve", "--background", "--json"])
        .args([
            "--port",
            &hub.port.to_string(),
            "--mcp-http-port",
            &mcp.http_port.to_string(),
        ])
        .args(["--mcp-sse-port", &mcp.sse_port.to_string()])
        .arg("--data-dir")
        .arg(&hub.data_dir)
        .args(["--config", "/dev/stdin"])
        .current_dir("/")
        .env_clear()
        .envs(
            KEPT.iter()
                .filter_map(|name| Some((name, paths::var(&setting.env, name)?))),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the hub")?;
    // What no option says; of our own configuration the hub needs no more.
    let host = format!("[server]\nhost = {}\n", json!(hub.host));
    let mut stdin = child.stdin.take().context("no pipe")?;
    stdin
        .write_all(host.as_bytes())
        .await
        .context("cannot tell the hub its host")?;
    drop(stdin);
    let (stdout, stderr) = (
        child.stdout.take().context("no pipe")?,
        child.stderr.take().context("no pipe")?,
    );
    let started = async {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        if !line.is_empty() {
            return Ok(());
        }
        let mut said = String::new();
        stderr.take(4096).read_to_string(&mut said).await?;
        // Another launch may have been faster.
        match setting.client().health().await {
            Ok(Kind::Ours(_)) => Ok(()),
            _ => Err(anyhow!("the hub did not start: {}", report::told(&said).0)),
        }
    };
    tokio::time::timeout(PATIENCE, started)
        .await
        .context("the hub did not start in time")?
}

/// Cancels `stop` on SIGTERM, SIGINT or SIGHUP.
fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        let mut signals = signal(kind).context("cannot watch for signals")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

fn bind_failure(error: BindError) -> Failure {
    let hint = match &error {
        BindError::Taken { port } => Some(format!(
            "a hub may be running: `wrapper who`; or pick other ports with `--port` and `--mcp-http-port` ({port} is in use)"
        )),
        _ => None,
    };
    Failure {
        hint,
        ..Failure::new(Exit::NotDone, error)
    }
}

//! What must hold of `wrapper` with a running agentchattr, tried against any
//! server that serves a configuration: `agentchattr-scenarios [--config PATH]
//! [--server COMMAND] [--agent NAME] [--only NAME]…`.
//!
//! COMMAND is a shell command line that serves the ports of the configuration
//! until its process group is ended. Each scenario has a server and a data
//! directory of its own; the latter is named by `AGENTCHATTR_DATA_DIR`. Without
//! it the server is `fake-agentchattr [--release 0.4|0.5]`. A server is spoken to as the human's
//! page and agents do, so that any may stand there. One line a scenario; 1 if
//! one failed.

mod config;
mod delivery;
mod ending;
mod human;
mod identity;
#[path = "../real/outer.rs"]
#[expect(dead_code, reason = "the real agents need more of it")]
mod outer;
#[path = "../real/processes.rs"]
mod processes;
mod renames;
mod seat;
mod server;
#[path = "../real/wait.rs"]
mod wait;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use wrapper::report;

use crate::config::Config;
use crate::world::World;

/// Tries `wrapper` with a running agentchattr.
#[derive(Parser)]
struct Args {
    /// The `config.toml` that the server serves.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A shell command line that starts the server.
    #[arg(long)]
    server: Option<String>,
    /// What `fake-agentchattr` plays in place of a server: 0.4 or 0.5.
    #[arg(long, conflicts_with = "server", default_value = "0.4")]
    release: String,
    /// The agent of the configuration that is played; else its first.
    #[arg(long)]
    agent: Option<String>,
    /// Of all scenarios only these.
    #[arg(long)]
    only: Vec<String>,
}

const ALL: [&str; 20] = [
    "crash-timeout",
    "suspend",
    "restart-one",
    "restart-three",
    "second-instance",
    "second-after-stop",
    "third-after-first",
    "second-after-kill",
    "kill-after-stop",
    "human-rename",
    "hundred-mentions",
    "long-prompt",
    "open-dialog",
    "half-typed-line",
    "hostile-texts",
    "kill-in-delivery",
    "exit",
    "sigterm",
    "sighup",
    "sigkill",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    for name in &args.only {
        let all = ALL.join(", ");
        ensure!(
            ALL.contains(&&**name),
            "no scenario `{name}`: there are {all}"
        );
    }
    ensure!(
        args.config.is_some() || args.server.is_none(),
        "`--server` needs the configuration that it serves: `--config PATH`"
    );
    let own = tempfile::tempdir()?;
    let path = if let Some(path) = args.config {
        let whole = path.canonicalize();
        whole.with_context(|| path.display().to_string())?
    } else {
        let path = own.path().join("config.toml");
        Config::write(&path)?;
        path
    };
    let command = (args.server).map_or_else(|| fake(&path, &args.release), Ok)?;
    let mut failed = 0;
    for name in ALL {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        let config = Config::read(&path, args.agent.clone())?;
        if let Err(error) = wait::step("scenario", name, run(name, config, &command)).await {
            failed += 1;
            report::line(format_args!("         {error:#}"));
        }
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// The command of our own server.
fn fake(config: &Path, release: &str) -> Result<String> {
    let program = config::programs()?.join("fake-agentchattr");
    let options = ["--release", release, "--config"].map(Some);
    let words = [&[program.to_str()], &options[..], &[config.to_str()]].concat();
    let words: Option<Vec<&str>> = words.into_iter().collect();
    let words = words.context("a path is no text")?;
    Ok(format!("exec {}", shell_words::join(words)))
}

async fn run(name: &str, config: Config, command: &str) -> Result<()> {
    let mut world = World::open(config, command).await?;
    let world = &mut world;
    match name {
        "crash-timeout" => identity::crash_timeout(world).await,
        "suspend" => identity::suspend(world).await,
        "restart-one" => identity::restart_one(world).await,
        "restart-three" => identity::restart_three(world).await,
        "second-instance" => identity::second_instance(world).await,
        "second-after-stop" => renames::second_after_stop(world).await,
        "third-after-first" => renames::third_after_first(world).await,
        "second-after-kill" => renames::second_after_kill(world).await,
        "kill-after-stop" => renames::kill_after_stop(world).await,
        "human-rename" => identity::human_rename(world).await,
        "hundred-mentions" => delivery::hundred_mentions(world).await,
        "long-prompt" => delivery::long_prompt(world).await,
        "open-dialog" => delivery::open_dialog(world).await,
        "half-typed-line" => delivery::half_typed_line(world).await,
        "hostile-texts" => delivery::hostile_texts(world).await,
        "kill-in-delivery" => ending::kill_in_delivery(world).await,
        "exit" => ending::exit(world).await,
        "sigterm" => ending::sigterm(world).await,
        "sighup" => ending::sighup(world).await,
        "sigkill" => ending::sigkill(world).await,
        _ => bail!("no scenario `{name}`"),
    }?;
    world.stop_server().await
}

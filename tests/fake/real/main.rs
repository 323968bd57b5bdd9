//! Drives real agents through the real program: `real-agents DIR AGENT…`.
//!
//! `DIR/<agent>/node_modules/.bin/<agent>` are the agents; `wrapper` and
//! the fakes stand beside this program. Each agent has a home, a hub, MCP
//! servers and a scripted model of its own, all on loopback, and is told to
//! read a word in the chat and to say it, and to call a tool of each server: in
//! a terminal of its own, then in the background, with terminals that attach.
//! Two run at a time. One line a step; 1 if an agent failed.
//!
//! With `--record TO` what each sends to an MCP server is written into that
//! directory, in place of all that; with `--screens TO`, what it shows; with
//! `--output TO`, what it writes to its terminal.

mod chat;
mod ending;
mod front;
mod ground;
mod home;
mod keys;
mod live;
mod outer;
mod processes;
mod questions;
mod record;
mod refusals;
mod screens;
mod servers;
mod shelf;
mod steps;
mod tools;
mod trust;
mod viewer;
mod wait;
mod world;

use std::cell::RefCell;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use wrapper::report;

/// What is done with each agent.
enum Task {
    Drive,
    Record(PathBuf),
    Screens(PathBuf),
    Output(PathBuf),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    const USAGE: &str = "usage: real-agents DIR [--record TO | --screens TO | --output TO] AGENT…";
    let mut args = std::env::args().skip(1).peekable();
    let agents = PathBuf::from(args.next().context(USAGE)?);
    let mut task = Task::Drive;
    if let Some(option) = args.next_if(|arg| arg.starts_with('-')) {
        let to = PathBuf::from(args.next().context(USAGE)?);
        task = match option.as_str() {
            "--record" => Task::Record(to),
            "--screens" => Task::Screens(to),
            "--output" => Task::Output(to),
            _ => bail!(USAGE),
        };
    }
    let queue = RefCell::new(args);
    let worker = || work(&queue, &agents, &task);
    let (one, other) = tokio::join!(worker(), worker());
    let (passed, failed) = (one.0 + other.0, one.1 + other.1);
    report::line(format_args!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs agents of the queue until it is empty; how many passed, and failed.
async fn work(
    queue: &RefCell<impl Iterator<Item = String>>,
    agents: &Path,
    task: &Task,
) -> (u32, u32) {
    let (mut passed, mut failed) = (0, 0);
    loop {
        let next = queue.borrow_mut().next();
        let Some(agent) = next else {
            return (passed, failed);
        };
        let start = Instant::now();
        let result = match task {
            Task::Drive => steps::run(&agent, agents).await,
            Task::Record(to) => record::run(&agent, agents, to).await,
            Task::Screens(to) => screens::run(&agent, agents, to).await,
            Task::Output(to) => screens::output(&agent, agents, to).await,
        };
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                passed += 1;
                report::line(format_args!(
                    "{} {agent} in {seconds:.1} s",
                    colored("passed", 32)
                ));
            }
            Err(error) => {
                failed += 1;
                report::line(format_args!("{} {agent}: {error:#}", colored("FAILED", 31)));
            }
        }
    }
}

fn colored(word: &str, color: u8) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{color}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

//! Drives real agents through the real program: `real-agents DIR AGENT…`.
//!
//! `DIR/<agent>/node_modules/.bin/<agent>` are the agents; `wrapper` and
//! `fake-model` stand beside this program. Each agent has a home, a hub and a
//! scripted model of its own, all on loopback, and is told to read a word in
//! the chat and to say it. One line a step; 1 if an agent failed.

mod home;
mod outer;
mod steps;
mod world;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use wrapper::report;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let agents = PathBuf::from(args.next().context("usage: real-agents DIR AGENT…")?);
    let (mut passed, mut failed) = (0, 0);
    for agent in args {
        let start = Instant::now();
        let result = steps::run(&agent, &agents).await;
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
    report::line(format_args!("{passed} passed, {failed} failed"));
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn colored(word: &str, color: u8) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{color}m{word}\x1b[0m")
    } else {
        word.to_owned()
    }
}

//! One file or folder a verb, and what several have in common: the composition
//! roots, where machines meet.

mod attach;
mod attended;
mod background;
mod bridge;
mod burial;
mod caught;
mod completions;
mod config;
mod demo;
mod demo_agent;
mod doctor;
mod down;
mod dry_run;
mod entry;
mod explain;
mod family;
mod found;
mod front;
mod gather;
mod gear;
mod hosted;
mod launch;
mod lives;
mod log;
mod logs;
mod man;
mod manifest;
mod mcp;
mod notify;
mod plan;
mod post;
mod program;
mod ps;
mod read;
mod registration;
mod restart;
mod say;
mod screen;
mod send;
mod serve;
mod setting;
mod signals;
mod stop;
mod table;
mod talk;
mod team;
mod tmux;
mod token;
mod trust;
mod unconnected;
mod up;
mod who;

use std::process::ExitCode;

pub use completions::complete;

use crate::cli::{Cli, Verb};
use crate::report;

/// Runs the verb that the command line names; tells the user of a failure.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.verb {
        Verb::Run(args) => launch::run(args),
        Verb::Demo(_) => demo::run(),
        Verb::Serve(args) => serve::run(&args),
        Verb::Say(args) => say::run(&args),
        Verb::Read(args) => read::run(&args),
        Verb::Who(args) => who::run(&args),
        Verb::Bridge(args) => bridge::run(&args),
        Verb::Ps(args) => ps::run(&args),
        Verb::Attach(args) => attach::run(&args),
        Verb::Restart(args) => restart::run(&args),
        Verb::Stop(args) => stop::run(&args),
        Verb::Logs(args) => logs::run(&args),
        Verb::Send(args) => send::run(&args),
        Verb::Screen(args) => screen::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Mcp(verb) => mcp::run(&verb),
        Verb::Token(verb) => token::run(&verb),
        Verb::Config(args) => config::run(&args),
        Verb::DemoAgent(args) => demo_agent::run(&args),
        Verb::Hosted(args) => hosted::run(&args),
        Verb::Trust(verb) => trust::run(&verb),
        Verb::Up(args) => up::run(&args),
        Verb::Down(args) => down::run(args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Completions(args) => Ok(completions::run(&args)),
        Verb::Man(args) => man::run(&args),
        Verb::TmuxPane(args) => tmux::pane::run(&args),
    };
    let exit = result.unwrap_or_else(|failure| {
        report::failure(&failure);
        failure.exit
    });
    report::complete(exit).code().into()
}

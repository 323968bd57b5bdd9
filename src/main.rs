//! Parses the command line, runs the verb, returns its exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    wrapper::run(wrapper::cli::Cli::parse())
}

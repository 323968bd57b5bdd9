//! Answers a shell that completes, or parses the command line, runs the verb,
//! and returns its exit code.

use std::process::ExitCode;

use wrapper::cli;
use wrapper::report::{self, Failure};
use wrapper::types::exit::Exit;

fn main() -> ExitCode {
    if let Some(exit) = wrapper::complete() {
        return exit.code().into();
    }
    let args: Vec<_> = std::env::args_os().collect();
    let own = args.iter().take_while(|arg| *arg != "--");
    let as_json = own.into_iter().any(|arg| arg == "--json");
    if as_json {
        report::errors_as_json();
    }
    match cli::Cli::parse_from(args) {
        Ok(cli) => wrapper::run(cli),
        Err(error) if as_json && error.use_stderr() => {
            let (error, hint) = cli::usage(&error);
            let failure = Failure::new(Exit::Usage, anyhow::Error::msg(error));
            report::failure(&Failure { hint, ..failure });
            Exit::Usage.code().into()
        }
        Err(error) => {
            // A reader that has gone away is no error.
            let _ = error.print();
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            exit.code().into()
        }
    }
}

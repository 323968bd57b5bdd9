//! Answers a shell that completes, or parses the command line, runs the verb,
//! and returns its exit code.

use std::process::ExitCode;

use wrapper::cli;
use wrapper::report::{self, Failure};
use wrapper::types::exit::Exit;

fn main() -> ExitCode {
    wrapper::keep_to_ourselves();
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
            if error.use_stderr() {
                // It repeats words of the command line.
                report::note(error.to_string().trim_end());
                return Exit::Usage.code().into();
            }
            if let Err(error) = error.print() {
                report::lose(error);
            }
            report::complete(Exit::Done).code().into()
        }
    }
}

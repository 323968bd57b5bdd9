//! Answers a shell that completes, or parses the command line, runs the verb,
//! and returns its exit code.

use std::process::ExitCode;

use wrapper::report;
use wrapper::types::exit::Exit;

fn main() -> ExitCode {
    wrapper::keep_to_ourselves();
    if let Some(exit) = wrapper::complete() {
        return exit.code().into();
    }
    match wrapper::cli::Cli::parse_from(std::env::args_os()) {
        Ok(cli) => wrapper::run(cli),
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

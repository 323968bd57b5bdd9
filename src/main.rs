//! Answers a shell that completes, or parses the command line, runs the verb,
//! and returns its exit code.

use std::process::ExitCode;

use wrapper::types::exit::Exit;

fn main() -> ExitCode {
    wrapper::keep_to_ourselves();
    if let Some(exit) = wrapper::complete() {
        return exit.code().into();
    }
    match wrapper::cli::Cli::parse_from(std::env::args_os()) {
        Ok(cli) => wrapper::run(cli),
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

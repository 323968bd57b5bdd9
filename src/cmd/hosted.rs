//! `wrapper hosted`: our program in the other parts that it plays for servers
//! that we run. The guard of them, or, with words, the way to one.

use std::path::PathBuf;

use crate::cli::Hosted;
use crate::hosting;
use crate::report::Failure;
use crate::types::exit::Exit;

pub(super) fn run(args: &Hosted) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error, tried: String| {
        let error = anyhow::Error::new(error).context(tried);
        Err(Failure::new(Exit::NotDone, error))
    };
    let Some(program) = args.words.first() else {
        return match hosting::guard() {
            Ok(()) => Ok(Exit::Done),
            Err(error) => failed(error, "cannot guard the servers of a session".into()),
        };
    };
    let error = hosting::become_server(&args.words);
    failed(error, format!("cannot start `{}`", program.display()))
}

/// Our program, as a process of ours finds it: where the system has a way to
/// it that an upgrade in the meantime does not take away, by that.
pub(super) fn program() -> std::io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if cfg!(target_os = "linux") && own.exists() {
        return Ok(own);
    }
    std::env::current_exe()
}

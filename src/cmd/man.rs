//! `wrapper man DIR`: the manual, a page for each verb, for packagers.

use std::fs;

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::{Cli, Man};
use crate::report::Failure;
use crate::types::exit::Exit;

pub(super) fn run(args: &Man) -> Result<Exit, Failure> {
    let written = fs::create_dir_all(&args.dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.dir));
    written
        .with_context(|| format!("cannot write the manual to {}", args.dir.display()))
        .map(|()| Exit::Done)
        .map_err(|error| Failure::new(Exit::NotDone, error))
}

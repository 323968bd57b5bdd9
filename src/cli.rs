//! The command line.
#[derive(clap::Parser)]
pub struct Cli;

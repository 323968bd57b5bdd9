//! The verbs of trust.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::types::options::Options;

#[derive(Debug, Subcommand)]
pub enum Trust {
    /// Show the directories whose servers you have said yes or no to
    List(TrustList),
    /// Forget what you said of a directory: its next launch asks again
    Forget(TrustForget),
}

#[derive(Debug, Args)]
pub struct TrustList {
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct TrustForget {
    /// The directory, here or gone
    pub dir: PathBuf,
    /// Print what was forgotten as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

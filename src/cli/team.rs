//! The verbs of teams and of shells.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::types::options::Options;

#[derive(Debug, Args)]
pub struct Up {
    /// A team file [default: wrapper-team.toml here or in a directory above]
    pub file: Option<PathBuf>,
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Down {
    /// A team file [default: wrapper-team.toml here or in a directory above]
    pub file: Option<PathBuf>,
    /// The time from the hang-up to the kill
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub grace: Duration,
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Doctor {
    /// A configured agent [default: all that are installed]
    pub agent: Option<String>,
    /// Print an array
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
pub struct Completions {
    pub shell: Shell,
}

/// A shell that can be told how our command lines go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Where they are written
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct TmuxPane {
    /// Where it hears what to launch
    pub socket: PathBuf,
}

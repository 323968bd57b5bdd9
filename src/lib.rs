//! `wrapper` runs coding agent CLIs side by side: in a chat with each other
//! and with a human, with MCP servers and credentials that stay alive.
//!
//! # The map of the house
//!
//! Imports point down; `tests/it/house.rs` checks it.
//!
//! | floor | rooms |
//! |---|---|
//! | roots | [`cmd`]: one file or folder a verb, the only place where machines meet |
//! | between | [`presence`] keeps us registered, [`inbox`] turns mentions into prompts, [`bridge`] is a session's server for an agent that speaks stdio |
//! | doors | [`control`]: what a session can be asked, over the [`catalog`] of its servers |
//! | machines | [`config`], [`servers`], [`inject`], [`proxy`] on [`credential`] and [`hosting`], [`session`] on [`terminal`], [`hub`], [`queue`] |
//! | ground | [`types`]: values and their parsers, pure |
//! | outside | [`cli`], [`paths`], [`logging`], [`report`], [`loopback`]: whose process answers at a port |
//!
//! # A launch
//!
//! Five phases: resolve, register, bind, inject, run; then the same in
//! reverse. Only the session ends the launch: the hub, the proxy and the
//! presence may fail and come back while the agent runs on. A session has a
//! terminal, or a model of one (`-d`, `--headless`); others look on and type
//! over its control socket.

#[doc(hidden)]
pub mod bridge;
#[doc(hidden)]
pub mod catalog;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod cmd;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod control;
#[doc(hidden)]
pub mod credential;
#[doc(hidden)]
pub mod hosting;
#[doc(hidden)]
pub mod hub;
#[doc(hidden)]
pub mod inbox;
#[doc(hidden)]
pub mod inject;
#[doc(hidden)]
pub mod logging;
#[doc(hidden)]
pub mod loopback;
#[doc(hidden)]
pub mod paths;
#[doc(hidden)]
pub mod presence;
#[doc(hidden)]
pub mod proxy;
#[doc(hidden)]
pub mod queue;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod servers;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod terminal;
#[doc(hidden)]
pub mod types;

#[cfg(not(unix))]
compile_error!("wrapper runs on Linux and macOS: it needs a PTY, signals and Unix sockets");

pub use cmd::{complete, run};

/// Keeps the memory of this process, which holds tokens, from core dumps and
/// from other programs of the user. What it executes is not affected.
pub fn keep_to_ourselves() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        // There is no log yet, and all else works.
        let _ = error;
    }
}

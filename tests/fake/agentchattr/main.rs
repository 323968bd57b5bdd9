//! A program that plays agentchattr's server, as far as a wrapper and an agent
//! meet it: identities, REST, MCP over streamable HTTP and SSE, queue files,
//! and the timers by which it gives instances up.
//!
//! `fake-agentchattr --data-dir DIR --agent NAME…` or `--config config.toml`.
//! When it is ready it says its ports and the human's token in one line of
//! JSON. Routes below `/__test/` are its own: [`door`].

mod board;
mod chat_tools;
mod door;
mod gate;
mod human;
mod jobs;
mod names;
mod other_tools;
mod post;
mod python;
mod registry;
mod rest;
mod room;
mod route;
mod rpc;
mod server;
mod settings;
mod sse;
mod store;
mod streamable;
mod tools;

use anyhow::Result;
use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    server::serve(settings::Settings::gather(settings::Args::parse())?).await
}

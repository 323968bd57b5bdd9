//! MCP servers that are commands and that we run ourselves, reached by the
//! proxy as any other upstream.
//!
//! The proxy asks [`Hosting::connect`] for a connection. At its other end
//! `door` speaks streamable HTTP (`reply`), and hands messages to a `session`: a
//! process of its own for every MCP session, spoken to in lines (`message`,
//! `pump`), with a `desk` for what is open in it. `server` starts processes of
//! its `program`, waits between lives that are short (`back_off`), and keeps few
//! of them. `group` is a process with all that it starts, `life` how it goes and
//! ends, `chatter` what it says to nobody in particular.
//!
//! *Invariant*: no process outlives us. What still runs when we are killed is
//! ended by the `guard`, a process that knows the groups and nothing else.

mod back_off;
mod chatter;
mod desk;
mod door;
mod group;
mod guard;
mod host;
mod life;
mod message;
mod program;
mod pump;
mod reply;
mod server;
mod session;

pub use guard::{become_server, guard};
pub use host::{Hosting, Phase, Standing};

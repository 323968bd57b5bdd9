//! The sessions on this machine, and what they can be asked.
//!
//! A session answers HTTP/1.1 and JSON on a socket in its directory. The trust
//! boundary is the user: the directory is this user's alone, and so must be
//! the process at the other end. Whoever passes may know what the session
//! knows, its keys as well.

pub mod attach;
pub mod client;
mod events;
pub mod explain;
pub mod find;
mod hub;
mod life;
mod prompts;
pub mod protocol;
pub mod roster;
mod server;
mod servers;
mod socket;
mod steps;
pub mod stopped;
mod stream;

pub use client::Client;
pub use hub::Standing;
pub use server::{Desk, bind, serve};
pub use socket::NAME;

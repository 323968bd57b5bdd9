//! The coordination server that we embed, and the client of any hub.
//!
//! A hub keeps the chat, knows who is registered under which name, and wakes
//! an instance when somebody mentions it. Ours speaks agentchattr's REST and
//! MCP, and a stream of triggers on top.
//!
//! *Invariant*: nobody acts without a token, and the name under which a
//! message is kept comes from that token alone. The hub has no list of
//! agents: any valid [`AgentName`](crate::types::identity::AgentName) may
//! register, by who proves to be this user.

mod accept;
pub mod api;
mod arguments;
mod chat;
pub mod client;
mod dead;
mod desk;
mod events;
mod exchange;
mod files;
mod gate;
mod instances;
mod life;
mod mcp;
mod ports;
mod post;
mod queue_files;
mod registry;
mod rest;
mod rotation;
mod route;
mod rpc;
mod server;
mod sse;
mod store;
mod streams;
mod tools;

pub use client::Client;
pub use files::human_token;
pub use ports::{BindError, Bound, bind};
pub use rotation::rotate_at_rest;
pub use server::{Open, Settings, open, serve};

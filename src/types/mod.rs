//! Ground floor: values, and the parsers that make them.
//!
//! *Invariant*: nothing here waits, reads a clock, opens a file or a socket.

pub mod absent;
pub mod agent;
pub mod auth;
pub mod bearer;
pub mod context;
pub mod conversation;
pub mod credential;
#[cfg(test)]
pub mod dice;
pub mod evidence;
pub mod exit;
pub mod hub;
pub mod identity;
pub mod jsonc;
pub mod mention;
pub mod no_proxy;
pub mod options;
pub mod owner;
pub mod pace;
pub mod prompt;
pub mod reference;
pub mod reply;
pub mod secret;
pub mod server;
pub mod size;
pub mod source;
pub mod span;
pub mod text;
pub mod trigger;
pub mod upstream;
pub mod variables;

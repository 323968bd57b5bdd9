//! Bytes and screens. Knows no agents and no MCP.

mod anchor;
pub mod fd;
pub mod feed;
pub mod keys;
mod nowhere;
pub mod plain;
pub mod pty;
pub mod screen;
mod tank;
pub mod tty;

pub use feed::{Feed, Look};
pub use nowhere::Nowhere;
pub use pty::{Change, Launch, Process, Pty, SpawnError};
pub use screen::Picture;
pub use tty::{DevTty, Headless, Tty, foreground};

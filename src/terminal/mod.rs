//! Bytes and screens. Knows no agents and no MCP.

pub mod anchor;
pub mod answer;
pub mod cell;
pub mod csi;
#[cfg(test)]
mod dice;
pub mod emulator;
pub mod fd;
pub mod feed;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod grid;
mod keyframe;
pub mod keys;
pub mod lexer;
pub mod modes;
mod nowhere;
pub mod plain;
pub mod pty;
pub mod query;
pub mod screen;
mod shelf;
mod tank;
pub mod tty;

pub use feed::{Feed, Keyframe, Look};
pub use nowhere::Nowhere;
pub use pty::{Change, Launch, Process, Pty, SpawnError};
pub use screen::Picture;
pub use tty::{DevTty, Headless, Tty, foreground};

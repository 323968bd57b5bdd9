//! MCP servers besides the hub: where they come from, and what an agent is
//! told to start for them.

mod document;
mod git;
pub mod given;
pub mod project;
mod shown;
pub mod source;
pub mod spelling;
pub mod trust;

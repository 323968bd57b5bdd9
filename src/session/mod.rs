//! One supervised agent.

pub mod detect;

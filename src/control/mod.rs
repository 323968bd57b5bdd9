//! The sessions on this machine, and what they can be asked.

pub mod roster;

//! Credentials that live: asked for where they come from, renewed before they
//! end and when they are refused, by one run at a time.
//!
//! `schedule`, `parse`, `shapes` and `state` decide; `source` and `command` ask; a `keeper`
//! brings them together, and `keepers` has one for each server.
//!
//! *Invariant*: nothing that a source gives is logged, shown or part of an
//! error; headers go out through [`Granted`] alone.
//!
//! *Invariant*: nothing here wakes up by itself. A session that makes no
//! request renews nothing.

mod command;
mod granted;
mod keeper;
mod keepers;
mod parse;
mod schedule;
mod shapes;
mod source;
mod state;

pub use granted::{Granted, Ungranted};
pub use keepers::{Keepers, Status};

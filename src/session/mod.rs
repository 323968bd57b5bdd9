//! One supervised agent: its terminal relayed, prompts typed into it, and
//! started again when it ends.
//!
//! [`open`] makes the two ends: the [`Session`] that others hold, and the
//! [`Mailbox`] that [`supervise()`] works through.

pub mod detect;
pub mod draft;
pub mod echo;
mod ending;
mod handle;
mod relay;
pub mod restart;
mod run;
mod supervise;
pub mod typist;

pub use handle::{Judged, Life, Mailbox, Receipt, Session, State, Status, open};
pub use supervise::{Job, Why, supervise};
pub use typist::Outcome;

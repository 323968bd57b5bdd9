//! One supervised agent: its terminal relayed, prompts typed into it, and
//! started again when it ends.
//!
//! [`open`] makes the two ends: the [`Session`] that others hold, and the
//! [`Mailbox`] that [`supervise()`] works through.

mod activity;
mod audience;
pub mod detect;
pub mod draft;
pub mod echo;
mod ending;
pub mod habits;
mod handle;
mod ink;
mod pending;
mod placeholder;
pub mod receipt;
mod relay;
pub mod restart;
mod run;
mod supervise;
pub mod typist;

pub use audience::{News, Next, Piece, Show, Viewer};
pub use handle::{Judged, Life, Mailbox, Session, State, Status, open};
pub use pending::{Pending, Waiting};
pub use receipt::{Options, Outcome, PromptId, Reason, Receipt, Stage, Word};
pub use supervise::{Job, Prepared, Start, supervise};

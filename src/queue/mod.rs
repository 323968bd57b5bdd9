//! Mentions as agentchattr hands them over: lines that its server appends to
//! `{data_dir}/{name}_queue.jsonl`, taken without losing one.
//!
//! *Invariants*: a queue file is taken by renaming it, never truncated; what
//! was taken is deleted only after all of it was acknowledged and nobody has
//! it open for writing any more. What a killed wrapper leaves is found by the
//! lock that it no longer holds, and belongs to who gets its name next: for a
//! day, and without the prompts of its own that the server had for it.
//!
//! ```text
//! {data_dir}/.wrapper-queues/{session}-{random}/    0700, one a wrapper
//!     lock          held for as long as the wrapper lives
//!     owner.json    its agent, the names it has had, since when it has the last
//!     acked         the journal: how far each file was delivered
//!     taken/        the files, numbered in the order they were taken
//! ```

mod consumer;
mod entry;
mod journal;
mod lease;
mod names;
mod recovered;
mod shelf;
mod spool;
mod taken;
mod watch;

pub use consumer::Queue;
pub use entry::Entry;
pub use recovered::flag_recovered;
pub use shelf::{Position, Waiting};
pub use taken::Stale;

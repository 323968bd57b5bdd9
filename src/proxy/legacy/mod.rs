//! HTTP with SSE (MCP 2024-11-05) behind the proxy: the agent's stream lives
//! longer than the upstream's.
//!
//! An upstream's session ends with its stream. When that breaks, another is
//! opened in its place, as often and as long as the agent stays: it is greeted
//! as the agent greeted the first, its endpoint takes the place of the old one
//! in the agent's mailbox, and what was posted meanwhile goes there.
//!
//! *Invariant*: only whole events reach the agent, one stream after the other;
//! none that says where to post but the first, and no second answer to
//! `initialize`.
//!
//! *Invariant*: what an upstream took, and did not answer before its stream
//! broke, is posted again only if that does no harm.

mod cutter;
mod letters;
mod mailboxes;
mod owed;
mod reopen;
mod scan;
mod source;
mod stream;

pub(super) use letters::carry;
pub(super) use mailboxes::Mailboxes;
pub(super) use stream::stream;

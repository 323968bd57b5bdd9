//! The MCP proxy between the agent and its upstreams.
//!
//! An HTTP/1.1 engine of our own, because a tool call passes through it as
//! fast as through the best of proxies: one read and one write on each side,
//! every chunk passed on as it comes. Machines over values (`framing`,
//! `head`, `headers`, `gate`, `rpc`, `stamp`, `stale`, `answer`)
//! do the thinking; `peer`, `upload`, `exchange` and `pool` move bytes;
//! `forward` carries a request through, and repairs what breaks on the way.
//!
//! *Invariant*: a call that an upstream may have executed is never sent twice.

mod answer;
mod connection;
#[cfg(test)]
mod dice;
mod exchange;
mod forward;
mod framing;
mod gate;
mod head;
mod headers;
mod listen;
mod peer;
mod pool;
mod rpc;
mod stale;
mod stamp;
mod upload;

pub use listen::{Patience, Settings, bind, serve};

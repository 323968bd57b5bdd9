//! The MCP proxy between the agent and its upstreams.
//!
//! An HTTP/1.1 engine of our own, because a tool call passes through it as
//! fast as through the best of proxies: one read and one write on each side,
//! every chunk passed on as it comes. Machines over values do the thinking:
//! `framing`, `head`, `headers` and `gate` read HTTP, `target`, `outgoing`,
//! `stamp` and `context` make a request its upstream's (on `rpc` and `splice`),
//! `stale` and `sse` read answers, `answer`, `excuse` and `absent` are ours.
//! `wire`, `tls`, `peer`, `upload`, `exchange` and `pool` move bytes; `forward`
//! carries a request through, and repairs what breaks on the way.
//!
//! Three ways lead to a server: `/<server>/mcp` (streamable HTTP), and
//! `/<server>/sse` with `/<server>/messages/…` (HTTP with SSE, whose endpoints
//! are announced under a number of ours, see `mailboxes`).
//!
//! *Invariant*: a call that an upstream may have executed is never sent twice.
//!
//! *Invariant*: the key that opens the proxy reaches no upstream, and a
//! server's credential no other host than the server's own.

mod absent;
mod answer;
mod connection;
mod context;
#[cfg(test)]
mod dice;
mod exchange;
mod excuse;
mod forward;
mod framing;
mod gate;
mod head;
mod headers;
mod listen;
mod mailboxes;
mod outgoing;
mod peer;
mod pool;
mod rpc;
mod splice;
mod sse;
mod stale;
mod stamp;
mod target;
mod tls;
mod upload;
mod wire;

pub use listen::{Patience, Settings, bind, serve};

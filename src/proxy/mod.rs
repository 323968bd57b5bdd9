//! The MCP proxy between the agent and its upstreams.
//!
//! An HTTP/1.1 engine of our own, because a tool call passes through it as
//! fast as through the best of proxies: one read and one write on each side,
//! every chunk passed on as it comes. Machines over values do the thinking:
//! `framing`, `head`, `headers` and `gate` read HTTP, `target`, `outgoing`,
//! `stamp` and `context` make a request its upstream's (on `rpc` and `splice`),
//! `stale`, `forgotten`, `refusal`, `rpc_error`, `unpack` and `sse` read answers,
//! `answer`, `excuse` and `absent` are ours. `remembered` keeps what later requests
//! need of answers: `cookies` and redirects. `wire`, `tls`, `peer`, `upload`, `exchange`, `relay`
//! and `pool` move bytes; `attempt` sends a request (an `errand`) once and has `look`
//! read what of the answer is a step, `forward` carries it through, with what `chances` there are to mend what breaks.
//!
//! The agent's MCP sessions (`sessions`, `session`) outlive their upstreams':
//! `step`, `greeting` and `shown` keep what it said and was told, `reopen`
//! says it again by requests of our own (`ask`, `talk`). `listening` is the
//! stream that it hears, over those of its upstream (`source`, `whole`,
//! `events`); `fate` ends an answer that breaks off.
//!
//! Three ways lead to a server: `/<server>/mcp` (streamable HTTP), and
//! `/<server>/sse` with `/<server>/messages/…` (HTTP with SSE, whose endpoints
//! are announced under a number of ours, see `legacy`). The tools of servers that
//! are new to the agent stand on the hub's entry (`guests`); what is seen of a
//! server is noted in the `ledger`.
//!
//! *Invariant*: a call that an upstream may have executed is never sent twice.
//!
//! *Invariant*: the key that opens the proxy reaches no upstream, and a
//! server's credential no other host than the server's own.

mod absent;
mod answer;
mod ask;
mod attempt;
mod chances;
mod connection;
mod context;
mod cookies;
mod detour;
#[cfg(test)]
mod dice;
mod errand;
mod events;
mod exchange;
mod excuse;
mod fate;
mod forgotten;
mod forward;
mod framing;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod gate;
mod greeting;
mod guests;
mod head;
mod headers;
mod ledger;
mod legacy;
mod listen;
mod listening;
mod look;
mod outgoing;
mod peer;
mod pool;
mod refusal;
mod relay;
mod remembered;
mod reopen;
mod rpc;
mod rpc_error;
mod session;
mod sessions;
mod shown;
mod source;
mod splice;
mod sse;
mod stale;
mod stamp;
mod step;
mod talk;
mod target;
mod tls;
mod tunnel;
mod unpack;
mod upload;
mod whole;
mod wire;

pub use ledger::Ledger;
pub use listen::{Patience, Proxy, Settings, bind, serve};
pub use talk::Seen;

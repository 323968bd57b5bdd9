//! The signals that end a session: caught from before the hub knows us, so
//! that it always hears that we leave.

use std::future::poll_fn;
use std::task::Poll;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::types::exit::AgentExit;

/// SIGTERM, SIGHUP and SIGINT to us; what comes meanwhile is kept.
#[derive(Debug)]
pub(super) struct Signals(Vec<(SignalKind, Signal)>);

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// If the system does not let us.
    pub(super) fn catch() -> anyhow::Result<Self> {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::interrupt(),
        ];
        let signals = kinds.map(|kind| Ok((kind, signal(kind)?)));
        let signals = signals.into_iter().collect::<std::io::Result<_>>();
        signals.map(Self).context("cannot watch for signals")
    }

    /// The next of them. Safe to drop while it waits.
    pub(super) async fn next(&mut self) -> SignalKind {
        poll_fn(|cx| {
            for (kind, signals) in &mut self.0 {
                if let Poll::Ready(Some(())) = signals.poll_recv(cx) {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// How we end of a signal.
pub(super) fn exit(kind: SignalKind) -> AgentExit {
    AgentExit::Signal(u8::try_from(kind.as_raw_value()).unwrap_or_default())
}

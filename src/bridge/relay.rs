//! Between an agent and a remote server: each of its requests in a task of its
//! own, its notifications in the order in which they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::types::absent;

use super::answer::{Line, Open};
use super::end::End;
use super::message::{self, Said};
use super::remote::Remote;
use super::stdio::{self, Stdio};

/// How long what follows a notification waits for the server to have it.
const IN_ORDER: Duration = Duration::from_secs(2);
/// How long requests may take after the agent's last line.
const GRACE: Duration = Duration::from_secs(1);

/// Relays until the agent has enough of us.
///
/// # Errors
/// If the system has no threads left.
pub(super) async fn run(remote: Remote, end: End) -> Result<()> {
    let Stdio {
        mut lines,
        out,
        written,
    } = stdio::open()?;
    let last = lines.last.clone();
    let mut relay = Relay {
        line: Arc::new(Line {
            remote,
            out: out.clone(),
        }),
        calls: Arc::default(),
        tasks: JoinSet::new(),
        listening: JoinSet::new(),
    };
    let work = async {
        while let Some(line) = lines.next().await {
            relay.take(line.into()).await;
        }
        while relay.tasks.join_next().await.is_some() {}
    };
    let patience = async {
        last.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        () = work => {}
        () = patience => tracing::debug!("requests were cut off"),
        () = end.comes() => {}
        () = out.closed() => {}
    }
    relay.tasks.shutdown().await;
    relay.listening.shutdown().await;
    relay.line.remote.farewell().await;
    drop((relay, out));
    written.wait().await;
    Ok(())
}

struct Relay {
    line: Arc<Line>,
    calls: Arc<Calls>,
    tasks: JoinSet<()>,
    /// The stream of what the server says unasked: one, or none yet.
    listening: JoinSet<()>,
}

impl Relay {
    /// Sends one line on its way. Returns when the next may follow it: at
    /// once after a request, so that they do not wait for each other; after a
    /// handshake when it is done, because what follows depends on it; after a
    /// notification when the server has it. A cancellation is not waited for.
    async fn take(&mut self, line: Bytes) {
        while self.tasks.try_join_next().is_some() {}
        let Some(said) = Said::of(&line) else {
            let error = message::error("null", message::NO_JSON, "Parse error");
            return self.line.out.send(error).await;
        };
        if let [ask] = said.asks.as_slice()
            && ask.method == "server/discover"
        {
            // The client then opens as in the revisions that we carry.
            let error = message::error(&ask.id, absent::NO_METHOD, "Method not found");
            return self.line.out.send(error).await;
        }
        let done = CancellationToken::new();
        let open = Open {
            settled: Some(done.clone().drop_guard()),
            asks: said.asks,
        };
        if !open.asks.is_empty() {
            let is_handshake = open.asks.iter().any(message::Ask::is_initialize);
            let (way, calls) = (Arc::clone(&self.line), Arc::clone(&self.calls));
            self.tasks.spawn(call(way, calls, line, open));
            if is_handshake {
                done.cancelled().await;
            }
            return;
        }
        let may_pass = !said.cancels.is_empty();
        let (way, calls) = (Arc::clone(&self.line), Arc::clone(&self.calls));
        self.tasks.spawn(note(way, calls, line, open, said.cancels));
        if !may_pass && timeout(IN_ORDER, done.cancelled()).await.is_err() {
            tracing::debug!("the server is slow to take a notification");
        }
        let is_ready = said
            .notes
            .iter()
            .any(|note| note == "notifications/initialized");
        if is_ready && self.listening.is_empty() {
            let line = Arc::clone(&self.line);
            self.listening.spawn(async move { line.listen().await });
        }
    }
}

/// Requests, until they are answered, by the server or else by us.
async fn call(line: Arc<Line>, calls: Arc<Calls>, said: Bytes, mut open: Open) {
    let entry = Calls::enter(calls, &open);
    let exchange = line.exchange(said, &mut open);
    let why = tokio::select! {
        ended = exchange => match ended {
            Ok(()) => "the server ended its answer without one to this request".to_owned(),
            Err(error) => format!("{error:#}"),
        },
        // Nobody waits for an answer any more.
        () = entry.cancelled.cancelled() => return,
    };
    for ask in &open.asks {
        line.out
            .send(message::error(&ask.id, message::NO_SERVER, &why))
            .await;
    }
}

/// Notifications and answers to the server, and the end of the calls that
/// they take back.
async fn note(
    line: Arc<Line>,
    calls: Arc<Calls>,
    said: Bytes,
    mut open: Open,
    cancels: Vec<String>,
) {
    if let Err(error) = line.exchange(said, &mut open).await {
        tracing::warn!(
            error = format!("{error:#}"),
            "the server did not take a notification"
        );
    }
    for id in cancels {
        calls.cancel(&id);
    }
}

/// The requests that are open, by their ids.
#[derive(Debug, Default)]
struct Calls(Mutex<HashMap<String, CancellationToken>>);

/// Requests of one line among the [`Calls`], until dropped.
struct Entry {
    calls: Arc<Calls>,
    ids: Vec<String>,
    cancelled: CancellationToken,
}

impl Calls {
    fn enter(calls: Arc<Self>, open: &Open) -> Entry {
        let cancelled = CancellationToken::new();
        let ids: Vec<String> = open.asks.iter().map(|ask| ask.id.clone()).collect();
        calls
            .map()
            .extend(ids.iter().map(|id| (id.clone(), cancelled.clone())));
        Entry {
            calls,
            ids,
            cancelled,
        }
    }

    fn cancel(&self, id: &str) {
        if let Some(cancelled) = self.map().get(id) {
            cancelled.cancel();
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut map = self.calls.map();
        for id in &self.ids {
            map.remove(id);
        }
    }
}

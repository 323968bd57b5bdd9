//! `GET /v1/events`: what happens to a session, as it happens (the event stream
//! of HTML, "server-sent events").
//!
//! *Invariant*: nobody is waited for. One task numbers what it sees and hands
//! it to all readers; one that is slow misses the eldest and is told how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::extract;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::protocol::Brief;
use super::roster;
use super::server::Desk;
use super::stream;
use crate::session::{Life, Receipt, State};

/// Events that a reader may be behind.
const BEHIND: usize = 256;

/// What has happened, numbered.
#[derive(Debug)]
pub(super) struct Events {
    all: broadcast::Sender<Event>,
    last: AtomicU64,
}

#[derive(Debug, Clone)]
struct Event {
    /// As it is written.
    text: Bytes,
    /// None follows.
    is_last: bool,
}

/// `GET /v1/events`: how things stand, then what comes.
pub(super) async fn events(
    extract::State((desk, events)): extract::State<(Arc<Desk>, Arc<Events>)>,
) -> Response {
    // Before the look, so that nothing falls between the two.
    let mut news = events.all.subscribe();
    let last = events.last.load(Ordering::Relaxed);
    let state = desk.session.state().await;
    let first = written(last, "session", &desk.shown(state));
    // Whoever comes when all is over gets nothing but this.
    let is_over = desk.session.status().borrow().life == Life::Exited;
    stream::open(stream::EVENTS, first, async move |out| {
        if is_over {
            return;
        }
        loop {
            let (text, is_last) = match news.recv().await {
                Ok(event) => (event.text, event.is_last),
                Err(RecvError::Lagged(missed)) => {
                    let last = events.last.load(Ordering::Relaxed);
                    (written(last, "lagged", &json!({"missed": missed})), false)
                }
                Err(RecvError::Closed) => return,
            };
            if out.send(text).await.is_err() || is_last {
                return;
            }
        }
    })
}

fn written(id: u64, kind: &str, data: &impl Serialize) -> Bytes {
    // What we serialize has no keys but strings.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {id}\nevent: {kind}\ndata: {data}\n\n").into()
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            all: broadcast::Sender::new(BEHIND),
            last: AtomicU64::new(0),
        }
    }

    /// Tells of all that happens until the session's end, which is the last.
    pub(super) async fn follow(&self, desk: Arc<Desk>, stop: CancellationToken) {
        let mut status = desk.session.status();
        let mut doing = desk.session.doing();
        let mut receipts = desk.session.receipts();
        let mut live = desk.live.clone();
        let mut hub = desk.hub.as_ref().map(|hub| hub.state.clone());
        let mut servers = desk.catalog.news();
        let (mut name, mut shown) = (desk.name(), desk.servers());
        let mut restarts = status.borrow().restarts;
        note(&desk);
        loop {
            tokio::select! {
                biased;
                Ok(()) = status.changed() => {
                    let now = *status.borrow_and_update();
                    if now.life == Life::Exited {
                        continue;
                    }
                    if now.restarts != restarts {
                        restarts = now.restarts;
                        let exit = now.exit;
                        self.tell("restart", &json!({"restarts": restarts, "exit": exit}));
                    }
                    if now.life == Life::Running {
                        let state = *doing.borrow_and_update();
                        self.tell("state", &json!({"state": state, "agent_pid": now.agent_pid}));
                    }
                }
                Ok(()) = doing.changed() => {
                    let state = *doing.borrow_and_update();
                    let agent_pid = status.borrow().agent_pid;
                    self.tell("state", &json!({"state": state, "agent_pid": agent_pid}));
                }
                receipt = receipts.recv() => self.receipt(&desk, receipt),
                Ok(()) = live.changed() => {
                    live.mark_unchanged();
                    if desk.name() != name {
                        name = desk.name();
                        self.tell("identity", &json!({"name": name}));
                        note(&desk);
                    }
                }
                Some(state) = change(&mut hub) => self.tell("hub", &json!({"state": state})),
                () = servers.next() => {
                    let now = desk.servers();
                    self.servers(&shown, &now);
                    shown = now;
                }
                () = stop.cancelled() => break,
            }
        }
        while let Ok(receipt) = receipts.try_recv() {
            self.receipt(&desk, Ok(receipt));
        }
        let exit = status.borrow().exit;
        self.send("exit", &json!({"state": "exited", "exit": exit}), true);
    }

    fn receipt(&self, desk: &Desk, receipt: Result<Receipt, RecvError>) {
        match receipt {
            Ok(receipt) => self.tell("delivery", &desk.told(&receipt)),
            Err(RecvError::Lagged(missed)) => self.tell("lagged", &json!({"missed": missed})),
            // The session itself has gone, and `stop` comes with that.
            Err(RecvError::Closed) => {}
        }
    }

    /// Tells what is shown otherwise than before.
    fn servers(&self, before: &[Brief], now: &[Brief]) {
        for server in now.iter().filter(|server| !before.contains(server)) {
            self.tell("mcp", server);
        }
        let is_gone = |old: &&Brief| now.iter().all(|server| server.name != old.name);
        for old in before.iter().filter(is_gone) {
            self.tell("mcp", &json!({"name": old.name, "state": "removed"}));
        }
    }

    fn tell(&self, kind: &str, data: &impl Serialize) {
        self.send(kind, data, false);
    }

    fn send(&self, kind: &str, data: &impl Serialize, is_last: bool) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let text = written(id, kind, data);
        // Nobody may follow.
        let _ = self.all.send(Event { text, is_last });
    }
}

/// The next value of a watch that there may not be; None once it is over.
async fn change<T: Copy>(watch: &mut Option<watch::Receiver<T>>) -> Option<T> {
    let Some(receiver) = watch else {
        return std::future::pending().await;
    };
    if receiver.changed().await.is_ok() {
        return Some(*receiver.borrow_and_update());
    }
    *watch = None;
    None
}

/// Writes down who the session is, for when it cannot say so itself.
fn note(desk: &Desk) {
    if let Some(dir) = desk.context.control.parent()
        && let Err(error) = roster::note(dir, &desk.shown(State::Unknown))
    {
        warn!(
            error = format!("{error:#}"),
            "the session is not written down"
        );
    }
}

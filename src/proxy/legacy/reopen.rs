//! Another stream of the upstream's in place of one that broke.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::cutter::Piece;
use super::letters;
use super::mailboxes::Mailbox;
use super::source::{self, Source};
use crate::proxy::ask;
use crate::proxy::chances::Chances;
use crate::proxy::events;
use crate::proxy::exchange::Lost;
use crate::proxy::excuse::Failed;
use crate::proxy::framing::Framing;
use crate::proxy::head::Request;
use crate::proxy::listen::Shared;
use crate::proxy::rpc;
use crate::proxy::target::{Carried, Door, Target};
use crate::types::identity::ServerName;
use crate::types::upstream::{Live, Upstream};

/// The pause before the second try, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A stream that lives as long is a good one: the next comes at once.
const GOOD: Duration = Duration::from_secs(10);

/// When a stream is opened again.
#[derive(Debug)]
pub(super) struct Pace {
    opened: Instant,
    pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            pause: Duration::ZERO,
        }
    }
}

impl Pace {
    /// Waits as long as the tries before have been in vain.
    async fn wait(&mut self) {
        if self.opened.elapsed() > GOOD {
            self.pause = Duration::ZERO;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
    }
}

/// The stream that comes next.
#[derive(Debug)]
pub(super) struct Reopened {
    pub(super) source: Source,
    pub(super) generation: u64,
    pub(super) upstream: Arc<Upstream>,
}

/// Opens the stream again and again until there is one, with a session as the
/// agent has begun it. None if the session has no such server any more.
pub(super) async fn reopen(
    shared: &Shared,
    mailbox: &Mailbox,
    request: &Request,
    pace: &mut Pace,
) -> Option<Reopened> {
    let server = &mailbox.server;
    loop {
        pace.wait().await;
        let generation = mailbox.way().borrow().generation;
        let live = shared.live.borrow().clone();
        let mut carried = carried(request);
        let mut target = match Target::find(shared, &live, server, Door::Sse, &mut carried) {
            Ok(target) => target,
            Err(Failed::Absent | Failed::WrongDoor(_)) => return None,
            Err(failed) => {
                tracing::debug!(%server, ?failed, "its stream cannot be opened");
                continue;
            }
        };
        let upstream = Arc::clone(&target.upstream);
        let tried = tokio::select! {
            tried = attempt(shared, mailbox, request, &live, generation, &mut target) => tried,
            () = replaced(shared, server, &upstream) => {
                pace.pause = Duration::ZERO;
                continue;
            }
        };
        match tried {
            Ok(source) => {
                mailbox.reopen();
                if mailbox.way().borrow().generation == generation {
                    tracing::info!(%server, "its stream is open again");
                    pace.opened = Instant::now();
                    return Some(Reopened {
                        source,
                        generation,
                        upstream,
                    });
                }
            }
            Err(mut failed) => {
                tracing::debug!(%server, ?failed, "its stream is not open yet");
                mailbox.lose(generation);
                // What is mended or not: the next try tells.
                let mut chances = Chances::default();
                let mended = chances.mend(shared, server, &target, &mut failed, || false);
                mended.await;
            }
        }
    }
}

/// One try.
async fn attempt(
    shared: &Shared,
    mailbox: &Mailbox,
    request: &Request,
    live: &Live,
    generation: u64,
    target: &mut Target<'_>,
) -> Result<Source, Failed> {
    let (server, patience) = (&mailbox.server, shared.patience.away);
    target.authorize(&shared.keepers, server).await?;
    let opening = source::open(shared, server, request, target, patience);
    let opened = timeout(patience, opening).await;
    let mut source = opened.unwrap_or(Err(Failed::Lost(Lost::Late)))?;
    mailbox.lead(source.endpoint.clone());
    let greeted = timeout(
        patience,
        greet(shared, mailbox, live, generation, &mut source),
    )
    .await;
    greeted.unwrap_or(Err(Failed::Lost(Lost::Late)))?;
    Ok(source)
}

/// Begins the session anew, as the agent has begun it: its `initialize`, whose
/// answer is for us, and its word that it has understood that.
async fn greet(
    shared: &Shared,
    mailbox: &Mailbox,
    live: &Live,
    generation: u64,
    source: &mut Source,
) -> Result<(), Failed> {
    let Some((id, hello, ready)) = mailbox.greeting() else {
        return Ok(());
    };
    letters::greet(shared, live, mailbox, generation, &hello).await?;
    let mut early = Vec::new();
    'answer: loop {
        while let Some(piece) = source.cutter.next() {
            let Piece::Event(event) = piece else {
                return Err(Failed::BadStream("it begins with an event beyond measure"));
            };
            let data = events::read(&event).data.unwrap_or_default();
            let is_ours = rpc::messages(&data)
                .iter()
                .any(|message| message.last("method").is_none() && message.last("id") == Some(&id));
            if is_ours && rpc::is_well(&data) == Some(true) {
                break 'answer;
            }
            if is_ours {
                return Err(Failed::Odd("it refuses to begin anew".into()));
            }
            early.extend(event);
        }
        if ask::fill(&mut source.link).await? == 0 || !source.take() {
            return Err(Failed::Lost(Lost::Closed));
        }
    }
    source.cutter.put_back(early);
    if let Some(ready) = ready {
        letters::greet(shared, live, mailbox, generation, &ready).await?;
    }
    Ok(())
}

/// Waits until `server` is not where it was any more. Another credential is
/// for what is posted next, and none of the stream's business.
pub(super) async fn replaced(shared: &Shared, server: &ServerName, known: &Upstream) {
    let mut live = shared.live.clone();
    let place = |upstream: &Upstream| (upstream.endpoint.clone(), upstream.transport);
    let known = place(known);
    let is_other = |live: &Live| {
        let upstream = live.upstreams.get(server);
        upstream.is_none_or(|upstream| place(upstream) != known)
    };
    if live.wait_for(is_other).await.is_err() {
        // Nobody can replace anything any more.
        std::future::pending::<()>().await;
    }
}

fn carried(request: &Request) -> Carried<'_> {
    Carried {
        request,
        body: Vec::new(),
        rest: Framing::EMPTY,
    }
}

//! The agent's stream: whole events of one stream of the upstream's after the
//! other, and what we have to say ourselves.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cutter::Piece;
use super::letters::{post, tell, words};
use super::mailboxes::Mailbox;
use super::owed::Waiting;
use super::reopen::{Pace, reopen, replaced};
use super::source::{self, Source};
use crate::proxy::answer;
use crate::proxy::events;
use crate::proxy::exchange::{Lost, while_wanted};
use crate::proxy::excuse::Failed;
use crate::proxy::head::Request;
use crate::proxy::headers::Content;
use crate::proxy::listen::Shared;
use crate::proxy::peer::Peer;
use crate::proxy::relay::End;
use crate::proxy::rpc;
use crate::proxy::stale::{self, Verdict};
use crate::proxy::target::Target;
use crate::proxy::upload::{Gone, watch};
use crate::types::evidence::Step;
use crate::types::identity::ServerName;
use crate::types::upstream::Upstream;

/// How many tokens are tried for one call.
const MOST_RENEWALS: u32 = 3;

/// Why a stream of the upstream's is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It broke, or ended, or its session is lost.
    Broken,
    /// It broke in the middle of an event that the agent has begun to read.
    Inside,
}

/// The agent's side of a stream, and what is done for it besides.
struct Stream<'a> {
    shared: &'a Arc<Shared>,
    agent: &'a mut Peer<TcpStream>,
    mailbox: Arc<Mailbox>,
    told: mpsc::Receiver<Vec<u8>>,
    /// Requests that are posted again. They end with the stream.
    errands: JoinSet<()>,
}

/// Opens the stream of `target` for the agent, and serves that from it and what
/// comes after it, until the agent leaves or the session has no such server
/// any more.
pub(in crate::proxy) async fn stream(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    server: &ServerName,
    request: &Request,
    target: &Target<'_>,
) -> Result<Result<End, Failed>, Gone> {
    let opened = source::open(shared, server, request, target, shared.patience.away);
    let mut source = match while_wanted(agent, opened).await? {
        Ok(source) => source,
        Err(failed) => return Ok(Err(failed)),
    };
    let mut opened = shared.mailboxes.open(server, source.endpoint.clone());
    let (_, told) = mpsc::channel(1);
    let mut stream = Stream {
        shared,
        agent,
        mailbox: Arc::clone(&opened.mailbox),
        told: std::mem::replace(&mut opened.told, told),
        errands: JoinSet::new(),
    };
    let [before, behind] = std::mem::take(&mut source.opening);
    let head = [
        &source.crossing,
        &b"Connection: close\r\n\r\n"[..],
        &before,
        opened.path.as_bytes(),
        &behind,
    ];
    stream.write(&head.concat()).await?;
    let (mut generation, mut upstream) = (1, Arc::clone(&target.upstream));
    let mut pace = Pace::default();
    loop {
        match stream.pump(&mut source, generation, &upstream).await? {
            Left::Inside => return Ok(Ok(End::Cut)),
            Left::Broken => {}
        }
        drop(source);
        tracing::info!(%server, "its stream has ended: opening another");
        let mailbox = Arc::clone(&opened.mailbox);
        mailbox.lose(generation);
        let again = stream.orphans().await?;
        let reopened = reopen(shared, &mailbox, request, &mut pace);
        let Some(reopened) = stream.while_telling(reopened).await? else {
            return Ok(Ok(End::Closing));
        };
        (source, generation, upstream) = (reopened.source, reopened.generation, reopened.upstream);
        for (id, waiting) in again {
            stream.again(id, waiting, false);
        }
    }
}

impl Stream<'_> {
    /// Passes on what comes, until no more does.
    async fn pump(
        &mut self,
        source: &mut Source,
        generation: u64,
        upstream: &Upstream,
    ) -> Result<Left, Gone> {
        let mailbox = Arc::clone(&self.mailbox);
        let left = |source: &Source| {
            if source.cutter.is_inside() {
                Left::Inside
            } else {
                Left::Broken
            }
        };
        let mut more = true;
        loop {
            while let Some(piece) = source.cutter.next() {
                match piece {
                    Piece::Part(part, id) => {
                        self.write(&part).await?;
                        let waiting = id.and_then(|id| self.mailbox.answered(&id));
                        self.note(waiting.and_then(|waiting| waiting.step));
                    }
                    Piece::Event(event) if self.is_for_agent(&event) => self.write(&event).await?,
                    Piece::Event(_) => {}
                }
            }
            if !more {
                return Ok(left(source));
            }
            let is_inside = source.cutter.is_inside();
            tokio::select! {
                gone = hung_up(self.agent) => return Err(gone),
                read = poll_fn(|cx| source.link.poll_fill(cx)) => {
                    more = matches!(read, Ok(1..)) && source.take();
                }
                Some(event) = self.told.recv(), if !is_inside => self.write(&event).await?,
                () = mailbox.lost(generation) => return Ok(left(source)),
                () = replaced(self.shared, &mailbox.server, upstream) => return Ok(left(source)),
                Some(_) = self.errands.join_next() => {}
            }
        }
    }

    /// Looks at an event: what it answers, and whether the agent is to see it.
    fn is_for_agent(&mut self, event: &[u8]) -> bool {
        let data = events::read(event).data.unwrap_or_default();
        for message in rpc::messages(&data) {
            let (Some(id), None) = (message.last("id"), message.last("method")) else {
                continue;
            };
            let Some(waiting) = self.mailbox.answered(id) else {
                continue;
            };
            let may_be_stale =
                waiting.token.is_some() && waiting.is_call && waiting.letter.is_some();
            if may_be_stale && stale::judge(Content::Events, event, true) == Verdict::Stale {
                self.again(id.to_owned(), waiting, true);
                return false;
            }
            self.note(waiting.step.filter(|_| message.last("result").is_some()));
        }
        true
    }

    fn note(&self, step: Option<Step>) {
        if let Some(step) = step {
            self.shared.ledger.note(&self.mailbox.server, step);
        }
    }

    /// Has a request posted again, because it has not been executed, or does no
    /// harm; after another registration, if its token `is_stale`.
    fn again(&mut self, id: String, mut waiting: Waiting, is_stale: bool) {
        waiting.renewals += u32::from(is_stale);
        let (shared, mailbox) = (Arc::clone(self.shared), Arc::clone(&self.mailbox));
        self.mailbox.again(&id, waiting.clone());
        self.errands.spawn(async move {
            let failed = match &waiting.letter {
                _ if waiting.renewals > MOST_RENEWALS => Failed::Stale,
                _ if is_stale && !shared.renewed(waiting.token.as_ref()).await => Failed::Stale,
                None => Failed::Lost(Lost::Closed),
                Some(letter) => match post(&shared, &mailbox, letter).await {
                    Ok(taken) if taken.answer.status < 300 => return,
                    Ok(taken) => Failed::Refused(taken.answer.status),
                    Err(failed) => failed,
                },
            };
            if mailbox.answered(&id).is_some() {
                let why = words(&shared, &mailbox, &failed);
                tracing::warn!(server = %mailbox.server, why, "a request failed");
                tell(&mailbox, vec![(id, waiting)], &why).await;
            }
        });
    }

    /// Answers what the lost stream was to answer and nobody can say what
    /// became of; returns what may be asked again.
    async fn orphans(&mut self) -> Result<Vec<(String, Waiting)>, Gone> {
        let generation = self.mailbox.way().borrow().generation;
        let orphans = self.mailbox.orphans(generation);
        let (harmless, others): (Vec<_>, Vec<_>) = orphans
            .into_iter()
            .partition(|(_, waiting)| waiting.is_harmless);
        let why = words(self.shared, &self.mailbox, &Failed::Lost(Lost::Closed));
        for (id, waiting) in others {
            tracing::warn!(server = %self.mailbox.server, why, "a request failed");
            let answer = answer::failed(&id, waiting.is_call, &why);
            self.write(&events::message(&answer)).await?;
        }
        for (id, waiting) in &harmless {
            // It waits for its answer still, and keeps the agent's `initialize`
            // from being sent twice.
            self.mailbox.again(id, waiting.clone());
        }
        Ok(harmless)
    }

    /// Waits for `future`, and lets the agent read what it is told meanwhile.
    async fn while_telling<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Gone> {
        let mut future = std::pin::pin!(future);
        loop {
            tokio::select! {
                done = &mut future => return Ok(done),
                gone = hung_up(self.agent) => return Err(gone),
                Some(event) = self.told.recv() => self.write(&event).await?,
                Some(_) = self.errands.join_next() => {}
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = self.agent.io.write_all(bytes).await;
        written.map_err(|_| Gone::HungUp)
    }
}

/// Returns when the agent hangs up.
async fn hung_up(agent: &mut Peer<TcpStream>) -> Gone {
    poll_fn(|cx| match watch(cx, agent) {
        Ok(()) => Poll::Pending,
        Err(gone) => Poll::Ready(gone),
    })
    .await
}

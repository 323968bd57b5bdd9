//! What the server answers: a message or a stream of them, passed on as they
//! become whole.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use tokio::time::{Instant, sleep};
use tokio_util::sync::DropGuard;

use super::events::{Parser, Piece};
use super::message::{self, Ask, Heard};
use super::remote::{Content, Remote, content};
use super::spool::{Spool, Whole};
use super::stdio::Out;
use crate::types::pace::Pace;
use crate::types::text::one_line;

/// What is read of an answer that we do not pass on.
const MAX_EXCUSE: usize = 64 * 1024;
/// Characters of it that the agent is told.
const LONGEST_EXCUSE: usize = 300;
/// The pause before the stream of what is said unasked is opened again, and
/// before an answer is asked for again that broke off: the first, and the
/// longest unless the server asks for more.
const UNASKED: Duration = Duration::from_secs(1);
const BROKEN: Duration = Duration::from_millis(25);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// Failures in a row after which a call is given up.
const MOST_FAILURES: u32 = 5;

/// The requests of a line that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) asks: Vec<Ask>,
    /// Dropped with the last of them.
    pub(super) settled: Option<DropGuard>,
}

impl Open {
    fn settle(&mut self, answered: impl Fn(&Ask) -> bool) {
        self.asks.retain(|ask| !answered(ask));
        if self.asks.is_empty() {
            self.settled = None;
        }
    }
}

/// Between the server and the agent.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) remote: Remote,
    pub(super) out: Out,
}

/// Where a stream is to go on.
#[derive(Debug)]
struct Place {
    last: Option<String>,
    /// What the server asks for.
    retry: Duration,
    pace: Pace,
    since: Instant,
}

impl Place {
    fn new(first: Duration) -> Self {
        Self {
            last: None,
            retry: Duration::ZERO,
            pace: Pace::new(first, LAST_PAUSE),
            since: Instant::now(),
        }
    }

    /// A stream is open.
    fn opened(&mut self) {
        self.since = Instant::now();
    }

    /// Waits before the next try, longer the more of them were short.
    async fn rest(&mut self) {
        sleep(self.pace.pause(Some(self.since.elapsed()), self.retry)).await;
        self.since = Instant::now();
    }
}

impl Line {
    /// Sends what the agent says and passes on what comes back. `open` keeps
    /// the requests that were not answered.
    ///
    /// # Errors
    /// Why they were not.
    pub(super) async fn exchange(&self, said: Bytes, open: &mut Open) -> Result<()> {
        let response = self.remote.post(said).await?;
        if !response.status().is_success() {
            return self.excuse(response, open).await;
        }
        if open.asks.iter().any(Ask::is_initialize) {
            self.remote.opened(response.headers());
        }
        match content(response.headers()) {
            Content::Json => self.message(response.into_body(), open).await,
            Content::Events => self.follow(response.into_body(), open).await,
            Content::Other if open.asks.is_empty() => Ok(()),
            Content::Other => bail!("the server answers with no message"),
        }
    }

    /// Passes on what the server says unasked, for as long as it does.
    pub(super) async fn listen(&self) {
        let mut place = Place::new(UNASKED);
        loop {
            match self.remote.get(place.last.as_deref()).await {
                Ok(response) if is_stream(response.status(), response.headers()) => {
                    place.opened();
                    let body = response.into_body();
                    if let Err(error) = self.events(body, &mut place, &mut Open::default()).await {
                        tracing::debug!(error = format!("{error:#}"), "the stream broke");
                    }
                }
                Ok(response) if !response.status().is_server_error() => {
                    let status = response.status().as_u16();
                    return tracing::debug!(status, "the server says nothing unasked");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "no stream");
                }
            }
            place.rest().await;
        }
    }

    /// A stream of events; where it breaks before all is answered, the rest
    /// of it, if the server can tell where that begins.
    async fn follow(&self, body: Incoming, open: &mut Open) -> Result<()> {
        let (mut place, mut failures) = (Place::new(BROKEN), 0);
        let mut ended = self.events(body, &mut place, open).await;
        while !open.asks.is_empty() && place.last.is_some() {
            place.rest().await;
            match self.remote.get(place.last.as_deref()).await {
                Ok(response) if is_stream(response.status(), response.headers()) => {
                    failures = 0;
                    place.opened();
                    ended = self.events(response.into_body(), &mut place, open).await;
                }
                Ok(response) if !response.status().is_server_error() => {
                    let status = response.status();
                    bail!("the answer broke off, and the server does not go on with it: {status}");
                }
                other => {
                    failures += 1;
                    ended = other.map(drop);
                    if failures == MOST_FAILURES {
                        break;
                    }
                }
            }
        }
        ended.context("the answer broke off")
    }

    /// One stream of events, to its end.
    async fn events(&self, mut body: Incoming, place: &mut Place, open: &mut Open) -> Result<()> {
        let (mut parser, mut spool) = (Parser::default(), Ok(Spool::new()));
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame?.into_data() else {
                continue;
            };
            let mut whole = Vec::new();
            parser.feed(&chunk, &mut |piece| match piece {
                Piece::Data(data) => {
                    if let Ok(kept) = &mut spool
                        && let Err(error) = kept.push(data)
                    {
                        spool = Err(error);
                    }
                }
                Piece::Retry(pause) => place.retry = pause,
                Piece::End { id, is_message } => {
                    let event = std::mem::replace(&mut spool, Ok(Spool::new()));
                    if is_message {
                        whole.push(event.and_then(Spool::finish));
                    }
                    place.last = id.or(place.last.take());
                }
            });
            for event in whole {
                if let Some(event) = event.context("cannot keep an answer")?
                    && let Err(error) = self.deliver(event, open).await
                {
                    tracing::warn!(error = format!("{error:#}"), "an event was dropped");
                }
            }
        }
        Ok(())
    }

    /// A body that is one message.
    async fn message(&self, mut body: Incoming, open: &mut Open) -> Result<()> {
        let mut spool = Spool::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the answer broke off")?;
            if let Ok(piece) = frame.into_data() {
                spool.push(&piece).context("cannot keep an answer")?;
            }
        }
        match spool.finish().context("cannot keep an answer")? {
            Some(whole) => self.deliver(whole, open).await,
            None => Ok(()),
        }
    }

    /// Passes a message on, and notes what it answers.
    async fn deliver(&self, whole: Whole, open: &mut Open) -> Result<()> {
        let Some(text) = whole.text() else {
            // What is so long is the answer that was waited for.
            self.out.send(whole).await;
            open.settle(|_| true);
            return Ok(());
        };
        let heard =
            Heard::of(text).ok_or_else(|| anyhow!("the server answers with no JSON-RPC"))?;
        let answered = |ask: &Ask| heard.answers.contains(&ask.id);
        if let Some(version) = &heard.version
            && open
                .asks
                .iter()
                .any(|ask| ask.is_initialize() && answered(ask))
        {
            self.remote.agreed(version);
        }
        self.out.send(whole).await;
        open.settle(answered);
        Ok(())
    }

    /// An answer that is none: its own JSON-RPC error if it has one, else its
    /// status in words.
    async fn excuse(&self, response: Response<Incoming>, open: &mut Open) -> Result<()> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_EXCUSE)
            .collect()
            .await
            .map(Collected::to_bytes)
            // The status says enough.
            .unwrap_or_default();
        if let Some(error) = Heard::of(&body).and_then(|heard| heard.error) {
            for ask in &open.asks {
                self.out.send(message::failure(&ask.id, &error)).await;
            }
            open.settle(|_| true);
            return Ok(());
        }
        let text = one_line(&String::from_utf8_lossy(&body), LONGEST_EXCUSE);
        bail!("the server answers {status}: {text}")
    }
}

fn is_stream(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_success() && content(headers) == Content::Events
}

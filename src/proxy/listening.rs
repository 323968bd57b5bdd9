//! The stream that an agent listens on (GET of streamable HTTP): it is ours
//! for as long as the agent wants it, whatever becomes of the upstream's.
//!
//! *Invariant*: what the agent gets are whole events, but for one that is too
//! long to be held: that one breaks with its upstream.
//!
//! *Invariant*: while nothing happens there is neither a timer nor a buffer.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::types::pace::Pace;
use crate::types::upstream::{Credential, Live, Upstream};

use super::greeting::News;
use super::head::Request;
use super::headers;
use super::listen::Shared;
use super::peer::Peer;
use super::relay::{End, chunk};
use super::session::Session;
use super::source::{self, Happening, Opened, Source};
use super::upload::{Gone, READ_AHEAD};
use super::whole::Whole;

/// The pause before a stream is opened again: the first, and the longest
/// unless its upstream asks for more.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LAST_PAUSE: Duration = Duration::from_secs(5);

struct Listening<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Arc<Session>,
    request: &'a Request,
    agent: &'a mut Peer<TcpStream>,
    source: Source,
    /// The generation that the source is of, and whom it is asked of.
    generation: u64,
    upstream: Option<Arc<Upstream>>,
    whole: Whole,
    pace: Pace,
}

/// True if the agent wants to listen. Behind an event that it did not hear
/// here it goes on with the answer to a POST: such a stream has an end.
pub(super) fn is_wanted(request: &Request, session: &Session) -> bool {
    let value = |name| headers::value(&request.crossing, name);
    request.method == "GET"
        && request.body.is_none()
        && value("accept").is_some_and(|accepted| accepted.contains("text/event-stream"))
        && value("last-event-id").is_none_or(|after| session.has_heard(after))
}

/// Lets the agent listen, until it or its session ends.
pub(super) async fn listen(
    shared: &Arc<Shared>,
    agent: &mut Peer<TcpStream>,
    session: &Arc<Session>,
    request: &Request,
) -> Result<End, Gone> {
    let mut listening = Listening {
        shared,
        session,
        request,
        agent,
        source: Source::Nothing,
        generation: session.generation(),
        upstream: None,
        whole: Whole::after(headers::value(&request.crossing, "last-event-id")),
        pace: Pace::new(FIRST_PAUSE, LAST_PAUSE),
    };
    listening.run().await
}

impl Listening<'_> {
    async fn run(&mut self) -> Result<End, Gone> {
        let (mut pulse, mut live) = (self.session.pulse(), self.shared.live.clone());
        let stop = self.shared.stop.clone();
        self.begin().await?;
        self.look(&mut live);
        loop {
            if self.session.is_over() {
                return self.end().await;
            }
            self.tell().await?;
            let happening = tokio::select! {
                // Who is gone is told nothing: the next stream will be.
                biased;
                () = stop.cancelled() => return Ok(End::Cut),
                gone = hung_up(self.agent) => return Err(gone),
                // Neither ends before us: we hold the session and the proxy.
                _ = pulse.changed() => None,
                Ok(()) = live.changed() => {
                    self.look(&mut live);
                    None
                }
                happening = poll_fn(|cx| self.source.poll(cx)) => Some(happening),
            };
            let goes_on = match happening {
                None => {
                    self.follow();
                    true
                }
                Some(Happening::Waited) => {
                    self.open();
                    true
                }
                Some(Happening::Opened(opened)) => self.opened(opened).await?,
                Some(Happening::Read) => self.pump().await?,
                Some(Happening::Ended) => self.again(),
            };
            if !goes_on {
                return Ok(End::Cut);
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Gone> {
        let mut head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                         Cache-Control: no-cache, no-transform\r\n"
            .to_vec();
        if let Some(id) = &self.session.id {
            headers::push(&mut head, "Mcp-Session-Id", id);
        }
        head.extend_from_slice(if self.request.is_old {
            b"Connection: close\r\n\r\n"
        } else {
            b"Transfer-Encoding: chunked\r\n\r\n"
        });
        self.write(&head).await
    }

    async fn end(&mut self) -> Result<End, Gone> {
        if self.request.is_old || self.whole.is_torn {
            return Ok(End::Closing);
        }
        self.write(&chunk(b"", true)).await?;
        Ok(if self.request.keep_alive {
            End::Whole
        } else {
            End::Closing
        })
    }

    /// Looks at what the session has now: other guests, another server.
    fn look(&mut self, live: &mut watch::Receiver<Live>) {
        let live = live.borrow_and_update().clone();
        let upstream = live.upstreams.get(&self.session.server);
        let is_hub = upstream.is_some_and(|upstream| upstream.credential == Credential::Identity);
        if is_hub && self.session.has_other_guests(&live) {
            self.session.tell(News::TOOLS);
        }
        let is_same = match (upstream, &self.upstream) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            (now, then) => now.is_none() && then.is_none(),
        };
        if is_same {
            return;
        }
        let is_moved = match (upstream, &self.upstream) {
            (Some(now), Some(then)) => now.endpoint != then.endpoint,
            _ => true,
        };
        self.upstream = upstream.cloned();
        let is_idle = matches!(self.source, Source::Nothing | Source::Waiting(_));
        if self.upstream.is_none() {
            self.source = Source::Nothing;
        } else if is_moved || is_idle {
            self.open();
        }
    }

    /// Follows a session that was opened anew by somebody else.
    fn follow(&mut self) {
        let is_new = self.session.generation() != self.generation;
        if is_new && !matches!(self.source, Source::Opening(_)) {
            self.open();
        }
    }

    fn open(&mut self) {
        if self.whole.is_torn {
            // The agent is in the middle of an event: let that end.
            return;
        }
        self.whole.drop_partial();
        self.source = Source::Opening(Box::pin(source::open(
            Arc::clone(self.shared),
            Arc::clone(self.session),
            self.request.clone(),
            self.whole.last_id.clone(),
            self.generation,
        )));
    }

    async fn opened(&mut self, opened: Opened) -> Result<bool, Gone> {
        let generation = self.session.generation();
        if generation != self.generation {
            (self.generation, self.whole.last_id) = (generation, None);
        }
        match opened {
            Opened::Stream(stream) => {
                self.source = Source::Open(stream);
                // The first events may have come with the head.
                self.pump().await
            }
            Opened::Never => {
                self.source = Source::Nothing;
                Ok(true)
            }
            Opened::Later => Ok(self.again()),
        }
    }

    /// Tries again after a pause. False if the agent must see that the stream
    /// broke off.
    fn again(&mut self) -> bool {
        let lived = match &self.source {
            Source::Open(stream) => Some(stream.since.elapsed()),
            _ => None,
        };
        self.whole.drop_partial();
        let pause = self.pace.pause(lived, self.whole.retry);
        self.source = Source::Waiting(Box::pin(sleep(pause)));
        !self.whole.is_torn
    }

    /// Passes on what came, as far as it is whole. False as [`Self::again`].
    async fn pump(&mut self) -> Result<bool, Gone> {
        let Source::Open(stream) = &mut self.source else {
            return Ok(true);
        };
        let whole = &mut self.whole;
        let taken = stream
            .rest
            .take(&stream.link.buf, |piece| whole.feed(piece));
        let is_over = taken.is_err() || stream.rest.is_done();
        stream.link.buf = BytesMut::new();
        let events = self.whole.take();
        if let Some(heard) = &self.whole.last_id {
            self.session.hear(heard);
        }
        self.say(&events).await?;
        Ok(!is_over || self.again())
    }

    /// Tells the agent what is new, unless it is in the middle of an event.
    async fn tell(&mut self) -> Result<(), Gone> {
        if self.whole.is_torn {
            return Ok(());
        }
        let news = self.session.news().events();
        self.say(news.as_bytes()).await
    }

    async fn say(&mut self, content: &[u8]) -> Result<(), Gone> {
        if content.is_empty() {
            return Ok(());
        }
        if self.request.is_old {
            return self.write(content).await;
        }
        self.write(&chunk(content, false)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = self.agent.io.write_all(bytes).await;
        written.map_err(|_| Gone::HungUp)
    }
}

/// Waits until the agent hangs up; what it sends meanwhile is kept.
async fn hung_up(agent: &mut Peer<TcpStream>) -> Gone {
    if agent.buf.is_empty() {
        agent.buf = BytesMut::new();
    }
    while agent.buf.len() < READ_AHEAD {
        let read = poll_fn(|cx| agent.poll_sip(cx)).await;
        if !matches!(read, Ok(1..)) {
            return Gone::HungUp;
        }
    }
    std::future::pending().await
}

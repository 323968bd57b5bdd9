//! Where the events come from that an agent listens for: the upstream's own
//! stream, opened as often as it takes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::time::{Instant, Sleep};

use crate::types::identity::ServerName;

use super::ask;
use super::chances::Chances;
use super::exchange::Lost;
use super::excuse::Failed;
use super::forgotten;
use super::framing::Framing;
use super::head::{Answer, Request};
use super::headers::{self, Content};
use super::listen::Shared;
use super::pool::Link;
use super::refusal::refusal;
use super::reopen::{is_forgotten, reopen};
use super::session::Session;
use super::target::{Carried, Door, Target};

/// The upstream's side of a stream.
pub(super) enum Source {
    /// There is none until something changes.
    Nothing,
    Waiting(Pin<Box<Sleep>>),
    Opening(Pin<Box<dyn Future<Output = Opened> + Send>>),
    Open(Box<Stream>),
}

/// A stream of the upstream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) link: Link,
    pub(super) rest: Framing,
    pub(super) since: Instant,
}

/// What came of opening one.
pub(super) enum Opened {
    Stream(Box<Stream>),
    /// The upstream has none to offer.
    Never,
    /// It may have one in a while.
    Later,
}

/// What happens to a source.
pub(super) enum Happening {
    /// Something came.
    Read,
    Opened(Opened),
    Waited,
    /// It has ended, or broken.
    Ended,
}

impl Source {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        match self {
            Self::Nothing => Poll::Pending,
            Self::Waiting(sleep) => sleep.as_mut().poll(cx).map(|()| Happening::Waited),
            Self::Opening(opening) => opening.as_mut().poll(cx).map(Happening::Opened),
            Self::Open(stream) => stream.link.poll_sip(cx).map(|read| match read {
                Ok(1..) => Happening::Read,
                _ => Happening::Ended,
            }),
        }
    }
}

/// How often a stream is asked for once more because another had opened a session
/// meanwhile.
const MOST_FOLLOWED: u32 = 4;

/// Opens the upstream's stream for `session`, as the agent's `request` asks,
/// and the session itself before it, if that has to be. Goes on after the
/// event `after`, if the session is still of `generation`.
pub(super) async fn open(
    shared: Arc<Shared>,
    session: Arc<Session>,
    request: Request,
    after: Option<String>,
    generation: u64,
) -> Opened {
    let (mut chances, mut openings, mut followed) = (Chances::default(), 0, 0);
    loop {
        let mut request = session.request(&request).unwrap_or_else(|| request.clone());
        request.crossing = headers::without(&request.crossing, |name| {
            name.eq_ignore_ascii_case("last-event-id")
        });
        if let (Some(after), true) = (&after, session.generation() == generation) {
            headers::push(&mut request.crossing, "Last-Event-ID", after);
        }
        let mut carried = Carried {
            request: &request,
            body: Vec::new(),
            rest: Framing::EMPTY,
        };
        let live = shared.live.borrow().clone();
        let (server, door) = (&session.server, Door::Mcp);
        let Ok(mut target) = Target::find(&shared, &live, server, door, &mut carried) else {
            return Opened::Never;
        };
        let seen = session.generation_at(target.home());
        let opened = match seen {
            None => Err(Failed::Missing { has_session: true }),
            Some(_) => match target.authorize(&shared.keepers, server).await {
                Ok(()) => once(&shared, server, &request, &target).await,
                Err(failed) => Err(failed),
            },
        };
        let mut failed = match opened {
            Ok(opened) => return opened,
            Err(failed) => failed,
        };
        if seen.is_some() && chances.returns(&shared, server, &target, &failed) {
            continue;
        }
        if matches!(failed, Failed::Missing { .. }) {
            if seen.is_some() {
                // A session that was opened a moment ago, or none at all, has
                // not been forgotten: there is no stream.
                let has_one = session.standing().place.theirs.is_some();
                // A call may have opened another meanwhile, which is to be asked for.
                let is_another = || session.generation_at(target.home()) != seen;
                if is_another() && followed < MOST_FOLLOWED {
                    followed += 1;
                    continue;
                }
                if openings > 0 || !has_one {
                    return Opened::Never;
                }
                match is_forgotten(&shared, &session).await {
                    Ok(true) => {}
                    Ok(false) if is_another() && followed < MOST_FOLLOWED => {
                        followed += 1;
                        continue;
                    }
                    Ok(false) => return Opened::Never,
                    Err(failed) => {
                        tracing::debug!(%server, ?failed, "no stream, and no word of why");
                        return Opened::Later;
                    }
                }
            } else if openings > 0 {
                return Opened::Later;
            }
            openings += 1;
            if reopen(&shared, &session, seen).await.is_ok() {
                continue;
            }
            return Opened::Later;
        }
        let mended = chances.mend(&shared, server, &target, &mut failed, || false);
        if mended.await {
            continue;
        }
        tracing::debug!(%server, ?failed, "no stream to listen on");
        return match failed {
            Failed::Refused(_) | Failed::Denied { .. } | Failed::Moved(_) => Opened::Never,
            _ => Opened::Later,
        };
    }
}

async fn once(
    shared: &Shared,
    server: &ServerName,
    request: &Request,
    target: &Target<'_>,
) -> Result<Opened, Failed> {
    let (to, pool) = (target.to(), &shared.pool);
    let mut link = match pool.take(pool.key(server, to, target.voice())) {
        Some(link) => link,
        None => pool
            .connect_now(to, target.owner())
            .await
            .map_err(Failed::Away)?,
    };
    let by = pool.reader(to);
    let mut head = target.head(request, None);
    if let Some(by) = &by {
        head = by.head(&head, to);
    }
    ask::send(&mut link, &head, b"").await?;
    let answer = ask::answer(&mut link, "GET").await?;
    shared
        .remembered
        .take(server, &target.upstream, to, &answer);
    if let Some(failed) = refusal(&answer, target, true, by.as_ref()) {
        return Err(failed);
    }
    if forgotten::is_possible(answer.status) && says_forgotten(&mut link, &answer).await? {
        return Err(Failed::Missing { has_session: true });
    }
    Ok(match (answer.status, answer.content) {
        (200, Content::Events) => Opened::Stream(Box::new(Stream {
            link,
            rest: answer.body,
            since: Instant::now(),
        })),
        // The stream before may not have been missed yet.
        (409 | 429 | 502..=504, _) => Opened::Later,
        _ => Opened::Never,
    })
}

/// True if the words of an answer are that the session is not known.
async fn says_forgotten(link: &mut Link, answer: &Answer) -> Result<bool, Failed> {
    let (mut said, mut rest) = (Vec::new(), answer.body);
    while said.len() <= forgotten::LONGEST {
        let taken = rest.take(&link.buf, |piece| said.extend_from_slice(piece));
        let taken = taken.map_err(|_| Failed::Lost(Lost::Closed))?;
        link.buf.advance(taken);
        if rest.is_done() || ask::fill(link).await? == 0 {
            break;
        }
    }
    Ok(forgotten::says_so(answer.status, &said))
}

//! One request and its answer, between two connections. Whatever is waited
//! for, the upload goes on and an agent that hangs up is noticed.

use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::task::Poll;

use bytes::Buf;
use tokio::net::TcpStream;

use super::framing::Framing;
use super::head::{self, Answer, BadAnswer};
use super::headers::{self, Content};
use super::peer::Peer;
use super::pool::Link;
use super::stale::{self, Verdict};
use super::upload::{Gone, Upload, watch};

/// The two sides, and what is on its way up.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    pub(super) agent: &'a mut Peer<TcpStream>,
    pub(super) link: Link,
    pub(super) upload: Upload<'a>,
}

/// Why there is no answer to pass on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("the connection was closed")]
    Closed,
    #[error(transparent)]
    Broken(#[from] io::Error),
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The connection to the agent can take another request.
    Whole,
    /// The end of the answer is the end of the connection.
    Closing,
    /// The upstream broke off: the agent must see that.
    Cut,
}

/// A change to content that is here already.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

impl Exchange<'_> {
    /// Sends the request and waits for the head of its final answer; interim
    /// answers go straight to the agent.
    pub(super) async fn head(
        &mut self,
        method: &str,
        is_old: bool,
    ) -> Result<Result<Answer, Lost>, Gone> {
        loop {
            let (length, mut answer) = match head::answer(&self.link.buf, method) {
                Ok(Some(found)) => found,
                Ok(None) => match self.fill().await? {
                    Ok(0) => return Ok(Err(Lost::Closed)),
                    Ok(_) => continue,
                    Err(error) => return Ok(Err(error.into())),
                },
                Err(bad) => return Ok(Err(bad.into())),
            };
            self.link.buf.advance(length);
            match answer.status {
                // We never ask for it.
                100 => {}
                101..=199 if is_old => {}
                101..=199 => {
                    answer.crossing.extend_from_slice(b"\r\n");
                    self.pass(&answer.crossing, None, 0).await?;
                }
                _ => return Ok(Ok(answer)),
            }
        }
    }

    /// True if the answer to a tool call says that our token is stale. Holds
    /// the answer back until its first event, or all of a short body, is here.
    pub(super) async fn is_stale(&mut self, answer: &Answer) -> Result<Result<bool, Lost>, Gone> {
        let long = |length| length > stale::LONGEST as u64;
        let is_long = matches!(answer.body, Framing::Length(length) if long(length));
        if answer.status != 200 || answer.content == Content::Other || is_long {
            return Ok(Ok(false));
        }
        let judge = |content: &[u8], whole| match stale::judge(answer.content, content, whole) {
            Verdict::Fine => Some(false),
            Verdict::Stale => Some(true),
            Verdict::Open => None,
        };
        let verdict = self.peek(answer.body, judge).await?;
        Ok(verdict.map(|verdict| verdict.unwrap_or(false)))
    }

    /// Asks `judge` about the beginning of the answer's content, and whether
    /// it is all, until there is a verdict; takes nothing of it away. None if
    /// the content breaks off in the middle of a chunk.
    pub(super) async fn peek<T>(
        &mut self,
        body: Framing,
        judge: impl Fn(&[u8], bool) -> Option<T>,
    ) -> Result<Result<Option<T>, Lost>, Gone> {
        let mut ended = false;
        loop {
            let (mut rest, mut content) = (body, Vec::with_capacity(self.link.buf.len()));
            let taken = rest.take(&self.link.buf, |piece| content.extend_from_slice(piece));
            if taken.is_err() {
                return Ok(Ok(None));
            }
            if let Some(verdict) = judge(&content, ended || rest.is_done()) {
                return Ok(Ok(Some(verdict)));
            }
            match self.fill().await? {
                Ok(0) if body == Framing::UntilClose && !ended => ended = true,
                Ok(0) => return Ok(Err(Lost::Closed)),
                Ok(_) => {}
                Err(error) => return Ok(Err(error.into())),
            }
        }
    }

    /// Passes the answer on, every piece as it comes, with `edit` made to the
    /// content that was peeked at. `keep` says whether the agent's connection
    /// may stay open after it.
    pub(super) async fn relay(
        &mut self,
        answer: Answer,
        is_old: bool,
        keep: bool,
        mut edit: Option<Edit>,
    ) -> Result<End, Gone> {
        let mut rest = answer.body;
        let is_chunked = matches!(rest, Framing::Chunked(_));
        let until_close = rest == Framing::UntilClose;
        // What is edited has another length than its upstream says: the end of
        // the connection is its end, as it is for an agent of old.
        let is_edited = edit.is_some();
        let is_bare = is_edited || is_chunked && is_old;
        let keep = keep && !until_close && !is_edited && self.upload.is_done();
        let mut head = answer.crossing;
        if is_edited {
            head = headers::without(&head, |name| name.eq_ignore_ascii_case("content-length"));
        }
        if is_chunked && !is_bare {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !keep {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let mut bare = is_bare.then(Vec::new);
        loop {
            let taken = rest.take(&self.link.buf, |piece| {
                if let Some(bare) = &mut bare {
                    bare.extend_from_slice(piece);
                }
            });
            let Ok(n) = taken else {
                return Ok(End::Cut);
            };
            if let (Some(bare), Some(Edit { at, text })) = (&mut bare, edit.take()) {
                bare.splice(at, text.into_bytes());
            }
            self.pass(&head, bare.as_deref(), n).await?;
            head.clear();
            bare.iter_mut().for_each(Vec::clear);
            if rest.is_done() {
                break;
            }
            match self.fill().await? {
                Ok(0) if until_close => break,
                Ok(0) => return Ok(End::Cut),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "an answer was cut");
                    if until_close {
                        // A plain end would look like the end of the answer.
                        let _ = self.agent.io.set_zero_linger();
                    }
                    return Ok(End::Cut);
                }
            }
        }
        Ok(if keep { End::Whole } else { End::Closing })
    }

    /// Reads more of the answer.
    async fn fill(&mut self) -> Result<io::Result<usize>, Gone> {
        poll_fn(|cx| {
            self.upload.advance(cx, self.agent, &mut self.link)?;
            self.link.poll_fill(cx).map(Ok)
        })
        .await
    }

    /// Writes `head`, and then `bare` or else the first `n` bytes that the
    /// upstream sent, to the agent; takes these away.
    async fn pass(&mut self, head: &[u8], bare: Option<&[u8]>, n: usize) -> Result<(), Gone> {
        let body_length = bare.map_or(n, <[u8]>::len);
        let mut sent = 0;
        while sent < head.len() + body_length {
            sent += poll_fn(|cx| {
                let body = bare.unwrap_or(&self.link.buf[..n]);
                if let Poll::Ready(wrote) = self.agent.poll_write(cx, [head, body], sent) {
                    return Poll::Ready(wrote.map_err(|_| Gone::HungUp));
                }
                self.upload.advance(cx, self.agent, &mut self.link)?;
                Poll::Pending
            })
            .await?;
        }
        self.link.buf.advance(n);
        Ok(())
    }
}

/// Waits for `future` as long as the agent does.
pub(super) async fn while_wanted<T>(
    agent: &mut Peer<TcpStream>,
    future: impl Future<Output = T>,
) -> Result<T, Gone> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        watch(cx, agent)?;
        future.as_mut().poll(cx).map(Ok)
    })
    .await
}

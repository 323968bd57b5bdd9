//! One request and its answer, between two connections. Whatever is waited
//! for, the upload goes on and an agent that hangs up is noticed.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::Buf;
use tokio::net::TcpStream;

use super::forgotten;
use super::framing::Framing;
use super::head::{self, Answer, BadAnswer};
use super::headers::Content;
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
    #[error("it takes too long")]
    Late,
    #[error(transparent)]
    Broken(#[from] io::Error),
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
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

    /// True if the answer, whose status lets it be, says that the upstream does
    /// not know the request's MCP session.
    pub(super) async fn is_forgotten(&mut self, answer: &Answer) -> Result<bool, Gone> {
        let judge = |content: &[u8], whole| {
            let is_enough = whole || content.len() > forgotten::LONGEST;
            is_enough.then(|| {
                let unpacked = match answer.packed {
                    Some((coding, _)) => coding.unpack(content, forgotten::LONGEST).ok(),
                    None => None,
                };
                let content = unpacked.as_deref().unwrap_or(content);
                whole && forgotten::says_so(answer.status, content)
            })
        };
        let said = self.peek(answer.body, judge).await?;
        Ok(matches!(said, Ok(Some(true))))
    }

    /// Waits until all of a body of up to `longest` bytes is here, so that one
    /// that breaks off need not be passed on. Takes nothing of it away.
    pub(super) async fn hold(
        &mut self,
        body: Framing,
        longest: usize,
    ) -> Result<Result<(), Lost>, Gone> {
        loop {
            let mut rest = body;
            let taken = rest.take(&self.link.buf, |_| {});
            if taken.is_err() || rest.is_done() || self.link.buf.len() > longest {
                return Ok(Ok(()));
            }
            match self.fill().await? {
                Ok(0) if body == Framing::UntilClose => return Ok(Ok(())),
                Ok(0) => return Ok(Err(Lost::Closed)),
                Ok(_) => {}
                Err(error) => return Ok(Err(error.into())),
            }
        }
    }

    /// Reads more of the answer.
    pub(super) async fn fill(&mut self) -> Result<io::Result<usize>, Gone> {
        poll_fn(|cx| {
            self.upload.advance(cx, self.agent, &mut self.link)?;
            self.link.poll_fill(cx).map(Ok)
        })
        .await
    }

    /// Writes `head`, and then `bare` or else the first `n` bytes that the
    /// upstream sent, to the agent; takes these away.
    pub(super) async fn pass(
        &mut self,
        head: &[u8],
        bare: Option<&[u8]>,
        n: usize,
    ) -> Result<(), Gone> {
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

/// Waits for `future` as long as the agent does. What is done rarely comes in
/// a box: every connection holds room for whatever does not.
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

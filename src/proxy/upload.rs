//! A request on its way to the upstream, moved on whenever its exchange is
//! polled; once it is there, the watch over an agent that hangs up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite};

use super::framing::{BadChunk, Framing};
use super::peer::Peer;

/// The most that is read ahead of an agent that sends its next requests
/// without waiting for answers.
pub(super) const READ_AHEAD: usize = 64 * 1024;

/// Why an exchange has no one left to answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error("the agent hung up")]
    HungUp,
    #[error(transparent)]
    BadChunk(#[from] BadChunk),
}

/// What of a request is still to be sent.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    /// Head and body, as far as the body is here already.
    parts: [&'a [u8]; 2],
    sent: usize,
    /// What the agent has yet to send, straight through.
    rest: Framing,
    /// Bytes of `rest` that stand at the front of the agent's buffer.
    window: usize,
    /// The upstream takes no more of it. It may have answered before.
    pub(super) broken: Option<io::Error>,
}

impl<'a> Upload<'a> {
    pub(super) fn new(head: &'a [u8], body: &'a [u8], rest: Framing) -> Self {
        Self {
            parts: [head, body],
            sent: 0,
            rest,
            window: 0,
            broken: None,
        }
    }

    /// True if the upstream cannot have seen a byte of it.
    pub(super) fn is_unsent(&self) -> bool {
        self.sent == 0
    }

    /// True if all of it was sent.
    pub(super) fn is_done(&self) -> bool {
        self.broken.is_none() && self.is_sent() && self.window == 0 && self.rest.is_done()
    }

    /// Goes on as far as both sides let it, and notices an agent that hangs
    /// up. An error ends the exchange; an upstream that takes no more only
    /// ends the upload.
    pub(super) fn advance<A, U>(
        &mut self,
        cx: &mut Context<'_>,
        agent: &mut Peer<A>,
        upstream: &mut Peer<U>,
    ) -> Result<(), Gone>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let may_read = self.push(cx, agent, upstream)?;
        // TLS keeps some of what it took back until it is told to let go.
        if self.broken.is_none()
            && let Poll::Ready(Err(error)) = Pin::new(&mut upstream.io).poll_flush(cx)
        {
            self.broken = Some(error);
        }
        if may_read { watch(cx, agent) } else { Ok(()) }
    }

    /// Hands the upstream what it takes. False if the agent's buffer holds, or
    /// waits for, more of the body: there is no reading ahead of that.
    fn push<A, U>(
        &mut self,
        cx: &mut Context<'_>,
        agent: &mut Peer<A>,
        upstream: &mut Peer<U>,
    ) -> Result<bool, Gone>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        while self.broken.is_none() && !self.is_done() {
            let ours = !self.is_sent();
            let wrote = if ours {
                upstream.poll_write(cx, self.parts, self.sent)
            } else if self.window > 0 {
                upstream.poll_write(cx, [&agent.buf[..self.window], b""], 0)
            } else if !agent.buf.is_empty() {
                self.window = self.rest.take(&agent.buf, |_| {})?;
                continue;
            } else {
                match agent.poll_fill(cx) {
                    Poll::Pending => return Ok(false),
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(_) => return Err(Gone::HungUp),
                }
            };
            match wrote {
                Poll::Ready(Ok(n)) if ours => self.sent += n,
                Poll::Ready(Ok(n)) => {
                    agent.buf.advance(n);
                    self.window -= n;
                }
                Poll::Ready(Err(error)) => self.broken = Some(error),
                Poll::Pending if ours => break,
                Poll::Pending => return Ok(false),
            }
        }
        Ok(true)
    }

    fn is_sent(&self) -> bool {
        self.sent == self.parts[0].len() + self.parts[1].len()
    }
}

/// Notices that the agent hangs up; what it sends meanwhile is kept.
pub(super) fn watch<A>(cx: &mut Context<'_>, agent: &mut Peer<A>) -> Result<(), Gone>
where
    A: AsyncRead + AsyncWrite + Unpin,
{
    while agent.buf.len() < READ_AHEAD {
        match agent.poll_fill(cx) {
            Poll::Pending => break,
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(_) => return Err(Gone::HungUp),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, BufStream, duplex};

    use super::*;

    #[tokio::test]
    async fn an_upstream_lets_go_of_what_it_took() {
        let (near, mut far) = duplex(64);
        let (agent, _hangs_on) = duplex(64);
        let (mut agent, mut upstream) = (Peer::new(agent), Peer::new(BufStream::new(near)));
        let mut upload = Upload::new(b"head ", b"body", Framing::EMPTY);
        poll_fn(|cx| Poll::Ready(upload.advance(cx, &mut agent, &mut upstream)))
            .await
            .expect("the agent waits");
        assert!(upload.is_done());
        // What it holds still is lost with it.
        drop(upstream);
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.expect("text");
        assert_eq!(heard, "head body");
    }
}

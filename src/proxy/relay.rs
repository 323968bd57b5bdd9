//! An answer on its way to the agent: every piece as it comes, what has to be
//! changed in it, and its end, whatever that is.

use std::ops::Range;

use super::exchange::{Exchange, Lost};
use super::excuse::Failed;
use super::fate::Fate;
use super::framing::Framing;
use super::head::Answer;
use super::headers;
use super::upload::Gone;

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
    pub(super) text: Vec<u8>,
}

/// How an answer is passed on.
#[derive(Debug)]
pub(super) struct Passing<'a> {
    /// The agent gets no chunks: it speaks HTTP/1.0, for one.
    pub(super) is_old: bool,
    /// The agent's connection may stay open after it.
    pub(super) keep: bool,
    pub(super) edit: Option<Edit>,
    /// What is owed to the agent if a stream breaks off.
    pub(super) fate: Option<Fate<'a>>,
}

/// In what framing the content goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dress {
    /// As it came.
    AsIs,
    /// In chunks of ours.
    Chunks,
    /// None: its length is said, or the connection's end is its end.
    Bare,
}

impl Exchange<'_> {
    /// Passes the answer on.
    pub(super) async fn relay(
        &mut self,
        answer: Answer,
        mut passing: Passing<'_>,
    ) -> Result<End, Gone> {
        let mut rest = answer.body;
        let is_chunked = matches!(rest, Framing::Chunked(_));
        let until_close = rest == Framing::UntilClose;
        let mut dress = match (is_chunked, passing.is_old, &passing.edit) {
            (true, true, _) | (false, _, Some(_)) => Dress::Bare,
            (true, false, Some(_)) => Dress::Chunks,
            (_, _, None) => Dress::AsIs,
        };
        let is_endless = until_close || is_chunked && passing.is_old;
        let keep = passing.keep && !is_endless && self.upload.is_done();
        let mut head = answer.crossing;
        if let (Framing::Length(length), Some(Edit { at, text })) = (rest, &passing.edit) {
            head = headers::without(&head, |name| name.eq_ignore_ascii_case("content-length"));
            let length = length + text.len() as u64 - at.len() as u64;
            head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        if is_chunked && !passing.is_old {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        if !keep {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let mut bare = Vec::new();
        loop {
            let before = rest;
            let taken = rest.take(&self.link.buf, |piece| {
                if let Some(fate) = &mut passing.fate {
                    fate.feed(piece);
                }
                if dress != Dress::AsIs {
                    bare.extend_from_slice(piece);
                }
            });
            let Ok(n) = taken else {
                return Ok(End::Cut);
            };
            if let Some(Edit { at, text }) = passing.edit.take() {
                bare.splice(at, text);
            }
            let is_last = rest.is_done();
            if is_last
                && dress == Dress::AsIs
                && before.to_chunk().is_some_and(<[u8]>::is_empty)
                && let Some(words) = last_words(&mut passing, Lost::Closed)
            {
                // Its end is taken back, to say more before it.
                let mut again = before;
                let _ = again.take(&self.link.buf, |piece| bare.extend_from_slice(piece));
                bare.extend_from_slice(words.as_bytes());
                dress = Dress::Chunks;
            }
            match dress {
                Dress::AsIs => self.pass(&head, None, n).await?,
                Dress::Bare => self.pass(&head, Some(bare.as_slice()), n).await?,
                Dress::Chunks => {
                    let chunk = chunk(&bare, is_last);
                    self.pass(&head, Some(&chunk), n).await?;
                }
            }
            head.clear();
            bare.clear();
            if is_last {
                break;
            }
            let lost = match self.fill().await? {
                Ok(1..) => continue,
                Ok(0) => Lost::Closed,
                Err(error) => Lost::Broken(error),
            };
            let is_error = matches!(lost, Lost::Broken(_));
            tracing::debug!(%lost, "an answer has ended");
            if let Some(words) = last_words(&mut passing, lost) {
                let end = match (dress, rest.to_chunk()) {
                    (Dress::Chunks, _) => Some(chunk(words.as_bytes(), true)),
                    (Dress::AsIs, Some(start)) => {
                        Some([start, &chunk(words.as_bytes(), true)].concat())
                    }
                    _ if is_endless => Some(words.into_bytes()),
                    _ => None,
                };
                if let Some(end) = end {
                    self.pass(b"", Some(&end), 0).await?;
                    break;
                }
            } else if until_close && !is_error {
                break;
            }
            if is_endless {
                // A plain end would look like the end of the answer.
                let _ = self.agent.io.set_zero_linger();
            }
            return Ok(End::Cut);
        }
        Ok(if keep { End::Whole } else { End::Closing })
    }
}

fn last_words(passing: &mut Passing<'_>, lost: Lost) -> Option<String> {
    let fate = passing.fate.as_mut()?;
    fate.last_words(&Failed::Lost(lost))
}

/// `content` as one chunk, and the end behind it if it is the last.
pub(super) fn chunk(content: &[u8], is_last: bool) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(content.len() + 32);
    if !content.is_empty() {
        chunk.extend_from_slice(format!("{:x}\r\n", content.len()).as_bytes());
        chunk.extend_from_slice(content);
        chunk.extend_from_slice(b"\r\n");
    }
    if is_last {
        chunk.extend_from_slice(b"0\r\n\r\n");
    }
    chunk
}

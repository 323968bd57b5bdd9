//! A stream of an upstream's, from its request to its endpoint.

use std::time::Duration;

use bytes::Buf;

use super::cutter::Cutter;
use crate::proxy::ask;
use crate::proxy::events;
use crate::proxy::exchange::Lost;
use crate::proxy::excuse::Failed;
use crate::proxy::framing::Framing;
use crate::proxy::head::Request;
use crate::proxy::headers::{self, Content};
use crate::proxy::listen::Shared;
use crate::proxy::pool::Link;
use crate::proxy::sse::{self, Opening};
use crate::proxy::target::{Carried, Target};
use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

/// An open stream.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) link: Link,
    /// What is still to come, as far as that is known.
    pub(super) rest: Framing,
    pub(super) cutter: Cutter,
    /// Where its messages are to be posted.
    pub(super) endpoint: Endpoint,
    /// Status line and header lines.
    pub(super) crossing: Vec<u8>,
    /// What it began with, to the end of the event that says where to post:
    /// what stands before the endpoint, and behind it.
    pub(super) opening: [Vec<u8>; 2],
}

/// Opens the stream of `target`, and reads it as far as its endpoint.
///
/// # Errors
/// If there is none, or none like that; nothing has been done then.
pub(super) async fn open(
    shared: &Shared,
    server: &ServerName,
    request: &Request,
    target: &Target<'_>,
    patience: Duration,
) -> Result<Source, Failed> {
    let to = target.to();
    let key = shared.pool.key(server, to, target.voice());
    let mut link = ask::link(shared, key, target, patience).await?;
    let carried = Carried {
        request,
        body: Vec::new(),
        rest: Framing::EMPTY,
    };
    let answer = ask::begin(shared, &mut link, &carried, target, server).await?;
    if answer.status != 200 {
        let (mut rest, mut said) = (answer.body, Vec::new());
        // What came with the head is enough for words.
        let _ = rest.take(&link.buf, |piece| said.extend_from_slice(piece));
        return Err(Failed::Odd(ask::complaint(answer.status, &said)));
    }
    if answer.content != Content::Events {
        let why = "it does not answer with a plain stream of events";
        return Err(Failed::BadStream(why));
    }
    let (mut rest, mut content) = (answer.body, Vec::new());
    loop {
        let taken = rest.take(&link.buf, |piece| content.extend_from_slice(piece));
        let n = taken.map_err(|_| Failed::BadStream("its chunks are malformed"))?;
        link.buf.advance(n);
        match sse::opening(&content, rest.is_done()) {
            Opening::Open => {}
            Opening::Bad(why) => return Err(Failed::BadStream(why)),
            Opening::Endpoint(at) => {
                let path = sse::resolve(to, &content[at.clone()]).map_err(Failed::BadStream)?;
                let mut end = 0;
                while let (true, Some(length)) = (end <= at.start, events::end(&content[end..])) {
                    end += length;
                }
                let mut cutter = Cutter::default();
                cutter.push(&content[end..]);
                return Ok(Source {
                    link,
                    rest,
                    cutter,
                    endpoint: to.at(&path),
                    crossing: headers::without(&answer.crossing, |name| {
                        name.eq_ignore_ascii_case("content-length")
                    }),
                    opening: [
                        content[..at.start].to_vec(),
                        content[at.end..end.max(at.end)].to_vec(),
                    ],
                });
            }
        }
        if ask::fill(&mut link).await? == 0 {
            return Err(Failed::Lost(Lost::Closed));
        }
    }
}

impl Source {
    /// Reads more of it; false if there is no more.
    pub(super) fn take(&mut self) -> bool {
        let cutter = &mut self.cutter;
        let taken = self.rest.take(&self.link.buf, |piece| cutter.push(piece));
        if let Ok(n) = taken {
            self.link.buf.advance(n);
            self.link.rest();
        }
        taken.is_ok() && !self.rest.is_done()
    }
}

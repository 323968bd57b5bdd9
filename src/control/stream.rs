//! An answer that stays open: events, handed to a reader at the reader's pace.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The body of the answer; whoever feeds it ends with it.
struct Fed {
    first: Option<Bytes>,
    more: mpsc::Receiver<Bytes>,
    _feeder: JoinSet<()>,
}

/// What events are.
pub(super) const EVENTS: &str = "text/event-stream";

/// Answers, in that media type, with `first` and what `feed` sends after it, which waits while the
/// reader takes nothing.
pub(super) fn open<F>(
    kind: &'static str,
    first: Bytes,
    feed: impl FnOnce(mpsc::Sender<Bytes>) -> F,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (out, more) = mpsc::channel(1);
    let mut feeder = JoinSet::new();
    feeder.spawn(feed(out));
    let body = Fed {
        first: Some(first),
        more,
        _feeder: feeder,
    };
    let head = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")];
    (head, Body::new(body)).into_response()
}

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.more.poll_recv(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

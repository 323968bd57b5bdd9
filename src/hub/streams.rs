//! Answers that stay open: triggers for an instance, messages for a reader.
//!
//! A stream waits for news and then reads the store from where it stands, so
//! it loses nothing and repeats nothing, however slow its reader is.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::chat::{Caller, Fault, News};
use super::gate;
use super::rest::{Refusal, channel, number};
use super::server::{Hub, Shared};
use crate::types::identity::Token;
use crate::types::trigger::ChannelName;

/// Messages read from the store at a time.
const PAGE: usize = 256;

/// What a stream of ours begins with, so that the reader sees it open.
const OPEN: &[u8] = b": open\n\n";

/// Events that may wait for a slow reader.
const QUEUE: usize = 16;

/// `GET /api/triggers`: what waits for the instance, then what comes.
pub(super) async fn triggers(
    State(hub): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = gate::token(&headers).ok_or_else(Refusal::no_token)?;
    let news = hub.news.subscribe();
    let asker = token.clone();
    let id = hub
        .desk
        .ask(move |chat, now| match chat.caller(&asker, now) {
            Some(Caller::Agent(id)) => {
                chat.streamless.remove(&id);
                if let Err(error) = chat.store.read_files(id, false) {
                    tracing::error!(%error, "the store failed");
                    return None;
                }
                let one = chat.registry.get_mut(id)?;
                one.life.stream_opened(now);
                Some(id)
            }
            _ => None,
        })
        .await?
        .ok_or_else(Refusal::stale)?;
    let open = OpenStream {
        hub: Arc::clone(&hub),
        id,
    };
    Ok(stream(&hub, Bytes::from_static(OPEN), async move |out| {
        feed_triggers(&open, &token, news, &out).await;
    }))
}

async fn feed_triggers(
    open: &OpenStream,
    token: &Token,
    mut news: broadcast::Receiver<News>,
    out: &mpsc::Sender<Bytes>,
) {
    let mut last = 0;
    loop {
        let asker = token.clone();
        let found = open
            .hub
            .desk
            .ask(move |chat, _| chat.triggers(&asker, last))
            .await;
        let Ok(Ok(Some(triggers))) = found else {
            return;
        };
        for trigger in triggers {
            last = trigger.id;
            if out.send(event(trigger.id, &trigger)).await.is_err() {
                return;
            }
        }
        let mine = |news| match news {
            News::Trigger(id) | News::Ended(id) => id == open.id,
            News::Message => false,
        };
        if !wait(&mut news, mine).await {
            return;
        }
    }
}

/// `GET /api/stream?since_id=&channel=`: messages as they come, after
/// `since_id` or from now on.
pub(super) async fn messages(
    State(hub): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = gate::token(&headers).ok_or_else(Refusal::no_token)?;
    let (since, channel) = (number(&query, "since_id")?, channel(&query)?);
    let news = hub.news.subscribe();
    let asker = token.clone();
    let last = hub
        .desk
        .ask(move |chat, now| -> Result<u64, Refusal> {
            chat.caller(&asker, now).ok_or_else(Refusal::no_token)?;
            match since {
                Some(id) => Ok(id),
                None => Ok(chat.store.last_id().map_err(Fault::from)?),
            }
        })
        .await??;
    let reader = Arc::clone(&hub);
    Ok(stream(&hub, Bytes::from_static(OPEN), async move |out| {
        feed_messages(&reader, &token, last, channel, news, &out).await;
    }))
}

async fn feed_messages(
    hub: &Hub,
    token: &Token,
    mut last: u64,
    channel: Option<ChannelName>,
    mut news: broadcast::Receiver<News>,
    out: &mpsc::Sender<Bytes>,
) {
    loop {
        let (asker, channel) = (token.clone(), channel.clone());
        let found = hub
            .desk
            .ask(move |chat, now| {
                chat.caller(&asker, now)?;
                chat.store.messages_after(last, PAGE, channel.as_ref()).ok()
            })
            .await;
        let Ok(Some(messages)) = found else {
            return;
        };
        let more = messages.len() == PAGE;
        for message in messages {
            last = message.id;
            if out.send(event(message.id, &message)).await.is_err() {
                return;
            }
        }
        if !more && !wait(&mut news, |news| !matches!(news, News::Trigger(_))).await {
            return;
        }
    }
}

/// Waits for news that matter, or for so many that some were lost. False if
/// there will be none.
pub(super) async fn wait(
    news: &mut broadcast::Receiver<News>,
    matters: impl Fn(News) -> bool,
) -> bool {
    loop {
        match news.recv().await {
            Ok(one) if !matters(one) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return true,
            Err(RecvError::Closed) => return false,
        }
    }
}

/// Answers with a stream that begins with `opening`, and that `feed` fills
/// until it returns, the reader goes, or the hub stops.
pub(super) fn stream<F>(
    hub: &Shared,
    opening: Bytes,
    feed: impl FnOnce(mpsc::Sender<Bytes>) -> F,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (out, body) = mpsc::channel(QUEUE);
    let opened = out.try_send(opening);
    debug_assert!(opened.is_ok(), "the queue is new");
    let (gone, stop, shared) = (out.clone(), hub.stop.clone(), Arc::clone(hub));
    let feed = feed(out);
    hub.streams.spawn(async move {
        tokio::select! {
            () = feed => {}
            () = gone.closed() => {}
            () = stop.cancelled() => {}
        }
        shared.touch();
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::new(Events(body))).into_response()
}

/// One server-sent event. JSON has no line breaks, so one `data` line does.
fn event(id: impl Display, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("id: {id}\ndata: {data}\n\n"))
}

/// An instance whose stream is open; dropped, the registry hears of it.
struct OpenStream {
    hub: Shared,
    id: i64,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let id = self.id;
        let told = self.hub.desk.tell(move |chat, now| {
            if let Some(one) = chat.registry.get_mut(id) {
                one.life.stream_closed(now);
            }
        });
        if told.is_err() {
            tracing::debug!("a stream outlived the store");
        }
    }
}

struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(context);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

//! A prompt that is followed step by step, by a client that keeps its own time.

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Error, MAX_ANSWER};
use super::prompts::{DEADLINE, STEPS, uptime};
use super::protocol::{Prompt, Receipt};
use crate::session::Word;

/// How long a session may take to say that the time is over.
const GRACE: Duration = Duration::from_millis(300);

/// How long, if it is typing at that moment: Enter and the reaction to it.
const TYPING: Duration = Duration::from_millis(1500);

/// A year: as good as none.
const LONG: Duration = Duration::from_secs(366 * 24 * 3600);

/// See [`Client::follow`].
pub(super) async fn follow(
    client: &Client,
    prompt: &Prompt,
    mut tell: impl FnMut(&Receipt),
) -> Result<Receipt, Error> {
    let time = prompt.timeout_ms.map(Duration::from_millis);
    let until = Instant::now() + time.unwrap_or(LONG).min(LONG);
    let body = serde_json::to_vec(prompt).map_err(|error| client.silent(&error))?;
    let mut request = Request::post("/v1/prompts")
        .header(HOST, "wrapper")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, STEPS);
    if let Some(time) = time {
        let deadline = (uptime() + time + GRACE).as_millis();
        request = request.header(DEADLINE, deadline.to_string());
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| client.silent(&error))?;
    let last: RefCell<Option<Receipt>> = RefCell::default();
    {
        let talk = talk(client, request, |receipt| {
            tell(&receipt);
            last.replace(Some(receipt));
        });
        tokio::pin!(talk);
        let is_typing = || {
            let last = last.borrow();
            last.as_ref()
                .is_some_and(|last| last.outcome == Word::Typing)
        };
        tokio::select! {
            biased;
            ended = &mut talk => ended?,
            () = sleep_until(until + GRACE) => if is_typing() {
                tokio::select! {
                    biased;
                    ended = &mut talk => ended?,
                    () = sleep_until(until + TYPING) => {}
                }
            },
        }
    }
    last.into_inner()
        .ok_or_else(|| client.silent(&"it takes too long"))
}

async fn talk(
    client: &Client,
    request: Request<Full<Bytes>>,
    mut tell: impl FnMut(Receipt),
) -> Result<(), Error> {
    let io = client.connect().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(|error| client.silent(&error))?;
    let exchange = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| client.silent(&error))?;
        read(client, response, &mut tell).await
    };
    // The connection moves only while it is polled, and ends with its sender.
    let (answer, _ended) = tokio::join!(exchange, connection);
    answer
}

/// Reads a receipt a line.
async fn read(
    client: &Client,
    response: Response<Incoming>,
    tell: &mut impl FnMut(Receipt),
) -> Result<(), Error> {
    let status = response.status();
    let mut body = response.into_body();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| client.silent(&error))?;
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if rest.len() > MAX_ANSWER {
            return Err(client.silent(&"it says too much"));
        }
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            tell(client.read(&line)?);
        }
    }
    if !status.is_success() {
        return Err(client.refused(status, &rest));
    }
    if !rest.is_empty() {
        tell(client.read(&rest)?);
    }
    Ok(())
}

//! The HTTP face of the servers that we run: MCP streamable HTTP, at the other
//! end of a connection that the proxy holds.

use std::convert::Infallible;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use crate::types::identity::{ServerName, Token};

use super::desk::Said;
use super::host::House;
use super::message::{self, Kind, Posted};
use super::reply::Reply;
use super::session::{Gone, Session};

/// The longest body of a request.
const LONGEST_BODY: usize = 128 * 1024 * 1024;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Answers what is asked of `server` over `io` until the other side hangs up,
/// or `stop`.
pub(super) async fn serve(
    io: DuplexStream,
    house: std::sync::Arc<House>,
    server: ServerName,
    stop: CancellationToken,
) {
    let service =
        service_fn(|request| async { Ok::<_, Infallible>(answer(&house, &server, request).await) });
    let served = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    if let Some(Err(error)) = stop.run_until_cancelled(served).await {
        tracing::debug!(%server, %error, "a connection to a server of ours broke");
    }
}

async fn answer(house: &House, name: &ServerName, request: Request<Incoming>) -> Response<Reply> {
    let header = request.headers().get(&SESSION);
    let id = header.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let server = house.find(name);
    let session = server
        .as_ref()
        .and_then(|server| server.find(id.as_deref()));
    match (request.method(), &id, session) {
        (&Method::POST, _, session) => {
            let body = match Limited::new(request.into_body(), LONGEST_BODY)
                .collect()
                .await
            {
                Ok(body) => body.to_bytes(),
                Err(error) => return plain(StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
            };
            let Some((messages, is_batch)) = message::posted(body.into()) else {
                return plain(StatusCode::BAD_REQUEST, "the body is no JSON-RPC");
            };
            let asks = |message: &Posted| matches!(message.kind, Kind::Ask(_));
            let is_new = messages
                .iter()
                .any(|message| matches!(&message.kind, Kind::Ask(ask) if ask.is_initialize()));
            let opened = match (server, session, &id) {
                (None, ..) => Err("this MCP server was removed. Nothing was done".to_owned()),
                (Some(server), ..) if is_new => {
                    server.open(Some(Token::random().expose().into())).await
                }
                (_, Some(session), _) => Ok(session),
                (_, None, Some(_)) => return forgotten(),
                // There is nobody whom it could concern.
                (_, None, None) if !messages.iter().any(asks) => {
                    return empty(StatusCode::ACCEPTED);
                }
                (Some(server), None, None) => server.common().await,
            };
            match opened {
                Ok(session) => post(&session, messages, is_batch, is_new).await,
                Err(why) => unable(&messages, is_batch, &why),
            }
        }
        (&Method::GET, Some(_), Some(session)) => match session.listen() {
            Ok(said) => events(Reply::stream(said)),
            Err(Gone) => forgotten(),
        },
        (&Method::DELETE, Some(_), Some(session)) => {
            session.end.cancel();
            empty(StatusCode::NO_CONTENT)
        }
        (&Method::GET | &Method::DELETE, Some(_), None) => forgotten(),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "messages are sent by POST"),
    }
}

async fn post(
    session: &std::sync::Arc<Session>,
    messages: Vec<Posted>,
    is_batch: bool,
    is_new: bool,
) -> Response<Reply> {
    let Ok(mut waiting) = session.post(messages).await else {
        return forgotten();
    };
    if waiting.left == 0 {
        return empty(StatusCode::ACCEPTED);
    }
    let mut response = match (waiting.said.recv().await, is_batch) {
        (Some(Said::Answer(answer)), false) => json(Reply::text(answer)),
        (Some(Said::Long(pieces)), false) => json(Reply::long(pieces)),
        (Some(first), _) => events(Reply::answers(first, waiting)),
        (None, _) => return forgotten(),
    };
    let id = session
        .id
        .as_deref()
        .filter(|_| is_new && session.is_going());
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(id).ok()) {
        response.headers_mut().insert(SESSION, id);
    }
    response
}

/// The answer to requests that no server gets.
fn unable(messages: &[Posted], is_batch: bool, why: &str) -> Response<Reply> {
    let answers = messages.iter().filter_map(|message| match &message.kind {
        Kind::Ask(ask) => Some(ask.failure(why)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    if is_batch {
        return json(Reply::text(
            [b"[", &answers.join(&b","[..])[..], b"]"].concat(),
        ));
    }
    json(Reply::text(answers.concat()))
}

/// The session has ended, or there never was one.
fn forgotten() -> Response<Reply> {
    plain(StatusCode::NOT_FOUND, "Session not found")
}

fn json(reply: Reply) -> Response<Reply> {
    with_type(reply, "application/json")
}

fn events(reply: Reply) -> Response<Reply> {
    let mut response = with_type(reply, "text/event-stream");
    let none = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(CACHE_CONTROL, none);
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Reply> {
    let mut response = with_type(Reply::text(text.to_owned()), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn with_type(reply: Reply, content: &'static str) -> Response<Reply> {
    let mut response = Response::new(reply);
    let content = HeaderValue::from_static(content);
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}

fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    *response.status_mut() = status;
    response
}

//! A scripted model on loopback, behind the APIs that agents speak: Messages,
//! Responses, Chat Completions and Gemini's. With it a real
//! agent runs without a key, a network or a surprise.
//!
//! `fake-model [--port N] [--log FILE]` prints `{"port":N}` and serves until it
//! is ended. What it answers is in [`script`]. The log has one JSON object a
//! request; it holds no header, so no credential.

mod anthropic;
mod chat;
mod deferred;
mod gemini;
mod responses;
mod schema;
mod script;
mod stream;
mod talk;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use talk::{Answer, Request, Tool};

/// One API: how it tells a conversation, and how it wants its answer.
type Api = (
    &'static str,
    fn(&Value) -> Request,
    fn(&Request, &Answer) -> Value,
    fn(&Value) -> String,
);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Option<File>>>);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut port = 0;
    let mut log = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg}: no value"))?;
        match arg.as_str() {
            "--port" => port = value.parse().with_context(|| format!("--port {value}"))?,
            "--log" => {
                let file = OpenOptions::new().create(true).append(true).open(&value);
                log = Some(file.with_context(|| format!("cannot open {value}"))?);
            }
            _ => bail!("unknown option {arg}"),
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    wrapper::report::line(json!({"port": listener.local_addr()?.port()}));
    let app = axum::Router::new()
        .fallback(answer)
        .layer(DefaultBodyLimit::disable())
        .with_state(Log(Arc::new(Mutex::new(log))));
    Ok(axum::serve(listener, app).await?)
}

/// Answers any request of any API; the path's end says which.
async fn answer(State(log): State<Log>, method: Method, uri: Uri, body: Bytes) -> Response {
    let path = uri.path().trim_end_matches('/');
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method == Method::GET && path.ends_with("/models") {
        return json_body(&json!({"object": "list", "data": [], "models": [], "has_more": false}));
    }
    if path.ends_with("/count_tokens") {
        return json_body(&json!({"input_tokens": 100}));
    }
    if path.ends_with(":countTokens") {
        return json_body(&json!({"totalTokens": 100}));
    }
    let Some((api, read, write, events)) = api(path) else {
        log.write(&json!({"method": method.as_str(), "path": path, "status": 404}));
        let none = json!({"error": {"type": "not_found_error", "message": "no such path"}});
        return (StatusCode::NOT_FOUND, axum::Json(none)).into_response();
    };
    let mut request = read(&body);
    request.stream |= path.ends_with(":streamGenerateContent");
    let (answer, pause) = script::answer(&request);
    log.write(&json!({
        "api": api,
        "stream": request.stream,
        "tools": request.tools.iter().map(Tool::full_name).collect::<Vec<_>>(),
        "last": format!("{:?}", request.turns.last()),
        "result": request.result(),
        "answer": format!("{answer:?}"),
    }));
    tokio::time::sleep(Duration::from_secs(pause)).await;
    let whole = write(&request, &answer);
    if request.stream {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/event-stream"),
        );
        return (headers, events(&whole)).into_response();
    }
    json_body(&whole)
}

fn api(path: &str) -> Option<Api> {
    if path.ends_with("/messages") {
        Some((
            "anthropic",
            anthropic::read,
            anthropic::write,
            anthropic::events,
        ))
    } else if path.ends_with("/responses") {
        Some((
            "responses",
            responses::read,
            responses::write,
            responses::events,
        ))
    } else if path.ends_with("/chat/completions") {
        Some(("chat", chat::read, chat::write, chat::events))
    } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
        Some(("gemini", gemini::read, gemini::write, gemini::events))
    } else {
        None
    }
}

fn json_body(value: &Value) -> Response {
    axum::Json(value).into_response()
}

impl Log {
    fn write(&self, entry: &Value) {
        let mut file = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(file) = file.as_mut()
            && let Err(error) = writeln!(file, "{entry}")
        {
            wrapper::report::warning(format_args!("cannot write the log: {error}"));
        }
    }
}

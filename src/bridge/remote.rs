//! The server's side: streamable HTTP at the session's proxy.
//!
//! The transport is the one of MCP revision 2025-11-25 and those before. The
//! next one wants headers that a client makes from the tools' schemas, and
//! has no handshake; [`super::relay`] leaves it to clients and servers that
//! speak HTTP to each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::types::identity::Token;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Connections that wait for their next request.
const MOST_IDLE: usize = 8;
/// How long the server may take to hear that we leave.
const FAREWELL: Duration = Duration::from_millis(500);

/// A server at the proxy, and the MCP session with it.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    key: HeaderValue,
    session: Mutex<Session>,
}

/// What every request after the handshake carries.
#[derive(Debug, Default)]
struct Session {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Events,
    Other,
}

impl Remote {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// If the URL or the key is none.
    pub(super) fn new(url: &str, key: &Token) -> Result<Self> {
        let mut key = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .context("the session's key cannot be sent")?;
        key.set_sensitive(true);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(MOST_IDLE)
                .build(connector),
            url: url.parse().context("the proxy's address is no URL")?,
            key,
            session: Mutex::default(),
        })
    }

    /// Sends a message, on a connection that nobody else uses meanwhile.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn post(&self, message: Bytes) -> Result<Response<Incoming>> {
        self.send(Method::POST, None, message).await
    }

    /// Opens a stream, after this event or from now on.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn get(&self, after: Option<&str>) -> Result<Response<Incoming>> {
        self.send(Method::GET, after, Bytes::new()).await
    }

    /// Ends the MCP session, if there is one and the server listens.
    pub(super) async fn farewell(&self) {
        if self.session().id.is_none() {
            return;
        }
        let request = self.send(Method::DELETE, None, Bytes::new());
        match tokio::time::timeout(FAREWELL, request).await {
            // Also where the server keeps its sessions (405).
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the MCP session was not ended"),
            Err(_) => tracing::debug!("the MCP session was not ended in time"),
        }
    }

    /// An `initialize` is being answered with these headers.
    pub(super) fn opened(&self, headers: &HeaderMap) {
        *self.session() = Session {
            id: headers.get(SESSION).cloned(),
            version: None,
        };
    }

    /// The handshake came to this version of the protocol.
    pub(super) fn agreed(&self, version: &str) {
        match HeaderValue::from_str(version) {
            Ok(version) => self.session().version = Some(version),
            Err(error) => tracing::warn!(%error, "the server's version cannot be sent"),
        }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(
        &self,
        method: Method,
        after: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let accept = match method {
            Method::GET => EVENTS,
            _ => "application/json, text/event-stream",
        };
        let is_post = method == Method::POST;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.key.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if is_post {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        if let Some(after) = after {
            let after = HeaderValue::from_str(after).context("the event's id cannot be sent")?;
            headers.insert(LAST_EVENT, after);
        }
        {
            let session = self.session();
            let known = [(SESSION, &session.id), (VERSION, &session.version)];
            for (name, value) in known {
                headers.extend(value.clone().map(|value| (name, value)));
            }
        }
        self.client
            .request(request)
            .await
            .context("the session's proxy does not answer: has the session ended?")
    }
}

/// What the headers say of the body.
pub(super) fn content(headers: &HeaderMap) -> Content {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    if kind.eq_ignore_ascii_case(JSON) {
        Content::Json
    } else if kind.eq_ignore_ascii_case(EVENTS) {
        Content::Events
    } else {
        Content::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_its_type_says() {
        for (kind, content_of) in [
            ("application/json", Content::Json),
            ("Application/JSON; charset=utf-8", Content::Json),
            ("text/event-stream", Content::Events),
            ("text/event-stream ;x", Content::Events),
            ("text/plain", Content::Other),
            ("", Content::Other),
        ] {
            let value = HeaderValue::from_str(kind).expect("a value");
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            assert_eq!(content(&headers), content_of, "{kind}");
        }
        assert_eq!(content(&HeaderMap::new()), Content::Other);
    }
}

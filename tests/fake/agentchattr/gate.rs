//! agentchattr's security middleware, with its holes: wrappers depend on some.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::rest::refusal;
use crate::server::Server;

const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;

/// Listens on loopback alone, so the peer's address needs no look.
pub(crate) async fn pass(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let begins = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    if path == "/" || begins(&["/static/", "/uploads/", "/api/roles", "/__test/"]) {
        return next.run(request).await;
    }
    if begins(&["/api/register", "/api/deregister/", "/api/heartbeat/"]) {
        return next.run(request).await;
    }
    let headers = request.headers();
    let port = server.ports[0];
    let ours = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{port}"));
    if let Some(origin) = headers.get(header::ORIGIN)
        && !ours.iter().any(|ours| origin == ours.as_str())
    {
        return refusal(FORBIDDEN, "forbidden: origin not allowed");
    }
    let is_open = ["/api/messages", "/api/send"].contains(&path) || begins(&["/api/rules/"]);
    if is_open && let Some(token) = bearer(headers) {
        let known = server.with(|room, now| room.caller(&token, now).is_some());
        if known {
            return next.run(request).await;
        }
    }
    let given = headers
        .get("x-session-token")
        .and_then(|token| token.to_str().ok());
    let query = request.uri().query().unwrap_or_default();
    let in_query = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="));
    if given.or(in_query) == Some(server.session_token.as_str()) {
        return next.run(request).await;
    }
    refusal(FORBIDDEN, "forbidden: invalid or missing session token")
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().to_owned())
}

/// The token of an agent, where either header counts.
pub(crate) fn agent_token(headers: &HeaderMap) -> Option<String> {
    let other = || headers.get("x-agent-token")?.to_str().ok();
    bearer(headers).or_else(|| Some(other()?.to_owned()))
}

//! The request that is upgraded.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, body::Body};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::frame::{Hello, PROTOCOL};
use super::guest::Guest;
use crate::control::server::{Desk, refusal};
use crate::types::size::TermSize;

/// Hands a guest over to the task of its connection.
#[derive(Debug, Clone)]
pub(in crate::control) struct Hand(pub(in crate::control) mpsc::Sender<Guest>);

/// The size of the caller's terminal. Without one, it never counts.
#[derive(Debug, Deserialize)]
pub(in crate::control) struct Size {
    rows: Option<u16>,
    cols: Option<u16>,
    #[serde(default)]
    x_pixels: u16,
    #[serde(default)]
    y_pixels: u16,
}

impl Size {
    fn of_terminal(&self) -> Option<TermSize> {
        let size = TermSize::new(self.rows?, self.cols?);
        Some(size.with_pixels(self.x_pixels, self.y_pixels))
    }
}

pub(in crate::control) async fn attach(
    State(desk): State<Arc<Desk>>,
    Query(size): Query<Size>,
    Extension(Hand(hand)): Extension<Hand>,
    request: Request,
) -> Response {
    let wanted = request.headers().get(header::UPGRADE);
    if wanted.is_none_or(|wanted| !wanted.as_bytes().eq_ignore_ascii_case(PROTOCOL.as_bytes())) {
        let error = format!("this route is for `Upgrade: {PROTOCOL}`");
        return upgrade(refusal(StatusCode::UPGRADE_REQUIRED, &error));
    }
    let guest = Guest {
        upgrade: hyper::upgrade::on(request),
        hello: Hello {
            session: desk.context.id.clone(),
            name: desk.name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pixels: true,
        },
        size: size.of_terminal(),
        session: desk.session.clone(),
    };
    match hand.try_send(guest) {
        Ok(()) => upgrade((StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response()),
        // One request a connection.
        Err(_) => refusal(StatusCode::CONFLICT, "this connection is attached already"),
    }
}

fn upgrade(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
    response
}

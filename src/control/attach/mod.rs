//! `GET /v1/attach`: the session's screen as it changes, and its keyboard.
//!
//! The request is upgraded to `wrapper-attach`, and from then on both ends
//! write frames: [`frame`] has their form. The trust boundary is that of the
//! socket: whoever passes may see and type whatever this user may.

pub mod dial;
pub mod frame;
mod guest;
mod route;
mod wire;

pub(super) use route::{Hand, attach};

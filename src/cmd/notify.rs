//! Tells a service manager how we stand, by systemd's protocol: `sd_notify(3)`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::debug;

use crate::paths::{self, Env};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, if one wants to know.
#[derive(Debug, Default)]
pub(super) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Finds it in `env`, and takes it out: what we start does not speak for us.
    pub(super) fn take(env: &mut Env) -> Self {
        let found = paths::var(env, VARIABLE).and_then(|name| address(name));
        env.remove(OsStr::new(VARIABLE));
        Self(found.and_then(|address| Some((UnixDatagram::unbound().ok()?, address))))
    }

    /// Sends `VARIABLE=value` lines.
    pub(super) fn tell(&self, lines: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(lines.as_bytes(), address)
        {
            debug!(%error, lines, "the service manager was not told");
        }
    }
}

/// A path, or a name in Linux' abstract space, which begins with `@`.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name).ok()
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => None,
        None => SocketAddr::from_pathname(name).ok(),
    }
}

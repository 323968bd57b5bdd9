//! Tells a service manager how we stand, by systemd's protocol: `sd_notify(3)`.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tracing::debug;

use crate::paths::Env;
use crate::report;

const VARIABLE: &str = "NOTIFY_SOCKET";

/// The service manager, if one wants to know.
#[derive(Debug, Default)]
pub(super) struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// Finds it in `env`, and takes it out: what we start does not speak for us.
    pub(super) fn take(env: &mut Env) -> Self {
        let name = env.remove(OsStr::new(VARIABLE));
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let found = address(&name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        if let Err(error) = &found {
            // The service manager has a deadline of its own: here is why it passes.
            report::warning(format_args!(
                "cannot tell the service manager how it goes, at `{VARIABLE}={}`: {error}",
                name.display()
            ));
        }
        Self(found.ok())
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
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        #[cfg(not(target_os = "linux"))]
        Some(_) => Err(io::ErrorKind::Unsupported.into()),
        None => SocketAddr::from_pathname(name),
    }
}

//! What a bench is when it runs itself as an agent: it idles, and tells when
//! something is typed into it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixDatagram;
use std::time::{SystemTime, UNIX_EPOCH};

use super::raw::raw;

/// Names the socket that the agent reports to.
pub(crate) const REPORT: &str = "BENCH_REPORT";

/// Ends it, typed.
pub(crate) const END: &[u8] = b"\x04";

/// Writes a byte at once; then an input line, in which it shows what it gets
/// until Enter. Tells when the first byte and when Enter came, and which session
/// it is of.
pub(crate) fn run() -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"!")?;
    out.flush()?;
    raw()?;
    out.write_all(b"\r\n\x1b[?2004h> ")?;
    out.flush()?;
    let report = UnixDatagram::unbound()?;
    let path = std::env::var_os(REPORT).unwrap_or_default();
    let session = std::env::var("WRAPPER_SESSION_NAME").unwrap_or_default();
    let tell = |at: f64| report.send_to(format!("{at} {session}").as_bytes(), &path);
    let (mut buf, mut begun) = ([0; 4096], false);
    loop {
        let n = io::stdin().read(&mut buf)?;
        let (at, keys) = (now(), &buf[..n]);
        if n == 0 || keys.contains(&END[0]) {
            return Ok(());
        }
        if !std::mem::replace(&mut begun, true) {
            tell(at)?;
        }
        if keys.contains(&b'\r') {
            tell(at)?;
            begun = false;
            out.write_all(b"\r\ndone\r\n> ")?;
        } else {
            let text = String::from_utf8_lossy(keys);
            let text = text.replace("\x1b[200~", "").replace("\x1b[201~", "");
            out.write_all(text.as_bytes())?;
        }
        out.flush()?;
    }
}

/// What an agent has told: when, and of which session.
pub(crate) fn told(report: &[u8]) -> Option<(f64, &str)> {
    let (at, session) = std::str::from_utf8(report).ok()?.split_once(' ')?;
    Some((at.parse().ok()?, session))
}

/// Seconds on the clock that processes share.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

//! What the program is when it runs itself as an agent.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixDatagram;

use super::relay::raw;
use super::{END, REPORT, now};

/// Writes a byte at once; then an input line, in which it shows what it gets
/// until Enter. Tells when the first byte and when Enter came.
pub(super) fn run() -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(b"!")?;
    out.flush()?;
    raw()?;
    out.write_all(b"\r\n\x1b[?2004h> ")?;
    out.flush()?;
    let report = UnixDatagram::unbound()?;
    let path = std::env::var_os(REPORT).unwrap_or_default();
    let (mut buf, mut begun) = ([0; 4096], false);
    loop {
        let n = io::stdin().read(&mut buf)?;
        let (at, keys) = (now().to_string(), &buf[..n]);
        if n == 0 || keys.contains(&END[0]) {
            return Ok(());
        }
        if !std::mem::replace(&mut begun, true) {
            report.send_to(at.as_bytes(), &path)?;
        }
        if keys.contains(&b'\r') {
            report.send_to(at.as_bytes(), &path)?;
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

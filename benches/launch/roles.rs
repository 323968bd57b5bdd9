//! What the program is when it runs itself: the agent, the relay.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use wrapper::terminal::fd::winsize;

use super::{END, Failure, REPORT, SIZE, now};

/// Writes a byte at once; then an input line, in which it shows what it gets
/// until Enter. Tells when the first byte and when Enter came.
pub(super) fn agent() -> io::Result<()> {
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

/// The least that a relay can do: poll, one read, one write.
pub(super) fn relay(command: &[String]) -> Result<(), Failure> {
    raw()?;
    let pair = nix::pty::openpty(&winsize(SIZE), None)?;
    let stdio = || pair.slave.try_clone().map(Stdio::from);
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(stdio()?)
        .stdout(stdio()?)
        .stderr(stdio()?)
        .spawn()?;
    drop(pair.slave);
    let (keys, screen) = (
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
    );
    loop {
        let mut fds = [
            PollFd::new(keys.as_fd(), PollFlags::POLLIN),
            PollFd::new(pair.master.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE)?;
        let ready = fds.map(|fd| fd.any().unwrap_or(false));
        if (ready[1] && !copy(&pair.master, &screen)?) || (ready[0] && !copy(&keys, &pair.master)?)
        {
            break;
        }
    }
    child.wait()?;
    Ok(())
}

pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> nix::Result<bool> {
    let mut buf = [0; 4096];
    let Ok(n @ 1..) = nix::unistd::read(from, &mut buf) else {
        return Ok(false);
    };
    let mut rest = &buf[..n];
    while !rest.is_empty() {
        rest = &rest[nix::unistd::write(to, rest)?..];
    }
    Ok(true)
}

pub(super) fn raw() -> nix::Result<()> {
    let mut settings = tcgetattr(io::stdin())?;
    cfmakeraw(&mut settings);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &settings)
}

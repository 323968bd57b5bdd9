//! The least that a relay can do, which sessions are measured against.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wrapper::terminal::fd::winsize;
use wrapper::types::size::TermSize;

use super::Failure;
use super::raw::raw;

/// Runs a command in a terminal of its own: poll, one read, one write.
pub(crate) fn run(command: &[String], size: TermSize) -> Result<(), Failure> {
    raw()?;
    let pair = nix::pty::openpty(&winsize(size), None)?;
    let stdio = || pair.slave.try_clone().map(Stdio::from);
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(stdio()?)
        .stdout(stdio()?)
        .stderr(stdio()?)
        .spawn()?;
    drop(pair.slave);
    let mut buf = vec![0; 64 * 1024];
    let (user_in, user_out): (OwnedFd, OwnedFd) = (
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
    );
    loop {
        let mut fds = [
            PollFd::new(user_in.as_fd(), PollFlags::POLLIN),
            PollFd::new(pair.master.as_fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE)?;
        let ready = fds.map(|fd| fd.any().unwrap_or(false));
        if ready[1] && !copy(&pair.master, &user_out, &mut buf)? {
            break;
        }
        if ready[0] && !copy(&user_in, &pair.master, &mut buf)? {
            break;
        }
    }
    child.wait()?;
    Ok(())
}

fn copy(from: &OwnedFd, to: &OwnedFd, buf: &mut [u8]) -> nix::Result<bool> {
    let Ok(n @ 1..) = nix::unistd::read(from, buf) else {
        return Ok(false);
    };
    let mut rest = &buf[..n];
    while !rest.is_empty() {
        rest = &rest[nix::unistd::write(to, rest)?..];
    }
    Ok(true)
}

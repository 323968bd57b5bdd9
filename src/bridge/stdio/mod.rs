//! The agent's side: its lines as they come, our messages as it takes them.
//!
//! Standard streams may be any file, and are shared with whoever started us,
//! so none is set non-blocking. Where the system tells that a stream will not
//! block, we speak on it ourselves, which saves each message two hand-overs;
//! else a thread does that blocks.

mod input;
mod output;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(super) use input::Lines;
pub(super) use output::{Out, Written};

/// Lines and messages that may wait.
const QUEUE: usize = 16;

/// Both standard streams.
#[derive(Debug)]
pub(super) struct Stdio {
    /// What the agent says.
    pub(super) lines: Lines,
    pub(super) out: Out,
    pub(super) written: Written,
}

/// Opens both; what serves them ends with the process.
///
/// # Errors
/// If the system has no threads left.
pub(super) fn open() -> io::Result<Stdio> {
    let (out, written) = output::open()?;
    let lines = input::open()?;
    Ok(Stdio {
        lines,
        out,
        written,
    })
}

/// True if `file` can do now what `for_what` asks, or has something to say
/// about why it never will.
fn is_ready(file: impl AsFd, for_what: PollFlags) -> bool {
    let file: BorrowedFd = file.as_fd();
    loop {
        match poll(&mut [PollFd::new(file, for_what)], PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            // What cannot be asked is found out by whoever blocks.
            ready => return ready.is_ok_and(|ready| ready > 0),
        }
    }
}

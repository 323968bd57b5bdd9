//! What the agent says, line by line.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::thread;

use nix::poll::PollFlags;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{QUEUE, is_ready};

/// What is read at once.
const ROOM: usize = 64 * 1024;

/// The agent's lines, without line ends and empty ones.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: mpsc::Receiver<Vec<u8>>,
    /// Cancelled when the agent has said its last, taken or not.
    pub(crate) last: CancellationToken,
    _reader: Option<AbortOnDropHandle<()>>,
}

impl Lines {
    /// The next line; None after the last. Safe to drop while it waits.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        self.queue.recv().await
    }
}

/// Reads standard input from now on: as the runtime tells that there is
/// something, or, of a file that it cannot watch, in a thread.
pub(super) fn open() -> io::Result<Lines> {
    let (say, queue) = mpsc::channel(QUEUE);
    let last = CancellationToken::new();
    let guard = last.clone().drop_guard();
    let own = io::stdin().as_fd().try_clone_to_owned()?;
    // Whatever it is, to the runtime it is a pipe.
    let reader = if let Ok(input) = Receiver::from_owned_fd_unchecked(own) {
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            told(follow(&input, &say).await);
            drop(guard);
        })))
    } else {
        thread::Builder::new().name("stdin".into()).spawn(move || {
            told(read(&say));
            drop(guard);
        })?;
        None
    };
    Ok(Lines {
        queue,
        last,
        _reader: reader,
    })
}

fn told(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "standard input broke");
    }
}

async fn follow(input: &Receiver, say: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let (mut cutter, mut room) = (Cutter::default(), vec![0; ROOM]);
    loop {
        input.readable().await?;
        // The file may block: it is read only when it says that it will not.
        let read = input.try_io(|| {
            if is_ready(input, PollFlags::POLLIN) {
                Ok(nix::unistd::read(input, &mut room)?)
            } else {
                Err(ErrorKind::WouldBlock.into())
            }
        });
        let n = match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            read => read?,
        };
        for line in cutter.cut(&room[..n]) {
            if say.send(line).await.is_err() {
                return Ok(());
            }
        }
        if n == 0 {
            return Ok(());
        }
    }
}

fn read(say: &mpsc::Sender<Vec<u8>>) -> io::Result<()> {
    let (mut cutter, mut room) = (Cutter::default(), vec![0; ROOM]);
    let mut input = io::stdin().lock();
    loop {
        let n = input.read(&mut room)?;
        for line in cutter.cut(&room[..n]) {
            if say.blocking_send(line).is_err() {
                return Ok(());
            }
        }
        if n == 0 {
            return Ok(());
        }
    }
}

/// Cuts what is read into lines.
#[derive(Debug, Default)]
struct Cutter {
    /// A line that has not ended yet.
    open: Vec<u8>,
}

impl Cutter {
    /// The lines that end in `bytes`; nothing more to come, if it is empty,
    /// ends one as well.
    fn cut(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.open.extend_from_slice(&rest[..end]);
            lines.push(std::mem::take(&mut self.open));
            rest = &rest[end + 1..];
        }
        self.open.extend_from_slice(rest);
        if bytes.is_empty() {
            lines.push(std::mem::take(&mut self.open));
        }
        for line in &mut lines {
            line.truncate(line.trim_ascii_end().len());
        }
        lines.retain(|line| !line.is_empty());
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\r\n\n two \nthree";
        for size in 1..=text.len() {
            let mut cutter = Cutter::default();
            let mut lines: Vec<Vec<u8>> = Vec::new();
            for piece in text.chunks(size) {
                lines.extend(cutter.cut(piece));
            }
            lines.extend(cutter.cut(b""));
            assert_eq!(lines, [&b"one"[..], b" two", b"three"], "{size}");
            assert!(cutter.cut(b"").is_empty());
        }
    }
}

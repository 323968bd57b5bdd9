//! The user's terminal, or the lack of one.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::panic;
use std::task::Poll;

use anyhow::{Context, Result};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal::SIGTSTP, kill};
use nix::sys::termios::{self, SetArg, Termios};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::fd::{self, Fd};
use crate::types::size::TermSize;

/// Undoes every mode that agents leave on, whether or not it is on, but for
/// the alternate screen: to be written whenever an agent has ended. (xterm's
/// control sequences; kitty's keyboard protocol.)
pub const UNDO: &[u8] = b"\x18\x1b[?2026l\
    \x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l\
    \x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[?2048l\x1b[>4m\x1b[<u\x1b[<u\
    \x1b7\x1b[r\x1b8\x1b[?1l\x1b>\x1b[?7h\x1b(B\x0f\x1b[0m\x1b[0 q\x1b[?25h";

/// Leaves the alternate screen where nobody knows whether it is on: the cursor
/// stays.
const LEAVE_PERHAPS: &[u8] = b"\x1b[?1047l\x1b[<u\x1b[<u";

/// Leaves the alternate screen, and the keyboard protocol of the other one.
/// Not to be written where that is off: some terminals put the cursor back to
/// where it was when it was left the last time, over what came since.
pub const LEAVE: &[u8] = b"\x1b[?1049l\x1b[<u\x1b[<u";

/// Where the user is: [`DevTty`], or [`Headless`], or [`super::Nowhere`].
#[expect(async_fn_in_trait, reason = "used by generics of this crate alone")]
pub trait Tty {
    fn size(&self) -> TermSize;

    /// Waits for what the user types, and reads once. 0: the terminal is gone.
    async fn read(&self, buf: &mut [u8]) -> io::Result<usize>;

    /// Shows a part of `buf`; waits while the terminal takes nothing.
    async fn write(&self, buf: &[u8]) -> io::Result<usize>;

    /// True if there is a terminal that answers what agents ask; else we do.
    fn answers(&self) -> bool;

    /// Waits until the size may have changed.
    async fn resized(&self);

    /// Waits until everything written has left us.
    async fn flush(&self);

    /// Notes whether the agent has left the alternate screen on; it counts as
    /// on until this is told.
    fn note_alternate(&self, on: bool);

    /// Notes how many rows the cursor has to go down to stand below what the agent
    /// has left, so that a shell's prompt does not stand within.
    fn note_below(&self, _rows: u16) {}

    /// What undoes the modes that the agent has left on.
    fn undo(&self) -> Vec<u8>;

    /// Gives the terminal back to the shell, as Ctrl-Z does, and returns when
    /// we are in the foreground again: at once where there is no shell.
    ///
    /// # Errors
    /// If the terminal has gone.
    fn suspend(&self) -> io::Result<()>;
}

/// True if there is a terminal to run in.
#[must_use]
pub fn foreground() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal()
}

/// The terminal that we were started in. While this value lives it is raw;
/// afterwards, and after a panic, it is as it was.
#[derive(Debug)]
pub struct DevTty {
    fd: Fd,
    winch: RefCell<Signal>,
    cont: RefCell<Signal>,
    // Dropped last of all.
    raw: Raw,
}

impl DevTty {
    /// Opens the terminal and makes it raw.
    ///
    /// # Errors
    /// If there is none, or none that can be opened.
    pub fn open() -> Result<Self> {
        Self::take(reopen()?.into())
    }

    /// As [`DevTty::open`], with a terminal that is open already and that
    /// nobody else reads: it becomes non-blocking.
    ///
    /// # Errors
    /// If it is no terminal.
    pub fn take(tty: OwnedFd) -> Result<Self> {
        let raw = Raw::set(tty.try_clone()?).context("cannot make the terminal raw")?;
        Ok(Self {
            fd: Fd::new(tty).context("cannot wait for the terminal")?,
            winch: signal(SignalKind::window_change())
                .context("cannot watch for SIGWINCH")?
                .into(),
            cont: signal(SignalKind::from_raw(libc::SIGCONT))
                .context("cannot watch for SIGCONT")?
                .into(),
            raw,
        })
    }
}

impl Tty for DevTty {
    fn size(&self) -> TermSize {
        fd::size(&self.fd).unwrap_or_default()
    }

    async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.fd.read(buf).await
    }

    async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.fd.write(buf).await
    }

    fn answers(&self) -> bool {
        true
    }

    async fn resized(&self) {
        poll_fn(|cx| {
            let cont = self.cont.borrow_mut().poll_recv(cx);
            if cont.is_ready()
                && let Err(error) = self.raw.enter()
            {
                tracing::warn!(%error, "cannot make the terminal raw again");
            }
            match self.winch.borrow_mut().poll_recv(cx) {
                Poll::Pending => cont,
                ready @ Poll::Ready(_) => ready,
            }
        })
        .await;
    }

    async fn flush(&self) {}

    fn note_alternate(&self, on: bool) {
        self.raw.alternate.set(on);
    }

    fn note_below(&self, rows: u16) {
        self.raw.below.set(rows);
    }

    fn undo(&self) -> Vec<u8> {
        self.raw.undo()
    }

    fn suspend(&self) -> io::Result<()> {
        self.raw.leave()?;
        // To the whole job, as the terminal would. The kernel ignores it where
        // nobody could bring us back.
        kill(Pid::from_raw(0), SIGTSTP)?;
        self.raw.enter()
    }
}

/// No terminal: the agent's output is copied to standard output, nothing is
/// read.
///
/// A thread writes, because standard output is shared with others and may not
/// be made non-blocking.
#[derive(Debug)]
pub struct Headless {
    size: TermSize,
    chunks: mpsc::Sender<Chunk>,
}

#[derive(Debug)]
enum Chunk {
    Output(Vec<u8>),
    Flush(oneshot::Sender<()>),
}

impl Headless {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn open(size: TermSize) -> Result<Self> {
        let (chunks, mut queue) = mpsc::channel(4);
        let write = move || {
            while let Some(chunk) = queue.blocking_recv() {
                match chunk {
                    Chunk::Output(bytes) => {
                        let mut out = io::stdout().lock();
                        // Whoever read has gone: the closed channel says so.
                        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                            return;
                        }
                    }
                    Chunk::Flush(done) => drop(done.send(())),
                }
            }
        };
        std::thread::Builder::new()
            .name("stdout".into())
            .spawn(write)
            .context("cannot start a thread for the output")?;
        Ok(Self { size, chunks })
    }
}

impl Tty for Headless {
    fn size(&self) -> TermSize {
        self.size
    }

    async fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        std::future::pending().await
    }

    async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let room = self.chunks.reserve().await;
        room.map_err(|_| io::ErrorKind::BrokenPipe)?
            .send(Chunk::Output(buf.to_vec()));
        Ok(buf.len())
    }

    fn answers(&self) -> bool {
        false
    }

    async fn resized(&self) {
        std::future::pending::<()>().await;
    }

    fn note_alternate(&self, _: bool) {}

    fn undo(&self) -> Vec<u8> {
        UNDO.to_vec()
    }

    fn suspend(&self) -> io::Result<()> {
        Ok(())
    }

    async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.chunks.send(Chunk::Flush(done)).await.is_ok() {
            // An error says that the thread has ended: nothing is left to wait for.
            let _ = flushed.await;
        }
    }
}

/// The guard of raw mode. While it lives, panics are told to the log: on a raw
/// terminal their text would stand in the agent's picture.
#[derive(Debug)]
struct Raw {
    tty: File,
    before: Termios,
    alternate: Cell<bool>,
    below: Cell<u16>,
}

impl Raw {
    fn set(tty: OwnedFd) -> io::Result<Self> {
        let raw = Self {
            before: termios::tcgetattr(&tty)?,
            tty: tty.into(),
            alternate: Cell::new(false),
            below: Cell::new(0),
        };
        raw.enter()?;
        panic::set_hook(Box::new(|panic| tracing::error!(%panic, "we panicked")));
        Ok(raw)
    }

    fn enter(&self) -> io::Result<()> {
        let mut raw = self.before.clone();
        termios::cfmakeraw(&mut raw);
        Ok(termios::tcsetattr(&self.tty, SetArg::TCSANOW, &raw)?)
    }

    fn undo(&self) -> Vec<u8> {
        let leave = match self.alternate.get() {
            _ if std::thread::panicking() => LEAVE_PERHAPS,
            true => LEAVE,
            false => b"",
        };
        [leave, UNDO].concat()
    }

    fn leave(&self) -> io::Result<()> {
        Ok(termios::tcsetattr(
            &self.tty,
            SetArg::TCSANOW,
            &self.before,
        )?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let mut undo = self.undo();
        if std::thread::panicking() {
            // The agent had no time for last words, nor to end its line.
            undo.extend_from_slice(b"\r\n");
        } else {
            undo.extend(b"\r\n".repeat(self.below.get().into()));
        }
        write_soon(&mut self.tty, &undo);
        if let Err(error) = self.leave() {
            tracing::warn!(%error, "cannot restore the terminal");
        }
        // A thread that panics may not change the hook.
        if !std::thread::panicking() {
            drop(panic::take_hook());
        }
    }
}

/// Opens our terminal anew, non-blocking: standard input's open file is the
/// shell's as well.
fn reopen() -> Result<File> {
    let mut paths = vec!["/dev/tty".into()];
    paths.extend(
        [&io::stdin().as_fd(), &io::stdout().as_fd()]
            .iter()
            .flat_map(nix::unistd::ttyname),
    );
    if cfg!(target_os = "macos") {
        // Its kqueue watches terminals by their own names alone.
        paths.rotate_left(1);
    }
    let mut failed = anyhow::anyhow!("cannot open the terminal");
    for path in paths {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&path);
        match file {
            Ok(file) => return Ok(file),
            Err(error) => {
                failed = anyhow::anyhow!(error).context(format!("cannot open {}", path.display()));
            }
        }
    }
    Err(failed)
}

/// Writes all of it to a non-blocking terminal, unless that stays stalled.
fn write_soon(tty: &mut File, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match tty.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(tty.as_fd(), PollFlags::POLLOUT)];
                if !poll(&mut room, PollTimeout::from(200u8)).is_ok_and(|ready| ready > 0) {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

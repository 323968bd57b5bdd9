//! Descriptors of terminals: non-blocking, awaited, sized, and made the
//! controlling terminal of a child. All the unsafe code of the house is here,
//! but for one system call of the queue.

#![expect(
    unsafe_code,
    reason = "registering a descriptor, ioctls, and what happens between fork and exec have no safe form"
)]

use std::io::{self, Read, Write};
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::pty::Winsize;
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, fork, getppid, setsid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::anchor::{self, Held};
use crate::types::size::TermSize;

/// An owned descriptor that is read and written without blocking.
#[derive(Debug)]
pub struct Fd(AsyncFd<std::fs::File>);

impl Fd {
    /// Takes a descriptor and makes its open file non-blocking: that holds for
    /// every duplicate of it, so it must not be one that others use.
    ///
    /// # Errors
    /// If the system cannot watch it, as with a regular file.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: the file owns its descriptor and is not touched until the
        // registration is dropped with it.
        unsafe { AsyncFd::register(std::fs::File::from(fd)) }
            .map(Self)
            .map_err(|error| error.into_parts().1)
    }

    /// Waits until there is something to read, and reads once.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0
            .async_io(Interest::READABLE, |mut file| file.read(buf))
            .await
    }

    /// Waits until there is room, and writes once, perhaps a part of `buf`.
    pub async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.0
            .async_io(Interest::WRITABLE, |mut file| file.write(buf))
            .await
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

/// The size of a terminal. A side that it does not know (CI runners, serial
/// lines) is that of the default: agents assume the same, and a prompt could
/// not be seen in a single cell.
///
/// # Errors
/// If the descriptor is no terminal.
pub fn size(fd: impl AsFd) -> io::Result<TermSize> {
    let mut size = winsize(TermSize::default());
    // SAFETY: the descriptor is open and the kernel writes one `winsize`.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(result)?;
    let known = |side, default| if side == 0 { default } else { side };
    let default = TermSize::default();
    Ok(TermSize::new(
        known(size.ws_row, default.rows),
        known(size.ws_col, default.cols),
    )
    .with_pixels(size.ws_xpixel, size.ws_ypixel))
}

/// Sets the size of a terminal; the kernel tells its foreground processes.
///
/// # Errors
/// If the descriptor is no terminal.
pub fn resize(fd: impl AsFd, size: TermSize) -> io::Result<()> {
    let size = winsize(size);
    // SAFETY: the descriptor is open and the kernel reads one `winsize`.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(result)?;
    Ok(())
}

/// How many bytes that were written to `master` nobody has read from its
/// terminal yet. Only Linux tells: elsewhere there are none.
///
/// # Errors
/// If the descriptor is no master, or its terminal is gone.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
pub fn unread(master: impl AsFd) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let master = master.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open, and what the kernel gives back is new
        // and nobody's (ioctl_tty(2)).
        let terminal = unsafe {
            let fd = libc::ioctl(master, libc::TIOCGPTPEER, flags.bits());
            OwnedFd::from_raw_fd(Errno::result(fd)?)
        };
        let mut count: libc::c_int = 0;
        // SAFETY: the descriptor is open and the kernel writes one int.
        let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::FIONREAD, &raw mut count) };
        Errno::result(result)?;
        Ok(usize::try_from(count).unwrap_or_default())
    }
    #[cfg(not(target_os = "linux"))]
    Ok(0)
}

/// Makes the child lead a session whose controlling terminal is its standard
/// input, and run the program as a job in it: see [`anchor`].
pub fn lead_session(command: &mut tokio::process::Command) {
    // SAFETY: between fork and exec there are system calls and no allocation,
    // which is all that a child of threads may do; that holds for the second
    // fork as well, whose parent never returns.
    unsafe {
        command.pre_exec(|| {
            let wrapper = getppid();
            setsid()?;
            Errno::result(libc::ioctl(0, libc::TIOCSCTTY as _, 0))?;
            // Nothing may end the anchor before it listens.
            SigSet::all().thread_set_mask()?;
            match fork()? {
                ForkResult::Child => {
                    SigSet::empty().thread_set_mask()?;
                    anchor::take_foreground()
                }
                ForkResult::Parent { child } => {
                    close_all();
                    libc::_exit(match anchor::hold(wrapper, child) {
                        Held::Exited(code) => code,
                        Held::Killed(by) => {
                            // The same end, so that whoever waits sees it.
                            libc::signal(by, libc::SIG_DFL);
                            libc::raise(by);
                            128 + by
                        }
                    })
                }
            }
        });
    }
}

/// Closes every descriptor; the terminal must have no holder but the agent, and
/// the pipe that tells of a failed exec none at all.
fn close_all() {
    #[cfg(target_os = "linux")]
    // SAFETY: nothing in this process uses a descriptor any more.
    if unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) } == 0 {
        return;
    }
    // SAFETY: as above; the limit is asked for, and nothing is written.
    unsafe {
        for fd in 0..libc::getdtablesize().min(65536) {
            libc::close(fd);
        }
    }
}

/// A size as the kernel writes it.
#[must_use]
pub fn winsize(size: TermSize) -> Winsize {
    Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: size.x_pixels,
        ws_ypixel: size.y_pixels,
    }
}

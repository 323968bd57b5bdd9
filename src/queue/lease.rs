//! Whether anybody has a file open for writing.

use std::fs::File;

/// Who may still append to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writers {
    Gone,
    There,
    /// The system does not tell.
    Unknown,
}

#[cfg(target_os = "linux")]
mod system {
    #![expect(unsafe_code, reason = "no crate has a safe form of leases")]

    use std::fs::File;
    use std::os::fd::AsRawFd;

    use nix::errno::Errno;
    use nix::libc::{self, c_int};

    use super::Writers;

    /// From `fcntl.h`, the same on every architecture; `libc` lacks it.
    const F_SETSIG: c_int = 10;

    pub(in super::super) fn writers(file: &File) -> Writers {
        let control = |command: c_int, value: c_int| {
            // SAFETY: the descriptor is open, and these commands take a number.
            Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, value) })
        };
        // Whoever opens the file in the moment of the lease makes the kernel
        // send us a signal: one that is ignored, as SIGIO would kill us.
        let leased = control(F_SETSIG, libc::SIGURG)
            .and_then(|_| control(libc::F_SETLEASE, libc::F_RDLCK))
            .and_then(|_| control(libc::F_SETLEASE, libc::F_UNLCK));
        match leased {
            Ok(_) => Writers::Gone,
            Err(Errno::EAGAIN) => Writers::There,
            Err(_) => Writers::Unknown,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(in super::super) fn writers(_: &std::fs::File) -> super::Writers {
        super::Writers::Unknown
    }
}

/// Asks the kernel for a read lease on a file that is open for reading, which
/// it grants only if nobody has it open for writing (`F_SETLEASE` of
/// fcntl(2)), and gives it back at once.
pub(super) fn writers(file: &File) -> Writers {
    system::writers(file)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_seen_for_as_long_as_it_is_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let writer = File::create(&path).expect("made");
        let reader = File::open(&path).expect("opened");
        assert_eq!(writers(&reader), Writers::There);
        std::fs::rename(&path, dir.path().join("moved")).expect("renamed");
        let second = writer.try_clone().expect("a duplicate");
        drop(writer);
        assert_eq!(writers(&reader), Writers::There);
        drop(second);
        assert_eq!(writers(&reader), Writers::Gone);
        // The lease is not kept: the next writer need not wait.
        let again = File::options().append(true).open(dir.path().join("moved"));
        assert_eq!(writers(&reader), Writers::There);
        drop(again.expect("opened"));
    }
}

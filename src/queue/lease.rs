//! Whether anybody has a file open for writing.

use std::fs::File;

#[cfg(target_os = "linux")]
mod system {
    #![expect(unsafe_code, reason = "no crate has a safe form of leases")]

    use std::fs::File;
    use std::os::fd::AsRawFd;

    use nix::errno::Errno;
    use nix::libc::{self, c_int};

    /// From `fcntl.h`, the same on every architecture; `libc` lacks it.
    const F_SETSIG: c_int = 10;

    pub(super) fn is_written(file: &File) -> Option<bool> {
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
            Ok(_) => Some(false),
            Err(Errno::EAGAIN) => Some(true),
            Err(_) => None,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn is_written(_: &std::fs::File) -> Option<bool> {
        None
    }
}

/// True if somebody has a file open for writing; none if the system does not
/// tell. Asks the kernel for a read lease on the file, which is open for
/// reading: it grants one only if there is no writer (`F_SETLEASE` of
/// fcntl(2)). It is given back at once.
pub(super) fn is_written(file: &File) -> Option<bool> {
    system::is_written(file)
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
        assert_eq!(is_written(&reader), Some(true));
        std::fs::rename(&path, dir.path().join("moved")).expect("renamed");
        let second = writer.try_clone().expect("a duplicate");
        drop(writer);
        assert_eq!(is_written(&reader), Some(true));
        drop(second);
        assert_eq!(is_written(&reader), Some(false));
        // The lease is not kept: the next writer need not wait.
        let again = File::options().append(true).open(dir.path().join("moved"));
        assert_eq!(is_written(&reader), Some(true));
        drop(again.expect("opened"));
    }
}

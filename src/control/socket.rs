//! The control socket's path, which may be longer than a socket's address.

use std::fs::File;
use std::io;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The socket's name in the session's directory.
pub const NAME: &str = "control.sock";

/// A path by which the system takes a socket, for as long as this is there.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) path: PathBuf,
    _dir: Option<File>,
}

/// The path as it is if it fits into a socket's address (108 bytes on Linux,
/// 104 on macOS), else one through the descriptor of its directory.
///
/// # Errors
/// If the directory cannot be opened, or there are no paths of descriptors.
pub(super) fn way(socket: &Path) -> io::Result<Way> {
    if SocketAddr::from_pathname(socket).is_ok() {
        return Ok(Way {
            path: socket.to_owned(),
            _dir: None,
        });
    }
    by_descriptor(socket)
}

#[cfg(target_os = "linux")]
fn by_descriptor(socket: &Path) -> io::Result<Way> {
    use std::os::fd::AsRawFd;

    let (Some(dir), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = File::open(dir)?;
    let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
    Ok(Way {
        path: path.join(name),
        _dir: Some(dir),
    })
}

#[cfg(not(target_os = "linux"))]
fn by_descriptor(_: &Path) -> io::Result<Way> {
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the path is too long for a socket",
    ))
}

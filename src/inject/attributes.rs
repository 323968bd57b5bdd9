//! Extended attributes of a file of the user's, access lists among them.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{XattrFlags, fsetxattr, getxattr, listxattr};
use rustix::io::Errno;

/// Bytes that a list of names or a value may have.
const LONGEST: usize = 64 * 1024;

/// Attributes that the system gives to every file by itself.
const OF_THE_SYSTEM: &str = "security.";

/// Gives `to` the attributes of the file at `from`.
///
/// # Errors
/// One that it cannot have.
pub(super) fn copy(from: &Path, to: &File) -> io::Result<()> {
    let names = match whole(|buffer| listxattr(from, buffer)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
        names => names?,
    };
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let value = match whole(|buffer| getxattr(from, name, buffer)) {
            // Somebody has just removed it.
            Err(Errno::NODATA) => continue,
            value => value?,
        };
        match fsetxattr(to, name, &value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(_) if name.starts_with(OF_THE_SYSTEM.as_bytes()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// All of what is asked for, whose size is not known before.
fn whole(ask: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1024];
    loop {
        match ask(&mut buffer) {
            Err(Errno::RANGE) if buffer.len() < LONGEST => buffer.resize(buffer.len() * 8, 0),
            Ok(size) => {
                buffer.truncate(size);
                return Ok(buffer);
            }
            Err(error) => return Err(error),
        }
    }
}

//! A terminal that gives every key as it comes.

use std::io;

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// Makes our own terminal so.
pub(crate) fn raw() -> nix::Result<()> {
    let mut settings = tcgetattr(io::stdin())?;
    cfmakeraw(&mut settings);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &settings)
}

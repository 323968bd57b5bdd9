//! The terminal of a session that has none: nobody types, and what the agent
//! shows goes to its screen's model alone.

use std::future::pending;
use std::io;

use super::tty::Tty;
use crate::types::size::TermSize;

/// No terminal, and no output either: in the background, and under a service
/// manager.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Tty for Nowhere {
    fn size(&self) -> TermSize {
        TermSize::default()
    }

    async fn read(&self, _: &mut [u8]) -> io::Result<usize> {
        pending().await
    }

    async fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn answers(&self) -> bool {
        false
    }

    async fn resized(&self) {
        pending::<()>().await;
    }

    async fn flush(&self) {}

    fn note_alternate(&self, _: bool) {}

    fn undo(&self) -> Vec<u8> {
        Vec::new()
    }

    /// An agent that suspends itself has no shell to go back to: it goes on.
    fn suspend(&self) -> io::Result<()> {
        Ok(())
    }
}

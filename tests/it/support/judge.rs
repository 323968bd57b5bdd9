//! What a terminal shows, judged by an emulator that is none of ours.

use std::num::NonZeroU16;

use wrapper::types::size::TermSize;

use super::DEADLINE;
use super::pty::Outer;

/// A terminal, and an emulator that has seen everything that was written to it.
pub(crate) struct Judged {
    pub(crate) outer: Outer,
    emulator: vt100::Parser,
    seen: usize,
}

impl Judged {
    /// Judges a terminal of the usual size, from its beginning.
    pub(crate) fn new(outer: Outer) -> Self {
        let TermSize { rows, cols } = TermSize::default();
        let side = |cells| NonZeroU16::new(cells).expect("a side");
        Self {
            outer,
            emulator: vt100::Parser::new(side(rows), side(cols), 0),
            seen: 0,
        }
    }

    /// Waits until both terminals show the same: every cell with its colours,
    /// the cursor, and the modes of keyboard and mouse.
    pub(crate) async fn agrees(&mut self, other: &mut Self) {
        let wait = async {
            while self.state() != other.state() {
                let more = tokio::select! {
                    more = self.outer.read() => more,
                    more = other.outer.read() => more,
                };
                assert!(more, "a terminal has closed");
            }
        };
        let agreed = tokio::time::timeout(DEADLINE, wait).await;
        assert!(
            agreed.is_ok(),
            "{:#?} is not {:#?}",
            self.state(),
            other.state()
        );
    }

    fn state(&mut self) -> (bool, String) {
        self.emulator.process(&self.outer.bytes[self.seen..]);
        self.seen = self.outer.bytes.len();
        let screen = self.emulator.screen();
        (screen.alternate_screen(), screen.state_formatted())
    }
}

//! The agent's terminal as those who look on need it: of their size, exact
//! while they follow, and drawn anew where the screen's model has lost its way.

use std::io;
use std::time::{Duration, Instant};

use crate::session::audience::Audience;
use crate::terminal::{Feed, Pty};
use crate::types::size::TermSize;

/// How long the agent is shown another size, to draw everything again; and the
/// shortest time between two such.
const NUDGE: Duration = Duration::from_millis(100);
const REPAINTS: Duration = Duration::from_secs(1);

/// One life's terminal.
pub(super) struct Stage<'a> {
    pty: &'a Pty,
    size: TermSize,
    is_exact: bool,
    repaint: Repaint,
    /// When the last repaint was over.
    last: Option<Instant>,
}

/// Agents draw everything again when they find another size.
enum Repaint {
    Done,
    Due(Instant),
    /// The agent has been shown another size, until then.
    Nudged(Instant),
}

impl<'a> Stage<'a> {
    /// The terminal of a life that begins: nobody has seen it yet.
    pub(super) fn new(pty: &'a Pty, audience: &mut Audience) -> Self {
        audience.begin();
        Self {
            pty,
            size: audience.size(),
            is_exact: false,
            repaint: Repaint::Done,
            last: None,
        }
    }

    /// Has the agent draw everything again, soon.
    pub(super) fn repaint(&mut self) {
        if let Repaint::Done = self.repaint {
            let now = Instant::now();
            let at = self.last.map_or(now, |last| now.max(last + REPAINTS));
            self.repaint = Repaint::Due(at);
        }
    }

    /// When there is something to do without news.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self.repaint {
            Repaint::Done => None,
            Repaint::Due(at) | Repaint::Nudged(at) => Some(at),
        }
    }

    /// Follows the audience: its size, its need of a true picture, and
    /// whom it is to be shown to.
    ///
    /// # Errors
    /// If the agent's terminal takes no size.
    pub(super) fn settle(&mut self, audience: &mut Audience, feed: &Feed) -> io::Result<()> {
        let now = Instant::now();
        match self.repaint {
            Repaint::Due(at) if at <= now => {
                let rows = match self.size.rows {
                    1 => 2,
                    rows => rows - 1,
                };
                self.pty.resize(TermSize { rows, ..self.size })?;
                self.repaint = Repaint::Nudged(now + NUDGE);
            }
            Repaint::Nudged(until) if until <= now => {
                self.pty.resize(self.size)?;
                (self.repaint, self.last) = (Repaint::Done, Some(now));
            }
            _ => {}
        }
        if audience.size() != self.size {
            self.size = audience.size();
            self.pty.resize(self.size)?;
            feed.resize(self.size);
        }
        if audience.follows() != self.is_exact {
            self.is_exact = audience.follows();
            feed.exact(self.is_exact);
        }
        audience.refresh(feed);
        Ok(())
    }
}

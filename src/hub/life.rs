//! Whether an instance's process is there: its lease, its open streams, and
//! its own word on being busy. Pure: time comes in.

use std::time::{Duration, Instant};

/// How long an instance without a sign of life counts as online.
pub(super) const LEASE: Duration = Duration::from_secs(15);

/// How long a report of activity holds.
const BUSY: Duration = Duration::from_secs(8);

/// What is known of an instance's process; not kept over a restart.
#[derive(Debug, Clone)]
pub(super) struct Life {
    lease_end: Instant,
    /// False after the hub's start, until the instance is heard of.
    heard: bool,
    /// Its session is known to be dead, whatever is still open.
    dead: bool,
    streams: u32,
    busy_end: Option<Instant>,
    /// Reads in a row that found nothing.
    pub(super) empty_reads: u32,
}

impl Life {
    /// One whose lease runs from now. `heard`: it spoke just now.
    pub(super) fn new(now: Instant, heard: bool) -> Self {
        Self {
            lease_end: now + LEASE,
            heard,
            dead: false,
            streams: 0,
            busy_end: None,
            empty_reads: 0,
        }
    }

    /// One of which nothing was ever heard: any newcomer may have its name.
    pub(super) fn never(now: Instant) -> Self {
        let mut life = Self::new(now, false);
        life.die(now);
        life
    }

    /// A sign of life.
    pub(super) fn touch(&mut self, now: Instant) {
        self.lease_end = now + LEASE;
        self.heard = true;
        self.dead = false;
    }

    /// Its process has ended without a word.
    pub(super) fn die(&mut self, now: Instant) {
        self.lease_end = now;
        self.dead = true;
        self.busy_end = None;
    }

    pub(super) fn stream_opened(&mut self, now: Instant) {
        self.touch(now);
        self.streams += 1;
    }

    pub(super) fn stream_closed(&mut self, now: Instant) {
        self.streams = self.streams.saturating_sub(1);
        if !self.dead {
            self.touch(now);
        }
    }

    pub(super) fn set_busy(&mut self, busy: bool, now: Instant) {
        self.busy_end = busy.then(|| now + BUSY);
    }

    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy_end.is_some_and(|end| now < end)
    }

    pub(super) fn is_online(&self, now: Instant) -> bool {
        self.heard && self.holds(now)
    }

    /// True while nobody else may have the name: also for a while after the
    /// hub's start, when nobody was heard of yet.
    pub(super) fn holds(&self, now: Instant) -> bool {
        !self.dead && (self.streams > 0 || now < self.lease_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_stream_keeps_an_instance_online() {
        let start = Instant::now();
        let mut life = Life::new(start, false);
        assert!(!life.is_online(start), "not heard of since the hub's start");
        life.stream_opened(start);
        assert!(life.is_online(start + LEASE * 10));
        life.stream_closed(start + LEASE * 10);
        assert!(life.is_online(start + LEASE * 10));
        assert!(!life.is_online(start + LEASE * 11));
    }

    #[test]
    fn the_dead_are_offline_at_once_until_somebody_speaks_for_them() {
        let now = Instant::now();
        let mut life = Life::new(now, true);
        life.stream_opened(now);
        life.die(now);
        assert!(!life.is_online(now) && !life.holds(now));
        life.stream_closed(now);
        assert!(!life.is_online(now), "its connection ends after it");
        life.touch(now);
        assert!(life.is_online(now));
    }

    #[test]
    fn activity_fades() {
        let now = Instant::now();
        let mut life = Life::new(now, true);
        life.set_busy(true, now);
        assert!(life.is_busy(now) && !life.is_busy(now + BUSY));
        life.set_busy(false, now);
        assert!(!life.is_busy(now));
    }
}

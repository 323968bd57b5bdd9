//! What waits between the relay and the thread that shows: output, and orders
//! in their places between it.
//!
//! *Invariant*: it holds at most [`FULL`] bytes of output, and one chunk more
//! while nothing may be skipped, for whoever pours waits for [`Tank::room`]. The
//! lock is held for a copy or a swap, and for the skipping that a flood makes
//! necessary.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::plain;

/// How much output may wait to be shown, in bytes.
pub(super) const FULL: usize = 256 * 1024;

/// A tank between two threads.
#[derive(Debug)]
pub(super) struct Tank<O> {
    state: Mutex<State<O>>,
    filled: Condvar,
    /// Told when there may be room again.
    drained: Notify,
}

/// What was in it.
#[derive(Debug)]
pub(super) struct Contents<O> {
    pub(super) output: Vec<u8>,
    /// Each with its place in the output.
    pub(super) orders: Vec<(usize, O)>,
    /// How often something was put in, ever.
    pub(super) handed: u64,
    /// Output is missing.
    pub(super) skipped: bool,
    /// Somebody looks at everything.
    pub(super) attended: bool,
    /// Nothing may be skipped.
    exact: bool,
}

#[derive(Debug)]
struct State<O> {
    contents: Contents<O>,
    /// [`Contents::handed`] when it was last emptied.
    emptied: u64,
    /// Whoever empties is not to rest.
    urgent: bool,
    /// Whoever empties sleeps until told.
    asleep: bool,
    closed: bool,
}

impl<O> Tank<O> {
    /// Puts output in. All that puts something in returns how often that was
    /// done by now.
    pub(super) fn pour(&self, chunk: &[u8], urgent: bool) -> u64 {
        self.put(|contents| {
            if !contents.exact && contents.output.len() + chunk.len() > FULL {
                contents.skip();
            }
            contents.output.extend_from_slice(chunk);
            // Whoever pours will soon wait.
            urgent || contents.exact && contents.output.len() > FULL / 4
        })
    }

    /// Puts an order in.
    pub(super) fn order(&self, order: O, urgent: bool) -> u64 {
        self.put(|contents| {
            contents.orders.push((contents.output.len(), order));
            urgent
        })
    }

    /// While attended, everything is urgent.
    pub(super) fn attend(&self, attended: bool) -> u64 {
        self.put(|contents| {
            contents.attended = attended;
            true
        })
    }

    /// While exact, nothing is skipped: whoever pours waits for room first.
    pub(super) fn exact(&self, exact: bool) -> u64 {
        let handed = self.put(|contents| {
            contents.exact = exact;
            false
        });
        self.drained.notify_one();
        handed
    }

    /// Waits until there is room, or until it need not be waited for. For one
    /// who pours.
    pub(super) async fn room(&self) {
        let is_full = || {
            let contents = &self.lock().contents;
            contents.exact && contents.output.len() >= FULL
        };
        while is_full() {
            self.drained.notified().await;
        }
    }

    /// Ends whoever empties.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Waits until something is in and until `rest` is over, unless there is
    /// something urgent; then exchanges it for `spare`, which is empty. False
    /// at the end.
    pub(super) fn empty(&self, spare: &mut Contents<O>, rest: Duration) -> bool {
        let mut state = self.lock();
        while state.contents.handed == state.emptied && !state.closed {
            state.asleep = true;
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let until = Instant::now() + rest;
        while !(state.urgent || state.contents.attended || state.closed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.filled.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        state.emptied = state.contents.handed;
        spare.handed = state.contents.handed;
        spare.attended = state.contents.attended;
        spare.exact = state.contents.exact;
        mem::swap(spare, &mut state.contents);
        if spare.exact {
            self.drained.notify_one();
        }
        !state.closed
    }

    fn put(&self, put: impl FnOnce(&mut Contents<O>) -> bool) -> u64 {
        let mut state = self.lock();
        let urgent = put(&mut state.contents);
        state.contents.handed += 1;
        let handed = state.contents.handed;
        // Whoever rests wakes by itself: waking it is a system call.
        let wake = mem::take(&mut state.asleep) || (urgent && !state.urgent);
        state.urgent |= urgent;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        handed
    }

    /// A panic under the lock leaves nothing half done that matters.
    fn lock(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<O> Contents<O> {
    /// Makes room.
    fn skip(&mut self) {
        let before = self.output.len();
        plain::skip(&mut self.output);
        let gone = before - self.output.len();
        for (at, _) in &mut self.orders {
            *at = at.saturating_sub(gone);
        }
        self.skipped = true;
    }
}

impl<O> Default for Contents<O> {
    fn default() -> Self {
        Self {
            output: Vec::with_capacity(FULL),
            orders: Vec::new(),
            handed: 0,
            skipped: false,
            attended: false,
            exact: false,
        }
    }
}

impl<O> Default for Tank<O> {
    fn default() -> Self {
        let state = State {
            contents: Contents::default(),
            emptied: 0,
            urgent: false,
            asleep: false,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            drained: Notify::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_it_may() {
        let tank = Tank::<&str>::default();
        tank.order("first", false);
        for _ in 0..10_000 {
            tank.pour(&[b'x'; 4095], false);
        }
        tank.order("last", true);
        let mut contents = Contents::default();
        assert!(tank.empty(&mut contents, Duration::from_secs(3600)));
        assert!(contents.skipped && contents.output.len() <= FULL);
        assert_eq!(contents.handed, 10_002);
        let end = contents.output.len();
        assert_eq!(contents.orders, [(0, "first"), (end, "last")]);
    }

    #[tokio::test]
    async fn an_exact_tank_skips_nothing_and_tells_of_room() {
        let tank = Tank::<()>::default();
        tank.exact(true);
        let mut contents = Contents::default();
        for _ in 0..50 {
            let poured = fill(&tank).await;
            assert!((FULL..=FULL + 4096).contains(&poured));
            let empty = async {
                assert!(tank.empty(&mut contents, Duration::from_secs(3600)));
            };
            tokio::join!(tank.room(), empty);
            assert_eq!(contents.output.len(), poured);
            assert!(!contents.skipped);
            contents.output.clear();
        }
        fill(&tank).await;
        tank.exact(false);
        tank.room().await;
    }

    /// Pours while there is room, and tells how much.
    async fn fill(tank: &Tank<()>) -> usize {
        let mut poured = 0;
        loop {
            tokio::select! {
                biased;
                () = tank.room() => {}
                () = std::future::ready(()) => return poured,
            }
            tank.pour(&[b'x'; 4096], false);
            poured += 4096;
        }
    }

    #[test]
    fn a_closed_tank_ends_the_wait() {
        let tank = Tank::<()>::default();
        tank.close();
        assert!(!tank.empty(&mut Contents::default(), Duration::MAX / 4));
    }
}

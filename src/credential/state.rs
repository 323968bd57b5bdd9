//! What is known of one credential, and what is to be done for who asks for
//! it. Pure: the clocks are passed in.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::granted::Granted;
use super::parse::Given;
use super::schedule;

/// A moment, on both clocks: credentials end by the wall's, which goes on while
/// the machine sleeps; pauses are measured by the one that is never set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: SystemTime,
    pub(super) tick: Instant,
}

/// Why a command runs, as it is told in `WRAPPER_REASON`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Start,
    Expiring,
    Unauthorized,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Expiring => "expiring",
            Self::Unauthorized => "unauthorized",
        }
    }
}

/// What to do for who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Give(Arc<Granted>),
    /// Give it, and renew it beside.
    GiveAndRun(Arc<Granted>, Reason),
    /// Run, wait for the end, and ask again.
    Run(Reason),
    /// Wait for the run that there is, and ask again.
    Wait,
    Fail(Arc<str>),
}

#[derive(Debug, Default)]
pub(super) struct State {
    held: Option<Held>,
    failed: Option<Failure>,
    running: Option<Reason>,
}

#[derive(Debug)]
struct Held {
    granted: Arc<Granted>,
    refresh_at: Option<SystemTime>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    why: Arc<str>,
}

impl State {
    /// For a request that is to be sent.
    pub(super) fn grant(&self, now: Moment) -> Step {
        match self.valid(now) {
            Some(held) => {
                let granted = Arc::clone(&held.granted);
                let is_due = held.refresh_at.is_some_and(|at| at <= now.wall);
                if is_due && self.running.is_none() && self.pause(now).is_none() {
                    Step::GiveAndRun(granted, Reason::Expiring)
                } else {
                    Step::Give(granted)
                }
            }
            None if self.held.is_some() => self.run(now, Reason::Expiring),
            None => self.run(now, Reason::Start),
        }
    }

    /// For a request that was refused with `used`: what there is in its place.
    pub(super) fn renew(&self, now: Moment, used: &Granted) -> Step {
        match self.valid(now) {
            Some(held) if held.granted.headers != used.headers => {
                Step::Give(Arc::clone(&held.granted))
            }
            _ => self.run(now, Reason::Unauthorized),
        }
    }

    /// A run has begun.
    pub(super) fn begin(&mut self, reason: Reason) {
        self.running = Some(reason);
    }

    /// A run has ended, or a source was read. What is valid is kept when
    /// nothing comes in its place. `interval` is how old what has no known end
    /// may become.
    pub(super) fn end(
        &mut self,
        now: Moment,
        given: Result<Given, String>,
        interval: Option<Duration>,
    ) {
        let reason = self.running.take();
        let given = given.and_then(|given| {
            let has_ended = given.expires_at.is_some_and(|end| end <= now.wall);
            if has_ended {
                Err("it gave a credential that has expired".to_owned())
            } else {
                Ok(given)
            }
        });
        let why = match given {
            Err(why) => Some(why),
            Ok(given) => {
                let is_same = self.hold(now, given, interval);
                (is_same && reason == Some(Reason::Unauthorized))
                    .then(|| "it gave the same credential again".to_owned())
            }
        };
        self.failed = why.map(|why| Failure {
            at: now.tick,
            why: why.into(),
        });
    }

    /// The last one, valid or not.
    pub(super) fn held(&self) -> Option<&Arc<Granted>> {
        self.held.as_ref().map(|held| &held.granted)
    }

    /// Why there is no newer one, if the last try failed.
    pub(super) fn failure(&self) -> Option<&Arc<str>> {
        self.failed.as_ref().map(|failed| &failed.why)
    }

    /// Takes what was given; true if it is what was held. What is the same
    /// stays the same value, and a rotation drops the one before.
    fn hold(&mut self, now: Moment, given: Given, interval: Option<Duration>) -> bool {
        let refresh_at = schedule::refresh_at(now.wall, given.expires_at, interval);
        let held = self.held.take().map(|held| held.granted);
        let is_same = held
            .as_ref()
            .is_some_and(|held| held.headers == given.headers);
        let granted = held
            .filter(|held| is_same && held.expires_at == given.expires_at)
            .unwrap_or_else(|| {
                Arc::new(Granted {
                    headers: given.headers,
                    expires_at: given.expires_at,
                })
            });
        self.held = Some(Held {
            granted,
            refresh_at,
        });
        is_same
    }

    fn valid(&self, now: Moment) -> Option<&Held> {
        let held = self.held.as_ref();
        held.filter(|held| held.granted.is_valid(now.wall))
    }

    fn run(&self, now: Moment, reason: Reason) -> Step {
        match self.pause(now) {
            _ if self.running.is_some() => Step::Wait,
            Some(failed) => Step::Fail(Arc::clone(&failed.why)),
            None => Step::Run(reason),
        }
    }

    /// What failed so lately that it is not tried again.
    fn pause(&self, now: Moment) -> Option<&Failure> {
        let since = |failed: &Failure| now.tick.saturating_duration_since(failed.at);
        let failed = self.failed.as_ref();
        failed.filter(|failed| !schedule::may_retry(since(failed)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::types::identity::Token;

    /// Seconds after the start.
    struct Clock(Instant);

    impl Clock {
        fn at(&self, seconds: u64) -> Moment {
            let passed = Duration::from_secs(seconds);
            Moment {
                wall: UNIX_EPOCH + passed,
                tick: self.0 + passed,
            }
        }
    }

    fn clock() -> Clock {
        Clock(Instant::now())
    }

    fn given(token: &str, end: Option<u64>) -> Given {
        Given {
            headers: vec![("A".into(), Token::new(token))],
            expires_at: end.map(|end| UNIX_EPOCH + Duration::from_secs(end)),
        }
    }

    fn failed() -> Result<Given, String> {
        Err("no".into())
    }

    /// A state that has run once, at 0.
    fn after(clock: &Clock, first: Result<Given, String>) -> State {
        let mut state = State::default();
        assert_eq!(state.grant(clock.at(0)), Step::Run(Reason::Start));
        state.begin(Reason::Start);
        state.end(clock.at(0), first, None);
        state
    }

    /// The token, or else what there is in its place.
    fn said(step: &Step) -> String {
        let token = |granted: &Granted| granted.headers[0].1.expose().to_owned();
        match step {
            Step::Give(granted) => token(granted),
            Step::GiveAndRun(granted, reason) => token(granted) + " " + reason.as_str(),
            Step::Run(reason) => format!("run {}", reason.as_str()),
            Step::Wait => "wait".into(),
            Step::Fail(why) => format!("fail: {why}"),
        }
    }

    #[test]
    fn renewed_ahead_of_its_end_beside_who_asks() {
        let clock = clock();
        let mut state = after(&clock, Ok(given("a", Some(400))));
        for (at, wanted) in [
            (0, "a"),
            (299, "a"),
            (300, "a expiring"),
            (399, "a expiring"),
            (400, "run expiring"),
            (9000, "run expiring"),
        ] {
            assert_eq!(said(&state.grant(clock.at(at))), wanted, "{at}");
        }
        // One run, whoever comes meanwhile.
        state.begin(Reason::Expiring);
        assert_eq!(said(&state.grant(clock.at(300))), "a");
        assert_eq!(said(&state.grant(clock.at(400))), "wait");
        state.end(clock.at(400), Ok(given("b", Some(800))), None);
        assert_eq!(said(&state.grant(clock.at(401))), "b");
    }

    #[test]
    fn what_has_no_end_is_renewed_at_an_age() {
        let clock = clock();
        let mut state = State::default();
        state.begin(Reason::Start);
        state.end(
            clock.at(0),
            Ok(given("a", None)),
            Some(Duration::from_secs(3000)),
        );
        assert_eq!(said(&state.grant(clock.at(2999))), "a");
        assert_eq!(said(&state.grant(clock.at(3000))), "a expiring");
        let state = after(&clock, Ok(given("a", None)));
        assert_eq!(said(&state.grant(clock.at(1 << 40))), "a");
    }

    #[test]
    fn what_is_valid_outlives_a_failing_source() {
        let clock = clock();
        let mut state = after(&clock, Ok(given("a", Some(400))));
        state.begin(Reason::Expiring);
        state.end(clock.at(300), failed(), None);
        for (at, wanted) in [
            (300, "a"),
            (359, "a"),
            (360, "a expiring"),
            (400, "run expiring"),
        ] {
            assert_eq!(said(&state.grant(clock.at(at))), wanted, "{at}");
        }
        state.begin(Reason::Expiring);
        state.end(clock.at(390), failed(), None);
        assert_eq!(said(&state.grant(clock.at(399))), "a");
        assert_eq!(said(&state.grant(clock.at(400))), "fail: no");
        assert_eq!(said(&state.grant(clock.at(450))), "run expiring");
        assert_eq!(state.failure().map(|why| &**why), Some("no"));
        state.begin(Reason::Expiring);
        state.end(clock.at(450), Ok(given("b", None)), None);
        assert_eq!(said(&state.grant(clock.at(450))), "b");
        assert_eq!(state.failure(), None);
    }

    #[test]
    fn a_source_that_fails_rests_for_a_minute() {
        let clock = clock();
        let expired = "it gave a credential that has expired";
        for (first, why) in [(failed(), "no"), (Ok(given("a", Some(0))), expired)] {
            let state = after(&clock, first);
            for (at, wanted) in [
                (0, format!("fail: {why}")),
                (59, format!("fail: {why}")),
                (60, "run start".to_owned()),
            ] {
                assert_eq!(said(&state.grant(clock.at(at))), wanted, "{at}");
            }
        }
    }

    #[test]
    fn a_refusal_forces_one_run() {
        let clock = clock();
        let mut state = after(&clock, Ok(given("a", None)));
        let used = Arc::clone(state.held().expect("held"));
        assert_eq!(said(&state.renew(clock.at(1), &used)), "run unauthorized");
        state.begin(Reason::Unauthorized);
        assert_eq!(said(&state.renew(clock.at(1), &used)), "wait");
        assert_eq!(said(&state.grant(clock.at(1))), "a");
        state.end(clock.at(2), Ok(given("b", None)), None);
        // Who was refused with the old one needs no run any more.
        assert_eq!(said(&state.renew(clock.at(2), &used)), "b");

        // The same again counts as a failure.
        let used = Arc::clone(state.held().expect("held"));
        state.begin(Reason::Unauthorized);
        state.end(clock.at(3), Ok(given("b", None)), None);
        let same = "fail: it gave the same credential again";
        assert_eq!(said(&state.renew(clock.at(3), &used)), same);
        assert_eq!(said(&state.renew(clock.at(62), &used)), same);
        assert_eq!(said(&state.grant(clock.at(62))), "b");
        assert_eq!(said(&state.renew(clock.at(63), &used)), "run unauthorized");

        // A run for another reason may have found it in a cache.
        let mut state = after(&clock, Ok(given("a", Some(400))));
        let used = Arc::clone(state.held().expect("held"));
        state.begin(Reason::Expiring);
        assert_eq!(said(&state.renew(clock.at(300), &used)), "wait");
        state.end(clock.at(300), Ok(given("a", Some(400))), None);
        assert_eq!(said(&state.renew(clock.at(300), &used)), "run unauthorized");
    }

    #[test]
    fn a_million_rotations_leave_one() {
        let clock = clock();
        let mut state = State::default();
        let mut before = Weak::new();
        for turn in 0..1_000_000u32 {
            state.begin(Reason::Expiring);
            state.end(clock.at(1), Ok(given(&turn.to_string(), Some(9))), None);
            let held = state.held().expect("held");
            assert!(before.upgrade().is_none(), "the one before {turn} is kept");
            assert_eq!(Arc::strong_count(held), 1);
            before = Arc::downgrade(held);
        }
    }
}

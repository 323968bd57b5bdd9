//! When a credential is to be renewed, and when one that could not be may be
//! tried again. Pure: the clock is passed in.

use std::time::{Duration, SystemTime};

/// How long before its end a credential is renewed at the latest.
const AHEAD: Duration = Duration::from_secs(60);
/// Between a failed run and the next.
const PAUSE: Duration = Duration::from_secs(60);

/// When what was given at `given` is to be renewed: at three quarters of its
/// life or a minute before its end, whichever is earlier; where life is shorter
/// than that minute, at three quarters. What has no known end is renewed at the
/// age `interval`, if there is one.
pub(super) fn refresh_at(
    given: SystemTime,
    expires_at: Option<SystemTime>,
    interval: Option<Duration>,
) -> Option<SystemTime> {
    let age = match expires_at {
        None => interval?,
        Some(end) => {
            let life = end.duration_since(given).unwrap_or_default();
            let most = life / 4 * 3;
            match life.checked_sub(AHEAD) {
                Some(Duration::ZERO) | None => most,
                Some(ahead) => most.min(ahead),
            }
        }
    };
    given.checked_add(age)
}

/// True if a run may follow one that failed that long ago.
pub(super) fn may_retry(since: Duration) -> bool {
    since >= PAUSE
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn renewed_before_the_end() {
        let given = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (life, interval, age) in [
            (Some(3600), None, Some(2700)),
            (Some(3600), Some(10), Some(2700)),
            (Some(240), None, Some(180)),
            (Some(200), None, Some(140)),
            (Some(100), None, Some(40)),
            (Some(61), None, Some(1)),
            // A minute before the end was before it was given.
            (Some(60), None, Some(45)),
            (Some(4), None, Some(3)),
            (Some(0), None, Some(0)),
            (None, Some(3000), Some(3000)),
            (None, None, None),
        ] {
            let at = |age| given + Duration::from_secs(age);
            let interval = interval.map(Duration::from_secs);
            assert_eq!(
                refresh_at(given, life.map(at), interval),
                age.map(at),
                "{life:?} {interval:?}"
            );
        }
        // It had ended before it was given.
        assert_eq!(refresh_at(given, Some(UNIX_EPOCH), None), Some(given));
        assert_eq!(refresh_at(given, None, Some(Duration::MAX)), None);
    }

    #[test]
    fn a_minute_between_failures() {
        for (since, may) in [(0, false), (59, false), (60, true), (600, true)] {
            assert_eq!(may_retry(Duration::from_secs(since)), may, "{since}");
        }
    }
}

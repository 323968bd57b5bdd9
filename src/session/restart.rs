//! Whether an agent that ended is started again. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::types::agent::Restart;
use crate::types::exit::AgentExit;

/// The first pause; each later one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A life this long starts the pauses from the first again.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// A first start that ends within this time is no crash: the agent cannot run
/// like that, and would not the next time.
const START: Duration = Duration::from_secs(10);

/// So many deaths within [`WINDOW`] are enough.
const DEATHS: usize = 5;
const WINDOW: Duration = Duration::from_secs(120);

/// The lives of one session's agent.
#[derive(Debug, Default)]
pub struct History {
    deaths: VecDeque<Instant>,
    /// Short lives in a row.
    short: u32,
    /// One of them has got so far that another may as well.
    has_run: bool,
}

/// How far a life has come; the lesser comes first.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    #[default]
    Nothing,
    /// It has asked something. Before it is ready, that is whether to go on at
    /// all: an end after that is an answer.
    Question,
    /// It has taken prompts, or would have.
    Ready,
}

/// What follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The session ends with its agent.
    End,
    /// The agent is started again after this pause.
    Again(Duration),
    /// It would be, but it dies too often.
    GiveUp { deaths: usize, within: Duration },
}

impl History {
    /// Notes a life that began and ended then.
    pub fn note(&mut self, began: Instant, ended: Instant, reached: Reached) {
        let lived = ended.saturating_duration_since(began);
        self.has_run |= match reached {
            Reached::Nothing => lived >= START,
            Reached::Question => false,
            Reached::Ready => true,
        };
        self.short = if lived >= LONG_LIFE {
            1
        } else {
            self.short + 1
        };
        self.deaths.push_back(ended);
        self.deaths
            .retain(|death| ended.saturating_duration_since(*death) <= WINDOW);
    }
}

/// What to do after the agent ended like that; the end is in the history.
#[must_use]
pub fn next(policy: Restart, exit: AgentExit, history: &History) -> Next {
    let again = match policy {
        Restart::Never => false,
        Restart::OnCrash => !exit.is_clean(),
        Restart::Always => true,
    };
    let is_refusal = !history.has_run && !exit.is_by_others();
    if !again || is_refusal {
        return Next::End;
    }
    if history.deaths.len() >= DEATHS {
        return Next::GiveUp {
            deaths: history.deaths.len(),
            within: WINDOW,
        };
    }
    let doublings = history.short.saturating_sub(1).min(16);
    Next::Again((FIRST * 2u32.pow(doublings)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: AgentExit = AgentExit::Code(1);

    /// The history of an agent that has been ready, and has not died yet.
    fn ready() -> History {
        History {
            has_run: true,
            ..History::default()
        }
    }

    #[test]
    fn a_first_start_that_comes_to_nothing_is_the_last() {
        let start = Instant::now();
        let first = Next::Again(FIRST);
        for (seconds, reached, expected) in [
            (0, Reached::Nothing, Next::End),
            (9, Reached::Nothing, Next::End),
            (10, Reached::Nothing, first),
            // Somebody has said no.
            (5, Reached::Question, Next::End),
            (50, Reached::Question, Next::End),
            (0, Reached::Ready, first),
        ] {
            let mut history = History::default();
            history.note(start, start + Duration::from_secs(seconds), reached);
            for policy in [Restart::OnCrash, Restart::Always] {
                let got = next(policy, CRASH, &history);
                assert_eq!(got, expected, "{seconds} {reached:?} {policy:?}");
            }
        }
        let mut history = History::default();
        history.note(start, start, Reached::Nothing);
        // Somebody has killed it.
        assert_eq!(
            next(Restart::OnCrash, AgentExit::Signal(9), &history),
            first
        );
        let mut history = History::default();
        history.note(start, start, Reached::Ready);
        history.note(start, start, Reached::Nothing);
        assert!(matches!(
            next(Restart::OnCrash, CRASH, &history),
            Next::Again(_)
        ));
    }

    #[test]
    fn the_policy_decides_which_ends_count() {
        let history = ready();
        let again = Next::Again(FIRST);
        for (policy, exit, expected) in [
            (Restart::Never, CRASH, Next::End),
            (Restart::OnCrash, AgentExit::Code(0), Next::End),
            (Restart::OnCrash, CRASH, again),
            (Restart::OnCrash, AgentExit::Signal(9), again),
            (Restart::OnCrash, AgentExit::Signal(2), Next::End),
            (Restart::Always, AgentExit::Code(0), again),
        ] {
            assert_eq!(
                next(policy, exit, &history),
                expected,
                "{policy:?} {exit:?}"
            );
        }
    }

    #[test]
    fn pauses_double_and_start_anew_after_a_long_life() {
        let mut now = Instant::now();
        let mut history = History::default();
        let mut pauses = Vec::new();
        for life in [0, 40, 40, 40, 70, 10, 40, 40, 40, 40, 40, 40] {
            let began = now;
            now += Duration::from_secs(life);
            history.note(began, now, Reached::Ready);
            if let Next::Again(pause) = next(Restart::OnCrash, CRASH, &history) {
                pauses.push(pause.as_secs());
                now += pause;
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn five_deaths_in_two_minutes_are_enough() {
        let start = Instant::now();
        let mut history = History::default();
        for second in [0, 10, 20, 30] {
            let at = start + Duration::from_secs(second);
            history.note(at, at, Reached::Ready);
            assert!(matches!(
                next(Restart::Always, CRASH, &history),
                Next::Again(_)
            ));
        }
        let at = start + Duration::from_secs(115);
        history.note(at, at, Reached::Ready);
        assert_eq!(
            next(Restart::Always, CRASH, &history),
            Next::GiveUp {
                deaths: 5,
                within: WINDOW
            }
        );
        assert_eq!(next(Restart::Never, CRASH, &history), Next::End);
    }
}

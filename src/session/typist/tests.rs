//! The typist before a screen that the test paints.

mod evidence;
mod keys_of_a_user;
mod order;
mod puppet;
mod random;
mod ready;
mod strange;
mod waiting;

use super::*;
use crate::session::detect::{Held, InputLine, Region, Shows, Sight, Verdict, View};
use crate::session::receipt::Stage;
use crate::terminal::keys;

/// Of an agent that takes line ends.
fn habits() -> Habits {
    toml::from_str("lines = true\nfirst = { \"/\" = \"refuse\" }\ncompletes = \"@\"")
        .expect("habits")
}

/// A typist, a clock, and what it looks at.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "what the test paints")]
struct Desk {
    typist: Typist<u64>,
    start: Instant,
    now: Instant,
    still_since: Instant,
    view: View,
    sight: Sight,
    /// What stands in the input line, where one is seen.
    typed: Option<String>,
    /// The agent has a manifest of its own.
    known: bool,
    /// Rules that hold besides.
    held: Vec<Held>,
    unread: bool,
    printed: String,
    unsure: bool,
    works: bool,
    stash: Option<&'static [u8]>,
    /// How many prompts there were.
    count: u64,
}

impl Desk {
    /// Ready for prompts: bracketed paste is on, nothing has moved for long.
    fn ready() -> Self {
        let mut desk = Self::starting();
        desk.view.bracketed_paste = true;
        desk.wait(60_000);
        desk
    }

    fn starting() -> Self {
        let now = Instant::now();
        Self {
            typist: Typist::new(Pacing::default(), habits(), now),
            start: now,
            now,
            still_since: now,
            view: View {
                rows: vec!["welcome".into(), ">".into(), "help".into()],
                cursor: (1, 2),
                bracketed_paste: false,
            },
            sight: Sight::Clear,
            typed: None,
            known: true,
            held: Vec::new(),
            unread: false,
            printed: String::new(),
            unsure: false,
            works: false,
            stash: None,
            count: 0,
        }
    }

    fn ask(&mut self, text: &str) -> &mut Self {
        self.ask_for(text, Options::default())
    }

    #[track_caller]
    fn ask_for(&mut self, text: &str, options: Options) -> &mut Self {
        assert_eq!(self.push(text, options), None);
        self
    }

    /// The ticket of every prompt is its number, and so is its id.
    fn push(&mut self, text: &str, options: Options) -> Option<(u64, Receipt)> {
        self.count += 1;
        let id = PromptId(self.count);
        self.typist.push(self.now, id, (text, options), self.count)
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    /// The agent paints its input line.
    fn paint(&mut self, input: &str) -> &mut Self {
        self.view.rows[1] = format!("> {input}");
        self.printed.push_str(&input.replace(' ', ""));
        self.still_since = self.now;
        self
    }

    fn step(&mut self) -> Option<Act<u64>> {
        let now = self.now;
        let act = self.see(|typist, scene| typist.step(now, scene));
        if let Some(Act::Paste(_)) = act {
            self.printed.clear();
        }
        act
    }

    /// Lets the typist look.
    fn see<R>(&mut self, look: impl FnOnce(&mut Typist<u64>, &Scene) -> R) -> R {
        let verdict = Verdict {
            is_blank: false,
            sight: self.sight.clone(),
            held: self.held.clone(),
            is_known: self.known,
        };
        let line = self.typed.clone().map(|text| InputLine {
            is_filled: !text.is_empty(),
            text,
        });
        let scene = Scene {
            view: &self.view,
            verdict: &verdict,
            line: line.as_ref(),
            unread: self.unread,
            printed: &self.printed,
            unsure: self.unsure,
            still_since: self.still_since,
            works: self.works,
            stash: self.stash,
        };
        look(&mut self.typist, &scene)
    }

    #[track_caller]
    fn pastes(&mut self, keys: &str) -> &mut Self {
        assert_eq!(self.step(), Some(Act::Paste(keys.as_bytes().to_vec())));
        self.idles()
    }

    #[track_caller]
    fn keys(&mut self, keys: &str) -> &mut Self {
        assert_eq!(self.step(), Some(Act::Keys(keys.as_bytes().to_vec())));
        self
    }

    #[track_caller]
    fn idles(&mut self) -> &mut Self {
        assert_eq!(self.step(), None);
        self
    }

    #[track_caller]
    fn reports(&mut self, outcome: &Outcome) -> Receipt {
        match self.step() {
            Some(Act::Report(_, receipt)) => {
                assert_eq!(receipt.outcome(), Some(outcome));
                receipt
            }
            other => panic!("{other:?}"),
        }
    }

    fn user(&mut self, keys: &str) -> String {
        String::from_utf8(self.typist.user(self.now, keys.as_bytes())).expect("text")
    }
}

const PASTE: &str = "\x1b[200~read the chat\x1b[201~";

#[test]
fn paste_echo_pause_enter_reaction() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").wait(7).pastes(PASTE);
    desk.wait(20).paint("read the chat").idles();
    desk.wait(299).idles();
    desk.wait(1).keys("\r");
    desk.wait(5).idles();
    let receipt = desk.wait(5).paint("").reports(&Outcome::Submitted);
    assert_eq!(
        (
            receipt.queued_ms(desk.now),
            receipt.typed_ms(desk.now),
            receipt.submitted_ms(desk.now)
        ),
        (7, Some(320), Some(10))
    );
    assert!(!desk.typist.is_busy());
}

#[test]
fn without_an_echo_there_is_no_enter_and_a_later_try() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(2999).idles();
    desk.wait(1).idles();
    desk.wait(999).idles();
    desk.wait(1).pastes(PASTE);
    desk.wait(3000).idles();
    desk.wait(1999).idles();
    desk.wait(1).pastes(PASTE);
}

#[test]
fn output_alone_or_screen_alone_is_no_echo() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.printed = "readthechat".into();
    desk.wait(400).idles();
    desk.wait(400).idles();
    desk.printed.clear();
    desk.view.rows[1] = "> read the chat".into();
    desk.wait(400).idles();
    desk.wait(400).idles();
    desk.printed = "readthechat".into();
    desk.idles().wait(300).keys("\r");
}

#[test]
fn an_earlier_prompt_with_the_same_text_is_no_echo() {
    let mut desk = Desk::ready();
    desk.view.rows[0] = "> read the chat".into();
    desk.ask("read the chat").pastes(PASTE);
    desk.printed = "readthechat".into();
    desk.wait(1000).idles();
    desk.wait(400).idles();
}

#[test]
fn history_that_moves_is_no_echo_where_the_input_line_is_known() {
    let mut desk = Desk::ready();
    desk.typed = Some(String::new());
    desk.view.rows = vec!["read the chat".into(), ">".into(), String::new()];
    desk.ask("read the chat").pastes(PASTE);
    // A dialog has swallowed the paste, and closes: all moves down a row.
    desk.view.rows.rotate_right(1);
    desk.printed.push_str("readthechat");
    desk.wait(20).idles();
    desk.wait(3000).idles();
    desk.wait(1000).pastes(PASTE);
    desk.typed = Some("read the chat".into());
    desk.wait(20).paint("read the chat").idles();
    desk.wait(300).keys("\r");
}

#[test]
fn a_late_echo_is_submitted_and_not_pasted_again() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(3000).idles();
    desk.wait(100).paint("read the chat");
    // The agent's own manifest sees our text as a draft.
    desk.sight = Sight::Draft;
    desk.idles();
    desk.wait(900).idles();
    desk.wait(300).keys("\r");
}

#[test]
fn a_late_echo_that_the_user_may_have_submitted_is_unknown() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(3000).idles();
    desk.paint("read the chat");
    assert_eq!(desk.user("\r"), "\r");
    desk.wait(1000).reports(&Outcome::Unknown(Reason::LateEcho));
}

#[test]
fn nothing_is_typed_into_a_dialog_or_a_draft() {
    for sight in [Sight::Dialog("allow?".into()), Sight::Draft] {
        let mut desk = Desk::ready();
        desk.sight = sight;
        desk.ask("read the chat").wait(60_000).idles();
        desk.sight = Sight::Clear;
        desk.pastes(PASTE);
    }
}

#[test]
fn a_dialog_that_opens_before_enter_gets_no_enter_and_gets_the_users_keys() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(10).paint("read the chat").idles();
    assert_eq!(desk.user("2"), "");
    desk.sight = Sight::Dialog("allow?".into());
    desk.wait(100).keys("2");
    desk.wait(60_000).idles();
    desk.user("\r");
    desk.sight = Sight::Clear;
    desk.view.rows[1] = ">".into();
    desk.printed.clear();
    desk.pastes(PASTE);
}

#[test]
fn an_echo_that_vanishes_gets_no_enter() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(10).paint("read the chat").idles();
    desk.paint("").wait(300).idles();
    desk.wait(999).idles();
}

#[test]
fn the_users_unfinished_line_is_left_alone() {
    let mut desk = Desk::ready();
    assert_eq!(desk.user("hal"), "hal");
    desk.ask("read the chat").wait(60_000).idles();
    desk.user("f\r");
    desk.pastes(PASTE);
}

#[test]
fn nothing_is_typed_within_a_key() {
    let mut desk = Desk::ready();
    desk.user("\x1b[");
    desk.ask("read the chat").wait(60_000).idles();
    desk.user("C");
    desk.pastes(PASTE);

    let mut desk = Desk::ready();
    desk.user("\x1b");
    desk.ask("read the chat").idles();
    desk.wait(50).pastes(PASTE);
}

#[test]
fn keys_between_paste_and_enter_follow_enter() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(10).paint("read the chat").idles();
    assert_eq!(desk.user("h"), "");
    assert_eq!(desk.user("i"), "");
    desk.wait(300).keys("\rhi");
    assert_eq!(desk.user("!"), "!");
    // The next prompt waits for the user's line.
    desk.paint("hi!").reports(&Outcome::Submitted);
    desk.ask("read the chat").wait(60_000).idles();
}

#[test]
fn keys_do_not_wait_for_an_echo_that_is_missing() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(500).idles();
    assert_eq!(desk.user("y"), "");
    desk.wait(99).idles();
    desk.wait(1).keys("y");
    desk.wait(60_000).idles();
}

#[test]
fn answers_of_the_terminal_are_not_held() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    assert_eq!(desk.user("\x1b[?62c"), "\x1b[?62c");
    assert_eq!(desk.user("\x1b[I"), "\x1b[I");
}

#[test]
fn no_reaction_is_unknown_and_never_typed_again() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.paint("read the chat").idles();
    desk.wait(300).keys("\r");
    desk.wait(2999).idles();
    desk.wait(1).reports(&Outcome::Unknown(Reason::NoReaction));
    desk.wait(60_000).idles();
}

#[test]
fn prompts_outlive_the_agent_until_enter() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    assert!(desk.typist.agent_ended(desk.now).is_none());
    desk.typist.agent_started(desk.now);
    desk.still_since = desk.now;
    desk.wait(999).idles();
    desk.wait(1).pastes(PASTE);
    desk.paint("read the chat").idles();
    desk.wait(300).keys("\r");
    let (_, receipt) = desk.typist.agent_ended(desk.now).expect("a receipt");
    assert_eq!(receipt.outcome(), Some(&Outcome::Unknown(Reason::Died)));
    assert!(!desk.typist.is_busy());
}

#[test]
fn a_screen_that_cannot_be_followed_frees_the_users_keys() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    assert_eq!(desk.user("y"), "");
    desk.wait(599);
    assert_eq!(desk.typist.stall(desk.now), None);
    desk.wait(1);
    assert_eq!(desk.typist.stall(desk.now), Some(Act::Keys(b"y".to_vec())));
}

#[test]
fn what_cannot_be_typed_is_refused() {
    let mut desk = Desk::ready();
    let mut refused = |text: &str| {
        let (_, receipt) = desk.push(text, Options::default()).expect("refused");
        receipt.reason().map(ToString::to_string)
    };
    let long = "x".repeat(keys::MAX_PROMPT + 1);
    for (text, reason) in [
        (" \x1b\r\n", "there is nothing to type"),
        (&long, "longer than 32768 characters"),
    ] {
        assert_eq!(refused(text).as_deref(), Some(reason));
    }
    desk.ask(&long[1..]);
    for _ in 1..queue::QUEUE {
        desk.ask("x");
    }
    let (_, receipt) = desk.push("x", Options::default()).expect("refused");
    assert_eq!(receipt.reason(), Some(&Reason::TooMany));
    let closed = desk.typist.close(desk.now);
    assert_eq!(closed.len(), queue::QUEUE);
    let exited = Outcome::Refused(Reason::AgentExited);
    let all = |(_, receipt): &(u64, Receipt)| receipt.outcome() == Some(&exited);
    assert!(closed.iter().all(all) && !desk.typist.is_busy());
    assert!(desk.start <= desk.now);
}

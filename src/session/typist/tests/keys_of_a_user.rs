//! What the user's keys make of the line: a draft only where there is one.

use super::*;

const ALLOW: Sight = Sight::Dialog(String::new());

#[test]
fn keys_that_answer_a_question_are_no_draft_while_a_prompt_waits() {
    for keys in ["1", "y", "\x1b[B\r", "\t", "hello"] {
        let mut desk = Desk::ready();
        desk.sight = ALLOW;
        desk.ask("read the chat").idles();
        assert_eq!(desk.user(keys), keys);
        desk.sight = Sight::Clear;
        desk.wait(10).pastes(PASTE);
    }
}

#[test]
fn keys_that_answered_a_question_before_a_prompt_came_are_no_draft() {
    let mut desk = Desk::ready();
    assert_eq!(desk.user("1"), "1");
    let guess = desk.typist.take_guess().expect("a line may have begun");
    desk.typist.keys_were_an_answer(guess);
    assert!(desk.typist.take_guess().is_none(), "told once");
    desk.ask("read the chat").pastes(PASTE);

    // What follows the answer is a line.
    let mut desk = Desk::ready();
    desk.user("1");
    let guess = desk.typist.take_guess().expect("a line may have begun");
    desk.user("hal");
    desk.typist.keys_were_an_answer(guess);
    desk.ask("read the chat").wait(60_000).idles();
    assert_eq!(desk.waits_for(), Some(Reason::Draft));
}

#[test]
fn an_escape_ends_by_time_before_the_next_key_is_followed() {
    for [first, second, third] in [["", "\x1b", "\r"], ["abc", "\x1b", "\x15"]] {
        let mut desk = Desk::ready();
        desk.user(first);
        desk.user(second);
        desk.wait(1500);
        desk.user(third);
        desk.ask("read the chat").pastes(PASTE);
    }
    // At once it is Alt and Enter: a line break.
    let mut desk = Desk::ready();
    desk.user("\x1b");
    desk.wait(20);
    desk.user("\r");
    desk.ask("read the chat").wait(60_000).idles();
}

#[test]
fn enter_does_not_follow_an_escape_at_once() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.paint("read the chat").idles().wait(299);
    // It may be the beginning of an answer, and goes to the agent.
    assert_eq!(desk.user("\x1b"), "\x1b");
    desk.wait(1).idles().wait(49).idles();
    desk.wait(1).keys("\r");
}

#[test]
fn who_asks_why_a_prompt_would_wait_is_told_what_holds_it_up() {
    let mut desk = Desk::ready();
    assert_eq!(desk.waits_for(), None);
    desk.user("x");
    assert_eq!(desk.waits_for(), Some(Reason::Draft));
    desk.ask("read the chat").idles();
    desk.user("\x7f");
    desk.sight = Sight::Dialog("allow".into());
    desk.idles();
    assert_eq!(desk.waits_for(), Some(Reason::Dialog("allow".into())));
    desk.sight = Sight::Clear;
    desk.unread = true;
    desk.idles();
    assert_eq!(desk.waits_for(), Some(Reason::Unread));
    let mut desk = Desk::starting();
    assert_eq!(desk.waits_for(), Some(Reason::Starting));
}

impl Desk {
    fn waits_for(&mut self) -> Option<Reason> {
        let now = self.now;
        self.see(|typist, scene| typist.waits_for(now, scene))
    }
}

//! When an agent counts as ready: still, patient, or plain.

use super::*;

#[test]
fn the_first_prompt_waits_until_the_screen_is_still() {
    let mut desk = Desk::starting();
    desk.ask("read the chat").wait(900).idles();
    desk.view.bracketed_paste = true;
    desk.paint("").wait(999).idles();
    assert_eq!(
        desk.typist.wake(desk.now, desk.still_since),
        Some(desk.now + Duration::from_millis(1))
    );
    desk.wait(1).pastes(PASTE);
    desk.paint("read the chat").idles();
    desk.wait(300).keys("\r");
    desk.paint("").reports(&Outcome::Submitted);
    // Proven: a restless screen no longer matters, unless it is a guess.
    desk.unsure = true;
    desk.ask("read the chat").wait(10).idles();
    desk.unsure = false;
    desk.pastes(PASTE);
}

#[test]
fn a_screen_that_is_never_still_is_tried_after_a_while() {
    let mut desk = Desk::starting();
    desk.view.bracketed_paste = true;
    desk.ask("read the chat").wait(4999);
    desk.still_since = desk.now;
    desk.idles();
    desk.wait(1).pastes(PASTE);
}

#[test]
fn an_agent_without_pastes_gets_a_plain_line_when_it_has_settled() {
    let mut desk = Desk::starting();
    desk.ask("read the chat").wait(4999).idles();
    desk.wait(1).pastes("read the chat");
    desk.paint("read the chat").idles();
    desk.wait(300).keys("\r");
    // One that had them on and has them off is doing something else.
    desk.paint("").reports(&Outcome::Submitted);
    desk.view.bracketed_paste = true;
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(3000).idles();
    desk.view.bracketed_paste = false;
    desk.wait(60_000).idles();
}

#[test]
fn a_blank_screen_is_not_typed_at() {
    let mut desk = Desk::starting();
    desk.view.rows.fill(String::new());
    desk.ask("read the chat").wait(60_000).idles();
    desk.view.bracketed_paste = true;
    desk.wait(60_000).idles();
    desk.view.rows[1] = ">".into();
    desk.pastes(PASTE);
}

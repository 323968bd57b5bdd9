//! Prompts that go before others, and those that others would take along.

use super::*;
use crate::types::prompt::Wait;

const IDLE: Options = Options {
    wait: Wait::Idle,
    timeout: None,
};

impl Desk {
    #[track_caller]
    fn submits(&mut self, text: &str) {
        self.pastes(&format!("\x1b[200~{text}\x1b[201~"));
        self.paint(text).idles().wait(300).keys("\r");
        self.paint("").reports(&Outcome::Submitted);
    }
}

#[test]
fn who_waits_for_an_idle_agent_holds_up_nobody_else() {
    let mut desk = Desk::ready();
    desk.works = true;
    desk.ask_for("when idle", IDLE)
        .ask_for("when idle too", IDLE);
    desk.idles();
    desk.ask("read the chat").ask("read more");
    desk.submits("read the chat");
    desk.submits("read more");
    desk.wait(60_000).idles();
    desk.works = false;
    desk.submits("when idle");
    desk.submits("when idle too");

    // Of what was typed the rest is awaited.
    let mut desk = Desk::ready();
    desk.ask_for("when idle", IDLE).ask("read the chat");
    desk.pastes("\x1b[200~when idle\x1b[201~")
        .wait(3000)
        .idles();
    desk.works = true;
    desk.wait(60_000).idles();
}

#[test]
fn a_prompt_is_recalled_only_while_nothing_of_it_was_typed() {
    let withdrawn = Outcome::Refused(Reason::Withdrawn);
    let recall = |desk: &mut Desk| {
        desk.typist.recall(desk.now, PromptId(1));
        desk.typist.expire(desk.now).map(|(_, receipt)| receipt)
    };
    let mut desk = Desk::ready();
    desk.sight = Sight::Draft;
    desk.ask("read the chat").idles();
    let receipt = recall(&mut desk).expect("it is taken back");
    assert_eq!(receipt.outcome(), Some(&withdrawn));

    // Not echoed: it is tried again, and may still come to stand there.
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    assert_eq!(recall(&mut desk), None);
    desk.wait(3000).idles();
    assert_eq!(recall(&mut desk), None);
    desk.wait(1000).pastes(PASTE);

    // The user's line is about to make room for it.
    let mut desk = Desk::ready();
    desk.stash = Some(b"\x13");
    desk.sight = Sight::Draft;
    desk.ask("read the chat").idles();
    desk.wait(300_000).keys("\x13");
    assert_eq!(recall(&mut desk), None);
    desk.sight = Sight::Clear;
    desk.pastes(PASTE);
}

#[test]
fn what_fell_due_since_the_last_look_is_late_and_not_over() {
    let mut desk = Desk::starting();
    desk.view.bracketed_paste = true;
    desk.ask("read the chat").idles();
    let looked = desk.now;
    let settled = desk.still_since + Pacing::default().settle;
    desk.wait(60_000);
    assert_eq!(desk.typist.wake(looked, desk.still_since), Some(settled));
    desk.pastes(PASTE);
}

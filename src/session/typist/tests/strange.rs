//! Pastes that are shown in a guise of which nothing is known, or not at all.

use super::*;

#[test]
fn a_paste_that_has_changed_the_rows_at_the_cursor_is_never_repeated() {
    for known in [true, false] {
        let mut desk = Desk::ready();
        desk.known = known;
        desk.typed = known.then(String::new);
        desk.ask("read the chat").pastes(PASTE);
        desk.view.rows[1] = "> «13»".into();
        desk.typed = known.then(|| "«13»".to_owned());
        desk.sight = if known { Sight::Draft } else { Sight::Clear };
        desk.wait(3000).idles();
        desk.wait(6999).idles();
        desk.wait(1).reports(&Outcome::Unknown(Reason::Unshown));
        desk.ask("read the chat").wait(60_000).idles();
        desk.view.rows[1] = ">".into();
        desk.typed = known.then(String::new);
        desk.sight = Sight::Clear;
        desk.wait(10).pastes(PASTE);
    }
}

#[test]
fn a_placeholder_in_any_spelling_is_an_echo() {
    let text = "word ".repeat(399);
    for shown in [
        "[paste #1 1995 chars]",
        "[Pasted text #1 +1 lines]",
        "[Pasted Content 1995 chars]",
        "⟦1,995 Zeichen eingefügt⟧",
    ] {
        let mut desk = Desk::ready();
        desk.ask(&text);
        desk.pastes(&format!("\x1b[200~{text}\x1b[201~"));
        desk.wait(20).paint(shown).idles();
        desk.wait(300).keys("\r");
        desk.paint("").reports(&Outcome::Submitted);
    }
}

#[test]
fn a_strange_paste_that_the_user_sends_is_not_typed_again() {
    let mut desk = Desk::ready();
    desk.typed = Some(String::new());
    desk.ask("read the chat").pastes(PASTE);
    desk.typed = Some("«13»".into());
    desk.sight = Sight::Draft;
    desk.wait(3000).idles();
    desk.wait(1500).idles();
    desk.user("\r");
    desk.typed = Some(String::new());
    desk.sight = Sight::Clear;
    desk.wait(10).reports(&Outcome::Unknown(Reason::LateEcho));
}

#[test]
fn a_paste_that_leaves_no_trace_is_given_up_after_a_while() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").ask("more").pastes(PASTE);
    let mut pastes = 1;
    let receipt = loop {
        desk.wait(500);
        match desk.step() {
            None => {}
            Some(Act::Paste(_)) => pastes += 1,
            Some(Act::Report(1, receipt)) => break receipt,
            Some(other) => panic!("{other:?}"),
        }
        assert!(desk.now < desk.start + Duration::from_secs(400), "jammed");
    };
    assert_eq!(receipt.outcome(), Some(&Outcome::Unknown(Reason::Unshown)));
    assert!((5..20).contains(&pastes), "{pastes}");
    desk.pastes("\x1b[200~more\x1b[201~");
}

#[test]
fn an_agent_that_never_reads_holds_up_a_prompt_for_a_minute_and_gets_no_other() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").ask("more").pastes(PASTE);
    desk.unread = true;
    desk.wait(60_000);
    desk.typist.unread(desk.now);
    desk.idles();
    desk.wait(1000).reports(&Outcome::Unknown(Reason::Unread));
    desk.wait(60_000).idles();
    assert!(
        desk.typist.wake(desk.now, desk.still_since) <= Some(desk.now + Duration::from_millis(200))
    );
    // It reads, and shows what it got.
    desk.unread = false;
    desk.paint("read the chat").wait(60_000).idles();
    desk.view.rows[1] = ">".into();
    desk.pastes("\x1b[200~more\x1b[201~");
}

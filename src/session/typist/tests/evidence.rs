//! What counts as taken: an input line that no longer holds the prompt.

use super::*;

impl Desk {
    /// Of an agent whose manifest knows its input line.
    fn known() -> Self {
        let mut desk = Self::ready();
        desk.typed = Some(String::new());
        desk
    }

    fn holds(&mut self, line: &str) -> &mut Self {
        self.sight = if line.is_empty() {
            Sight::Clear
        } else {
            Sight::Draft
        };
        self.typed = Some(line.to_owned());
        self.paint(line)
    }

    fn picks(&mut self, open: bool) -> &mut Self {
        self.held = if open {
            vec![Held {
                state: Shows::Picker,
                rule: "completions".into(),
                priority: -100,
                region: Region::BelowInput,
                rows: vec![2],
            }]
        } else {
            Vec::new()
        };
        self
    }

    #[track_caller]
    fn enters(&mut self, text: &str) -> &mut Self {
        self.ask(text);
        let paste = format!("\x1b[200~{text}\x1b[201~");
        self.pastes(&paste).wait(20).holds(text).idles();
        self.wait(300).keys("\r")
    }
}

#[test]
fn a_line_that_still_holds_the_prompt_was_not_submitted() {
    let mut desk = Desk::known();
    desk.enters("read the chat");
    // Something below the line changes, and the line itself.
    desk.view.rows[2] = "another help".into();
    desk.wait(10).idles();
    desk.holds("read the chat room").wait(2989).idles();
    desk.wait(1).reports(&Outcome::Unknown(Reason::NoReaction));
    // The next one waits until the line is seen empty.
    desk.ask("read the chat").wait(60_000).idles();
    desk.holds("").wait(10).pastes(PASTE);
}

#[test]
fn an_enter_that_chose_a_completion_is_followed_by_another() {
    let mut desk = Desk::known();
    desk.picks(true).enters("look at @READ and");
    desk.wait(10)
        .picks(false)
        .holds("look at README.md and")
        .idles();
    desk.wait(299).idles();
    desk.wait(1).keys("\r");
    desk.wait(10).holds("").reports(&Outcome::Submitted);
}

#[test]
fn there_is_no_third_enter_and_none_into_a_question_or_behind_a_users_keys() {
    let chosen = |keys: &str| {
        let mut desk = Desk::known();
        desk.picks(true).enters("look at @READ and");
        desk.user(keys);
        desk.wait(10)
            .picks(false)
            .holds("look at README.md and")
            .idles();
        desk
    };
    let mut desk = chosen("");
    desk.wait(300).keys("\r");
    desk.wait(10).holds("look at README.md and so").idles();
    desk.wait(2989).idles();
    desk.wait(1).reports(&Outcome::Unknown(Reason::NoReaction));

    let mut desk = chosen("");
    desk.sight = Sight::Dialog("allow".into());
    desk.held.clear();
    desk.wait(300).idles();
    desk.wait(2690)
        .reports(&Outcome::Unknown(Reason::NoReaction));

    let mut desk = chosen("x");
    desk.holds("look at @READ andx").wait(1000).idles();
    desk.wait(2000)
        .reports(&Outcome::Unknown(Reason::NoReaction));
}

#[test]
fn keys_behind_enter_do_not_make_the_line_ours() {
    let mut desk = Desk::known();
    desk.enters("read the chat");
    desk.user("hi");
    desk.wait(10).holds("hi").reports(&Outcome::Submitted);
}

#[test]
fn an_agent_that_works_or_asks_in_place_of_its_line_has_taken_the_prompt() {
    for sight in [Sight::Dialog("allow".into()), Sight::Busy] {
        let mut desk = Desk::known();
        desk.enters("read the chat");
        desk.works = true;
        desk.typed = None;
        desk.sight = sight;
        desk.wait(10).paint("thinking").reports(&Outcome::Submitted);
    }
    // A question of the work before says nothing.
    let mut desk = Desk::known();
    desk.held = vec![Held {
        state: Shows::Busy,
        rule: "spinner".into(),
        priority: 100,
        region: Region::AboveInput,
        rows: vec![0],
    }];
    desk.works = true;
    desk.enters("read the chat");
    desk.typed = None;
    desk.sight = Sight::Dialog("allow".into());
    desk.wait(10).paint("1. Yes").idles();
    desk.wait(2990)
        .reports(&Outcome::Unknown(Reason::NoReaction));
}

#[test]
fn what_begins_like_a_command_is_refused_with_words() {
    let mut desk = Desk::ready();
    let (_, receipt) = desk.push("/help", Options::default()).expect("refused");
    assert_eq!(
        receipt.reason().map(ToString::to_string).as_deref(),
        Some("the agent takes what begins with `/` for a command: put a word before it")
    );
    desk.ask("explain @README.md");
    desk.pastes("\x1b[200~explain @README.md \x1b[201~");
}

#[test]
fn a_text_of_several_lines_is_one_paste_as_it_was_written() {
    let mut desk = Desk::ready();
    desk.ask("fn main() {\r\n\tprint();  // hi\r\n}\r\n");
    desk.pastes("\x1b[200~fn main() {\n\tprint();  // hi\n}\x1b[201~");
}

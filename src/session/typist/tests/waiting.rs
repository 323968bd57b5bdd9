//! Prompts that wait: for what, for how long, and how they are taken back.

use super::*;

impl Desk {
    /// What was told of prompts since the last time.
    fn news(&mut self) -> Vec<(u64, Stage)> {
        let mut news = Vec::new();
        while let Some((ticket, receipt)) = self.typist.news() {
            news.push((*ticket, receipt.stage.clone()));
        }
        news
    }

    #[track_caller]
    fn expires(&mut self, ticket: u64, outcome: &Outcome) -> &mut Self {
        let (told, receipt) = self.typist.expire(self.now).expect("its time is over");
        assert_eq!((told, receipt.outcome()), (ticket, Some(outcome)));
        self
    }

    #[track_caller]
    fn expires_not(&mut self) -> &mut Self {
        assert_eq!(self.typist.expire(self.now), None);
        self
    }

    /// A draft that the manifest sees, in an agent that can put it aside.
    fn drafted() -> Self {
        let mut desk = Self::ready();
        desk.stash = Some(b"\x13");
        assert_eq!(desk.user("hal"), "hal");
        desk.sight = Sight::Draft;
        desk.typed = Some("hal".into());
        desk
    }

    fn clear(&mut self) -> &mut Self {
        self.sight = Sight::Clear;
        self.typed = Some(String::new());
        self
    }

    /// The paste stands in the input line.
    fn echo(&mut self) -> &mut Self {
        self.typed = Some("read the chat".into());
        self.paint("read the chat").idles()
    }
}

fn within(ms: u64) -> Options {
    Options {
        timeout: Some(Duration::from_millis(ms)),
        ..Options::default()
    }
}

const IDLE: Options = Options {
    wait: Wait::Idle,
    timeout: None,
};

#[test]
fn whatever_holds_up_a_prompt_is_told_and_is_the_reason_of_its_refusal() {
    type Obstacle = fn(&mut Desk);
    let obstacles: [(Obstacle, Reason); 5] = [
        (
            |desk| desk.sight = Sight::Dialog("allow".into()),
            Reason::Dialog("allow".into()),
        ),
        (|desk| desk.sight = Sight::Draft, Reason::Draft),
        (|desk| _ = desk.user("x"), Reason::Draft),
        (
            |desk| {
                desk.typist.agent_started(desk.now);
                desk.still_since = desk.now;
            },
            Reason::Starting,
        ),
        (|desk| desk.works = true, Reason::Busy),
    ];
    for (obstruct, reason) in obstacles {
        let mut desk = Desk::ready();
        obstruct(&mut desk);
        let options = Options {
            wait: Wait::Idle,
            ..within(500)
        };
        desk.ask_for("read the chat", options).idles();
        assert_eq!(desk.news(), [(1, Stage::Queued(Some(reason.clone())))]);
        desk.idles();
        assert_eq!(desk.news(), [], "{reason}: told once");
        desk.wait(499).expires_not();
        assert_eq!(
            desk.typist.expires_at(),
            Some(desk.now + Duration::from_millis(1))
        );
        desk.wait(1).expires(1, &Outcome::Refused(reason));
        (desk.sight, desk.works) = (Sight::Clear, false);
        desk.user("\r");
        desk.wait(60_000).idles();
    }
}

#[test]
fn a_prompt_whose_time_is_over_is_not_typed_before_that_is_told() {
    let mut desk = Desk::ready();
    desk.ask_for("read the chat", within(100)).wait(100).idles();
    desk.expires(1, &Outcome::Refused(Reason::Timeout));
}

#[test]
fn an_attempt_that_is_under_way_is_finished() {
    let mut desk = Desk::ready();
    desk.ask_for("read the chat", within(10)).pastes(PASTE);
    desk.wait(20).paint("read the chat").expires_not().idles();
    assert_eq!(desk.typist.expires_at(), None);
    desk.wait(300).expires_not().keys("\r");
    desk.expires_not();
    desk.paint("").reports(&Outcome::Submitted);
}

#[test]
fn what_was_typed_and_not_shown_in_time_is_unknown() {
    let mut desk = Desk::ready();
    desk.ask_for("read the chat", within(3500)).pastes(PASTE);
    desk.wait(3000).idles();
    assert_eq!(desk.news(), [(1, Stage::Typing(Some(Reason::Unshown)))]);
    desk.wait(500)
        .expires(1, &Outcome::Unknown(Reason::Unshown));

    // A dialog took it, or stands above it.
    let mut desk = Desk::ready();
    let dialog = Reason::Dialog("allow".into());
    desk.ask_for("read the chat", within(3500)).pastes(PASTE);
    desk.sight = Sight::Dialog("allow".into());
    desk.idles().wait(3500).idles();
    desk.expires(1, &Outcome::Unknown(dialog));
}

#[test]
fn an_agent_that_is_gone_has_taken_along_what_it_was_given() {
    let mut desk = Desk::ready();
    desk.ask_for("read the chat", within(3500)).pastes(PASTE);
    assert!(desk.typist.agent_ended(desk.now).is_none());
    desk.news();
    desk.wait(3500)
        .expires(1, &Outcome::Refused(Reason::Starting));
}

#[test]
fn those_behind_have_the_same_reason() {
    let mut desk = Desk::ready();
    desk.sight = Sight::Draft;
    desk.ask("read the chat")
        .ask_for("more", within(100))
        .ask("last")
        .idles();
    let behind = Stage::Queued(Some(Reason::Behind));
    let first = (1, Stage::Queued(Some(Reason::Draft)));
    assert_eq!(desk.news(), [first, (2, behind.clone()), (3, behind)]);
    desk.wait(100)
        .expires(2, &Outcome::Refused(Reason::Draft))
        .expires_not();
    desk.sight = Sight::Clear;
    desk.pastes(PASTE);
    desk.paint("read the chat").idles().wait(300).keys("\r");
    desk.paint("").reports(&Outcome::Submitted);
    desk.pastes("\x1b[200~last\x1b[201~");
}

#[test]
fn a_prompt_is_taken_back_unless_it_was_typed() {
    let mut desk = Desk::ready();
    desk.sight = Sight::Draft;
    desk.ask("read the chat").ask("more").idles();
    for id in [2, 1, 7] {
        desk.typist.withdraw(desk.now, PromptId(id));
    }
    let withdrawn = || Outcome::Refused(Reason::Withdrawn);
    desk.expires(1, &withdrawn())
        .expires(2, &withdrawn())
        .expires_not();
    desk.sight = Sight::Clear;
    desk.wait(60_000).idles();

    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.typist.withdraw(desk.now, PromptId(1));
    desk.expires_not().wait(3000).idles();
    desk.expires(1, &Outcome::Unknown(Reason::Withdrawn));
}

#[test]
fn an_idle_agent_is_waited_for_only_by_those_who_want_one() {
    let mut desk = Desk::ready();
    desk.works = true;
    desk.ask_for("read the chat", IDLE).wait(60_000).idles();
    assert!(desk.typist.wants_idleness());
    desk.works = false;
    desk.pastes(PASTE);

    let mut desk = Desk::ready();
    desk.works = true;
    desk.ask("read the chat").pastes(PASTE);
    assert!(!desk.typist.wants_idleness());
}

#[test]
fn a_draft_is_put_aside_after_a_while_and_comes_back() {
    let mut desk = Desk::drafted();
    desk.ask("read the chat").wait(200_000).idles();
    assert_eq!(desk.user("f"), "f");
    desk.wait(299_999).idles();
    assert_eq!(
        desk.typist.wake(desk.now, desk.still_since),
        Some(desk.now + Duration::from_millis(1))
    );
    desk.wait(1).keys("\x13");
    desk.wait(10).idles();
    // The user's keys do not get between.
    assert_eq!(desk.user("x"), "");
    desk.clear().pastes(PASTE);
    desk.wait(20).echo().wait(300).keys("\rx");
    desk.typed = Some("half".into());
    desk.paint("half").reports(&Outcome::Submitted);
    // The user's line is back, and spared.
    desk.clear().ask("read the chat").wait(10).idles();
    assert_eq!(
        desk.news().last(),
        Some(&(2, Stage::Queued(Some(Reason::Draft))))
    );
}

#[test]
fn a_draft_that_cannot_be_put_aside_goes_on_waiting() {
    let mut desk = Desk::drafted();
    desk.stash = None;
    desk.ask("read the chat").wait(900_000).idles();

    // The agent does not do it: once is enough, until the line is another.
    let mut desk = Desk::drafted();
    desk.ask("read the chat").wait(1).idles();
    desk.wait(300_000).keys("\x13");
    assert_eq!(desk.user("y"), "");
    desk.wait(100).keys("y");
    desk.wait(900_000).idles();
    desk.user("z");
    desk.wait(300_000).keys("\x13");
    // A question instead.
    desk.sight = Sight::Dialog("allow".into());
    desk.idles().wait(60_000).idles();
}

#[test]
fn a_line_of_ours_is_not_put_aside() {
    let mut desk = Desk::ready();
    desk.stash = Some(b"\x13");
    desk.typed = Some(String::new());
    desk.ask("read the chat").pastes(PASTE);
    // It stands there garbled.
    desk.sight = Sight::Draft;
    desk.typed = Some("ead the chat".into());
    desk.wait(3000).idles();
    desk.wait(6999).idles();
    desk.wait(1).reports(&Outcome::Unknown(Reason::Unshown));
}

#[test]
fn a_draft_that_is_not_there_to_see_is_forgotten() {
    let mut desk = Desk::ready();
    assert_eq!(desk.user("\t"), "\t");
    desk.typed = Some(String::new());
    desk.ask("read the chat").idles();
    desk.wait(999).idles();
    assert_eq!(
        desk.typist.wake(desk.now, desk.still_since),
        Some(desk.now + Duration::from_millis(1))
    );
    desk.wait(1).pastes(PASTE);

    // The agent has yet to read the key.
    let mut desk = Desk::ready();
    desk.user("x");
    desk.typed = Some(String::new());
    desk.unread = true;
    desk.ask("read the chat").wait(60_000).idles();
    desk.unread = false;
    desk.wait(999).idles();
    desk.wait(1).pastes(PASTE);

    // Without an input line there is nothing to see.
    let mut desk = Desk::ready();
    desk.user("\t");
    desk.ask("read the chat").idles().wait(900_000).idles();
}

#[test]
fn a_long_prompt_has_more_time() {
    let mut desk = Desk::ready();
    let text = "word ".repeat(4000);
    let text = text.trim_end();
    desk.ask(text).pastes(&format!("\x1b[200~{text}\x1b[201~"));
    desk.wait(2000);
    desk.typist.written(desk.now);
    desk.wait(3800);
    desk.idles();
    // Its end alone is seen.
    desk.view.rows[1] = text[text.len() - 70..].into();
    desk.printed = "wordwordwordword".into();
    desk.idles().wait(300).idles();
    desk.wait(900).keys("\r");
}

#[test]
fn what_the_agent_has_yet_to_read_is_not_typed_again() {
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    assert_eq!(desk.news(), [(1, Stage::Typing(None))]);
    for _ in 0..15 {
        desk.wait(3000);
        assert!(desk.typist.is_overdue(desk.now));
        desk.typist.unread(desk.now);
        desk.idles();
        assert_eq!(desk.news(), []);
    }
    desk.wait(2000).paint("read the chat").idles();
    desk.wait(300).keys("\r");

    // The user who types waits no longer than for any other echo.
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.user("x");
    desk.wait(3000);
    assert!(!desk.typist.is_overdue(desk.now));

    // One that never reads.
    let mut desk = Desk::ready();
    desk.ask("read the chat").pastes(PASTE);
    desk.wait(60_000);
    desk.typist.unread(desk.now);
    desk.idles();
    assert_eq!(desk.news(), [(1, Stage::Typing(Some(Reason::Unshown)))]);
}

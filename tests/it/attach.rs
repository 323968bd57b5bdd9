//! Other terminals on a session: what they show, whose size counts, how they
//! leave, and that nothing they do or suffer reaches the agent.

mod ends;
mod wire;

use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use super::support::eventually;
use super::support::judge::Judged;
use super::support::world::{FAKE, World};

/// An agent that does what is typed, a line of shell each.
const SHELL: &str = "[agents.sh]\ncommand = \"/bin/sh\"\nargs = [\"-c\", '''\
    stty -echo; echo ready; while IFS= read -r line; do eval \"$line\"; done''']\n";

/// A session in the foreground, and terminals that look on.
struct Stage {
    own: Judged,
    // Dropped last: it sees to it that nothing is left.
    world: World,
}

impl Stage {
    async fn open() -> Self {
        let world = World::new();
        world.configure(SHELL);
        let mut own = Judged::new(world.launch(&["sh", "--offline"]));
        own.outer.shows("ready").await;
        Self { own, world }
    }

    /// Another terminal, which has seen what there is.
    async fn viewer(&mut self) -> Judged {
        let mut viewer = Judged::new(self.world.launch(&["attach", "sh"]));
        viewer.agrees(&mut self.own).await;
        viewer
    }

    /// Has the agent do something, by its own terminal.
    async fn does(&mut self, line: &str) {
        self.own.outer.keys(line.as_bytes()).await;
        self.own.outer.keys(b"\r").await;
    }
}

/// What the fake agent has reported under a name so far.
fn reported(world: &World, name: &str) -> Vec<Value> {
    let entries = world.report().into_iter();
    entries
        .filter_map(|mut entry| entry.get_mut(name).map(Value::take))
        .collect()
}

#[track_caller]
fn sizes(world: &World, expected: &[[u16; 2]]) {
    let expected = json!(expected);
    eventually(&format!("the sizes {expected}"), || {
        (json!(reported(world, "size")) == expected).then_some(())
    });
}

#[tokio::test]
async fn a_viewer_sees_what_the_agent_draws() {
    let mut stage = Stage::open().await;
    stage
        .does(r"printf 'plain \033[1;31mred\033[0m \033[38;5;200mpink\033[48;2;1;2;3m\033[3;4mboth\033[0m\n\346\274\242\345\255\227\n'")
        .await;
    stage.own.outer.shows("漢字").await;
    let mut viewer = stage.viewer().await;
    stage
        .does(r"printf '\033[?2004h\033[?1002h\033[?1006h\033[?1h\033[10;20Hhere\033[5;8r\033[6;1H\033[7msix\033[27m'")
        .await;
    viewer.outer.shows("here").await;
    viewer.agrees(&mut stage.own).await;
    stage
        .does(r"printf '\033[r\033[?1049h\033[2J\033[3;3H\033[44malternate\033[?25l'")
        .await;
    viewer.outer.shows("alternate").await;
    viewer.agrees(&mut stage.own).await;
    stage.does(r"printf '\033[?1049l\033[?25hback\n'").await;
    viewer.outer.shows("back").await;
    viewer.agrees(&mut stage.own).await;
}

#[tokio::test]
async fn one_who_comes_to_the_alternate_screen_sees_the_other_as_well() {
    let mut stage = Stage::open().await;
    stage
        .does(r"printf '\033[32mbelow\033[m\033[?1049h\033[2J\033[3;3Habove'")
        .await;
    stage.own.outer.shows("above").await;
    let mut viewer = stage.viewer().await;
    stage.does(r"printf '\033[?1049lback'").await;
    viewer.outer.shows("back").await;
    viewer.agrees(&mut stage.own).await;
}

#[tokio::test]
async fn a_viewer_that_is_not_read_slows_nobody_and_catches_up() {
    let mut stage = Stage::open().await;
    let mut stalled = stage.viewer().await;
    let mut others = [stage.viewer().await, stage.viewer().await];
    stage
        .does(r"seq 1 400000; printf 'at last \033[31mred\033[m, \033[4;10Hover'")
        .await;
    let [one, two] = &mut others;
    let over = |judged: &mut Judged| judged.outer.picture().rows.concat().contains("over");
    tokio::join!(
        stage.own.outer.shows("over"),
        one.outer.shows("over"),
        two.outer.shows("over"),
    );
    one.agrees(&mut stage.own).await;
    two.agrees(&mut stage.own).await;
    assert!(!over(&mut stalled));
    stalled.agrees(&mut stage.own).await;
    assert!(over(&mut stalled));
    let [all, shown] = [&stage.own, &stalled].map(|judged| judged.outer.bytes.len());
    assert!(shown < all / 2, "{shown} of {all} bytes were shown");
}

#[tokio::test]
async fn the_size_is_that_of_the_terminal_that_typed_last() {
    let world = World::new();
    let mut own = world.launch(&["fake", "--offline"]);
    own.shows(">").await;
    let mut viewer = world.launch(&["attach", "fake"]);
    viewer.resize(TermSize::new(30, 100));
    viewer.shows(">").await;
    viewer.keys(b"b").await;
    sizes(&world, &[[30, 100]]);
    own.shows("> b").await;
    // What a terminal tells by itself is not typed.
    own.keys(b"\x1b[I\x1b[?62;4c").await;
    own.keys(b"a").await;
    viewer.shows("> b[I[?62;4ca").await;
    sizes(&world, &[[30, 100], [24, 80]]);
    viewer.resize(TermSize::new(31, 90));
    viewer.keys(b"c").await;
    sizes(&world, &[[30, 100], [24, 80], [31, 90]]);
    viewer.resize(TermSize::new(12, 40));
    sizes(&world, &[[30, 100], [24, 80], [31, 90], [12, 40]]);
    viewer.keys(b"\x1cd").await;
    assert_eq!(viewer.end().await, AgentExit::Code(0));
    // Whoever has left has no size.
    sizes(&world, &[[30, 100], [24, 80], [31, 90], [12, 40], [24, 80]]);
    own.shows("4cac").await;
    assert_eq!(json!(reported(&world, "signal")), json!([]));
}

#[tokio::test]
async fn keys_pass_as_they_are_but_for_those_that_leave() {
    let world = World::new();
    let mut own = world.launch(&["fake", "--offline"]);
    own.shows(">").await;
    let mut viewer = world.launch(&["attach", "fake"]);
    viewer.shows(">").await;
    let before = own.termios();
    assert_eq!(viewer.termios(), before, "raw");
    for keys in ["\x1b", "ä", "\x1c\x1c", "\x1cx", "\x1b[1;5A"] {
        let seen = reported(&world, "input").len();
        viewer.keys(keys.as_bytes()).await;
        eventually("the input", || {
            (reported(&world, "input").len() > seen).then_some(())
        });
    }
    assert_eq!(
        json!(reported(&world, "input")),
        json!(["\x1b", "ä", "\x1c", "\x1cx", "\x1b[1;5A"])
    );
    // As a terminal says it that speaks kitty's protocol.
    viewer.keys(b"\x1b[92;5u\x1b[92;5:3u\x1b[10").await;
    viewer.keys(b"0u").await;
    assert_eq!(viewer.end().await, AgentExit::Code(0));
    let text = String::from_utf8_lossy(&viewer.bytes).into_owned();
    let last = "detached from fake; `wrapper attach fake` comes back\r\n";
    assert!(text.ends_with(last), "{text:?}");
    assert_ne!(viewer.termios(), before, "cooked again");
    assert_eq!(reported(&world, "input").len(), 5);
}

/// The title of a terminal that had one, after what it was written.
fn title(written: &[u8]) -> String {
    let text = String::from_utf8_lossy(written);
    let (mut title, mut pushed) = ("of the shell", Vec::new());
    for sequence in text.split('\x1b') {
        if let Some(words) = sequence.strip_prefix("]0;") {
            title = words.split('\x07').next().expect("words");
        } else if sequence.starts_with("[22;0t") {
            pushed.push(title);
        } else if sequence.starts_with("[23;0t") {
            title = pushed.pop().expect("a title that was pushed");
        }
    }
    title.to_owned()
}

#[tokio::test]
async fn who_leaves_has_their_own_title_again() {
    let mut stage = Stage::open().await;
    stage
        .does(
            r"printf '\033]0;one\007\033[22;0t\033]0;two\007\033[22;0t\033]0;three\007'; echo done",
        )
        .await;
    stage.own.outer.shows("done").await;
    let mut viewer = stage.viewer().await;
    assert_eq!(title(&viewer.outer.bytes), "three");
    stage.does(r"printf '\033[23;0t'; echo popped").await;
    viewer.outer.shows("popped").await;
    assert_eq!(title(&viewer.outer.bytes), "two");
    // It shows a part, and then all of it.
    for (rows, cols) in [(10, 40), (24, 80)] {
        viewer.outer.resize(TermSize::new(rows, cols));
        viewer.outer.keys(b"stty size\r").await;
        viewer.outer.shows(&format!("{rows} {cols}")).await;
    }
    assert_eq!(title(&viewer.outer.bytes), "two");
    viewer.outer.keys(b"\x1cd").await;
    assert_eq!(viewer.outer.end().await, AgentExit::Code(0));
    assert_eq!(title(&viewer.outer.bytes), "of the shell");
}

#[tokio::test]
async fn a_terminal_of_another_size_shows_what_it_has_room_for() {
    let mut stage = Stage::open().await;
    let mut small = stage.world.launch(&["attach", "sh"]);
    small.resize(TermSize::new(10, 40));
    let mut large = stage.world.launch(&["attach", "sh"]);
    large.resize(TermSize::new(50, 150));
    stage
        .does(r"printf '\033[2J\033[1;1Htop\033[18;60Hfar\033[20;1H'; seq -s ' ' 1 40; printf '\033[23;5Hcursor'")
        .await;
    stage.own.outer.shows("cursor").await;
    small.shows("    cursor").await;
    let rows = small.picture().rows;
    let shown = rows.join("\n");
    assert!(
        shown.contains("\n1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1\n"),
        "{rows:?}"
    );
    assert!(!shown.contains("top") && !shown.contains("far"), "{rows:?}");
    large.shows("    cursor").await;
    let (mut rows, own) = (large.picture().rows, stage.own.outer.picture());
    rows.truncate(own.rows.len());
    assert_eq!(rows, own.rows);
    assert_eq!(large.picture().cursor, own.cursor);
    // Typing makes it the agent's size.
    small.keys(b"stty size\r").await;
    small.shows("10 40").await;
}

#[tokio::test]
async fn an_agent_whose_screen_is_not_known_draws_it_again() {
    let mut stage = Stage::open().await;
    // Too much to be followed by whom nobody asks, and nothing of it scrolls.
    let flood = r#"yes "$(printf '\033[5;5Hfive')" | tr -d '\n' | head -c 5000000"#;
    stage.does(&format!("{flood}; exec {FAKE}")).await;
    stage.own.outer.shows("fake agent").await;
    let mut viewer = stage.world.launch(&["attach", "sh"]);
    viewer.shows("fake agent").await;
    sizes(&stage.world, &[[23, 80], [24, 80]]);
    // As large as it was, and no more than once.
    viewer.keys(b"x").await;
    viewer.shows("> x").await;
    sizes(&stage.world, &[[23, 80], [24, 80]]);
}

#[tokio::test]
async fn only_the_own_terminal_is_asked() {
    let mut stage = Stage::open().await;
    let mut viewer = stage.viewer().await;
    stage
        .does(r"printf '\033[c\033[6n\033]11;?\033\134\033[?u\033[>qasked'")
        .await;
    viewer.outer.shows("asked").await;
    stage.own.outer.shows("asked").await;
    for question in ["\x1b[c", "\x1b[6n", "\x1b]11;?", "\x1b[?u", "\x1b[>q"] {
        let asks =
            |judged: &Judged| String::from_utf8_lossy(&judged.outer.bytes).contains(question);
        assert!(asks(&stage.own) && !asks(&viewer), "{question:?}");
    }
}

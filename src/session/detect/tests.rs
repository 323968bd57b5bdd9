use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::session::handle::State;

const AGENTS: [&str; 8] = [
    "claude", "codex", "gemini", "qwen", "copilot", "opencode", "kilo", "pi",
];

/// A screen as it was recorded.
struct Recorded {
    agent: String,
    /// What it shows, as its name says.
    shows: String,
    path: String,
    view: View,
}

/// Every recorded screen: `<agent>-<version>/<shows>-<what>.<size>.txt`.
fn recorded() -> Vec<Recorded> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
    let list = |dir: &Path| fs::read_dir(dir).expect("a directory of screens");
    let dirs = list(&root).map(|dir| dir.expect("an entry").path());
    let files = dirs.flat_map(|dir| list(&dir).map(|file| file.expect("an entry").path()));
    let screens = files.map(|file| {
        let path = file.strip_prefix(&root).expect("below the root");
        let path = path.to_str().expect("a name").to_owned();
        let (dir, name) = path.split_once('/').expect("a directory");
        let first = |text: &str| text.split('-').next().expect("a part").to_owned();
        let text = fs::read_to_string(&file).expect("a screen");
        Recorded {
            agent: first(dir),
            shows: first(name),
            view: View::read(&text).expect("a cursor"),
            path,
        }
    });
    screens.collect()
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict.sight {
        Sight::Dialog(_) => "dialog",
        Sight::Starting => "starting",
        Sight::Draft => "draft",
        Sight::Unknown => "unknown",
        Sight::Busy => "busy",
        Sight::Clear if verdict.is_busy() => "busy",
        Sight::Clear => "idle",
    }
}

#[test]
fn recorded_screens_are_seen_for_what_they_are() {
    let mut wrong = Vec::new();
    let all = recorded();
    for screen in &all {
        let verdict = Manifest::of(&screen.agent).judge(&screen.view);
        // Nothing tells a start that shows nothing yet, but its age.
        let is_starting = screen.shows == "starting" && verdict.sight == Sight::Unknown;
        if kind(&verdict) != screen.shows && !is_starting {
            wrong.push(format!(
                "{}: {:?} {:?}",
                screen.path, verdict.sight, verdict.held
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for agent in AGENTS {
        for shows in ["idle", "busy", "dialog", "draft"] {
            let is_it = |screen: &&Recorded| screen.agent == agent && screen.shows == shows;
            let count = all.iter().filter(is_it).count();
            assert!(count >= 2, "{agent} has {count} screens of {shows}");
        }
    }
}

/// A new version, or a program that an agent starts, may show what nobody has
/// recorded: a question of one agent must not look idle to any other.
#[test]
fn a_dialog_is_idle_to_no_agent() {
    let manifests = AGENTS.map(|agent| (agent, Manifest::of(agent)));
    let mut wrong = Vec::new();
    for screen in recorded().iter().filter(|screen| screen.shows == "dialog") {
        for (agent, manifest) in &manifests {
            let verdict = manifest.judge(&screen.view);
            if verdict.sight == Sight::Clear {
                wrong.push(format!("{} to {agent}: {:?}", screen.path, verdict.held));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_agent_without_a_manifest_is_judged_by_what_dialogs_have_in_common() {
    for (expected, cursor, screen) in [
        ("idle", (0, 0), ""),
        ("idle", (1, 2), "some output\n>"),
        ("idle", (1, 4), "╭───╮\n│ >  say something │\n╰───╯"),
        ("idle", (3, 2), "> 1. Yes\n  2. No\n\n>"),
        ("idle", (0, 0), "Do you want me to go on with the tests?"),
        ("idle", (0, 0), "> 1.5 is a number\n  2.5 too"),
        ("draft", (0, 5), "> abc"),
        ("draft", (1, 2), "> abc\n"),
        ("draft", (1, 3), "> abc\n  d"),
        ("draft", (2, 3), "────\n> abc\n\n  d"),
        ("dialog", (0, 9), "overwrite? (y/N)"),
        ("dialog", (0, 0), "Run `ls`?\n❯ Yes\n  No"),
        ("dialog", (1, 2), "Run `ls`?\n❯ Yes\n  No"),
        ("dialog", (0, 0), "│ ● 1) Allow once │\n│   2) Deny │"),
        ("dialog", (0, 0), "Press Enter to continue"),
        (
            "dialog",
            (1, 0),
            "→ Continue\n Press return to continue, or esc to skip",
        ),
        (
            "dialog",
            (0, 0),
            "→ [1] Always\n  [2] Never\n Press 1/2 to select directly • Esc to skip",
        ),
        ("dialog", (0, 2), ">\n→ first  a model\n  second"),
        ("draft", (0, 5), "> /mo\n→ model  chooses one"),
    ] {
        let view = view(cursor, screen);
        assert_eq!(
            kind(&Manifest::of("other").judge(&view)),
            expected,
            "{view:?}"
        );
    }
}

fn text(manifest: &Manifest, view: &View) -> Option<String> {
    manifest.line(view).map(|line| line.text)
}

#[test]
fn what_is_typed_is_read_from_the_input_line_alone() {
    let claude = Manifest::of("claude");
    for (expected, cursor, screen) in [
        (Some(""), (2, 2), "❯ mcp read\n\n❯"),
        (Some("mcp read"), (0, 10), "❯ mcp read"),
        (Some("mcp read"), (1, 6), "❯ mcp\n  read"),
        (None, (2, 0), "❯ mcp read\n\n● done"),
        (None, (0, 0), ""),
    ] {
        let view = view(cursor, screen);
        assert_eq!(text(&claude, &view).as_deref(), expected, "{view:?}");
    }
}

#[test]
fn a_bar_is_an_input_line_only_above_an_edge() {
    let opencode = Manifest::of("opencode");
    for (expected, cursor, screen) in [
        (Some("ab"), (1, 5), "┃\n┃  ab\n┃\n╹▀▀"),
        (Some("ab cd"), (2, 5), "┃\n┃  ab\n┃  cd\n╹▀▀"),
        (None, (1, 5), "┃\n┃  ab\n┃\n"),
        (None, (1, 1), "┃\n┃  ab\n┃\n╹▀▀"),
        (None, (0, 5), "ab\n┃\n╹▀▀"),
    ] {
        let view = view(cursor, screen);
        assert_eq!(text(&opencode, &view).as_deref(), expected, "{view:?}");
    }
}

#[test]
fn an_input_line_has_a_bar_or_a_mark() {
    let copilot = Manifest::of("copilot");
    for (expected, shows, cursor, screen) in [
        (Some(""), "idle", (0, 2), "┃\n╹▀▀\n Interactive"),
        (Some("ab"), "draft", (0, 4), "┃ ab\n╹▀▀\n Interactive"),
        (
            Some("ab cd"),
            "draft",
            (1, 4),
            "┃ ab\n┃ cd\n╹▀▀\n Interactive",
        ),
        (Some(""), "draft", (0, 2), "┃\n╹▀▀\n Shell · Manual"),
        (Some(""), "idle", (1, 2), "───\n❯\n───\n Interactive"),
        (Some("ab"), "draft", (1, 4), "───\n❯ ab\n───\n Interactive"),
        (None, "unknown", (0, 1), "┃\n╹▀▀\n Interactive"),
    ] {
        let view = view(cursor, screen);
        assert_eq!(text(&copilot, &view).as_deref(), expected, "{view:?}");
        assert_eq!(kind(&copilot.judge(&view)), shows, "{view:?}");
    }
}

#[test]
fn a_manifest_is_found_by_the_stem_of_a_command() {
    let unknown = view((0, 0), "what is this?");
    for command in ["claude", "/usr/bin/claude", "claude.exe"] {
        let verdict = Manifest::of(command).judge(&unknown);
        assert_eq!(verdict.sight, Sight::Unknown, "{command}");
    }
    for command in ["", "claude-code"] {
        let verdict = Manifest::of(command).judge(&unknown);
        assert_eq!(verdict.sight, Sight::Clear, "{command}");
    }
}

#[test]
fn a_screen_is_written_as_it_is_read() {
    for text in ["cursor 0 0\n\n", "cursor 1 4\na\n> bc\n"] {
        let view = View::read(text).expect("a screen");
        assert_eq!(view.written(), text);
    }
    for text in ["", "cursor", "cursor 1", "cursor 1 x\n", "> abc\n"] {
        assert_eq!(View::read(text), None, "{text}");
    }
}

const OWN: &str = r##"
queues = true
stash = "ctrl-s"

[input]
marks = ["#"]

[[rule]]
name = "booting"
state = "starting"
region = "screen"
any = ["booting"]
none = ["booted"]

[[rule]]
name = "turning"
state = "busy"
region = "above_input"
rows = 1
any = ["^~ *…"]

[[rule]]
name = "status"
state = "busy"
region = "below_input"
all = ["esc", "stop"]

[[rule]]
name = "yes or no"
state = "dialog"
any = ["ja / nein"]
"##;

#[test]
fn the_rule_of_the_highest_priority_decides() {
    let manifest = Manifest::parse(OWN).expect("a manifest");
    for (rule, kinds, cursor, screen) in [
        ("an empty line", "idle", (0, 2), "#"),
        ("text", "draft", (0, 3), "# a"),
        ("turning", "busy", (1, 2), "~ thinking…\n#"),
        ("turning", "busy", (3, 2), "~ thinking…\n\n────\n#"),
        ("an empty line", "idle", (2, 2), "~ thinking…\ndone\n#"),
        ("text", "draft", (1, 3), "~ thinking…\n# a"),
        ("status", "busy", (0, 2), "#\npress esc\nto stop"),
        ("an empty line", "idle", (0, 2), "#\npress esc"),
        ("booting", "starting", (1, 2), "booting\n#"),
        ("an empty line", "idle", (1, 2), "booting, booted\n#"),
        ("yes or no", "dialog", (1, 2), "booting\n#\nja / nein"),
        ("an empty line", "idle", (1, 2), "ja / nein\n#"),
        ("choice", "dialog", (0, 0), "❯ 1. yes\n  2. no"),
        ("", "unknown", (0, 0), "go on? (y/n)"),
        // Busy, with no line to type into.
        ("", "unknown", (0, 0), "~ thinking…"),
    ] {
        let view = view(cursor, screen);
        let verdict = manifest.judge(&view);
        let decided = verdict.held.first().map_or("", |held| held.rule.as_str());
        assert_eq!((decided, kind(&verdict)), (rule, kinds), "{screen}");
    }
    assert_eq!(manifest.stash(), Some(&b"\x13"[..]));
}

#[test]
fn a_verdict_says_by_which_rows() {
    let manifest = Manifest::parse(OWN).expect("a manifest");
    let verdict = manifest.judge(&view((2, 3), "~ thinking…\n\n# a\nesc\n\nstop"));
    let held = |held: &Held| (held.rule.clone(), held.region, held.rows.clone());
    assert_eq!(
        verdict.held.iter().map(held).collect::<Vec<_>>(),
        [
            ("text".into(), Region::Input, vec![2]),
            ("turning".into(), Region::AboveInput, vec![0]),
            ("status".into(), Region::BelowInput, vec![3, 5]),
        ]
    );
    assert!(verdict.is_busy() && verdict.has_draft());
    assert_eq!(verdict.waits_for().as_deref(), Some("draft"));
}

#[test]
fn a_mistake_in_a_manifest_is_told() {
    for (text, says) in [
        ("mark = 1", "unknown field `mark`"),
        ("stash = \"s\"", "`s` is no key like `ctrl-s`"),
        (
            "[[rule]]\nname = \"x\"\nstate = \"bored\"",
            "unknown variant `bored`",
        ),
        ("[[rule]]\nname = \"x\"\nstate = \"idle\"", "rule `x` needs"),
        (
            "[[rule]]\nname = \"x\"\nstate = \"idle\"\nany = [\"*\"]",
            "everything has",
        ),
        ("[[rule]]\nstate = \"idle\"", "missing field `name`"),
    ] {
        let error = Manifest::parse(text).expect_err(text).to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn the_state_follows_from_the_screen_where_it_can() {
    let own = Manifest::parse(OWN).expect("a manifest");
    let none = Manifest::of("other");
    let (young, old) = (Duration::from_secs(1), Duration::from_mins(1));
    let (moving, still) = (Duration::ZERO, Duration::from_secs(2));
    for (manifest, screen, pastes, lived, silent, state) in [
        (&own, "#", true, old, moving, State::Idle),
        (&own, "# a", true, old, moving, State::Idle),
        (&own, "#\nesc\nstop", true, old, still, State::Busy),
        (&own, "# a\nesc\nstop", true, old, still, State::Busy),
        (&own, "❯ 1. yes\n  2. no", true, old, moving, State::Blocked),
        (&own, "what?", true, old, still, State::Unknown),
        (&own, "what?", true, young, still, State::Starting),
        (&own, "#", false, young, still, State::Starting),
        (&own, "#", false, old, still, State::Idle),
        (&own, "booting", true, old, still, State::Starting),
        (&none, "what?", true, old, still, State::Idle),
        (&none, "what?", true, old, moving, State::Busy),
        (&none, "> a", true, old, still, State::Idle),
        (&none, "what?", false, young, still, State::Idle),
        (&none, "what?", false, young, moving, State::Starting),
        (&none, "", false, young, still, State::Starting),
        (&none, "", false, old, still, State::Idle),
        (&none, "go on? (y/n)", true, old, moving, State::Blocked),
    ] {
        let column = screen
            .lines()
            .next()
            .map_or(0, |row| row.chars().count().max(2));
        let view = view((0, u16::try_from(column).expect("a column")), screen);
        let verdict = manifest.judge(&view);
        assert_eq!(verdict.state(pastes, lived, silent), state, "{screen}");
    }
}

fn view(cursor: (u16, u16), screen: &str) -> View {
    View {
        rows: screen.lines().map(ToOwned::to_owned).collect(),
        cursor,
        bracketed_paste: true,
    }
}

#[test]
fn an_open_list_of_completions_is_seen_and_decides_nothing() {
    for (agent, cursor, screen) in [
        (
            "claude",
            (2, 17),
            "    + README.md\n────\n❯ explain @README\n────\n  manual mode on",
        ),
        (
            "claude",
            (3, 7),
            "  ❯ /help        Show help\n    /debug       Turn on\n────\n❯ /help\n────",
        ),
        (
            "codex",
            (4, 20),
            "› README.md  ./    File\n\n  enter/tab insert · esc close\n\n› explain @README.md",
        ),
        (
            "codex",
            (3, 8),
            "› Skill Creator\n\n  enter insert · esc close\n› $skill",
        ),
        (
            "qwen",
            (1, 10),
            "────\n> @READ \u{200b}\n────\n  > README.md",
        ),
        (
            "copilot",
            (2, 20),
            "  ❯ @README.md\n────\n❯ explain @README.md\n────\n Interactive",
        ),
    ] {
        let view = view(cursor, screen);
        let verdict = Manifest::of(agent).judge(&view);
        assert!(verdict.has_picker(), "{agent}: {view:?}: {verdict:?}");
        assert_eq!(kind(&verdict), "draft", "{agent}: {view:?}");
    }
    for screen in recorded() {
        let verdict = Manifest::of(&screen.agent).judge(&screen.view);
        if screen.shows == "idle" {
            assert!(!verdict.has_picker(), "{}", screen.path);
        }
    }
}

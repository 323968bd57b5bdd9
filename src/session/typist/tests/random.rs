//! Random keys around random questions, and random Unicode: the next prompt is
//! delivered, or there really is something in the line.
//!
//! The seeds are fixed. `TYPIST_ROUNDS=100000 cargo test random` runs longer.

use std::env;

use unicode_normalization::UnicodeNormalization;
use unicode_width::UnicodeWidthChar;

use super::puppet::{Draw, Puppet};
use super::*;
use crate::types::dice::Dice;
use crate::types::text::as_written;

const MENTION: &str = "use mcp to read #general";

/// What a user presses.
const KEYS: [&str; 30] = [
    "a",
    "1",
    "y",
    "n",
    "é",
    "漢",
    " ",
    "\\",
    "\r",
    "\r",
    "\n",
    "\t",
    "\x1b",
    "\x1b",
    "\x1b\r",
    "\x7f",
    "\x7f",
    "\x15",
    "\x03",
    "\x0e",
    "\x1b[A",
    "\x1b[B",
    "\x1b[C",
    "\x1bOA",
    "\x1b[Z",
    "\x1b[<0;10;20M",
    "\x1b[I",
    "\x1b[200~two\nlines\x1b[201~",
    "\x1b[13u",
    "\x1b[?62;22c",
];

const PAUSES: [u64; 8] = [0, 1, 10, 49, 60, 300, 1500, 5000];

/// Pieces of text that terminals and agents draw in several ways.
const PIECES: [&str; 34] = [
    "a",
    "build",
    " ",
    " ",
    "\n",
    "\t",
    "é",
    "e\u{301}",
    "한",
    "\u{1112}\u{1161}\u{11ab}",
    "漢字",
    "ﬀ",
    "👩\u{200d}💻",
    "👨\u{200d}👩\u{200d}👧\u{200d}👦",
    "👍🏽",
    "🇩🇪",
    "🇺🇳",
    "❤\u{fe0f}",
    "1\u{fe0f}\u{20e3}",
    "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "שלום",
    "שָׁלוֹם",
    "مرحبا",
    "می\u{200c}خواهم",
    "क्षि",
    "ก็",
    "\u{200b}",
    "\u{200e}",
    "\u{ad}",
    "Z\u{335}\u{334}\u{321}",
    "𝒳",
    "ￜ",
    "-",
    "(x)",
];

/// Agents that draw a text so that something is left to know it by.
const DRAWS: [Draw; 7] = [
    str::to_owned,
    |text| text.nfc().collect(),
    |text| text.nfd().collect(),
    // Without what has no width.
    |text| {
        text.chars()
            .filter(|c| c.width().unwrap_or(0) > 0)
            .collect()
    },
    // What follows a joiner is drawn over.
    |text| {
        let mut joined = false;
        let drawn = text.chars().filter(|c| {
            let over = std::mem::replace(&mut joined, *c == '\u{200d}') && !c.is_alphabetic();
            !over
        });
        drawn.collect()
    },
    // In a narrow box.
    |text| {
        let chars: Vec<char> = text.chars().collect();
        let rows = chars.chunks(7).map(|row| row.iter().collect::<String>());
        rows.map(|row| format!("│ {row} ")).collect()
    },
    |text| match text.chars().count() {
        0 => String::new(),
        count => format!("[paste #1 {count} chars]"),
    },
];

/// Agents that draw next to nothing of it.
const STRANGE: [Draw; 2] = [
    |text| {
        text.chars()
            .map(|c| if c == '\n' { ' ' } else { '?' })
            .collect()
    },
    |text| text.chars().rev().collect(),
];

fn rounds(usual: u64) -> u64 {
    let told = env::var("TYPIST_ROUNDS").ok();
    told.and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

#[test]
fn random_keys_end_with_the_next_mention_delivered_or_a_line_that_is_there() {
    for seed in 0..rounds(1500) {
        let mut dice = Dice::new(seed);
        let mut puppet = Puppet::new(seed % 2 == 0, str::to_owned);
        let early = dice.below(40);
        for event in 0..40 {
            if event == early {
                puppet.desk.ask(MENTION);
            }
            match dice.below(10) {
                0 => puppet.ask(true),
                1..4 => puppet.wait(PAUSES[dice.below(PAUSES.len())]),
                _ => {
                    let keys = dice.pick(&KEYS).as_bytes();
                    if keys.starts_with(b"\x1b[") && dice.below(2) == 0 {
                        for piece in dice.split(keys) {
                            puppet.user(piece);
                        }
                    } else {
                        puppet.user(keys);
                    }
                }
            }
        }
        puppet.wait(2000);
        puppet.settle(100);
        if puppet.is_asking {
            let before = puppet.submitted.len();
            puppet.settle(600);
            assert_eq!(
                puppet.submitted.len(),
                before,
                "{seed}: typed into a question"
            );
            puppet.user(b"1");
            puppet.settle(400);
        }
        let is_line = !puppet.line.is_empty();
        if puppet.desk.typist.is_busy() {
            assert!(
                is_line,
                "{seed}: waits for nothing: {:?}",
                puppet.desk.typist
            );
            puppet.user(b"\x15");
            puppet.settle(400);
        }
        let ended = !puppet.desk.typist.is_busy();
        assert!(ended, "{seed}: stuck: {:?}", puppet.desk.typist);
        let word = puppet.receipts[0].outcome().cloned();
        // A user whose keys were meant for a question may have changed its end.
        let ours = |line: &&String| line.contains(&MENTION[..12]);
        let times = puppet.submitted.iter().filter(ours).count();
        assert!(times <= 1, "{seed}: twice: {:?}", puppet.submitted);
        match word {
            // Without a manifest any change after Enter counts.
            Some(Outcome::Submitted) => assert!(times == 1 || !puppet.desk.known, "{seed}"),
            // The user's own Enter may have come between.
            Some(Outcome::Unknown(_)) => {}
            other => panic!("{seed}: {other:?}"),
        }
    }
}

#[test]
fn random_unicode_is_submitted_or_refused_and_never_stuck() {
    for seed in 0..rounds(2000) {
        let mut dice = Dice::new(seed);
        let text: String = (0..=dice.below(14)).map(|_| dice.pick(&PIECES)).collect();
        let draw = DRAWS[dice.below(DRAWS.len())];
        let mut puppet = Puppet::new(dice.below(2) == 0, draw);
        if let Some((_, receipt)) = puppet.desk.push(&text, Options::default()) {
            assert_eq!(receipt.reason(), Some(&Reason::Nothing), "{seed}: {text:?}");
            continue;
        }
        puppet.pump();
        puppet.settle(50);
        assert_eq!(
            puppet.submitted,
            [as_written(&text)],
            "{seed}: {:?}",
            puppet.desk
        );
        let outcome = puppet.receipts[0].outcome();
        assert_eq!(outcome, Some(&Outcome::Submitted), "{seed}: {text:?}");
    }
}

#[test]
fn a_text_that_is_drawn_beyond_recognition_ends_and_the_next_goes_on_when_it_is_gone() {
    for seed in 0..rounds(300) {
        let mut dice = Dice::new(seed);
        let text: String = (0..=dice.below(14)).map(|_| dice.pick(&PIECES)).collect();
        let mut puppet = Puppet::new(true, STRANGE[dice.below(STRANGE.len())]);
        if puppet.desk.push(&text, Options::default()).is_some() {
            continue;
        }
        puppet.pump();
        puppet.settle(120);
        assert_eq!(puppet.receipts.len(), 1, "{seed}: stuck: {:?}", puppet.desk);
        puppet.desk.ask(MENTION);
        puppet.settle(20);
        puppet.user(b"\x15");
        puppet.settle(120);
        assert_eq!(
            puppet.receipts.len(),
            2,
            "{seed}: jammed: {:?}",
            puppet.desk
        );
    }
}

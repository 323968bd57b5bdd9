//! What real agents wrote to their terminals (`scripts/real-agents --output
//! tests/recordings`), looked at by somebody who comes in the middle.

use std::fmt::Debug;
use std::fs;

use vt100::Parser;
use wrapper::terminal::query::Sieve;
use wrapper::terminal::screen::Screen;
use wrapper::types::size::TermSize;

const SIZE: TermSize = TermSize::new(40, 120);

/// The recordings, by the agents' names.
fn all() -> Vec<(String, Vec<u8>)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings");
    let files = fs::read_dir(dir).expect("recordings");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        (name.into_owned(), fs::read(&path).expect("a recording"))
    };
    let all: Vec<_> = files.map(read).collect();
    assert!(all.len() >= 3, "there are {} recordings", all.len());
    all
}

/// Places all over a recording, more of them where sequences are cut.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..40).map(move |n| (n * 7919 + n * n * 104_729) % (len + 1))
}

fn other() -> Parser {
    let side = |cells: u16| cells.try_into().expect("not zero");
    Parser::new(side(SIZE.rows), side(SIZE.cols), 0)
}

/// Compares what two terminals show, and how they behave.
fn assert_alike(one: &vt100::Screen, other: &vt100::Screen, context: &str) {
    for row in 0..SIZE.rows {
        for col in 0..SIZE.cols {
            let place = format!("{context}, {row},{col}");
            assert_eq!(look(one, row, col), look(other, row, col), "{place}");
        }
    }
    let modes = |screen: &vt100::Screen| {
        let cursor = (screen.cursor_position(), screen.hide_cursor());
        let keys = (screen.bracketed_paste(), screen.application_cursor());
        let mouse = (
            screen.mouse_protocol_mode(),
            screen.mouse_protocol_encoding(),
        );
        (cursor, keys, mouse, screen.alternate_screen())
    };
    assert_eq!(modes(one), modes(other), "{context}");
}

/// A cell; one that was never written is a blank.
fn look(screen: &vt100::Screen, row: u16, col: u16) -> impl PartialEq + Debug + use<> {
    let cell = screen.cell(row, col).expect("a cell");
    let mut text = cell.contents().to_owned();
    if text.is_empty() && !cell.is_wide_continuation() {
        text.push(' ');
    }
    let colors = (cell.fgcolor(), cell.bgcolor());
    let attributes = (cell.bold(), cell.dim(), cell.italic());
    (text, colors, attributes, cell.underline(), cell.inverse())
}

#[test]
fn who_comes_later_has_what_the_first_has() {
    for (agent, output) in all() {
        for at in places(output.len()) {
            let (before, after) = output.split_at(at);
            let (mut first, mut sieve, mut shown) =
                (Screen::new(SIZE), Sieve::default(), Vec::new());
            first.feed(before);
            sieve.sift(before, &mut shown);
            let mut later = Screen::new(SIZE);
            later.feed(&first.keyframe());
            assert_eq!(first.picture(), later.picture(), "{agent} at {at}");
            first.feed(after);
            shown.clear();
            sieve.sift(after, &mut shown);
            later.feed(&shown);
            assert_eq!(first.picture(), later.picture(), "{agent} from {at} on");
            assert_eq!(first.keyframe(), later.keyframe(), "{agent} from {at} on");
        }
    }
}

#[test]
fn another_emulator_sees_the_same() {
    for (agent, output) in all() {
        let mut ours = Screen::new(SIZE);
        ours.feed(&output);
        let mut whole = other();
        whole.process(&output);
        let rows: Vec<String> = whole
            .screen()
            .rows(0, SIZE.cols)
            .map(|row| row.trim_end().to_owned())
            .collect();
        assert_eq!(ours.picture().rows, rows, "{agent}");
        assert_eq!(ours.picture().cursor, whole.screen().cursor_position());
        for at in places(output.len()) {
            let (before, after) = output.split_at(at);
            let (mut model, mut sieve, mut shown) =
                (Screen::new(SIZE), Sieve::default(), Vec::new());
            model.feed(before);
            sieve.sift(before, &mut shown);
            let mut viewer = other();
            viewer.process(&model.keyframe());
            shown.clear();
            sieve.sift(after, &mut shown);
            viewer.process(&shown);
            let (seen, drawn) = (viewer.screen(), whole.screen());
            assert_alike(seen, drawn, &format!("{agent} from {at} on"));
        }
    }
}

//! What must hold for whatever an agent writes, for the fuzzer and for the
//! corpus that it starts from. Pure.
//!
//! `cargo fuzz` finds the door by `cfg(fuzzing)` (`tests/fuzz`,
//! `scripts/fuzz`); `cargo test` tries every file of `tests/fuzz/corpus/screen`.

use super::cell::{Cell, Pen};
use super::emulator::{Cursor, Emulator};
use super::grid::Grid;
use super::lexer::{Lexer, Piece};
use super::query::Sieve;
use super::tty::UNDO;
use crate::types::size::TermSize;

/// How many bytes say what is done with the others: two sizes, where a viewer
/// comes, where the second size does, and in what pieces all that is fed.
const HEAD: usize = 7;

/// Shows output, lets a viewer come in the middle, and resizes both.
pub fn screen(data: &[u8]) {
    let Some((head, output)) = data.split_at_checked(HEAD) else {
        return;
    };
    let side = |at: usize| u16::from(head[at] % 64) + 1;
    let place = |at: usize| output.len() * usize::from(head[at]) / 256;
    let (came, resized) = (place(4), place(5));
    // What is left that is not whole, and shown or not, is ended.
    let output = [output, b"\x18\x1b\\"].concat();
    lexes(&output, usize::from(head[6]) + 1);
    let mut whole = Emulator::new(TermSize::new(side(0), side(1)));
    let mut sieve = Sieve::default();
    let mut viewer = None;
    let mut shown = Vec::new();
    let mut at = 0;
    let mut feed = |whole: &mut Emulator, viewer: &mut Option<Emulator>, to: usize| {
        for part in output[at.min(to)..to].chunks(usize::from(head[6]) + 1) {
            whole.feed(part);
            shown.clear();
            sieve.sift(part, &mut shown);
            if let Some(viewer) = viewer {
                viewer.feed(&shown);
            }
        }
        at = at.max(to);
    };
    if came <= resized {
        feed(&mut whole, &mut viewer, came);
        viewer = Some(redrawn(&whole));
    }
    feed(&mut whole, &mut viewer, resized);
    let size = TermSize::new(side(2), side(3));
    whole.resize(size);
    if let Some(viewer) = &mut viewer {
        viewer.resize(size);
    } else {
        feed(&mut whole, &mut viewer, came);
        viewer = Some(redrawn(&whole));
    }
    let end = output.len();
    feed(&mut whole, &mut viewer, end);
    assert_eq!(whole.rows().len(), usize::from(size.rows));
    let again = redrawn(&whole);
    assert_same(&whole, &again, &|| format!("{:?}", whole.size()));
    if let Some(viewer) = viewer {
        assert_same(&whole, &viewer, &|| format!("{:?}", whole.size()));
    }
}

/// Nothing is lost or moved by cutting output into pieces.
fn lexes(output: &[u8], size: usize) {
    let mut lexer = Lexer::default();
    let mut told = Vec::new();
    for part in output.chunks(size) {
        lexer.feed(part, |piece| match piece {
            Piece::Text(it) | Piece::Sequence(it) | Piece::Broken(it) | Piece::Part(it) => {
                told.extend_from_slice(it);
            }
        });
    }
    let output = controls_first(output);
    assert!(output.starts_with(&told), "bytes were lost or moved");
}

/// Output with the control characters after an ESC before it.
pub(super) fn controls_first(output: &[u8]) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(output.len());
    for byte in output {
        let is_first = byte.is_ascii_control() && !matches!(byte, 0x18 | 0x1a | 0x1b);
        let at = ordered.len() - usize::from(is_first && ordered.last() == Some(&0x1b));
        ordered.insert(at, *byte);
    }
    ordered
}

/// A terminal that was shown the keyframe of another.
pub(super) fn redrawn(other: &Emulator) -> Emulator {
    let mut terminal = Emulator::new(other.size());
    terminal.feed(UNDO);
    terminal.feed(&other.keyframe());
    terminal
}

/// Compares all that there is to two terminals.
pub(super) fn assert_same(one: &Emulator, other: &Emulator, context: &dyn Fn() -> String) {
    for (one, other) in describe(one).iter().zip(describe(other)) {
        for (one, other) in one.lines().zip(other.lines()) {
            assert_eq!(one, other, "{}", context());
        }
        assert_eq!(one, &other, "{}", context());
    }
}

/// All that there is to a terminal but its blank cells, spelled out.
fn describe(terminal: &Emulator) -> Vec<String> {
    let pen = |pen: &Pen| {
        let mut sgr = String::new();
        pen.plain().write(&mut sgr);
        format!("{sgr:?} {:?}", terminal.links.get(pen.link))
    };
    let grid = |grid: &Grid| {
        let mut lines = Vec::new();
        for row in 0..grid.rows() {
            let cells = grid.row(row).iter().enumerate();
            for (col, cell) in cells.filter(|(_, cell)| **cell != Cell::default()) {
                let mut text = String::new();
                terminal.text_of(cell, &mut text);
                lines.push(format!(
                    "{row},{col}: {text:?} {} {} {}",
                    cell.is_wide(),
                    cell.is_spacer(),
                    pen(&cell.pen)
                ));
            }
        }
        lines.join("\n")
    };
    let cursor = |cursor: &Cursor| {
        let look = pen(&cursor.pen);
        let plain = Cursor {
            pen: Pen::default(),
            ..*cursor
        };
        format!("{plain:?} {look}")
    };
    let mut modes = String::new();
    terminal.modes.write(&mut modes);
    vec![
        grid(&terminal.grid),
        format!("primary {:?}", terminal.primary.as_ref().map(grid)),
        format!("cursor {}", cursor(&terminal.cursor)),
        format!(
            "saved {:?}",
            terminal.saved.iter().map(cursor).collect::<Vec<_>>()
        ),
        format!("keyboards {:?}", terminal.keyboards),
        format!("region {:?} tabs {:?}", terminal.region, terminal.tabs),
        format!("modes {modes:?}"),
        format!("title {:?} of {:?}", terminal.title, terminal.titles),
        format!("colours {:?}", terminal.colors),
        format!("last {:?} single {:?}", terminal.last, terminal.single),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::types::dice::Dice;

    #[test]
    fn what_the_fuzzer_starts_from_holds_and_what_is_like_it() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/screen");
        let mut tried = 0;
        for entry in fs::read_dir(root).expect("a corpus") {
            let data = fs::read(entry.expect("an entry").path()).expect("a file");
            screen(&data);
            let mut dice = Dice::new(11);
            for _ in 0..50 {
                let mut other = data.clone();
                for _ in 0..=dice.below(4) {
                    let at = dice.below(other.len() + 1);
                    let byte = dice.byte();
                    match dice.below(3) {
                        0 => other.insert(at, byte),
                        1 if at < other.len() => other[at] = byte,
                        _ => other.truncate(at),
                    }
                }
                screen(&other);
            }
            tried += 1;
        }
        assert!(tried > 5, "there are {tried} files");
    }
}

//! What a terminal shows, judged by an emulator that is none of ours.

use std::num::NonZeroU16;

use wrapper::types::size::TermSize;

use super::DEADLINE;
use super::pty::Outer;

/// A terminal, and an emulator that has seen everything that was written to it.
pub(crate) struct Judged {
    pub(crate) outer: Outer,
    emulator: vt100::Parser,
    seen: usize,
}

impl Judged {
    /// Judges a terminal of the usual size, from its beginning.
    pub(crate) fn new(outer: Outer) -> Self {
        let TermSize { rows, cols, .. } = TermSize::default();
        let side = |cells| NonZeroU16::new(cells).expect("a side");
        Self {
            outer,
            emulator: vt100::Parser::new(side(rows), side(cols), 0),
            seen: 0,
        }
    }

    /// Waits until both terminals show the same: every cell with its colours,
    /// the cursor, and the modes of keyboard and mouse.
    pub(crate) async fn agrees(&mut self, other: &mut Self) {
        let wait = async {
            while self.state() != other.state() {
                let more = tokio::select! {
                    more = self.outer.read() => more,
                    more = other.outer.read() => more,
                };
                assert!(more, "a terminal has closed");
            }
        };
        let agreed = tokio::time::timeout(DEADLINE, wait).await;
        assert!(
            agreed.is_ok(),
            "{:#?} is not {:#?}",
            self.state(),
            other.state()
        );
    }

    fn state(&mut self) -> State {
        self.emulator.process(&self.outer.bytes[self.seen..]);
        self.seen = self.outer.bytes.len();
        let screen = self.emulator.screen();
        let (rows, cols) = screen.size();
        let row = |row| (0..cols.get()).map(move |col| cell(screen, row, col));
        State {
            rows: (0..rows.get()).map(|at| row(at).collect()).collect(),
            cursor: screen.cursor_position(),
            is_hidden: screen.hide_cursor(),
            is_alternate: screen.alternate_screen(),
            modes: screen.input_mode_formatted(),
        }
    }
}

/// All that a user sees, and what the keyboard and the mouse do.
#[derive(Debug, PartialEq, Eq)]
struct State {
    rows: Vec<String>,
    cursor: (u16, u16),
    is_hidden: bool,
    is_alternate: bool,
    modes: String,
}

/// A character, and how it looks if that is in any way its own. A blank is one
/// whether it was written or not.
fn cell(screen: &vt100::Screen, row: u16, col: u16) -> String {
    let cell = screen.cell(row, col).expect("within the screen");
    let look = (
        (cell.fgcolor(), cell.bgcolor()),
        [
            cell.bold(),
            cell.dim(),
            cell.italic(),
            cell.underline(),
            cell.inverse(),
        ],
    );
    let plain = ((vt100::Color::Default, vt100::Color::Default), [false; 5]);
    match cell.contents() {
        _ if cell.is_wide_continuation() => String::new(),
        "" if look == plain => " ".to_owned(),
        text if look == plain => text.to_owned(),
        "" => format!("< {look:?}>"),
        text => format!("<{text}{look:?}>"),
    }
}

//! What we answer an agent that has no terminal to ask. Pure.
//!
//! Each answer is that of xterm's control sequences unless it says otherwise.
//! We pass for a VT220 with colours, dark, of cells of 10 by 20 pixels, that
//! knows kitty's keyboard and no graphics.

use std::fmt::Write;

use super::emulator::Emulator;
use super::modes;
use super::query::{self, Query};
use crate::types::size::TermSize;

/// Width and height of a cell in pixels, as good as any.
const CELL: (u32, u32) = (10, 20);

/// What OSC 10, 11 and 12 answer unless they were set: light on dark.
const DYNAMIC: [[u8; 3]; 3] = [[0xd0; 3], [0x10; 3], [0xd0; 3]];

/// xterm's first sixteen colours.
const ANSI: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// The answer to a question; nothing where a terminal that does not know what
/// is asked says nothing.
#[must_use]
pub fn answer(query: Query<'_>, terminal: &Emulator) -> String {
    let TermSize { rows, cols, .. } = terminal.size();
    let cursor = &terminal.cursor;
    match query {
        Query::Attributes(0) => "\x1b[?62;22c".into(),
        Query::Attributes(b'>') => "\x1b[>1;0;0c".into(),
        Query::Attributes(_) => "\x1bP!|00000000\x1b\\".into(),
        Query::Status => "\x1b[0n".into(),
        Query::Cursor(private) => {
            let top = if cursor.origin {
                terminal.region.start
            } else {
                0
            };
            let (row, col) = (cursor.row - top + 1, cursor.col + 1);
            if private {
                format!("\x1b[?{row};{col};1R")
            } else {
                format!("\x1b[{row};{col}R")
            }
        }
        // https://contour-terminal.org/vt-extensions/color-palette-update-notifications
        Query::ColorScheme => "\x1b[?997;1n".into(),
        Query::Mode(private, mode) => {
            let mark = if private { "?" } else { "" };
            let state = if private {
                private_mode(terminal, mode)
            } else {
                ansi_mode(terminal, mode)
            };
            format!("\x1b[{mark}{mode};{state}$y")
        }
        // https://sw.kovidgoyal.net/kitty/keyboard-protocol/
        Query::Keyboard => {
            let keyboard = &terminal.keyboards[usize::from(terminal.is_alternate())];
            format!("\x1b[?{}u", keyboard.flags())
        }
        Query::OtherKeys => format!("\x1b[>4;{}m", terminal.modes.other_keys),
        Query::Version => concat!("\x1bP>|wrapper(", env!("CARGO_PKG_VERSION"), ")\x1b\\").into(),
        Query::Window(what) => window(what, (rows, cols)),
        Query::Setting(setting) => match self::setting(setting, terminal) {
            Some(value) => format!("\x1bP1$r{value}\x1b\\"),
            None => "\x1bP0$r\x1b\\".into(),
        },
        Query::Capabilities(names) => {
            let names = String::from_utf8_lossy(names);
            let names = names.split(';').filter(|name| is_hex(name));
            names.fold(String::new(), |mut all, name| {
                let _ = write!(all, "\x1bP0+r{name}\x1b\\");
                all
            })
        }
        Query::Colors(code, params) => {
            let mut all = String::new();
            for (color, value) in query::colors(code, params) {
                if value == b"?" {
                    write_color(&mut all, terminal, color);
                }
            }
            all
        }
        Query::Other => String::new(),
    }
}

/// What a terminal tells that was asked to tell sizes
/// (<https://gist.github.com/rockorager/e695fb2924d36b2bcf1fff4a3704bd83>).
#[must_use]
pub fn resized(TermSize { rows, cols, .. }: TermSize) -> String {
    let (width, height) = pixels((rows, cols));
    format!("\x1b[48;{rows};{cols};{height};{width}t")
}

/// A colour as `rgb:r/g/b` in one to four digits each, or as `#rrggbb`. None
/// for a name.
#[must_use]
pub fn parse_color(value: &[u8]) -> Option<[u8; 3]> {
    let text = str::from_utf8(value).ok()?;
    let digits = |text: &str| {
        let most = (1u32 << (4 * text.len().min(4))) - 1;
        let value = is_hex(text).then(|| u32::from_str_radix(text, 16).ok())??;
        (text.len() <= 4).then(|| u8::try_from(value * 255 / most).ok())?
    };
    if let Some(hex) = text.strip_prefix('#') {
        let part = hex.len() / 3;
        let parts = (hex.is_ascii() && hex.len() % 3 == 0 && part > 0)
            .then(|| [0, 1, 2].map(|n| digits(&hex[n * part..(n + 1) * part])))?;
        return Some([parts[0]?, parts[1]?, parts[2]?]);
    }
    let mut parts = text.strip_prefix("rgb:")?.split('/').map(digits);
    let color = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(color)
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn write_color(out: &mut String, terminal: &Emulator, color: u16) {
    let [r, g, b] = terminal.colors.get(&color).copied().unwrap_or_else(|| {
        match color.checked_sub(Emulator::DYNAMIC) {
            Some(dynamic) => DYNAMIC[usize::from(dynamic).min(2)],
            None => palette(color),
        }
    });
    // Writing to a string does not fail.
    let _ = match color.checked_sub(Emulator::DYNAMIC) {
        Some(dynamic) => write!(out, "\x1b]{}", 10 + dynamic),
        None => write!(out, "\x1b]4;{color}"),
    };
    let _ = write!(
        out,
        ";rgb:{r:02x}{r:02x}/{g:02x}{g:02x}/{b:02x}{b:02x}\x1b\\"
    );
}

/// xterm's palette: sixteen colours, a cube of six, and greys.
fn palette(index: u16) -> [u8; 3] {
    let byte = |value: u16| u8::try_from(value).unwrap_or(u8::MAX);
    match index {
        0..16 => ANSI[usize::from(index)],
        16..232 => {
            let step = |n: u16| byte(if n == 0 { 0 } else { 55 + 40 * n });
            let n = index - 16;
            [step(n / 36), step(n / 6 % 6), step(n % 6)]
        }
        _ => [byte(8 + 10 * (index.min(255) - 232)); 3],
    }
}

fn pixels((rows, cols): (u16, u16)) -> (u32, u32) {
    (u32::from(cols) * CELL.0, u32::from(rows) * CELL.1)
}

fn window(what: u16, (rows, cols): (u16, u16)) -> String {
    let (width, height) = pixels((rows, cols));
    match what {
        11 => "\x1b[1t".into(),
        13 => "\x1b[3;0;0t".into(),
        14 => format!("\x1b[4;{height};{width}t"),
        15 => format!("\x1b[5;{height};{width}t"),
        16 => format!("\x1b[6;{};{}t", CELL.1, CELL.0),
        18 => format!("\x1b[8;{rows};{cols}t"),
        19 => format!("\x1b[9;{rows};{cols}t"),
        // A title that is told is a way to type: xterm says nothing either.
        20 => "\x1b]L\x1b\\".into(),
        21 => "\x1b]l\x1b\\".into(),
        _ => String::new(),
    }
}

/// 0 unknown, 1 on, 2 off.
fn private_mode(terminal: &Emulator, mode: u16) -> u8 {
    let on = match mode {
        6 => terminal.cursor.origin,
        47 | 1047 | 1049 => terminal.is_alternate(),
        mode if modes::is_kept(mode) => terminal.modes.is_on(mode),
        _ => return 0,
    };
    if on { 1 } else { 2 }
}

fn ansi_mode(terminal: &Emulator, mode: u16) -> u8 {
    let on = match mode {
        4 => terminal.modes.insert,
        20 => terminal.modes.newline,
        _ => return 0,
    };
    if on { 1 } else { 2 }
}

/// What DECRQSS answers.
fn setting(setting: &[u8], terminal: &Emulator) -> Option<String> {
    match setting {
        b"m" => {
            let mut sgr = String::new();
            terminal.cursor.pen.write(&mut sgr);
            Some(sgr.strip_prefix("\x1b[")?.to_owned())
        }
        b"r" => {
            let region = &terminal.region;
            Some(format!("{};{}r", region.start + 1, region.end))
        }
        b" q" => Some(format!("{} q", terminal.modes.cursor_style.max(1))),
        b"\"p" => Some("62;1\"p".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered to output on a terminal of 24 by 80.
    fn ask(output: &[u8]) -> String {
        let mut terminal = Emulator::new(TermSize::default());
        terminal.answering = true;
        terminal.feed(output);
        String::from_utf8_lossy(&terminal.take_answers()).into_owned()
    }

    #[test]
    fn questions_have_answers() {
        for (question, answer) in [
            ("\x1b[c", "\x1b[?62;22c"),
            ("\x1b[>c", "\x1b[>1;0;0c"),
            ("\x1b[=c", "\x1bP!|00000000\x1b\\"),
            ("\x1b[5n", "\x1b[0n"),
            ("\x1b[3;7H\x1b[6n", "\x1b[3;7R"),
            ("\x1b[?6n", "\x1b[?1;1;1R"),
            ("\x1b[5;9r\x1b[?6h\x1b[2;2H\x1b[6n", "\x1b[2;2R"),
            ("\x1b]11;?\x1b\\", "\x1b]11;rgb:1010/1010/1010\x1b\\"),
            (
                "\x1b]11;#fff\x07\x1b]11;?\x07",
                "\x1b]11;rgb:ffff/ffff/ffff\x1b\\",
            ),
            (
                "\x1b]4;1;?;231;?\x07",
                "\x1b]4;1;rgb:cdcd/0000/0000\x1b\\\x1b]4;231;rgb:ffff/ffff/ffff\x1b\\",
            ),
            (
                "\x1b]4;7;rgb:1/22/3333\x07\x1b]4;7;?\x07",
                "\x1b]4;7;rgb:1111/2222/3333\x1b\\",
            ),
            ("\x1b[>5u\x1b[?u", "\x1b[?5u"),
            ("\x1b[?u", "\x1b[?0u"),
            ("\x1b[>4;1m\x1b[?4m", "\x1b[>4;1m"),
            ("\x1b[?2026$p", "\x1b[?2026;2$y"),
            ("\x1b[?2004h\x1b[?2004$p", "\x1b[?2004;1$y"),
            ("\x1b[?25$p", "\x1b[?25;1$y"),
            ("\x1b[?9999$p", "\x1b[?9999;0$y"),
            ("\x1b[4h\x1b[4$p", "\x1b[4;1$y"),
            (
                "\x1b[1;4:3;38;5;99m\x1bP$qm\x1b\\",
                "\x1bP1$r0;1;4:3;38;5;99m\x1b\\",
            ),
            ("\x1b[3;9r\x1bP$qr\x1b\\", "\x1bP1$r3;9r\x1b\\"),
            ("\x1b[4 q\x1bP$q q\x1b\\", "\x1bP1$r4 q\x1b\\"),
            ("\x1bP$qz\x1b\\", "\x1bP0$r\x1b\\"),
            (
                "\x1bP+q544e;524742\x1b\\",
                "\x1bP0+r544e\x1b\\\x1bP0+r524742\x1b\\",
            ),
            (
                "\x1b[14t\x1b[16t\x1b[18t",
                "\x1b[4;480;800t\x1b[6;20;10t\x1b[8;24;80t",
            ),
            ("\x1b[?996n", "\x1b[?997;1n"),
            ("\x1b[?2048h", "\x1b[48;24;80;480;800t"),
            ("\x1b]52;c;?\x07\x1b_Gi=1,a=q;AAAA\x1b\\", ""),
        ] {
            assert_eq!(ask(question.as_bytes()), answer, "{question:?}");
        }
        assert!(ask(b"\x1b[>0q").starts_with("\x1bP>|wrapper("));
    }

    #[test]
    fn answers_come_in_the_order_of_the_questions_and_have_a_bound() {
        assert_eq!(ask(b"\x1b[6nab\x1b[6n\x1b[5n"), "\x1b[1;1R\x1b[1;3R\x1b[0n");
        assert!(ask(&b"\x1b[c".repeat(50_000)).len() <= 64 * 1024);
    }

    #[test]
    fn nobody_is_answered_who_was_not_to_be() {
        let mut terminal = Emulator::new(TermSize::default());
        terminal.feed(b"\x1b[c\x1b[6n\x1b[?2048h");
        assert!(terminal.take_answers().is_empty());
    }
}

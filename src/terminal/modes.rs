//! The modes of a terminal that say how it behaves, not what it shows. Pure.
//!
//! Private modes are xterm's (<https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>),
//! the keyboard flags kitty's (<https://sw.kovidgoyal.net/kitty/keyboard-protocol/>).

use std::fmt::Write;

/// Private modes that are kept, and which of them are on at first.
const KEPT: [(u16, bool); 23] = [
    (1, false),
    (5, false),
    (7, true),
    (9, false),
    (12, false),
    (25, true),
    (45, false),
    (66, false),
    (1000, false),
    (1001, false),
    (1002, false),
    (1003, false),
    (1004, false),
    (1005, false),
    (1006, false),
    (1007, false),
    (1015, false),
    (1016, false),
    (1036, false),
    (2004, false),
    (2026, false),
    (2031, false),
    (2048, false),
];

pub const AUTOWRAP: u16 = 7;
pub const VISIBLE: u16 = 25;
pub const KEYPAD: u16 = 66;
pub const PASTE: u16 = 2004;
pub const SYNCHRONIZED: u16 = 2026;
pub const RESIZES: u16 = 2048;

/// What is switched on and off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes {
    /// Those that are on, in the order in which they were switched on: of the
    /// mouse modes the last one counts.
    on: Vec<u16>,
    /// ANSI mode 4.
    pub insert: bool,
    /// ANSI mode 20.
    pub newline: bool,
    /// `CSI > 4 ; n m`.
    pub other_keys: u16,
    /// DECSCUSR.
    pub cursor_style: u16,
}

impl Default for Modes {
    fn default() -> Self {
        let on = KEPT.iter().filter(|(_, on)| *on).map(|(mode, _)| *mode);
        Self {
            on: on.collect(),
            insert: false,
            newline: false,
            other_keys: 0,
            cursor_style: 0,
        }
    }
}

impl Modes {
    /// Switches a private mode, if it is one that is kept.
    pub fn set(&mut self, mode: u16, on: bool) {
        if is_kept(mode) {
            self.on.retain(|other| *other != mode);
            if on {
                self.on.push(mode);
            }
        }
    }

    #[must_use]
    pub fn is_on(&self, mode: u16) -> bool {
        self.on.contains(&mode)
    }

    /// DECSTR: what a soft reset switches.
    pub fn soften(&mut self) {
        self.insert = false;
        self.set(VISIBLE, true);
        self.set(AUTOWRAP, true);
        self.set(KEYPAD, false);
        self.set(1, false);
    }

    /// Adds what brings a terminal from the first state to this one; a
    /// synchronized update is left out, as nobody would end it.
    pub fn write(&self, out: &mut String) {
        for (mode, _) in KEPT.iter().filter(|(mode, on)| *on && !self.is_on(*mode)) {
            let _ = write!(out, "\x1b[?{mode}l");
        }
        for mode in &self.on {
            let first = KEPT.contains(&(*mode, true));
            match *mode {
                _ if first => {}
                SYNCHRONIZED => {}
                // The spelling that all know.
                KEYPAD => out.push_str("\x1b="),
                mode => {
                    let _ = write!(out, "\x1b[?{mode}h");
                }
            }
        }
        if self.insert {
            out.push_str("\x1b[4h");
        }
        if self.newline {
            out.push_str("\x1b[20h");
        }
        if self.other_keys > 0 {
            let _ = write!(out, "\x1b[>4;{}m", self.other_keys);
        }
        if self.cursor_style > 0 {
            let _ = write!(out, "\x1b[{} q", self.cursor_style);
        }
    }
}

/// True for a private mode that is one of [`Modes`].
#[must_use]
pub fn is_kept(mode: u16) -> bool {
    KEPT.iter().any(|(kept, _)| *kept == mode)
}

/// Kitty's keyboard flags of one screen: a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyboard {
    base: u8,
    pushed: Vec<u8>,
}

impl Keyboard {
    /// As many as kitty keeps.
    const MOST: usize = 7;

    #[must_use]
    pub fn flags(&self) -> u8 {
        self.pushed.last().copied().unwrap_or(self.base)
    }

    pub fn push(&mut self, flags: u16) {
        if self.pushed.len() == Self::MOST {
            self.pushed.remove(0);
        }
        self.pushed.push(cut(flags));
    }

    pub fn pop(&mut self, count: u16) {
        match self.pushed.len().checked_sub(count.into()) {
            Some(left) => self.pushed.truncate(left),
            None => *self = Self::default(),
        }
    }

    /// Changes the flags: 1 replaces, 2 adds, 3 takes away.
    pub fn change(&mut self, flags: u16, how: u16) {
        let flags = cut(flags);
        let top = self.pushed.last_mut().unwrap_or(&mut self.base);
        match how {
            2 => *top |= flags,
            3 => *top &= !flags,
            _ => *top = flags,
        }
    }

    /// Adds what brings a terminal from no flags to these.
    pub fn write(&self, out: &mut String) {
        if self.base > 0 {
            let _ = write!(out, "\x1b[={};1u", self.base);
        }
        for flags in &self.pushed {
            let _ = write!(out, "\x1b[>{flags}u");
        }
    }
}

/// The five flags there are.
fn cut(flags: u16) -> u8 {
    u8::try_from(flags & 0x1f).unwrap_or_default()
}

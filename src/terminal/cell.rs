//! A cell of a screen and what it looks like. Pure.

use std::fmt::Write;

use super::csi::Params;

/// A colour: the terminal's own, one of its 256, or any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Color(u32);

impl Color {
    const INDEXED: u32 = 1 << 24;
    const DIRECT: u32 = 2 << 24;

    fn indexed(index: u16) -> Self {
        Self(Self::INDEXED | u32::from(index & 0xff))
    }

    fn direct(rgb: [u16; 3]) -> Self {
        let [r, g, b] = rgb.map(|part| u32::from(part.min(255)));
        Self(Self::DIRECT | r << 16 | g << 8 | b)
    }

    /// Adds the parameters that choose it; `base` is 38, 48 or 58.
    fn write(self, sgr: &mut String, base: u32) {
        let [kind, r, g, b] = self.0.to_be_bytes();
        let low = u32::from(b);
        // Writing to a string does not fail.
        let _ = match (kind, low) {
            (0, _) => Ok(()),
            (1, 0..8) if base < 58 => write!(sgr, ";{}", base - 8 + low),
            (1, 8..16) if base < 58 => write!(sgr, ";{}", base + 52 + low - 8),
            (1, _) if base == 58 => write!(sgr, ";58:5:{low}"),
            (1, _) => write!(sgr, ";{base};5;{low}"),
            (_, _) if base == 58 => write!(sgr, ";58:2::{r}:{g}:{b}"),
            (_, _) => write!(sgr, ";{base};2;{r};{g};{b}"),
        };
    }
}

/// Attributes, a bit each; the kind of underline in three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    const BOLD: u16 = 1;
    const DIM: u16 = 1 << 1;
    const ITALIC: u16 = 1 << 2;
    const BLINK: u16 = 1 << 3;
    const INVERSE: u16 = 1 << 4;
    const HIDDEN: u16 = 1 << 5;
    const STRIKE: u16 = 1 << 6;
    const OVERLINE: u16 = 1 << 7;
    /// 0 none, 1 single, 2 double, 3 curly, 4 dotted, 5 dashed.
    const UNDERLINE: u16 = 7 << 8;
    /// The first cell of a character that takes two.
    const WIDE: u16 = 1 << 11;
    /// The second.
    const SPACER: u16 = 1 << 12;

    /// The parameter of each.
    const SGR: [(u16, u32); 8] = [
        (Self::BOLD, 1),
        (Self::DIM, 2),
        (Self::ITALIC, 3),
        (Self::BLINK, 5),
        (Self::INVERSE, 7),
        (Self::HIDDEN, 8),
        (Self::STRIKE, 9),
        (Self::OVERLINE, 53),
    ];

    fn set(&mut self, bits: u16) {
        self.0 |= bits;
    }

    fn clear(&mut self, bits: u16) {
        self.0 &= !bits;
    }

    fn underline(&mut self, kind: u16) {
        self.0 = self.0 & !Self::UNDERLINE | kind.min(5) << 8;
    }
}

/// What characters look like that are written now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pen {
    pub fg: Color,
    pub bg: Color,
    pub flags: Flags,
    pub underline: Color,
    /// The number of a hyperlink, or 0.
    pub link: u16,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// A character; from [`Cell::CLUSTERS`] on the number of a cluster.
    glyph: u32,
    pub pen: Pen,
}

impl Default for Cell {
    fn default() -> Self {
        Self::blank(Color::default())
    }
}

impl Cell {
    const CLUSTERS: u32 = 0x11_0000;

    /// What erasing leaves.
    #[must_use]
    pub fn blank(bg: Color) -> Self {
        let pen = Pen {
            bg,
            ..Pen::default()
        };
        Self::new(' ', pen)
    }

    #[must_use]
    pub fn new(c: char, pen: Pen) -> Self {
        Self {
            glyph: c.into(),
            pen,
        }
    }

    /// The two cells of a wide character.
    #[must_use]
    pub fn wide(c: char, mut pen: Pen) -> [Self; 2] {
        pen.flags.set(Flags::WIDE);
        let first = Self::new(c, pen);
        pen.flags.clear(Flags::WIDE);
        pen.flags.set(Flags::SPACER);
        [first, Self::new(' ', pen)]
    }

    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.pen.flags.0 & Flags::WIDE != 0
    }

    #[must_use]
    pub fn is_spacer(&self) -> bool {
        self.pen.flags.0 & Flags::SPACER != 0
    }

    /// The character, or the number of the cluster.
    pub fn glyph(&self) -> Result<char, u16> {
        match char::from_u32(self.glyph) {
            Some(c) => Ok(c),
            None => Err(u16::try_from(self.glyph - Self::CLUSTERS).unwrap_or_default()),
        }
    }

    /// Makes it show a cluster.
    pub fn set_cluster(&mut self, number: u16) {
        self.glyph = Self::CLUSTERS + u32::from(number);
    }

    /// Makes it a blank that keeps its looks, for half a character that was
    /// overwritten.
    pub fn hollow(&mut self) {
        self.glyph = u32::from(' ');
        self.pen.flags.clear(Flags::WIDE | Flags::SPACER);
    }
}

impl Pen {
    /// Of a character that takes one cell: as it is asked for.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.flags.clear(Flags::WIDE | Flags::SPACER);
        self
    }

    /// Obeys SGR (ECMA-48 8.3.117; the colours of ISO 8613-6; underlines as in
    /// kitty).
    pub fn select(&mut self, params: &Params) {
        if params.all().is_empty() {
            self.reset();
        }
        let mut at = 0;
        while let Some(param) = params.all().get(at) {
            let subs = (at + 1..params.all().len())
                .take_while(|at| params.is_sub(*at))
                .count();
            let rest = &params.all()[at + 1..];
            match param {
                0 => self.reset(),
                1 => self.flags.set(Flags::BOLD),
                2 => self.flags.set(Flags::DIM),
                3 => self.flags.set(Flags::ITALIC),
                4 => self.flags.underline(if subs > 0 { rest[0] } else { 1 }),
                5 | 6 => self.flags.set(Flags::BLINK),
                7 => self.flags.set(Flags::INVERSE),
                8 => self.flags.set(Flags::HIDDEN),
                9 => self.flags.set(Flags::STRIKE),
                21 => self.flags.underline(2),
                22 => self.flags.clear(Flags::BOLD | Flags::DIM),
                23 => self.flags.clear(Flags::ITALIC),
                24 => self.flags.underline(0),
                25 => self.flags.clear(Flags::BLINK),
                27 => self.flags.clear(Flags::INVERSE),
                28 => self.flags.clear(Flags::HIDDEN),
                29 => self.flags.clear(Flags::STRIKE),
                30..=37 => self.fg = Color::indexed(param - 30),
                39 => self.fg = Color::default(),
                40..=47 => self.bg = Color::indexed(param - 40),
                49 => self.bg = Color::default(),
                53 => self.flags.set(Flags::OVERLINE),
                55 => self.flags.clear(Flags::OVERLINE),
                59 => self.underline = Color::default(),
                90..=97 => self.fg = Color::indexed(param - 90 + 8),
                100..=107 => self.bg = Color::indexed(param - 100 + 8),
                38 | 48 | 58 => {
                    let (color, used) = if subs > 0 {
                        (read_color(&rest[..subs], true), 0)
                    } else {
                        let used = match rest.first() {
                            Some(5) => 2,
                            Some(2) => 4,
                            _ => 0,
                        };
                        (read_color(rest, false), used)
                    };
                    if let Some(color) = color {
                        match param {
                            38 => self.fg = color,
                            48 => self.bg = color,
                            _ => self.underline = color,
                        }
                    }
                    at += used;
                }
                _ => {}
            }
            at += 1 + subs;
        }
    }

    /// Adds the SGR that makes any pen this one; the hyperlink is not in it.
    pub fn write(&self, out: &mut String) {
        out.push_str("\x1b[0");
        for (bit, param) in Flags::SGR {
            if self.flags.0 & bit != 0 {
                let _ = write!(out, ";{param}");
            }
        }
        match (self.flags.0 & Flags::UNDERLINE) >> 8 {
            0 => {}
            1 => out.push_str(";4"),
            kind => {
                let _ = write!(out, ";4:{kind}");
            }
        }
        self.fg.write(out, 38);
        self.bg.write(out, 48);
        self.underline.write(out, 58);
        out.push('m');
    }

    /// All but the hyperlink, which SGR does not end.
    fn reset(&mut self) {
        *self = Self {
            link: self.link,
            ..Self::default()
        };
    }
}

/// A colour after 38, 48 or 58.
fn read_color(params: &[u16], colons: bool) -> Option<Color> {
    match params {
        [5, index, ..] => Some(Color::indexed(*index)),
        // With colons a colour space may stand before the colour.
        [2, _, r, g, b, ..] if colons => Some(Color::direct([*r, *g, *b])),
        [2, r, g, b, ..] => Some(Color::direct([*r, *g, *b])),
        _ => None,
    }
}

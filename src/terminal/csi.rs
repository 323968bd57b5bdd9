//! A control sequence, taken apart (ECMA-48 5.4; colons as in ISO 8613-6).
//! Pure.

/// The parameters of a control sequence, as `1;38:5:7` is four of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    values: [u16; Self::MAX],
    len: usize,
    /// A bit for each that stands after a colon.
    colons: u32,
}

impl Params {
    const MAX: usize = 32;

    /// All of them; what was left out is 0.
    #[must_use]
    pub fn all(&self) -> &[u16] {
        &self.values[..self.len]
    }

    /// One of them; `default` for 0 and for what is not there.
    #[must_use]
    pub fn or(&self, at: usize, default: u16) -> u16 {
        match self.all().get(at) {
            None | Some(0) => default,
            Some(value) => *value,
        }
    }

    /// True if this one belongs to the one before.
    #[must_use]
    pub fn is_sub(&self, at: usize) -> bool {
        at < Self::MAX && self.colons & (1 << at) != 0
    }
}

/// A control sequence (CSI), taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Csi {
    /// One of `<=>?`, or 0.
    pub marker: u8,
    pub params: Params,
    /// The last intermediate, or 0.
    pub intermediate: u8,
    pub last: u8,
}

impl Csi {
    /// Reads a whole sequence. None for any other kind, or if it is none that
    /// anybody knows.
    #[must_use]
    pub fn read(sequence: &[u8]) -> Option<Self> {
        let rest = sequence.strip_prefix(b"\x1b[")?;
        let (last, rest) = rest.split_last()?;
        let mut csi = Self {
            marker: 0,
            params: Params {
                values: [0; Params::MAX],
                len: 0,
                colons: 0,
            },
            intermediate: 0,
            last: *last,
        };
        let params = &mut csi.params;
        let mut began = false;
        for byte in rest {
            match byte {
                b'0'..=b'9' | b';' | b':' if csi.intermediate != 0 => return None,
                b'0'..=b'9' => {
                    if params.len == 0 {
                        params.len = 1;
                    }
                    let value = &mut params.values[params.len - 1];
                    *value = value
                        .saturating_mul(10)
                        .saturating_add(u16::from(byte - b'0'));
                }
                b';' | b':' => {
                    params.len = params.len.max(1);
                    if params.len == Params::MAX {
                        // Nobody means so many.
                        break;
                    }
                    if *byte == b':' {
                        params.colons |= 1 << params.len;
                    }
                    params.len += 1;
                }
                b'<'..=b'?' if !began => csi.marker = *byte,
                b'<'..=b'?' => return None,
                0x20..=0x2f => csi.intermediate = *byte,
                // Control characters, which count on their own.
                _ => continue,
            }
            began = true;
        }
        Some(csi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_sequence_comes_apart() {
        let csi = Csi::read(b"\x1b[?1;38:5:7;$p").expect("a sequence");
        assert_eq!((csi.marker, csi.intermediate, csi.last), (b'?', b'$', b'p'));
        assert_eq!(csi.params.all(), [1, 38, 5, 7, 0]);
        assert!(csi.params.is_sub(2) && csi.params.is_sub(3) && !csi.params.is_sub(4));
        assert_eq!(Csi::read(b"\x1b[!0p"), None);
        assert_eq!(Csi::read(b"\x1b(0"), None);
        let many = [b"\x1b[".as_slice(), &b"1;".repeat(99), b"m"].concat();
        let many = Csi::read(&many).expect("a sequence");
        assert_eq!(many.params.all().len(), 32);
        let csi = Csi::read(b"\x1b[99999999H").expect("a sequence");
        assert_eq!(csi.params.or(0, 1), u16::MAX);
        assert_eq!(csi.params.or(1, 1), 1);
    }
}

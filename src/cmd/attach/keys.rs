//! The keys that detach, among all others: Ctrl-\ and then d. Pure.
//!
//! Keys come in the old encoding, in xterm's modifyOtherKeys, or in kitty's
//! protocol with any of its flags, and split anywhere. Everything else passes as
//! it came; `Ctrl-\ Ctrl-\` passes one of the two.

/// No key's sequence is longer.
const LONGEST: usize = 64;

/// Modifiers as both protocols count them.
const CTRL: u32 = 4;
const CTRL_SHIFT: u32 = 5;

/// What has come and is not passed yet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// A sequence that is not whole.
    part: Vec<u8>,
    /// Bytes of an old mouse report that are still to come.
    mouse: u8,
    /// Within a paste nothing is a key.
    is_paste: bool,
    /// Ctrl-\ and what came after it that is no key; empty: none.
    held: Vec<u8>,
}

/// What comes of keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// For the agent.
    pub(super) keys: Vec<u8>,
    /// The user leaves; what follows is nobody's.
    pub(super) leaves: bool,
}

/// What a whole sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ctrl-\.
    Prefix,
    /// d.
    Leave,
    /// A key that is let go or repeats the prefix, and a modifier by itself.
    Silent,
    /// What the terminal tells by itself.
    Report,
    Other,
}

impl Keys {
    /// Takes what was typed.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for byte in bytes {
            self.byte(*byte, &mut typed);
            if typed.leaves {
                *self = Self::default();
                break;
            }
        }
        typed
    }

    /// True if more must come soon, or it was a lone Escape.
    pub(super) fn is_split(&self) -> bool {
        !self.part.is_empty()
    }

    /// Nothing more has come.
    pub(super) fn pause(&mut self) -> Typed {
        let mut typed = Typed::default();
        if self.is_split() {
            self.pass(Kind::Other, &mut typed);
        }
        typed
    }

    fn byte(&mut self, byte: u8, typed: &mut Typed) {
        if self.mouse > 0 {
            self.mouse -= 1;
            typed.keys.push(byte);
            return;
        }
        if byte == 0x1b && self.is_split() {
            self.pass(Kind::Other, typed);
        }
        self.part.push(byte);
        let kind = match *self.part.as_slice() {
            [0x1b] | [0x1b, b'['] => return,
            [0x1b, b'[', .., 0x20..=0x3f] if self.part.len() < LONGEST => return,
            [0x1b, b'[', ref params @ .., last] => kind(params, last),
            [0x1c] => Kind::Prefix,
            [b'd'] => Kind::Leave,
            _ => Kind::Other,
        };
        self.pass(kind, typed);
    }

    /// Deals with a whole sequence.
    fn pass(&mut self, kind: Kind, typed: &mut Typed) {
        let sequence = std::mem::take(&mut self.part);
        if self.is_paste || sequence == b"\x1b[200~" {
            self.is_paste = sequence != b"\x1b[201~";
            return self.release(&sequence, typed);
        }
        if sequence == b"\x1b[M" {
            self.mouse = 3;
        }
        match (kind, self.held.is_empty()) {
            (Kind::Prefix, true) => self.held = sequence,
            (Kind::Prefix, false) => {
                self.held.clear();
                typed.keys.extend(sequence);
            }
            (Kind::Leave, false) => typed.leaves = true,
            (Kind::Silent, false) => self.held.extend(sequence),
            (Kind::Report, _) => typed.keys.extend(sequence),
            (Kind::Leave | Kind::Silent | Kind::Other, _) => self.release(&sequence, typed),
        }
    }

    /// Passes a sequence, after what was held for its sake.
    fn release(&mut self, sequence: &[u8], typed: &mut Typed) {
        typed.keys.append(&mut self.held);
        typed.keys.extend_from_slice(sequence);
    }
}

/// What the sequence `CSI params last` is. (kitty: Comprehensive keyboard
/// handling in terminals; xterm: modifyOtherKeys.)
fn kind(params: &[u8], last: u8) -> Kind {
    if matches!(params.first(), Some(b'?' | b'>' | b'<'))
        || params.is_empty() && matches!(last, b'I' | b'O' | b'M')
    {
        return Kind::Report;
    }
    // Codes of the key, then modifiers and the kind of event, then its text.
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    let mut params = params.split(|byte| *byte == b';').map(|param| {
        let mut fields = param.split(|byte| *byte == b':').map(number);
        [(); 3].map(|()| fields.next().flatten())
    });
    let mut next = || params.next().unwrap_or_default();
    let (mut codes, [modifiers, event, _]) = (next(), next());
    if last == b'~' && codes[0] == Some(27) {
        codes = next();
    } else if last != b'u' {
        return match event {
            Some(3) => Kind::Silent,
            _ => Kind::Other,
        };
    }
    // Not the locks.
    let modifiers = modifiers.unwrap_or(1).saturating_sub(1) & 0x3f;
    let [key, shifted, base] = codes;
    let is = |code: char| [key, base].contains(&Some(code.into()));
    let is_prefix = match modifiers {
        CTRL => is('\\'),
        CTRL_SHIFT => shifted == Some('\\'.into()),
        _ => false,
    };
    let is_modifier = key.is_some_and(|key| matches!(key, 57358 | 57360 | 57441..=57454));
    match event {
        Some(3) => Kind::Silent,
        _ if is_modifier => Kind::Silent,
        Some(2) if is_prefix => Kind::Silent,
        _ if is_prefix => Kind::Prefix,
        _ if modifiers == 0 && is('d') => Kind::Leave,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of `bytes`, and whether the user leaves, however they are cut.
    #[track_caller]
    fn check(bytes: &str, passes: &str, leaves: bool) {
        for size in 1..=bytes.len() {
            let mut keys = Keys::default();
            let mut all = Typed::default();
            for part in bytes.as_bytes().chunks(size) {
                let typed = keys.take(part);
                all.keys.extend(typed.keys);
                all.leaves |= typed.leaves;
                if all.leaves {
                    break;
                }
            }
            all.keys.extend(keys.pause().keys);
            let passed = String::from_utf8_lossy(&all.keys);
            assert_eq!(
                (&*passed, all.leaves),
                (passes, leaves),
                "{bytes:?} by {size}"
            );
        }
    }

    #[test]
    fn ctrl_backslash_and_d_leave_in_every_encoding() {
        let prefixes = [
            "\x1c",
            "\x1b[92;5u",
            "\x1b[92;5:1u",
            "\x1b[92;69u",
            "\x1b[92;133:1u",
            "\x1b[92:124;5u",
            "\x1b[92::92;5:1u",
            "\x1b[1078::92;5u",
            "\x1b[223:92;6u",
            "\x1b[27;5;92~",
        ];
        let between = [
            "",
            "\x1b[92;5:2u",
            "\x1b[92;5:3u\x1b[57442;5:3u",
            "\x1b[57442;1:3u",
        ];
        let leaves = [
            "d",
            "\x1b[100u",
            "\x1b[100;1u",
            "\x1b[100;1:1u",
            "\x1b[100;1:1;100u",
            "\x1b[100;65;100u",
            "\x1b[1074::100;1:1;1074u",
            "\x1b[27;1;100~",
        ];
        for prefix in prefixes {
            for between in between {
                for leave in leaves {
                    check(&format!("ab{prefix}{between}{leave}"), "ab", true);
                }
            }
        }
    }

    #[test]
    fn twice_passes_one() {
        for prefix in ["\x1c", "\x1b[92;5u", "\x1b[27;5;92~"] {
            check(&format!("{prefix}{prefix}d"), &format!("{prefix}d"), false);
        }
        let (press, release) = ("\x1b[92;5:1u", "\x1b[92;5:3u");
        check(
            &[press, release, press, release, "d"].concat(),
            &[press, release, "d"].concat(),
            false,
        );
    }

    #[test]
    fn everything_else_passes_as_it_came() {
        let long = format!("\x1b[{}u", "1;".repeat(100));
        for bytes in [
            "d",
            "häßlich 漢\r",
            "\x1cD",
            "\x1c\x04",
            "\x1b",
            "\x1b\x1b[A\x1bd\x1bOd",
            "\x1c\x1b[A",
            "\x1c\x1bd",
            "\x1c\x1b",
            "\x1b[92;7u\x1b[100u",
            "\x1b[92;5:3ud",
            "\x1b[200~\x1cd\x1b[92;5u\x1b[100u\x1b[20\x1b[201~",
            "\x1b]11;rgb:0/0/0\x1b\\d\x1bP>|x\x1b\\",
            "\x1b[M  d\x1b[<0;1;1M",
            &long,
        ] {
            check(bytes, bytes, false);
        }
        // Held until it is clear what it was.
        check("\x1cx\x1c", "\x1cx", false);
    }

    #[test]
    fn what_the_terminal_tells_passes_at_once_and_leaves_the_prefix() {
        for report in [
            "\x1b[I",
            "\x1b[O",
            "\x1b[<35;4;5M",
            "\x1b[?62;4c",
            "\x1b[Mddd",
        ] {
            check(&format!("\x1c{report}d"), report, true);
        }
    }
}

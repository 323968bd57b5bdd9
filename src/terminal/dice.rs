//! Chance for tests: the same throws every time.

/// A linear congruential generator.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number from 0 to `end` - 1; `end` is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % end
    }

    /// `whole` in pieces.
    pub(super) fn split<'a>(&mut self, mut whole: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !whole.is_empty() {
            let (piece, rest) = whole.split_at((1 + self.below(9)).min(whole.len()));
            pieces.push(piece);
            whole = rest;
        }
        pieces
    }

    /// Output of an agent in a mood: text, sequences of all kinds, and pieces
    /// of them.
    pub(super) fn output(&mut self, words: usize) -> Vec<u8> {
        let mut output = Vec::new();
        for _ in 0..self.below(words) {
            let word = match self.below(12) {
                0..=2 => self.pick(&TEXT).into(),
                3 => self.pick(&CONTROLS).into(),
                4 if self.below(40) == 0 => "\x1bc".into(),
                4 => format!("\x1b{}", self.pick(&ESCAPES)),
                5 => self.pick(&STRINGS).into(),
                6 => {
                    let mode = self.pick(&MODES);
                    format!("\x1b[?{mode}{}", self.pick(&["h", "l"]))
                }
                7 => format!("\x1b[{}", self.pick(&SETTINGS)),
                8 => format!("\x1b[{}m", self.pick(&LOOKS)),
                9 | 10 => {
                    let last = self.below(EDITS.len());
                    let numbers = self.pick(&["", "1", "2", "3", "5;3", "2;6", "9", "60", "99999"]);
                    format!("\x1b[{numbers}{}", &EDITS[last..=last])
                }
                _ => {
                    let byte = self.below(256);
                    output.push(u8::try_from(byte).unwrap_or_default());
                    continue;
                }
            };
            output.extend_from_slice(word.as_bytes());
        }
        output
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }
}

const TEXT: [&str; 8] = [
    "a",
    "some words",
    "漢字",
    "e\u{301}",
    "ä",
    "🦀",
    "|",
    "qxlk",
];
const CONTROLS: [&str; 8] = ["\r\n", "\r", "\n", "\x08", "\t", "\x0e", "\x0f", "\x07"];
const ESCAPES: [&str; 16] = [
    "7", "8", "D", "E", "M", "H", "(0", ")0", "(B", "=", ">", "#8", "N", "n", "[!p", "\\",
];
const STRINGS: [&str; 14] = [
    "\x1b]0;title\x07",
    "\x1b]2;other\x1b\\",
    "\x1b]8;id=1;http://a/b\x1b\\",
    "\x1b]8;;\x07",
    "\x1b]11;rgb:10/20/30\x07",
    "\x1b]4;7;#123456\x07",
    "\x1b]104\x07",
    "\x1b]111\x07",
    "\x1bPq#0\x1b\\",
    "\x1b_Gx\x1b\\",
    "\x1b]11;?\x07",
    "\x1b[6n",
    "\x1b[c",
    "\x1b[?u",
];
const MODES: [&str; 21] = [
    "1", "5", "6", "7", "12", "25", "47", "1000", "1002", "1003", "1004", "1006", "1047", "1048",
    "1049", "1049", "2004", "2026", "2031", "2048", "9999",
];
const SETTINGS: [&str; 16] = [
    "4h", "4l", "20h", "20l", ">5u", "<u", "=3;2u", ">4;2m", ">4m", "5 q", " q", "3g", "g", "22t",
    "23t", "?5W",
];
const LOOKS: [&str; 15] = [
    "",
    "0",
    "1;2;3",
    "4:3",
    "4",
    "7;9;53",
    "31",
    "97;44",
    "38;5;99",
    "48;2;1;2;3",
    "38:2::9:8:7",
    "58:5:3",
    "58;2;3;4;5",
    "22;24;27;39;49",
    "5;8",
];
const EDITS: &str = "@ABCDEFGHIJKLMPSTXZ`abdefgrsu";

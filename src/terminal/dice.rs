//! Output that tests throw.

use crate::types::dice::Dice;

impl Dice {
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
                    output.push(self.byte());
                    continue;
                }
            };
            output.extend_from_slice(word.as_bytes());
        }
        output
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

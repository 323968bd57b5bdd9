//! The user's unfinished line, guessed from the user's keys. Pure.
//!
//! The guess errs on the side of a draft: whatever may have put text into the
//! agent's input counts, until Enter, Ctrl-C or Ctrl-U. Terminals answer the
//! agent's questions on the same way as keys; those answers count nothing.
//! Keys come in the old encoding, or as CSI u (kitty's keyboard protocol).

/// What is known of the line.
#[derive(Debug, Default)]
pub struct Draft {
    /// Characters typed and not taken back.
    chars: usize,
    /// How often something may have come there that was not typed: history,
    /// completion.
    recalled: usize,
    /// The last key was a backslash: Enter after it is a line break.
    backslash: bool,
    /// How often the line was emptied.
    cleared: u64,
    /// What the agent has put aside: as `chars` and `recalled`.
    stashed: Option<(usize, usize)>,
    state: State,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// After CSI; holds parameters and intermediates.
    Csi(Vec<u8>),
    /// After SS3.
    Ss3,
    /// A string answer, until BEL or ST.
    Text,
    /// In the user's own paste; holds what may be its end.
    Paste(Vec<u8>),
    /// An old mouse report, so many bytes of it to come.
    Mouse(u8),
}

/// What was guessed at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Guess {
    chars: usize,
    recalled: usize,
    cleared: u64,
}

const PASTE_END: &[u8] = b"\x1b[201~";

impl Draft {
    /// Follows the user's bytes. True if a key was among them, and not only
    /// answers and reports of the terminal.
    pub fn follow(&mut self, bytes: &[u8]) -> bool {
        bytes
            .iter()
            .fold(false, |keys, byte| self.byte(*byte) | keys)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chars == 0 && self.recalled == 0
    }

    /// True within a sequence: nothing may be typed between its bytes.
    #[must_use]
    pub fn is_split(&self) -> bool {
        self.state != State::Ground
    }

    /// True after an escape of which nothing follows yet.
    #[must_use]
    pub fn is_escape(&self) -> bool {
        self.state == State::Escape
    }

    /// True if the agent has put a line aside.
    #[must_use]
    pub fn is_stashed(&self) -> bool {
        self.stashed.is_some()
    }

    /// How often the line was emptied by Enter, Ctrl-C or Ctrl-U.
    #[must_use]
    pub fn cleared(&self) -> u64 {
        self.cleared
    }

    /// The agent has put the line aside.
    pub fn stash(&mut self) {
        let line = (std::mem::take(&mut self.chars), self.recalled);
        self.stashed = Some(line);
        self.recalled = 0;
    }

    /// The agent has submitted another line, and given back the one that it had
    /// put aside.
    pub fn give_back(&mut self) {
        if let Some((chars, recalled)) = self.stashed.take() {
            self.chars += chars;
            self.recalled += recalled;
        }
    }

    /// Nothing stands there after all.
    pub fn forget(&mut self) {
        self.chars = 0;
        self.recalled = 0;
    }

    /// What is guessed at this moment.
    #[must_use]
    pub fn guess(&self) -> Guess {
        Guess {
            chars: self.chars,
            recalled: self.recalled,
            cleared: self.cleared,
        }
    }

    /// What came since then went elsewhere.
    pub fn restore(&mut self, guess: Guess) {
        (self.chars, self.recalled) = (guess.chars, guess.recalled);
        self.cleared = guess.cleared;
        self.backslash = false;
    }

    /// What was guessed then went elsewhere; what came later stays.
    pub fn forget_guess(&mut self, guess: Guess) {
        if self.cleared == guess.cleared {
            self.chars = self.chars.saturating_sub(guess.chars);
            self.recalled = self.recalled.saturating_sub(guess.recalled);
        }
    }

    /// Follows keys that go elsewhere: into a question that is open. True if
    /// there were any.
    pub fn pass(&mut self, bytes: &[u8]) -> bool {
        let before = self.guess();
        let keys = self.follow(bytes);
        self.restore(before);
        keys
    }

    /// A lone escape is a key after all.
    pub fn end_escape(&mut self) {
        if self.state == State::Escape {
            self.state = State::Ground;
        }
    }

    #[expect(clippy::match_same_arms, reason = "a table of states, in order")]
    fn byte(&mut self, byte: u8) -> bool {
        match (std::mem::take(&mut self.state), byte) {
            (State::Ground, 0x1b) => self.state = State::Escape,
            (State::Ground, _) => self.key(byte.into(), false),
            (State::Escape, b'[') => self.state = State::Csi(Vec::new()),
            (State::Escape, b'O') => self.state = State::Ss3,
            (State::Escape, b']' | b'P' | b'_' | b'^' | b'X') => self.state = State::Text,
            (State::Escape, 0x1b) => self.state = State::Escape,
            // Alt and a key: a line break, or an editing command.
            (State::Escape, b'\r' | b'\n') => self.insert(),
            // The end of a string answer.
            (State::Escape, b'\\') => return false,
            (State::Escape, _) => {}
            (State::Ss3, _) => self.recalled += usize::from(matches!(byte, b'A' | b'B')),
            (State::Csi(params), 0x40..=0x7e) => return self.csi(&params, byte),
            (State::Csi(mut params), _) => {
                params.push(byte);
                self.state = State::Csi(params);
                return false;
            }
            (State::Text, 0x1b) => {
                self.state = State::Escape;
                return false;
            }
            (State::Text, 0x07) => return false,
            // No answer has control characters: it was Alt and a key after all.
            (State::Text, 0..0x20) => self.key(byte.into(), false),
            (State::Text, _) => {
                self.state = State::Text;
                return false;
            }
            (State::Mouse(left), _) => {
                if left > 1 {
                    self.state = State::Mouse(left - 1);
                }
                return false;
            }
            (State::Paste(mut seen), _) => {
                seen.push(byte);
                if seen == PASTE_END {
                    return true;
                }
                if !PASTE_END.starts_with(&seen) {
                    self.insert();
                    seen.clear();
                    if byte == 0x1b {
                        seen.push(byte);
                    }
                }
                self.state = State::Paste(seen);
            }
        }
        // An escape may begin an answer: it is told by its end.
        !matches!(
            self.state,
            State::Escape | State::Csi(_) | State::Ss3 | State::Text
        )
    }

    /// Ends a control sequence. False if the terminal said it by itself.
    fn csi(&mut self, params: &[u8], last: u8) -> bool {
        let mut fields = params.split(|b| *b == b';').map(|field| {
            let mut parts = field.split(|b| *b == b':').map(number);
            (parts.next().unwrap_or(0), parts.next().unwrap_or(1))
        });
        let (code, _) = fields.next().unwrap_or((0, 1));
        let (modifiers, event) = fields.next().unwrap_or((1, 1));
        let released = event == 3;
        match last {
            b'M' if params.is_empty() => self.state = State::Mouse(3),
            b'A' | b'B' => self.recalled += usize::from(!released),
            b'~' if code == 200 => self.state = State::Paste(Vec::new()),
            // xterm's modifyOtherKeys.
            b'~' if code == 27 => {
                let (key, _) = fields.next().unwrap_or((0, 1));
                self.modified(key, modifiers);
            }
            b'u' if !params.starts_with(b"?") => {
                if !released {
                    self.modified(code, modifiers);
                }
            }
            b'C' | b'D' | b'E' | b'F' | b'H' | b'P' | b'Q' | b'S' | b'Z' | b'~' => {}
            _ => return false,
        }
        last != b'M'
    }

    /// A key with modifiers, as 1 and the sum of shift 1, alt 2, control 4,
    /// super 8 …; the locks above count nothing.
    #[expect(clippy::match_same_arms, reason = "one line a kind of key")]
    fn modified(&mut self, code: u32, modifiers: u32) {
        let held = modifiers.saturating_sub(1) & 0x3f;
        match code {
            13 | 57414 if held == 0 => self.key(b'\r'.into(), false),
            13 | 57414 => self.insert(),
            // The key pad's characters; the other keys up there type nothing.
            57399..=57413 | 57415 | 57416 => self.insert(),
            57344.. => {}
            _ if held & 4 != 0 => self.key(code & 0x1f, true),
            _ if held & !1 == 0 => self.key(code, false),
            _ => {}
        }
    }

    #[expect(clippy::match_same_arms, reason = "one line a kind of key")]
    fn key(&mut self, code: u32, control: bool) {
        let backslash = std::mem::replace(&mut self.backslash, code == u32::from(b'\\'));
        match code {
            0x0d if backslash && !control => self.insert(),
            0x0d | 0x03 | 0x15 => {
                self.forget();
                self.cleared += 1;
            }
            0x08 | 0x7f => self.chars = self.chars.saturating_sub(1),
            // Line break; continuation bytes belong to the byte before.
            0x0a => self.insert(),
            0x80..=0xbf => {}
            0x20.. => self.insert(),
            // Tab, next, previous, search, quoted, yank, stash.
            0x09 | 0x0e | 0x10 | 0x12 | 0x13 | 0x16 | 0x19 => self.recalled += 1,
            _ => {}
        }
    }

    fn insert(&mut self) {
        self.chars += 1;
    }
}

fn number(digits: &[u8]) -> u32 {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_unfinished_until_it_is_sent_or_dropped() {
        for (keys, empty) in [
            (&b""[..], true),
            (b"hello", false),
            (b"hello\r", true),
            (b"hello\x03", true),
            (b"hello\x15", true),
            (b"hi\x7f\x7f", true),
            (b"hi\x7f", false),
            ("é\x7f".as_bytes(), true),
            (b"hi\\\r", false),
            (b"hi\x1b\r", false),
            (b"hi\n", false),
            (b"\x1b[A", false),
            (b"\x1bOA", false),
            (b"\x1b[A\r", true),
            (b"\x1b[C\x1b[D\x1b[H\x1b[Z\x1b[5~", true),
            (b"\t", false),
            (b"\x1b]a\r", true),
            (b"\x12", false),
        ] {
            check(keys, empty);
        }
    }

    #[test]
    fn kitty_keys_count_as_the_old_ones() {
        for (keys, empty) in [
            (&b"\x1b[104u"[..], false),
            (b"\x1b[104u\x1b[13u", true),
            (b"\x1b[104u\x1b[13;2u", false),
            (b"\x1b[104u\x1b[99;5u", true),
            (b"\x1b[104u\x1b[117;133u", true),
            (b"\x1b[104;1:1u\x1b[127;1:1u\x1b[127;1:3u", true),
            (b"\x1b[104;1:3u", true),
            (b"\x1b[57441;2u", true),
            (b"\x1b[27;5;99~", true),
            (b"x\x1b[27;5;117~", true),
        ] {
            check(keys, empty);
        }
    }

    #[test]
    fn a_users_paste_is_a_draft_whatever_is_in_it() {
        check(b"\x1b[200~a\rb\x1b[201~", false);
        check(b"\x1b[200~a\x03\x1b[20x\x1b[201~\r", true);
        check(b"\x1b[200~\x1b[201~", true);
    }

    #[test]
    fn answers_of_the_terminal_are_no_keys() {
        for answer in [
            &b"\x1b[?62;22c"[..],
            b"\x1b[24;80R",
            b"\x1b[?1u",
            b"\x1b[?2026;2$y",
            b"\x1b[I",
            b"\x1b[O",
            b"\x1b[<35;10;20M",
            b"\x1b[<0;10;20m",
            b"\x1b[M !!",
            b"\x1b]11;rgb:0000/0000/0000\x1b\\",
            b"\x1b]10;rgb:ffff/ffff/ffff\x07",
            b"\x1bP>|xterm(1)\x1b\\",
        ] {
            let mut draft = Draft::default();
            assert!(!draft.follow(answer), "{answer:?}");
            assert!(
                draft.is_empty() && !draft.is_split(),
                "{answer:?} {draft:?}"
            );
        }
        assert!(Draft::default().follow(b"x"));
        assert!(Draft::default().follow(b"\x1b[A"));
    }

    #[test]
    fn a_line_that_was_put_aside_comes_back() {
        let mut draft = Draft::default();
        draft.follow(b"hal\t");
        draft.stash();
        assert!(draft.is_empty());
        draft.follow(b"x\x7f");
        draft.give_back();
        assert!(!draft.is_empty());
        draft.follow(b"\r");
        draft.give_back();
        assert!(draft.is_empty(), "it comes back once");
        draft.follow(b"x");
        draft.forget();
        assert!(draft.is_empty());
    }

    #[test]
    fn keys_that_went_into_a_question_are_no_draft() {
        let mut draft = Draft::default();
        assert!(draft.pass(b"1"));
        assert!(draft.pass(b"\x1b[A\t\r"));
        assert!(draft.is_empty() && draft.cleared() == 0);
        draft.follow(b"1");
        let guess = draft.guess();
        draft.follow(b"ab");
        draft.forget_guess(guess);
        assert!(!draft.is_empty(), "what came later stays");
        draft.follow(b"\x7f\x7f");
        assert!(draft.is_empty());
        // A line that was emptied since has nothing to forget.
        draft.follow(b"1");
        let guess = draft.guess();
        draft.follow(b"\rx");
        draft.forget_guess(guess);
        assert!(!draft.is_empty());
    }

    #[test]
    fn a_sequence_may_come_in_pieces() {
        let mut draft = Draft::default();
        draft.follow(b"\x1b");
        assert!(draft.is_split());
        draft.end_escape();
        assert!(!draft.is_split());
        draft.follow(b"\x1b[");
        draft.end_escape();
        assert!(draft.is_split());
        draft.follow(b"C");
        assert!(!draft.is_split());
    }

    #[track_caller]
    fn check(keys: &[u8], empty: bool) {
        let mut whole = Draft::default();
        whole.follow(keys);
        assert_eq!(
            whole.is_empty(),
            empty,
            "{:?}",
            String::from_utf8_lossy(keys)
        );
        let mut split = Draft::default();
        keys.chunks(1).for_each(|key| _ = split.follow(key));
        assert_eq!(
            split.is_empty(),
            empty,
            "split: {:?}",
            String::from_utf8_lossy(keys)
        );
    }
}

//! An agent that lives in the test: an input line, questions that take one key,
//! and a way of drawing what it is given.

use super::*;

const LONE_ESCAPE: Duration = Duration::from_millis(50);

/// How the agent draws its input line.
pub(super) type Draw = fn(&str) -> String;

/// The agent, its terminal, and the typist that looks at it.
pub(super) struct Puppet {
    pub(super) desk: Desk,
    /// What stands in its input line.
    pub(super) line: String,
    pub(super) is_asking: bool,
    pub(super) submitted: Vec<String>,
    pub(super) receipts: Vec<Receipt>,
    draw: Draw,
    pasting: Option<Vec<u8>>,
    pending: Vec<u8>,
    last: Instant,
}

impl Puppet {
    pub(super) fn new(known: bool, draw: Draw) -> Self {
        let mut desk = Desk::ready();
        desk.known = known;
        let last = desk.now;
        let mut puppet = Self {
            desk,
            line: String::new(),
            is_asking: false,
            submitted: Vec::new(),
            receipts: Vec::new(),
            draw,
            pasting: None,
            pending: Vec::new(),
            last,
        };
        puppet.show();
        puppet
    }

    /// The user types; what is not held arrives at once.
    pub(super) fn user(&mut self, keys: &[u8]) {
        let now = self.desk.now;
        let keys = self.desk.typist.user(now, keys);
        // The screen as it is before the agent gets them.
        if let Some(guess) = self.desk.typist.take_guess()
            && self.is_asking
        {
            self.desk.typist.keys_were_an_answer(guess);
        }
        self.take(&keys);
        self.pump();
    }

    pub(super) fn ask(&mut self, question: bool) {
        self.is_asking = question;
        self.show();
        self.pump();
    }

    pub(super) fn wait(&mut self, ms: u64) {
        self.desk.wait(ms);
        self.take(&[]);
        self.pump();
    }

    /// Has the typist do all that there is to do.
    pub(super) fn pump(&mut self) {
        loop {
            if !self.desk.typist.is_busy() {
                return;
            }
            match self.desk.step() {
                None => return,
                Some(Act::Report(_, receipt)) => self.receipts.push(receipt),
                Some(Act::Paste(keys)) => {
                    assert!(!self.is_asking, "pasted into a question");
                    assert_eq!(self.line, "", "pasted into a line");
                    self.take(&keys);
                }
                Some(Act::Keys(keys)) => {
                    let is_ours = matches!(self.desk.typist.phase, Phase::Entered(_));
                    assert!(!(is_ours && self.is_asking), "entered into a question");
                    self.take(&keys);
                }
            }
        }
    }

    /// Goes on for so many tenths of a second, or until all prompts have ended.
    pub(super) fn settle(&mut self, tenths: u32) {
        for _ in 0..tenths {
            if !self.desk.typist.is_busy() {
                return;
            }
            self.wait(100);
        }
    }

    fn take(&mut self, keys: &[u8]) {
        if self.desk.now >= self.last + LONE_ESCAPE && self.pending == b"\x1b" {
            self.pending.clear();
            self.key('\x1b');
        }
        if !keys.is_empty() {
            self.last = self.desk.now;
        }
        for byte in keys {
            self.byte(*byte);
        }
        self.show();
    }

    fn byte(&mut self, byte: u8) {
        if let Some(pasting) = &mut self.pasting {
            pasting.push(byte);
            if pasting.ends_with(b"\x1b[201~") {
                let text = self.pasting.take().unwrap_or_default();
                let text = String::from_utf8_lossy(&text[..text.len() - 6]).into_owned();
                if !self.is_asking {
                    self.line.push_str(&text);
                }
            }
            return;
        }
        self.pending.push(byte);
        match self.pending[..] {
            [0x1b] | [0x1b, b'[' | b'O'] => {}
            [0x1b, b'[', .., last] if !(0x40..=0x7e).contains(&last) => {}
            [0x1b, 0x1b] => {
                self.pending = vec![0x1b];
                self.key('\x1b');
            }
            [0x1b, b'\r'] => {
                self.pending.clear();
                self.insert('\n');
            }
            [0x1b, ..] => {
                let is_paste = self.pending == b"\x1b[200~";
                self.pending.clear();
                self.pasting = is_paste.then(Vec::new);
            }
            _ => match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    let keys: Vec<char> = text.chars().collect();
                    self.pending.clear();
                    keys.into_iter().for_each(|c| self.key(c));
                }
                Err(error) if error.error_len().is_some() => self.pending.clear(),
                Err(_) => {}
            },
        }
    }

    fn key(&mut self, c: char) {
        if self.is_asking {
            // Everything but a tab answers.
            self.is_asking = c == '\t';
            return;
        }
        match c {
            '\r' if self.line.ends_with('\\') => self.line.push('\n'),
            '\r' => {
                let line = std::mem::take(&mut self.line);
                if !line.is_empty() {
                    self.submitted.push(line);
                }
            }
            '\x03' | '\x15' => self.line.clear(),
            '\x7f' => drop(self.line.pop()),
            '\n' => self.insert('\n'),
            c if !c.is_control() => self.insert(c),
            _ => {}
        }
    }

    fn insert(&mut self, c: char) {
        if !self.is_asking {
            self.line.push(c);
        }
    }

    /// Draws the screen anew, if it is another one.
    fn show(&mut self) {
        let drawn = (self.draw)(&self.line);
        let (sight, typed) = if self.is_asking {
            (Sight::Dialog("allow".into()), None)
        } else if drawn.is_empty() {
            (Sight::Clear, Some(drawn.clone()))
        } else {
            (Sight::Draft, Some(drawn.clone()))
        };
        if typed == self.desk.typed && sight == self.desk.sight {
            return;
        }
        (self.desk.sight, self.desk.typed) = (sight, typed);
        self.desk.paint(&drawn);
        let column = u16::try_from(drawn.chars().count()).unwrap_or(u16::MAX - 2);
        self.desk.view.cursor = (1, column + 2);
    }
}

//! What is said in words: titles, colours and links, and what is asked. Pure.

use super::{Emulator, Link};
use crate::terminal::answer;
use crate::terminal::modes::RESIZES;
use crate::terminal::query::{self, Query};

/// The depth of the stack of titles, as in xterm.
const TITLES: usize = 10;

impl Emulator {
    /// Answers a question, where we do.
    pub(super) fn asked(&mut self, query: Query<'_>) {
        if let Query::Colors(code, params) = query {
            // Some may be set along with those that are asked for.
            self.set_colors(code, params);
        }
        let answer = answer::answer(query, self);
        self.answer(answer.as_bytes());
    }

    /// Tells an agent that wants to know the size.
    pub(super) fn report_size(&mut self) {
        if self.modes.is_on(RESIZES) {
            let report = answer::resized(self.size());
            self.answer(report.as_bytes());
        }
    }

    pub(super) fn window(&mut self, what: u16) {
        match what {
            22 => {
                if self.titles.len() == TITLES {
                    self.titles.remove(0);
                }
                self.titles.push(self.title.clone());
            }
            23 => {
                if let Some(title) = self.titles.pop() {
                    self.title = title;
                }
            }
            _ => {}
        }
    }

    pub(super) fn osc(&mut self, text: &[u8]) {
        let (code, rest) = query::code(text);
        let words = || String::from_utf8_lossy(rest).into_owned();
        match code {
            Some(0 | 2) => self.title = Some(words().replace(|c: char| c.is_control(), "")),
            Some(4 | 10..=12) => self.set_colors(code.unwrap_or_default(), rest),
            Some(8) => self.link(&words()),
            Some(104) if rest.is_empty() => self.colors.retain(|color, _| *color >= Self::DYNAMIC),
            Some(104) => {
                for index in words().split(';').filter_map(|word| word.parse().ok()) {
                    if index < Self::DYNAMIC {
                        self.colors.remove(&index);
                    }
                }
            }
            Some(code @ 110..=112) => drop(self.colors.remove(&(Self::DYNAMIC + code - 110))),
            _ => {}
        }
    }

    /// OSC 4, 10, 11, 12.
    fn set_colors(&mut self, code: u16, params: &[u8]) {
        for (color, value) in query::colors(code, params) {
            if let Some(rgb) = answer::parse_color(value) {
                self.colors.insert(color, rgb);
            }
        }
    }

    /// OSC 8 (<https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda>).
    fn link(&mut self, text: &str) {
        let (params, address) = text.split_once(';').unwrap_or_default();
        if address.is_empty() || text.contains(|c: char| c.is_control()) {
            self.cursor.pen.link = 0;
            return;
        }
        if self.links.wants_sweep() {
            self.sweep();
        }
        let link = Link {
            params: params.to_owned(),
            address: address.to_owned(),
        };
        self.cursor.pen.link = self.links.put(link).unwrap_or(0);
    }
}

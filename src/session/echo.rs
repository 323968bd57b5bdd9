//! Whether an agent shows what was typed into it. Pure.

use super::ink::{ink, plain, runs};
use super::placeholder::{self, Size};

/// How many characters of a prompt are looked for; agents wrap and cut lines.
const LENGTH: usize = 12;

/// A shorter part of a prompt is looked for only together with what is around
/// it.
const SHORTEST: usize = 4;

/// From so many characters on a prompt may not fit into an input box, which
/// then shows its end.
const LONG: usize = 400;

/// What is looked for: a part of a prompt that all agents draw alike, from its
/// beginning if there is one; also one from its end, if it is long or has
/// several lines; or what stands in place of a paste of its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    words: Vec<String>,
    /// Of a text with no longer part: what is left of it without symbols.
    plain: Option<String>,
    size: Size,
}

/// Where it stands on a screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Places {
    count: usize,
    /// The row in which the lowest begins.
    lowest: Option<usize>,
}

impl Needle {
    #[must_use]
    pub fn of(prompt: &str) -> Self {
        let size = Size::of(prompt);
        let (runs, whole) = (runs(prompt), ink(prompt));
        let count = |run: &&String| run.chars().count();
        let is_long = |run: &&String| count(run) >= LENGTH;
        let (mut words, mut rest) = (Vec::new(), None);
        match runs.iter().find(is_long) {
            Some(run) => words.push(head(run)),
            None => {
                words.push(head(&whole));
                rest = Some(head(&plain(prompt))).filter(|rest| !rest.is_empty());
                // Of two emoji the second may be drawn over a part of the first.
                let first = whole.chars().next().filter(|c| !c.is_ascii());
                words.extend(first.filter(|_| runs.is_empty()).map(String::from));
            }
        }
        if whole.chars().count() >= LONG || size.lines > 1 {
            let last = runs.iter().rev().find(|run| count(run) >= SHORTEST);
            words.extend(last.map(|run| tail(run)));
        }
        words.retain(|word| !word.is_empty());
        words.dedup();
        Self {
            words,
            plain: rest,
            size,
        }
    }

    /// True if there is nothing to see of the prompt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// True if a text shows it.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.places_in(&ink(text)).next().is_some()
            || self
                .plain
                .as_deref()
                .is_some_and(|rest| plain(text).contains(rest))
    }

    /// Finds it on a screen, also where it is wrapped inside a frame.
    #[must_use]
    pub fn places(&self, rows: &[String]) -> Places {
        let (text, starts) = joined(rows, ink);
        let mut found: Vec<usize> = self.places_in(&text).map(|at| row(&starts, at)).collect();
        if let Some(rest) = &self.plain {
            let (text, starts) = joined(rows, plain);
            found.extend(
                text.match_indices(rest.as_str())
                    .map(|(at, _)| row(&starts, at)),
            );
        }
        found.sort_unstable();
        Places {
            count: found.len(),
            lowest: found.last().copied(),
        }
    }

    fn places_in<'a>(&'a self, ink: &'a str) -> impl Iterator<Item = usize> {
        let words = self.words.iter();
        let found = words.flat_map(|word| ink.match_indices(word.as_str()));
        let stands_for = placeholder::find(ink, self.size);
        found.map(|(at, _)| at).chain(stands_for)
    }
}

impl Places {
    /// True if there is one that was not there before: earlier prompts with
    /// the same beginning stand above the input.
    #[must_use]
    pub fn is_new_since(self, before: Self) -> bool {
        self.count > before.count || self.lowest > before.lowest
    }

    #[must_use]
    pub fn lowest(self) -> Option<usize> {
        self.lowest
    }
}

/// The rows as one text, and where each begins in it.
fn joined(rows: &[String], fold: fn(&str) -> String) -> (String, Vec<usize>) {
    let mut text = String::new();
    let mut starts = Vec::new();
    for row in rows {
        starts.push(text.len());
        text.push_str(&fold(row));
    }
    (text, starts)
}

/// The row in which a place of such a text is.
fn row(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at) - 1
}

fn head(run: &str) -> String {
    run.chars().take(LENGTH).collect()
}

fn tail(run: &str) -> String {
    let skipped = run.chars().count().saturating_sub(LENGTH);
    run.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn it_is_found_across_frames_and_wraps() {
        let needle = Needle::of("mcp read #general and answer");
        for (screen, lowest) in [
            ("> mcp read #general and", Some(0)),
            ("╭───╮\n│ > mcp read #gen │\n│ eral │", Some(1)),
            ("nothing here", None),
            ("> [Pasted text #1 +20 lines]", Some(0)),
            ("", None),
        ] {
            assert_eq!(needle.places(&rows(screen)).lowest(), lowest, "{screen}");
        }
    }

    #[test]
    fn an_earlier_prompt_is_no_echo() {
        let needle = Needle::of("mcp read #general");
        let before = needle.places(&rows("> mcp read #general\nanswer\n>"));
        assert!(!before.is_new_since(before));
        for (screen, new) in [
            ("> mcp read #general\nanswer\n> mcp read #general", true),
            ("answer\n\n> mcp read #general", true),
            ("answer\n>\n", false),
            ("> mcp read #general\nanswer\nmore\n>", false),
        ] {
            let after = needle.places(&rows(screen));
            assert_eq!(after.is_new_since(before), new, "{screen}");
        }
    }

    #[test]
    fn a_long_prompt_is_known_by_its_end() {
        let long = format!("begin {} the very end", "word ".repeat(LONG));
        for (prompt, shown) in [(long.as_str(), true), ("begin the very end", false)] {
            let places = Needle::of(prompt).places(&rows("word word\n the very end"));
            assert_eq!(places.lowest().is_some(), shown, "{prompt}");
        }
        let lines = Needle::of("fn main() {\n    println!(\"hi there\");\n}");
        assert!(lines.is_in("  println!(\"hi there\");"));
    }

    #[test]
    fn output_counts_without_blanks() {
        let needle = Needle::of("say hello");
        assert!(needle.is_in("xxsay helloyy"));
        assert!(needle.is_in("sayhello"));
        assert!(!needle.is_in("say hell"));
    }

    #[test]
    fn a_text_is_known_however_its_clusters_are_drawn() {
        for (prompt, drawn) in [
            ("👩\u{200d}💻 fix the build", "👩 fix the build"),
            ("👩\u{200d}💻 fix it", "👩\u{200d} fix it"),
            ("👍🏽 ok", "👍 ok"),
            ("cafe\u{301} au lait", "café au lait"),
            ("\u{1112}\u{1161}\u{11ab}글 입력", "한글 입력"),
            ("👩\u{200d}💻👍🏽", "👩\u{200d}"),
            ("🇩🇪 ❤\u{fe0f} yes", "🇩🇪 ❤ yes"),
            ("שָׁלוֹם עוֹלָם", "שלום עולם"),
        ] {
            let needle = Needle::of(prompt);
            assert!(needle.is_in(drawn), "{prompt:?} in {drawn:?}: {needle:?}");
            assert!(!needle.is_in("type your message"), "{prompt:?}");
        }
        assert!(Needle::of("\u{200d}\u{fe0f}\u{301} \t").is_empty());
    }
}

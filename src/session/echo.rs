//! Whether an agent shows what was typed into it. Pure.

/// How many characters of a prompt are looked for; agents wrap and cut lines.
const LENGTH: usize = 12;

/// What agents show in place of a long paste, blanks removed.
const PLACEHOLDER: &str = "[Pasted";

/// From so many characters on a prompt may not fit into an input box, which
/// then shows its end.
const LONG: usize = 400;

/// What is looked for, blanks removed: the beginning of a prompt; or its end, if
/// it is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    head: String,
    tail: Option<String>,
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
        let ink: Vec<char> = prompt.chars().filter(|c| is_ink(*c)).collect();
        let tail = ink.len().saturating_sub(LENGTH);
        Self {
            head: ink.iter().take(LENGTH).collect(),
            tail: (ink.len() >= LONG).then(|| ink[tail..].iter().collect()),
        }
    }

    /// Whatever shows it.
    fn words(&self) -> impl Iterator<Item = &str> {
        let tail = self.tail.as_deref();
        [self.head.as_str(), PLACEHOLDER]
            .into_iter()
            .chain(tail)
            .filter(|word| !word.is_empty())
    }

    /// True if output, blanks removed, holds it.
    #[must_use]
    pub fn is_in(&self, printed: &str) -> bool {
        let printed: String = printed.chars().filter(|c| is_ink(*c)).collect();
        self.words().any(|word| printed.contains(word))
    }

    /// Finds it on a screen, also where it is wrapped inside a frame.
    #[must_use]
    pub fn places(&self, rows: &[String]) -> Places {
        let mut text = String::new();
        let mut starts = Vec::new();
        for row in rows {
            starts.push(text.len());
            text.extend(row.chars().filter(|c| is_ink(*c)));
        }
        let mut found: Vec<usize> = self
            .words()
            .flat_map(|word| text.match_indices(word))
            .map(|(at, _)| starts.partition_point(|start| *start <= at) - 1)
            .collect();
        found.sort_unstable();
        Places {
            count: found.len(),
            lowest: found.last().copied(),
        }
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

/// Neither blank nor part of a frame.
fn is_ink(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '\u{2500}'..='\u{259f}' | '|')
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
    }

    #[test]
    fn output_counts_without_blanks() {
        let needle = Needle::of("say hello");
        assert!(needle.is_in("xxsay helloyy"));
        assert!(needle.is_in("sayhello"));
        assert!(!needle.is_in("say hell"));
    }
}

//! What an agent's screen shows: judged by the agent's manifest. Pure.
//!
//! A verdict rests on the *input line*: the row that begins with the agent's
//! prompt mark and has the cursor at or behind its text. While it is there,
//! Enter submits what it holds, so what stands above it is history, however
//! much it looks like a question.
//!
//! Text behind a cursor that stands at the start of the line is the agent's
//! own suggestion. A draft whose writer went back to its start looks the same
//! without colours; the typist knows of it by the keys.

use std::path::Path;

use serde::Deserialize;

/// A picture of the agent's screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The rows from the top, trailing blanks removed.
    pub rows: Vec<String>,
    /// Row and column of the cursor, from 0.
    pub cursor: (u16, u16),
    /// The agent has switched on bracketed paste.
    pub bracketed_paste: bool,
}

/// What may be typed into such a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// A question is open; Enter would answer it. Holds the rule that saw it.
    Dialog(String),
    /// The input line holds text that nobody has submitted.
    Draft,
    /// Nothing speaks against a prompt.
    Clear,
}

/// The rules by which one agent's screens are judged.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the input line begins with.
    #[serde(default)]
    marks: Vec<String>,
    /// What it begins with where the agent would not read it as a prompt, but
    /// run it as a command.
    #[serde(default)]
    modes: Vec<String>,
    #[serde(default)]
    dialog: Vec<Rule>,
    /// The keys by which the agent puts an unfinished line aside; it gives it
    /// back by itself once another one was submitted.
    stash: Option<String>,
}

/// How one kind of question is recognised. All that is given must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    /// Only so many rows from the bottom count, blank ones left out.
    bottom: Option<usize>,
    /// One of these stands there; in lower case, as the screen is read.
    #[serde(default)]
    any: Vec<String>,
    /// A list of answers stands there, one of them selected.
    #[serde(default)]
    choice: bool,
}

/// Where the input line begins, and the row of its mark.
struct Input {
    row: usize,
    /// The column behind the mark and its blank.
    start: usize,
    /// The mark is one of the manifest's `modes`.
    command: bool,
}

impl Manifest {
    /// The manifest of a command, by the stem of its file name, with the rules
    /// that hold for every agent.
    #[must_use]
    pub fn of(command: &str) -> Self {
        let everyone = Self::parse(include_str!("manifests/everyone.toml"));
        let stem = Path::new(command)
            .file_stem()
            .and_then(|stem| stem.to_str());
        let own = match stem {
            Some("claude") => include_str!("manifests/claude.toml"),
            Some("codex") => include_str!("manifests/codex.toml"),
            Some("gemini") => include_str!("manifests/gemini.toml"),
            _ => return everyone,
        };
        let mut own = Self::parse(own);
        own.dialog.extend(everyone.dialog);
        own
    }

    /// Judges a screen.
    #[must_use]
    pub fn judge(&self, view: &View) -> Sight {
        let input = self.input(view);
        let first = input.as_ref().map_or(0, |input| input.row);
        let rows: Vec<String> = view
            .rows
            .iter()
            .skip(first)
            .map(|row| bare(row).1.to_lowercase())
            .filter(|row| !row.is_empty())
            .collect();
        if let Some(rule) = self.dialog.iter().find(|rule| rule.holds(&rows)) {
            return Sight::Dialog(rule.name.clone());
        }
        let (row, column) = (usize::from(view.cursor.0), usize::from(view.cursor.1));
        match input {
            Some(input) if input.command || row > input.row || column > input.start => Sight::Draft,
            _ => Sight::Clear,
        }
    }

    /// What stands in the input line up to the row of the cursor; None where no
    /// input line is seen. An echo is here, not in the history above.
    #[must_use]
    pub fn typed(&self, view: &View) -> Option<String> {
        let input = self.input(view)?;
        let last = usize::from(view.cursor.0).min(view.rows.len() - 1);
        let mut text = String::new();
        for (at, row) in view.rows[input.row..=last].iter().enumerate() {
            let mark = if at == 0 { input.start } else { 0 };
            let row: String = row.chars().skip(mark).collect();
            text.push_str(bare(&row).1);
            text.push(' ');
        }
        Some(text.trim().to_owned())
    }

    /// The keys by which the agent puts the user's line aside, and gives it back
    /// by itself; if it can.
    #[must_use]
    pub fn stash(&self) -> Option<&[u8]> {
        self.stash.as_deref().map(str::as_bytes)
    }

    fn parse(text: &str) -> Self {
        toml::from_str(text).expect("manifests are part of the program, and tested")
    }

    /// The input line that the cursor is in: in the row of its mark, or in one
    /// of the rows that follow it. A blank row ends it, unless it is in a box.
    fn input(&self, view: &View) -> Option<Input> {
        let (cursor, column) = (usize::from(view.cursor.0), usize::from(view.cursor.1));
        let mut blank = false;
        for row in (0..=cursor.min(view.rows.len().checked_sub(1)?)).rev() {
            let (indent, text) = bare(&view.rows[row]);
            let begins = |mark: &String| {
                let rest = text.strip_prefix(mark.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
            };
            let command = self.modes.iter().any(begins);
            if command || self.marks.iter().any(begins) {
                let boxed = row > 0 && is_edge(&view.rows[row - 1]);
                let start = indent + 2;
                return (column >= start && (boxed || !blank)).then_some(Input {
                    row,
                    start,
                    command,
                });
            }
            if is_edge(&view.rows[row]) {
                return None;
            }
            blank |= text.is_empty();
        }
        None
    }
}

impl Rule {
    /// Judges rows without frames and blank rows, in lower case.
    fn holds(&self, rows: &[String]) -> bool {
        let rows = &rows[rows.len().saturating_sub(self.bottom.unwrap_or(rows.len()))..];
        let any = |words: &[String]| {
            words
                .iter()
                .any(|word| rows.iter().any(|row| row.contains(word)))
        };
        (self.any.is_empty() || any(&self.any)) && (!self.choice || has_choice(rows))
    }
}

/// True if an answer is selected and another one is near it. In a narrow
/// terminal an answer takes several rows.
fn has_choice(rows: &[String]) -> bool {
    const NEAR: usize = 6;
    rows.iter().enumerate().any(|(at, row)| {
        let selected = row
            .strip_prefix(['❯', '›', '●', '>', '▶', '→', '◉'])
            .map(str::trim_start);
        let near = &rows[at.saturating_sub(NEAR)..rows.len().min(at + 1 + NEAR)];
        selected.is_some_and(is_answer) && near.iter().any(|row| is_answer(row))
    })
}

/// True for `2. Whatever`, `2) Whatever` and the words that dialogs offer.
fn is_answer(row: &str) -> bool {
    const WORDS: [&str; 12] = [
        "yes", "no", "allow", "approve", "accept", "deny", "reject", "decline", "cancel", "trust",
        "don't", "always",
    ];
    let rest = row.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() < row.len() {
        let text = rest.strip_prefix(['.', ')']);
        return text.is_some_and(|text| !text.starts_with(|c: char| c.is_ascii_digit()));
    }
    let word = row.split(|c: char| !c.is_alphabetic() && c != '\'').next();
    word.is_some_and(|word| WORDS.contains(&word))
}

/// The text of a row without the frame around it, and its column.
fn bare(row: &str) -> (usize, &str) {
    let frame = |c: char| c.is_whitespace() || matches!(c, '│' | '┃' | '║' | '▌');
    let text = row.trim_start_matches(frame);
    let indent = row[..row.len() - text.len()].chars().count();
    (indent, text.trim_end_matches(frame))
}

/// True for the upper or lower edge of a box.
fn is_edge(row: &str) -> bool {
    row.trim_start()
        .starts_with(['─', '━', '═', '╌', '╭', '╰', '┌', '└', '▀', '▄'])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A screen as recorded: a line `cursor ROW COLUMN`, then the rows.
    fn recorded(text: &str) -> View {
        let (first, rows) = text.split_once('\n').expect("a first line");
        let mut cursor = first
            .split(' ')
            .skip(1)
            .map(|number| number.parse().expect("a number"));
        View {
            rows: rows.lines().map(|row| row.trim_end().to_owned()).collect(),
            cursor: (
                cursor.next().expect("a row"),
                cursor.next().expect("a column"),
            ),
            bracketed_paste: true,
        }
    }

    fn kind(sight: &Sight) -> &'static str {
        match sight {
            Sight::Dialog(_) => "dialog",
            Sight::Draft => "draft",
            Sight::Clear => "clear",
        }
    }

    /// Every recorded screen is named by what it is: `draft-lines.narrow.txt`.
    #[test]
    fn recorded_screens_are_seen_for_what_they_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/screens");
        let (mut seen, mut wrong) = (0, Vec::new());
        for dir in fs::read_dir(root).expect("the screens") {
            let dir = dir.expect("an entry").path();
            let agent = dir
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name");
            let manifest = Manifest::of(agent.split('-').next().expect("a part"));
            for file in fs::read_dir(&dir).expect("an agent's screens") {
                let file = file.expect("an entry").path();
                let name = file
                    .file_name()
                    .and_then(|name| name.to_str())
                    .expect("a name");
                let view = recorded(&fs::read_to_string(&file).expect("a screen"));
                let sight = manifest.judge(&view);
                seen += 1;
                if name.split('-').next() != Some(kind(&sight)) {
                    wrong.push(format!("{agent}/{name}: {sight:?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(seen > 60, "only {seen} screens were found");
    }

    #[test]
    fn an_unknown_agent_is_judged_by_what_dialogs_have_in_common() {
        for (expected, cursor, screen) in [
            ("clear", (0, 0), ""),
            ("clear", (1, 2), "some output\n>"),
            ("clear", (1, 4), "╭───╮\n│ >  say something │\n╰───╯"),
            ("clear", (3, 2), "> 1. Yes\n  2. No\n\n>"),
            ("clear", (0, 0), "Do you want me to go on with the tests?"),
            ("clear", (0, 0), "> 1.5 is a number\n  2.5 too"),
            ("draft", (0, 5), "> abc"),
            ("draft", (1, 2), "> abc\n"),
            ("draft", (1, 3), "> abc\n  d"),
            ("draft", (2, 3), "────\n> abc\n\n  d"),
            ("dialog", (0, 9), "overwrite? (y/N)"),
            ("dialog", (0, 0), "Run `ls`?\n❯ Yes\n  No"),
            ("dialog", (1, 2), "Run `ls`?\n❯ Yes\n  No"),
            ("dialog", (0, 0), "│ ● 1) Allow once │\n│   2) Deny │"),
            ("dialog", (0, 0), "Press Enter to continue"),
        ] {
            let screen = recorded(&format!("cursor {} {}\n{screen}", cursor.0, cursor.1));
            assert_eq!(
                kind(&Manifest::of("other").judge(&screen)),
                expected,
                "{screen:?}"
            );
        }
    }

    #[test]
    fn what_is_typed_is_read_from_the_input_line_alone() {
        let claude = Manifest::of("claude");
        for (expected, cursor, screen) in [
            (Some(""), (2, 2), "❯ mcp read\n\n❯"),
            (Some("mcp read"), (0, 10), "❯ mcp read"),
            (Some("mcp read"), (1, 6), "❯ mcp\n  read"),
            (None, (2, 0), "❯ mcp read\n\n● done"),
            (None, (0, 0), ""),
        ] {
            let view = recorded(&format!("cursor {} {}\n{screen}", cursor.0, cursor.1));
            assert_eq!(claude.typed(&view).as_deref(), expected, "{view:?}");
        }
    }

    #[test]
    fn a_manifest_is_found_by_the_stem_of_a_command() {
        for command in ["claude", "/usr/bin/claude", "claude.exe"] {
            assert_eq!(Manifest::of(command).marks, ["❯"], "{command}");
        }
        assert!(Manifest::of("").marks.len() > 1);
    }
}

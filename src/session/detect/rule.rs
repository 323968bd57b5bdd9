//! One rule of a manifest, and whether it holds. Pure.

use serde::{Deserialize, Serialize};

use super::choice;
use super::input::{Filling, Input};
use super::pattern::Pattern;
use super::region::{Cut, Region};

/// What a rule says of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shows {
    /// A question is open; Enter would answer it.
    Dialog,
    /// The agent takes no prompt yet.
    Starting,
    /// The input line holds text that nobody has sent.
    Draft,
    /// The agent works.
    Busy,
    /// The agent waits for a prompt.
    Idle,
    /// A list of completions is open: Enter would take one of them, and the line
    /// would stay. It decides nothing by itself.
    Picker,
}

/// How a state is recognised. All that is given must hold.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Spelled")]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) state: Shows,
    pub(super) priority: i32,
    region: Region,
    rows: Option<usize>,
    any: Vec<Pattern>,
    all: Vec<Pattern>,
    none: Vec<Pattern>,
    choice: bool,
    input: Option<Filling>,
}

/// A rule as manifests have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelled {
    name: String,
    state: Shows,
    /// Of several rules that hold the highest decides; as a rule, dialogs count
    /// more than starting, then drafts, busy and idle.
    priority: Option<i32>,
    #[serde(default)]
    region: Region,
    /// Only so many rows of the region count.
    rows: Option<usize>,
    /// One of these stands there.
    #[serde(default)]
    any: Vec<Pattern>,
    /// Each of these stands there.
    #[serde(default)]
    all: Vec<Pattern>,
    /// None of these stands there.
    #[serde(default)]
    none: Vec<Pattern>,
    /// A list of answers stands there, one of them selected.
    #[serde(default)]
    choice: bool,
    /// An input line is seen, and is like this.
    input: Option<Filling>,
}

impl Shows {
    /// The priority of a rule that names none.
    fn priority(self) -> i32 {
        match self {
            Self::Dialog => 400,
            Self::Starting => 300,
            Self::Draft => 200,
            Self::Busy => 100,
            Self::Idle => 0,
            Self::Picker => -100,
        }
    }
}

impl TryFrom<Spelled> for Rule {
    type Error = String;

    fn try_from(spelled: Spelled) -> Result<Self, Self::Error> {
        let name = spelled.name;
        let finds = spelled.choice || !spelled.any.is_empty() || !spelled.all.is_empty();
        if !finds && spelled.input.is_none() {
            return Err(format!(
                "rule `{name}` needs `any`, `all`, `choice` or `input`: it would hold for every screen"
            ));
        }
        Ok(Self {
            priority: spelled.priority.unwrap_or_else(|| spelled.state.priority()),
            name,
            state: spelled.state,
            region: spelled.region,
            rows: spelled.rows,
            any: spelled.any,
            all: spelled.all,
            none: spelled.none,
            choice: spelled.choice,
            input: spelled.input,
        })
    }
}

impl Rule {
    pub(super) fn region(&self) -> Region {
        match self.input {
            Some(_) => Region::Input,
            None => self.region,
        }
    }

    /// The numbers of the rows by which it holds, from 0; None if it does not.
    pub(super) fn holds(&self, cut: &Cut, input: Option<&Input>) -> Option<Vec<usize>> {
        let filling = input.map(|input| input.filling);
        if self.input.is_some() && self.input != filling {
            return None;
        }
        let rows = cut.region(self.region, self.rows);
        let find = |pattern: &Pattern| {
            let row = rows.iter().find(|(_, row)| pattern.is_in(row));
            row.map(|(number, _)| *number)
        };
        if self.none.iter().any(|pattern| find(pattern).is_some()) {
            return None;
        }
        let mut by = self.all.iter().map(find).collect::<Option<Vec<usize>>>()?;
        if !self.any.is_empty() {
            by.push(self.any.iter().find_map(find)?);
        }
        if self.choice {
            let texts: Vec<&str> = rows.iter().map(|(_, row)| row.as_str()).collect();
            by.push(rows[choice::selected(&texts)?].0);
        }
        if by.is_empty() {
            by.extend(input.map(|input| input.first));
        }
        by.sort_unstable();
        by.dedup();
        Some(by)
    }
}

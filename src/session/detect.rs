//! What an agent's screen shows: judged by the agent's manifest. Pure.

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
#[derive(Debug, Clone, Default)]
pub struct Manifest {}

impl Manifest {
    /// The manifest of a command, by the stem of its file name; rules that
    /// hold for every agent where there is none.
    #[must_use]
    pub fn of(_command: &str) -> Self {
        Self {}
    }

    /// Judges a screen.
    #[must_use]
    pub fn judge(&self, _view: &View) -> Sight {
        Sight::Clear
    }
}

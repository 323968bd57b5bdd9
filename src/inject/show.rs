//! Plans for eyes: `--dry-run` as text and as JSON, without secrets. Pure.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::plan::{InjectPlan, PlannedFile};
use crate::types::identity::Token;
use crate::types::secret;

/// Text with secrets in it, shown as `****` by whatever shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Masked {
    text: String,
    secrets: Vec<Token>,
}

impl Masked {
    /// Text that holds no secret.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::with(text, &[])
    }

    /// Text that may hold these.
    pub(super) fn with(text: impl Into<String>, secrets: &[Token]) -> Self {
        Self {
            text: text.into(),
            secrets: secrets.to_vec(),
        }
    }

    /// The text as the agent is to have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&secret::mask(&self.text, &self.secrets))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl Serialize for Masked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for InjectPlan {
    /// `{"args": [TEXT], "env": {NAME: TEXT}, "files": [FILE]}`, where FILE has
    /// a `path` and either its whole `body` or an `entry` and the keys `at`
    /// which it is merged.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        let files: Vec<Value> = self.files.iter().map(file).collect();
        json!({ "args": args, "env": self.env, "files": files }).serialize(serializer)
    }
}

fn file(file: &PlannedFile) -> Value {
    match file {
        PlannedFile::Owned { path, body } => {
            json!({ "path": path.to_string_lossy(), "body": body })
        }
        PlannedFile::Merged {
            path, keys, entry, ..
        } => {
            json!({ "path": path.to_string_lossy(), "at": keys, "entry": entry })
        }
    }
}

/// Variables and files: the arguments stand in the command that is run.
impl fmt::Display for InjectPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            writeln!(f, "variable  {name}={value}")?;
        }
        for file in &self.files {
            match file {
                PlannedFile::Owned { path, body } => {
                    writeln!(f, "file      {} (0600)", path.display())?;
                    indented(f, &body.to_string())?;
                }
                PlannedFile::Merged {
                    path, keys, entry, ..
                } => {
                    let at = keys.join(".");
                    writeln!(f, "file      {}: {at}, until the end", path.display())?;
                    indented(f, &format!("{entry:#}"))?;
                }
            }
        }
        Ok(())
    }
}

fn indented(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.lines()
        .try_for_each(|line| writeln!(f, "          {line}"))
}

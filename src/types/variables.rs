//! Variables in a text, `${NAME}`, `${env:NAME}` and `${NAME:-default}`: found
//! and replaced. Those of editors, `${input:x}` and `${workspaceFolder}`, have
//! no value here.
//!
//! What is no variable stays as it is: a server's arguments may be a shell
//! script, and `${x%y}` in one is the script's own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::text::one_line;

/// Characters of a variable of an editor's that are told.
const LONGEST: usize = 80;

/// The variable that stands for the directory of a server's files.
pub const ROOT_VAR: &str = "MCP_ROOT";

/// How a text spells a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `${NAME}`, `${NAME:-default}`.
    Shell,
    /// opencode's `{env:NAME}` as well.
    Opencode,
}

/// A variable that a text names and nobody has set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unset {
    #[error("the variable `{0}` is not set")]
    Missing(String),
    #[error("the value of the variable `{0}` is no UTF-8")]
    NotText(String),
    /// `${input:x}`, as it stands.
    #[error("`{0}` has a value in an editor alone")]
    Foreign(String),
}

enum Piece<'a> {
    Text(&'a str),
    Variable {
        name: &'a str,
        default: Option<&'a str>,
        /// Spelled as a shell spells it.
        is_plain: bool,
    },
    /// A variable of an editor's, `${input:x}`.
    Foreign(&'a str),
}

/// Names that editors give a value without a variable of the environment.
const EDITORS: [&str; 20] = [
    "cwd",
    "defaultBuildTask",
    "execPath",
    "file",
    "fileBasename",
    "fileBasenameNoExtension",
    "fileDirname",
    "fileDirnameBasename",
    "fileExtname",
    "fileWorkspaceFolder",
    "lineNumber",
    "pathSeparator",
    "relativeFile",
    "relativeFileDirname",
    "selectedText",
    "userHome",
    "workspaceFolder",
    "workspaceFolderBasename",
    "workspaceRoot",
    "workspaceRootFolderName",
];

/// What variables are replaced from.
#[derive(Debug, Clone, Copy)]
pub struct Variables<'a> {
    pub env: &'a BTreeMap<OsString, OsString>,
    /// What [`ROOT_VAR`] stands for, whatever the environment says.
    pub root: Option<&'a str>,
}

impl Variables<'_> {
    /// `text` with its variables replaced, and whether something of the
    /// environment is in it now.
    ///
    /// As in a shell, a default stands in for an empty variable as well; a
    /// variable that is empty and has no default is replaced by nothing. What
    /// a variable holds is not looked at again.
    ///
    /// # Errors
    /// A variable that is not set and has no default.
    pub fn replace(self, text: &str, style: Style) -> Result<(String, bool), Unset> {
        let (mut replaced, mut from_env) = (String::with_capacity(text.len()), false);
        for piece in pieces(text, style) {
            match piece {
                Piece::Text(text) => replaced.push_str(text),
                Piece::Variable { name, default, .. } => match (self.value(name)?, default) {
                    (Some((value, is_env)), None) => {
                        from_env |= is_env;
                        replaced.push_str(value);
                    }
                    (Some((value, is_env)), Some(_)) if !value.is_empty() => {
                        from_env |= is_env;
                        replaced.push_str(value);
                    }
                    (_, Some(default)) => replaced.push_str(default),
                    (None, None) if EDITORS.contains(&name) => {
                        return Err(Unset::Foreign(format!("${{{name}}}")));
                    }
                    (None, None) => return Err(Unset::Missing(name.to_owned())),
                },
                Piece::Foreign(whole) => return Err(Unset::Foreign(one_line(whole, LONGEST))),
            }
        }
        Ok((replaced, from_env))
    }

    /// A variable's value, and whether it is the environment's.
    fn value(&self, name: &str) -> Result<Option<(&str, bool)>, Unset> {
        if let Some(root) = self.root.filter(|_| name == ROOT_VAR) {
            return Ok(Some((root, false)));
        }
        let value = self.env.get(OsStr::new(name)).map(|value| value.to_str());
        match value {
            None => Ok(None),
            Some(Some(value)) => Ok(Some((value, true))),
            Some(None) => Err(Unset::NotText(name.to_owned())),
        }
    }
}

/// True if `text` has the variable `wanted`.
#[must_use]
pub fn names(text: &str, wanted: &str) -> bool {
    pieces(text, Style::Shell)
        .iter()
        .any(|piece| matches!(piece, Piece::Variable { name, .. } if *name == wanted))
}

/// True if `text` has any variable.
#[must_use]
pub fn has_any(text: &str) -> bool {
    pieces(text, Style::Shell)
        .iter()
        .any(|piece| !matches!(piece, Piece::Text(_)))
}

/// True if `text` has a variable that an agent which knows `${NAME}` and
/// `${NAME:-default}` alone would leave as it stands.
#[must_use]
pub fn has_unusual(text: &str, style: Style) -> bool {
    pieces(text, style).iter().any(|piece| match piece {
        Piece::Text(_) => false,
        Piece::Variable { is_plain, .. } => !is_plain,
        Piece::Foreign(_) => true,
    })
}

fn pieces(text: &str, style: Style) -> Vec<Piece<'_>> {
    let (mut pieces, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = text[at..].find(['$', '{']) {
        let start = at + found;
        let Some((variable, length)) = variable(&text[start..], style) else {
            at = start + 1;
            continue;
        };
        pieces.push(Piece::Text(&text[from..start]));
        pieces.push(variable);
        from = start + length;
        at = from;
    }
    pieces.push(Piece::Text(&text[from..]));
    pieces
}

/// The variable that `text` starts with, and how many bytes it takes.
fn variable(text: &str, style: Style) -> Option<(Piece<'_>, usize)> {
    let (open, is_shell) = if text.starts_with("${") {
        ("${", true)
    } else if style == Style::Opencode && (text.starts_with("{env:") || text.starts_with("{file:"))
    {
        ("{", false)
    } else {
        return None;
    };
    let inner = &text[open.len()..text.find('}')?];
    let length = open.len() + inner.len() + 1;
    let (named, is_env) = match inner.strip_prefix("env:") {
        Some(named) => (named, true),
        None => (inner, false),
    };
    let (name, default) = match named.split_once(":-") {
        Some((name, default)) if is_shell => (name, Some(default)),
        _ => (named, None),
    };
    if is_name(name) && (is_shell || is_env) {
        let is_plain = is_shell && !is_env;
        let variable = Piece::Variable {
            name,
            default,
            is_plain,
        };
        return Some((variable, length));
    }
    (is_foreign(inner) && (is_shell || !is_env))
        .then_some((Piece::Foreign(&text[..length]), length))
}

/// True for a name that a variable of the environment may have.
fn is_name(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(word) && !name.is_empty() && !name.as_bytes()[0].is_ascii_digit()
}

/// True for `input:x` and its like. In a shell, what follows a colon is a
/// number or a sign: `x:1`, `x:-1`, `x:?no`.
fn is_foreign(inner: &str) -> bool {
    let Some((kind, argument)) = inner.split_once(':') else {
        return false;
    };
    let starts = |c: char| c.is_alphabetic() || "/~._{".contains(c);
    !kind.is_empty()
        && kind.bytes().all(|b| b.is_ascii_alphabetic())
        && argument.starts_with(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<OsString, OsString> {
        use std::os::unix::ffi::OsStringExt;
        BTreeMap::from([
            ("A".into(), "1".into()),
            ("EMPTY".into(), "".into()),
            ("LOOP".into(), "${A}".into()),
            ("RAW".into(), OsString::from_vec(vec![0xff])),
        ])
    }

    fn replace(text: &str, style: Style) -> Result<(String, bool), Unset> {
        let root = Some("/root");
        let env = env();
        Variables { env: &env, root }.replace(text, style)
    }

    #[test]
    fn variables_are_replaced_and_nothing_else_is() {
        for (text, wanted, replaced) in [
            ("", "", false),
            ("plain", "plain", false),
            ("${A}", "1", true),
            ("x${A}y${A}z", "x1y1z", true),
            ("ä${A}ö", "ä1ö", true),
            ("${A:-2}${NO:-2}${EMPTY:-2}${EMPTY}", "122", true),
            ("${NO:-}", "", false),
            ("${NO:-a:-b/{c}", "a:-b/{c", false),
            ("${MCP_ROOT}/x", "/root/x", false),
            ("${LOOP}", "${A}", true),
            ("${env:A}${env:NO:-2}${env:MCP_ROOT}", "12/root", true),
            // No variables: a script's own, and what is not closed.
            (
                "$A ${} ${A%x} ${x:1} ${1} ${a b} ${A",
                "$A ${} ${A%x} ${x:1} ${1} ${a b} ${A",
                false,
            ),
            ("$${A}", "$1", true),
            ("{env:A}", "{env:A}", false),
        ] {
            assert_eq!(
                replace(text, Style::Shell),
                Ok((wanted.to_owned(), replaced)),
                "{text}"
            );
        }
        assert_eq!(
            replace("{env:A}{env:A:-x}${A}{x}", Style::Opencode),
            Ok(("1{env:A:-x}1{x}".to_owned(), true))
        );
    }

    #[test]
    fn one_that_is_not_set_is_named() {
        for (text, wanted) in [
            ("${NO}", Unset::Missing("NO".into())),
            ("${A}${NO_2}", Unset::Missing("NO_2".into())),
            ("${RAW}", Unset::NotText("RAW".into())),
            ("${RAW:-x}", Unset::NotText("RAW".into())),
            ("${env:NO}", Unset::Missing("NO".into())),
        ] {
            assert_eq!(replace(text, Style::Shell), Err(wanted), "{text}");
        }
    }

    #[test]
    fn a_variable_of_an_editor_has_no_value_and_is_named() {
        for inner in [
            "input:api-key",
            "command:ext.get",
            "config:a.b",
            "file:~/.token",
            "workspaceFolder:name",
            "workspaceFolder",
            "userHome",
            "pathSeparator",
        ] {
            let text = format!("Bearer ${{{inner}}}");
            let wanted = Err(Unset::Foreign(format!("${{{inner}}}")));
            assert_eq!(replace(&text, Style::Shell), wanted, "{text}");
            assert!(has_any(&text));
        }
        let wanted = Err(Unset::Foreign("{file:./token}".to_owned()));
        assert_eq!(replace("{file:./token}", Style::Opencode), wanted);
        // One that the environment sets is a variable as any other.
        let env = BTreeMap::from([("workspaceFolder".into(), "/w".into())]);
        let set = Variables {
            env: &env,
            root: None,
        };
        let replaced = set.replace("${workspaceFolder}${userHome:-/h}", Style::Shell);
        assert_eq!(replaced, Ok(("/w/h".to_owned(), true)));
    }

    #[test]
    fn variables_are_found_without_a_value() {
        assert!(names("x/${MCP_ROOT}/y", "MCP_ROOT") && names("${MCP_ROOT:-}", "MCP_ROOT"));
        assert!(!names("$MCP_ROOT ${MCP_ROOTS} MCP_ROOT", "MCP_ROOT"));
        assert!(has_any("a${B}") && !has_any("a$B ${} {env:B}"));
    }
}

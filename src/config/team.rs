//! A team file: the sessions that `wrapper up` starts. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::mistake::Error;
use super::resolve::Config;
use crate::paths::{self, Env};
use crate::types::agent::Restart;
use crate::types::identity::{BadWord, MemberName};

/// What it is called where nobody says otherwise.
pub const TEAM_FILE: &str = "wrapper-team.toml";

/// One session of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Tells it from the others of its file: a word.
    pub name: String,
    pub agent: String,
    pub label: Option<String>,
    /// Absolute: where it says, else where the file is.
    pub cwd: PathBuf,
    /// What is said of it if it is not there: with the line that says it.
    pub no_cwd: String,
    /// Arguments of the agent.
    pub args: Vec<String>,
    /// What it is told once it runs.
    pub prompt: Option<String>,
    pub restart: Option<Restart>,
    /// Variables set for it.
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Raw {
    session: Vec<RawMember>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct RawMember {
    agent: Spanned<String>,
    name: Option<Spanned<String>>,
    label: Option<String>,
    cwd: Option<Spanned<String>>,
    #[serde(default)]
    args: Vec<String>,
    prompt: Option<String>,
    restart: Option<Restart>,
    #[serde(default)]
    env: BTreeMap<Spanned<String>, String>,
}

/// The members of the team in `text`, which is the file at `path`, an absolute
/// one. Their agents are those of `config`.
///
/// # Errors
/// A mistake, with the line that has it.
pub fn team(path: &Path, text: &str, config: &Config, env: &Env) -> Result<Vec<Member>, Error> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        if error.message() == "missing field `session`" {
            Error::new(format_args!("{}: it has no `[[session]]`", path.display()))
                .hint("begin with `[[session]]` and `agent = \"claude\"`")
        } else {
            Error::in_file(path, text, &error)
        }
    })?;
    let dir = path.parent().unwrap_or(path);
    let mut taken = BTreeSet::new();
    let mut members = Vec::new();
    for raw in raw.session {
        let wrong = |span: Range<usize>, said: &str| Error::at(path, text, span, said);
        let (span, agent) = (raw.agent.span(), raw.agent.into_inner());
        if let Err(unknown) = config.known(&agent) {
            let error = wrong(span, &unknown.message);
            return Err(Error {
                hint: unknown.hint,
                ..error
            });
        }
        if let Some(odd) = (raw.env.keys()).find(|name| !is_variable(name.get_ref())) {
            return Err(wrong(odd.span(), "that is no variable's name"));
        }
        let (span, name) = match raw.name {
            Some(name) => (name.span(), name.into_inner()),
            None => (span, free(&agent, &taken)),
        };
        let name: MemberName = name
            .parse()
            .map_err(|bad: BadWord| wrong(span.clone(), &bad.to_string()))?;
        if !taken.insert(name.clone()) {
            let said = format!("there is a session `{name}` already");
            return Err(wrong(span, &said).hint("give each its own `name`"));
        }
        let at = raw.cwd.as_ref().map_or(span, Spanned::span);
        let cwd = raw
            .cwd
            .map(|cwd| dir.join(paths::expand(env, cwd.get_ref())));
        let cwd: PathBuf = cwd.unwrap_or_else(|| dir.to_owned()).components().collect();
        let line = text
            .get(..at.start)
            .unwrap_or_default()
            .matches('\n')
            .count()
            + 1;
        let (path, missing) = (path.display(), cwd.display());
        let no_cwd = format!("{path}:{line}: `cwd`: no such directory: {missing}");
        let variables = raw.env.into_iter();
        members.push(Member {
            name: name.into(),
            agent,
            label: raw.label,
            cwd,
            no_cwd,
            args: raw.args,
            prompt: raw.prompt.filter(|prompt| !prompt.trim().is_empty()),
            restart: raw.restart,
            env: variables
                .map(|(name, value)| (name.into_inner(), value))
                .collect(),
        });
    }
    Ok(members)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// `claude`, `claude-2` … for members that are not named.
fn free(agent: &str, taken: &BTreeSet<MemberName>) -> String {
    let numbered = (2..).map(|number| format!("{agent}-{number}"));
    let mut names = std::iter::once(agent.to_owned()).chain(numbered);
    names
        .find(|name| taken.iter().all(|other| other.as_str() != name))
        .unwrap_or_else(|| agent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use crate::types::options::Options;

    fn parsed(text: &str) -> Result<Vec<Member>, Error> {
        let env = Env::from([("HOME".into(), "/h".into())]);
        let config = load(&env, Path::new("/"), &Options::default()).expect("the built-in one");
        team(Path::new("/t/team.toml"), text, &config, &env)
    }

    #[test]
    fn members_are_complete() {
        let text = "[[session]]\nagent = \"claude\"\ncwd = \"~/x\"\nprompt = \"go\"\nrestart = \"never\"\n\
            env = { A = \"1\" }\nargs = [\"--model\", \"opus\"]\n[[session]]\nagent = \"claude\"\n\
            [[session]]\nagent = \"codex\"\nname = \"reviewer\"\ncwd = \"sub\"\n";
        let members = parsed(text).expect("a team");
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["claude", "claude-2", "reviewer"]);
        let cwds: Vec<_> = members.iter().map(|member| member.cwd.to_str()).collect();
        assert_eq!(cwds, [Some("/h/x"), Some("/t"), Some("/t/sub")]);
        assert_eq!(members[0].restart, Some(Restart::Never));
        assert_eq!(members[0].env["A"], "1");
        assert_eq!(members[0].args, ["--model", "opus"]);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let one = "[[session]]\nagent = \"claude\"\n";
        for (text, said) in [
            (String::new(), "/t/team.toml: it has no `[[session]]`"),
            ("session = 1".into(), "/t/team.toml:1:11: invalid type"),
            ("[[session]]\nlabel = \"x\"".into(), "missing field `agent`"),
            (
                "[[session]]\nagent = \"cluade\"".into(),
                "/t/team.toml:2:9: no agent `cluade`",
            ),
            (
                format!("{one}promt = \"x\""),
                "/t/team.toml:3:1: unknown key `promt`",
            ),
            (
                format!("{one}restart = \"often\""),
                "/t/team.toml:3:11: unknown value `often`",
            ),
            (format!("{one}name = \"a b\""), "\"a b\" is no session name"),
            (
                format!("{one}name = \"x\"\n{one}name = \"x\""),
                "/t/team.toml:6:8: there is a session `x` already",
            ),
            (
                format!("{one}env = {{ \"A=B\" = \"1\" }}"),
                "no variable's name",
            ),
        ] {
            let error = parsed(&text).expect_err(&text).message;
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

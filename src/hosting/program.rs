//! What is run for a server: its program, if there is one, and everything that
//! it is told.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::paths::{self, Env};
use crate::types::identity::Token;
use crate::types::no_proxy::exempt_loopback;
use crate::types::secret;
use crate::types::server::Command;

/// Where programs are looked for if `PATH` does not say, as by the system.
const USUAL: &str = "/bin:/usr/bin";

/// The shortest text that is masked as a credential: shorter ones stand in
/// words.
const SHORTEST_SECRET: usize = 6;

/// A server as it is started.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: OsString,
    pub(super) args: Vec<String>,
    /// The whole environment.
    pub(super) env: Env,
    pub(super) cwd: PathBuf,
}

impl Program {
    /// `command` on top of the agent's environment, and below the session's
    /// `variables`; in `cwd` unless it has a directory of its own.
    pub(super) fn new(
        command: &Command,
        env: &Env,
        variables: &[(String, String)],
        cwd: &Path,
    ) -> Self {
        let mut env = env.clone();
        let own = command.env.iter();
        env.extend(own.map(|(name, value)| (name.into(), value.expose().into())));
        let ours = variables.iter();
        env.extend(ours.map(|(name, value)| (name.into(), value.into())));
        exempt_loopback(&mut env);
        Self {
            name: command.program.clone().into(),
            args: command.args.clone(),
            env,
            cwd: command.cwd.as_deref().unwrap_or(cwd).to_owned(),
        }
    }

    /// Looks for what cannot be started before it is tried.
    ///
    /// # Errors
    /// In words: what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.cwd.is_dir() {
            return Err(format!("there is no directory {}", self.cwd.display()));
        }
        let is_path = self.name.as_bytes().contains(&b'/');
        let places: Vec<PathBuf> = if is_path {
            vec![self.cwd.join(&self.name)]
        } else {
            let path = paths::var(&self.env, "PATH");
            let path = path.map_or(USUAL.into(), OsString::clone);
            let dirs = std::env::split_paths(&path);
            dirs.map(|dir| self.cwd.join(dir).join(&self.name))
                .collect()
        };
        let mode = |place: &PathBuf| {
            let meta = place.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(meta.permissions().mode())
        };
        let modes: Vec<u32> = places.iter().filter_map(mode).collect();
        let name = self.name.display();
        match modes.iter().any(|mode| mode & 0o111 != 0) {
            true => Ok(()),
            false if !modes.is_empty() => Err(format!("`{name}` is not executable")),
            false if is_path => Err(format!("`{name}` is not there")),
            false => Err(format!("`{name}` is not found on PATH")),
        }
    }

    /// What of the environment must not be repeated.
    pub(super) fn secrets(&self, command: &Command) -> Vec<Token> {
        let in_env = self.env.iter().filter_map(|(name, value)| {
            let (name, value) = (name.to_str()?, value.to_str()?);
            let is_own = command.is_private && command.env.contains_key(name);
            let is_place = ["PWD", "OLDPWD"].contains(&name);
            (is_own || secret::is_likely(name, value) && !is_place).then_some(value)
        });
        // A key of many lines is printed line by line.
        in_env
            .flat_map(str::lines)
            .filter(|text| text.len() >= SHORTEST_SECRET)
            .map(Token::new)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str) -> Command {
        Command {
            program: program.into(),
            args: Vec::new(),
            env: [
                ("A", "server"),
                ("B", "server"),
                ("API_KEY", "key-one\nkey-two"),
            ]
            .map(|(name, value)| (name.to_owned(), Token::new(value)))
            .into(),
            cwd: None,
            is_private: false,
            is_hosted: true,
        }
    }

    fn program(name: &str) -> Program {
        let env = [
            ("A", "agent"),
            ("PATH", "/bin:/usr/bin"),
            ("PWD", "/a/directory"),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        let variables = [("B".to_owned(), "session".to_owned())];
        Program::new(&command(name), &env.into(), &variables, Path::new("/"))
    }

    #[test]
    fn the_sessions_variables_win_and_the_agents_come_last() {
        let env = program("x").env;
        let value = |name: &str| paths::var(&env, name).and_then(|value| value.to_str());
        assert_eq!((value("A"), value("B")), (Some("server"), Some("session")));
        assert_eq!(value("PATH"), Some("/bin:/usr/bin"));
    }

    #[test]
    fn what_cannot_be_started_is_told_in_words() {
        for (name, wrong) in [
            ("sh", None),
            ("/bin/sh", None),
            ("bin/sh", None),
            (
                "no-such-program",
                Some("`no-such-program` is not found on PATH"),
            ),
            ("/no/such", Some("`/no/such` is not there")),
            ("/etc", Some("`/etc` is not there")),
            ("/etc/passwd", Some("`/etc/passwd` is not executable")),
        ] {
            let checked = program(name).check();
            assert_eq!(checked.err().as_deref(), wrong, "{name}");
        }
        let mut lost = program("sh");
        lost.cwd = "/no/such".into();
        let wrong = lost.check().expect_err("no directory");
        assert_eq!(wrong, "there is no directory /no/such");
    }

    #[test]
    fn secrets_are_what_is_called_so() {
        let secrets = program("x").secrets(&command("x"));
        assert_eq!(secrets, ["key-one", "key-two"].map(Token::new));
        let private = Command {
            is_private: true,
            ..command("x")
        };
        // What the session says in its place is the session's.
        let secrets = program("x").secrets(&private);
        assert!(secrets.contains(&Token::new("server")));
    }
}

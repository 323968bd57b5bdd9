//! The servers that a launch is given for itself alone: `--mcp` and
//! `--mcp-file`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::document;
use super::spelling::{self, Around, Author};
use crate::paths::Env;
use crate::types::identity::ServerName;
use crate::types::server::{ContextLevel, Origin, Server};
use crate::types::text::one_line;

/// What cannot be given, and why. One line; no value of an entry is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Servers, and lines for the user about what of them is left out.
#[derive(Debug, Default)]
pub struct Given {
    pub servers: Vec<Server>,
    pub warnings: Vec<String>,
}

/// Reads `urls`, each `NAME=URL`, and `files` in the form of `.mcp.json`.
/// `own` is the name of our own server; variables are replaced from `env`, and
/// an entry's relative `cwd` starts at `dir`.
///
/// # Errors
/// The first that is none, is missing, or is given twice.
pub fn given(
    urls: &[String],
    files: &[PathBuf],
    own: &ServerName,
    env: &Env,
    dir: &Path,
) -> Result<Given, Error> {
    let mut given = Given::default();
    let by = Author::Launch;
    let around = Around { env, dir, by };
    for text in urls {
        let (name, url) = text.split_once('=').ok_or_else(|| {
            Error("cannot read `--mcp`: it is no `NAME=URL`, it has no `=`".to_owned())
        })?;
        let entry = json!({ "url": url });
        given.add("`--mcp`", name, &entry, own, around)?;
    }
    for path in files {
        let shown = format!("`--mcp-file` {}", path.display());
        let bad = |what: String| Error(format!("cannot read {shown}: {what}"));
        let content = fs::read(path).map_err(|error| bad(error.to_string()))?;
        let servers = document::servers(&content).map_err(bad)?;
        let servers = servers.ok_or_else(|| bad("it has no `mcpServers`".to_owned()))?;
        for (name, entry) in &servers.servers {
            given.add(&shown, name, entry, own, around)?;
        }
    }
    Ok(given)
}

impl Given {
    fn add(
        &mut self,
        place: &str,
        name: &str,
        entry: &Value,
        own: &ServerName,
        around: Around<'_>,
    ) -> Result<(), Error> {
        let bad = |what: String| Error(format!("cannot use {place}: {what}"));
        let name: ServerName = name
            .parse()
            .map_err(|error: crate::types::identity::BadServerName| bad(error.to_string()))?;
        let shown = one_line(name.as_str(), 128);
        if name == *own {
            return Err(bad(format!(
                "`{shown}` is the name of the hub's own server"
            )));
        }
        if self.servers.iter().any(|server| server.name == name) {
            return Err(bad(format!("the server `{shown}` is given twice")));
        }
        let parsed = spelling::parse(entry, around).map_err(|mistake| {
            let dot = if mistake.key.is_empty() { "" } else { "." };
            bad(format!("`{shown}{dot}{}`: {}", mistake.key, mistake.what))
        })?;
        let Some(parsed) = parsed else {
            return Ok(());
        };
        let unknown = parsed.unknown.iter();
        self.warnings
            .extend(unknown.map(|key| format!("{place}: `{shown}.{key}` is ignored: unknown key")));
        self.servers.push(Server {
            name,
            origin: Origin::Session,
            kind: parsed.kind,
            context: ContextLevel::default(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(urls: &[&str], files: &[&str]) -> Result<Given, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let files = files.iter().enumerate().map(|(index, text)| {
            let path = dir.path().join(index.to_string());
            fs::write(&path, text).expect("written");
            path
        });
        let files: Vec<PathBuf> = files.collect();
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let env = Env::from([("KEY".into(), "s3cret".into())]);
        let own = "agentchattr".parse().expect("a name");
        given(&urls, &files, &own, &env, Path::new("/project")).map_err(|error| {
            error
                .to_string()
                .replace(dir.path().to_str().expect("text"), "DIR")
        })
    }

    #[test]
    fn servers_are_given_by_url_and_by_file() {
        let file = r#"{"mcpServers":{"b":{"command":"x"},"c":{"httpUrl":"http://h/","odd":1},"d":{"url":"http://h/","disabled":true}}}"#;
        let given = read(&["a=http://h/mcp?key=${KEY}&x=y"], &[file]).expect("read");
        let names: Vec<&str> = given
            .servers
            .iter()
            .map(|server| server.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        let all = |server: &Server| server.origin == Origin::Session;
        assert!(given.servers.iter().all(all));
        let upstream = given.servers[0].upstream().expect("an upstream");
        assert_eq!(upstream.endpoint.path, "/mcp?key=s3cret&x=y");
        assert_eq!(given.warnings.len(), 1);
        assert!(given.warnings[0].ends_with("`c.odd` is ignored: unknown key"));
    }

    #[test]
    fn what_cannot_be_given_is_told_without_its_value() {
        let object = r#"{"mcpServers":{"a":{"url":"ftp://s3cret"}}}"#;
        for (urls, files, says) in [
            (
                &["http://h/"][..],
                &[][..],
                "cannot read `--mcp`: it is no `NAME=URL`, it has no `=`",
            ),
            (
                &["=http://h/"],
                &[],
                "cannot use `--mcp`: \"\" is no server name",
            ),
            (&["a=ftp://s3cret"], &[], "cannot use `--mcp`: `a.url`: "),
            (
                &["a=http://h/${NONE}"],
                &[],
                "the variable `NONE` is not set",
            ),
            (
                &["agentchattr=http://h/"],
                &[],
                "is the name of the hub's own server",
            ),
            (
                &["a=http://h/", "a=http://i/"],
                &[],
                "the server `a` is given twice",
            ),
            (&[], &[object], "cannot use `--mcp-file` DIR/0: `a.url`: "),
            (&[], &["{"], "cannot read `--mcp-file` DIR/0: EOF"),
            (
                &[],
                &["{}"],
                "cannot read `--mcp-file` DIR/0: it has no `mcpServers`",
            ),
        ] {
            let said = read(urls, files).expect_err(says);
            assert!(said.contains(says), "{said}");
            assert!(!said.contains("s3cret") && !said.contains('\n'), "{said}");
        }
    }
}

//! From the configuration's description of a server to the server itself:
//! sources fetched, variables replaced.
//!
//! *Invariant*: no error repeats a value, which may be a credential.

use std::fmt;
use std::path::{Path, PathBuf};

use super::git::{self, Checkout};
use crate::paths::Env;
use crate::types::agent::Transport;
use crate::types::credential::{Auth, TokenSource};
use crate::types::identity::{ServerName, Token};
use crate::types::server::{Command, Headers, Kind, Origin, Remote, Server};
use crate::types::source::{
    Git, HeaderPart, HeaderValue, Recipe, ServerSpec, Source, is_header_value,
};
use crate::types::variables::{self, Style, Variables};

/// Servers, as an agent can be told of them.
#[derive(Debug, Default)]
pub struct Ready {
    pub servers: Vec<Server>,
    /// A line each, for the user.
    pub warnings: Vec<String>,
}

/// Why a server cannot be had. One line, which may stand in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`mcp_servers.{server}`: {what}")]
pub struct Failure {
    pub server: ServerName,
    pub what: String,
}

/// All that failed, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures(pub Vec<Failure>);

impl std::error::Error for Failures {}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{failure}")?;
        }
        Ok(())
    }
}

/// Makes servers of the configuration ready: fetches what is not there yet,
/// several repositories at a time, and says so on a terminal. Where all is
/// there, no process is started and nobody is asked. `state` is the root of
/// all state.
///
/// # Errors
/// All that failed, not the first alone.
pub fn prepare<'a>(
    specs: impl IntoIterator<Item = &'a ServerSpec>,
    env: &Env,
    state: &Path,
) -> Result<Ready, Failures> {
    let specs: Vec<&ServerSpec> = specs.into_iter().collect();
    let repositories = |spec: &&'a ServerSpec| match &spec.recipe {
        Recipe::Command {
            source: Source::Git(git),
            ..
        } => Some((&spec.name, git)),
        _ => None,
    };
    let wanted: Vec<_> = specs.iter().filter_map(repositories).collect();
    let mut checkouts = git::checkouts(&wanted, env, state).into_iter();
    finished(&specs, env, |_| {
        checkouts
            .next()
            .unwrap_or_else(|| Err("its repository was not fetched".to_owned()))
    })
}

/// The same without touching anything: a repository that is not there yet
/// counts as if it were, at the place it would have.
///
/// # Errors
/// All that is wrong as far as it can be known.
pub fn rehearse<'a>(
    specs: impl IntoIterator<Item = &'a ServerSpec>,
    env: &Env,
    state: &Path,
) -> Result<Ready, Failures> {
    let specs: Vec<&ServerSpec> = specs.into_iter().collect();
    finished(&specs, env, |git| Ok(git::foreseen(git, state)))
}

fn finished(
    specs: &[&ServerSpec],
    env: &Env,
    mut checkout: impl FnMut(&Git) -> Result<Checkout, String>,
) -> Result<Ready, Failures> {
    let mut ready = Ready::default();
    let mut failures = Vec::new();
    for spec in specs {
        let kind = match &spec.recipe {
            Recipe::Remote { url, headers, auth } => {
                if auth.as_ref().is_some_and(is_written_out) {
                    ready.warnings.push(format!(
                        "`mcp_servers.{}.auth.token` is a credential in a file: name a variable \
                         or a command in its place, with `env` or `command`",
                        spec.name
                    ));
                }
                remote(url, headers, auth.as_ref(), env).map(Kind::Remote)
            }
            Recipe::Command { source, .. } => {
                let root = match source {
                    Source::None => Ok(None),
                    Source::Local(path) => local(path).map(Some),
                    Source::Git(git) => checkout(git).map(|checkout| {
                        let warnings = checkout.warning.into_iter();
                        ready.warnings.extend(
                            warnings
                                .map(|warning| format!("`mcp_servers.{}`: {warning}", spec.name)),
                        );
                        Some(checkout.root)
                    }),
                };
                root.and_then(|root| command(&spec.recipe, root.as_deref(), env))
            }
        };
        match kind {
            Ok(kind) => ready.servers.push(Server {
                name: spec.name.clone(),
                origin: Origin::Config,
                kind,
                context: spec.context,
            }),
            Err(what) => failures.push(Failure {
                server: spec.name.clone(),
                what,
            }),
        }
    }
    if failures.is_empty() {
        Ok(ready)
    } else {
        Err(Failures(failures))
    }
}

fn local(path: &Path) -> Result<PathBuf, String> {
    match path.metadata() {
        Ok(meta) if meta.is_dir() => Ok(path.to_owned()),
        Ok(_) => Err(format!("`path`: {} is no directory", path.display())),
        Err(error) => Err(format!("`path`: cannot find {}: {error}", path.display())),
    }
}

fn command(recipe: &Recipe, root: Option<&Path>, env: &Env) -> Result<Kind, String> {
    let Recipe::Command {
        program,
        args,
        env: set,
        cwd,
        is_hosted,
        ..
    } = recipe
    else {
        return Err("it is no command".to_owned());
    };
    let texts = Texts { env, root };
    let mut is_private = false;
    let mut word = |key: &str, text: &str| -> Result<String, String> {
        let (word, from_env) = texts.replaced(key, text)?;
        is_private |= from_env;
        Ok(word)
    };
    let program = word("command", program)?;
    if program.trim().is_empty() {
        return Err("`command`: it is empty".to_owned());
    }
    let args = args.iter().enumerate();
    let args: Vec<String> = args
        .map(|(index, arg)| word(&format!("args[{index}]"), arg))
        .collect::<Result<_, _>>()?;
    let set = set.iter().map(|(name, value)| {
        let (value, _) = texts.replaced(&format!("env.{name}"), value.expose())?;
        Ok((name.clone(), Token::new(value)))
    });
    let set = set.collect::<Result<_, String>>()?;
    let cwd = match cwd {
        None => None,
        Some(cwd) => {
            let cwd = PathBuf::from(texts.replaced("cwd", cwd)?.0);
            if !cwd.is_absolute() {
                return Err(format!("`cwd`: {} is no absolute path", cwd.display()));
            }
            Some(cwd)
        }
    };
    Ok(Kind::Command(Command {
        program,
        args,
        env: set,
        cwd,
        is_private,
        is_hosted: *is_hosted,
    }))
}

/// True for a token that stands where it is configured, as it is.
fn is_written_out(auth: &Auth) -> bool {
    matches!(&auth.source, TokenSource::Literal(token) if !variables::has_any(token.expose()))
}

fn remote(
    url: &str,
    headers: &[(String, HeaderValue)],
    auth: Option<&Auth>,
    env: &Env,
) -> Result<Remote, String> {
    let texts = Texts { env, root: None };
    let (url, _) = texts.replaced("url", url)?;
    let mut sent = Headers::new();
    for (name, value) in headers {
        let key = format!("headers.{name}");
        let part = |part: &HeaderPart| match part {
            HeaderPart::Text(text) => Ok(texts.replaced(&key, text.expose())?.0),
            HeaderPart::Env(var) => Ok(texts.replaced(&key, &format!("${{{var}}}"))?.0),
            HeaderPart::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("`{key}`: cannot read {}: {error}", path.display()))?;
                let line = text.strip_suffix('\n').unwrap_or(&text);
                Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
            }
        };
        let value = value.iter().map(part).collect::<Result<String, String>>()?;
        if !is_header_value(&value) {
            return Err(format!("`{key}`: the value has a control character"));
        }
        sent.push((name.clone(), Token::new(value)));
    }
    let text = |key: &str, text: &str| texts.replaced(key, text).map(|(text, _)| text);
    let auth = auth.map(|auth| auth.replaced(text)).transpose()?;
    if let Some(TokenSource::File(path)) = auth.as_ref().map(|auth| &auth.source)
        && !path.is_absolute()
    {
        let path = path.display();
        return Err(format!("`auth.file`: {path} is no absolute path"));
    }
    Ok(Remote {
        endpoint: url.parse().map_err(|error| format!("`url`: {error}"))?,
        transport: Transport::Http,
        headers: sent,
        auth,
    })
}

/// What variables are replaced from.
struct Texts<'a> {
    env: &'a Env,
    root: Option<&'a Path>,
}

impl Texts<'_> {
    /// The text with its variables replaced, and whether any came from the
    /// environment.
    fn replaced(&self, key: &str, text: &str) -> Result<(String, bool), String> {
        let at = |what: String| format!("`{key}`: {what}");
        let root = match self.root.map(|root| (root, root.to_str())) {
            None => None,
            Some((_, Some(root))) => Some(root),
            Some((root, None)) => {
                return Err(at(format!("{} is no UTF-8", root.display())));
            }
        };
        let (text, from_env) = Variables {
            env: self.env,
            root,
        }
        .replace(text, Style::Shell)
        .map_err(|unset| at(unset.to_string()))?;
        if text.contains('\0') {
            return Err(at("it has a null character".to_owned()));
        }
        Ok((text, from_env))
    }
}

//! `[mcp_servers.NAME]`, from what is written to what is meant. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use super::raw::{Only, Slug};
use crate::types::auth::RawAuth;
use crate::types::credential::Auth;
use crate::types::identity::{AgentName, ServerName, Token};
use crate::types::reference::{self, Part};
use crate::types::secret;
use crate::types::server::ContextLevel;
use crate::types::source::{
    Git, GitUrl, HeaderPart, HeaderValue, Recipe, ServerSpec, Source, is_header_name,
    is_header_value, is_variable,
};
use crate::types::upstream::Endpoint;
use crate::types::variables::{self, ROOT_VAR};

/// One table, as users write it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub(super) struct RawSource {
    r#type: Option<Type>,
    path: Option<String>,
    url: Option<String>,
    r#ref: Option<String>,
    subdir: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, Token>>,
    cwd: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    session_context: Option<ContextLevel>,
    agents: Option<Vec<AgentName>>,
    auth: Option<Only<RawAuth>>,
    hosted: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Type {
    Local,
    Git,
    Remote,
}

/// A mistake of a server: the key that has it, and what it is.
pub(super) struct Mistake {
    /// `docs.ref`, below `mcp_servers`.
    pub(super) key: String,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// All servers, checked; `own` is the name of the hub's.
pub(super) fn specs(
    raw: BTreeMap<Slug, Only<RawSource>>,
    own: &ServerName,
) -> Result<Vec<ServerSpec>, Mistake> {
    let mut specs: Vec<ServerSpec> = Vec::new();
    for (Slug(name), Only(raw)) in raw {
        let same = |other: &ServerName| other.as_str().eq_ignore_ascii_case(name.as_str());
        if same(own) {
            let what = format!("`{own}` is the name of the hub's own tools");
            return Err(whole(
                &name,
                what,
                Some("choose another, or set `mcp.server_name`"),
            ));
        }
        if let Some(twin) = specs.iter().find(|spec| same(&spec.name)) {
            let what = format!(
                "there is `{}` already, which differs in case only",
                twin.name
            );
            return Err(whole(&name, what, None));
        }
        let has_stray_url = raw.url.is_some() && raw.r#type.is_none();
        let (context, agents) = (raw.session_context.unwrap_or_default(), raw.agents.clone());
        let recipe = recipe(raw).map_err(|(key, what)| {
            let hint = (key == "command" && has_stray_url)
                .then(|| "for a `url`, set `type` to \"remote\" or \"git\"".to_owned());
            Mistake {
                key: format!("{name}.{key}"),
                what,
                hint,
            }
        })?;
        specs.push(ServerSpec {
            name,
            recipe,
            context,
            agents,
        });
    }
    Ok(specs)
}

fn whole(name: &ServerName, what: String, hint: Option<&str>) -> Mistake {
    Mistake {
        key: name.to_string(),
        what,
        hint: hint.map(ToOwned::to_owned),
    }
}

/// The key of a table that has a mistake, and what it is. A value may be a
/// credential: none is repeated.
type Wrong = (String, String);

fn recipe(raw: RawSource) -> Result<Recipe, Wrong> {
    let (what, forbidden): (_, &[&str]) = match raw.r#type {
        None => (
            "a command as it is",
            &["path", "url", "ref", "subdir", "headers", "auth"],
        ),
        Some(Type::Local) => (
            "a local source",
            &["url", "ref", "subdir", "headers", "auth"],
        ),
        Some(Type::Git) => ("a git source", &["path", "headers", "auth"]),
        Some(Type::Remote) => (
            "a remote server",
            &[
                "path", "ref", "subdir", "command", "args", "env", "cwd", "hosted",
            ],
        ),
    };
    // What is missing says more than what is too much.
    let needed: &[(&str, &Option<String>)] = match raw.r#type {
        None => &[("command", &raw.command)],
        Some(Type::Local) => &[("path", &raw.path), ("command", &raw.command)],
        Some(Type::Git) => &[
            ("url", &raw.url),
            ("ref", &raw.r#ref),
            ("command", &raw.command),
        ],
        Some(Type::Remote) => &[("url", &raw.url)],
    };
    for (key, value) in needed {
        if value.as_ref().is_none_or(|value| value.trim().is_empty()) {
            return Err(wrong(key, format!("{what} needs it")));
        }
    }
    if let Some(key) = forbidden.iter().find(|key| raw.has(key)) {
        return Err(wrong(key, format!("{what} has no such key")));
    }
    if !matches!(raw.r#type, Some(Type::Local | Type::Git))
        && let Some(key) = raw.key_with_root()
    {
        let what = format!("`${{{ROOT_VAR}}}` is the directory of a source, and {what} has none");
        return Err((key, what));
    }
    let source = match raw.r#type {
        None => Source::None,
        Some(Type::Local) => Source::Local(PathBuf::from(fixed("path", raw.path.as_deref())?)),
        Some(Type::Git) => Source::Git(Git {
            url: parsed::<GitUrl>("url", raw.url.as_deref())?,
            at: parsed("ref", raw.r#ref.as_deref())?,
            subdir: match raw.subdir.as_deref() {
                None => None,
                subdir => Some(parsed("subdir", subdir)?),
            },
        }),
        Some(Type::Remote) => return remote(raw),
    };
    let env = raw.env.unwrap_or_default();
    if let Some(name) = env.keys().find(|name| !is_variable(name)) {
        let name = secret::name_of(name);
        return Err(wrong("env", format!("{name:?} is no variable's name")));
    }
    let args = raw.args.unwrap_or_default();
    if let Some(index) = args.iter().position(|arg| arg.contains('\0')) {
        return Err((
            format!("args[{index}]"),
            "it has a null character".to_owned(),
        ));
    }
    Ok(Recipe::Command {
        source,
        program: raw.command.unwrap_or_default(),
        args,
        env,
        cwd: raw.cwd,
        is_hosted: raw.hosted.unwrap_or_default(),
    })
}

fn remote(raw: RawSource) -> Result<Recipe, Wrong> {
    let url = raw.url.unwrap_or_default();
    if !variables::has_any(&url)
        && let Err(error) = url.parse::<Endpoint>()
    {
        return Err(wrong("url", error.to_string()));
    }
    let mut headers = Vec::new();
    for (name, value) in raw.headers.into_iter().flatten() {
        let at = format!("headers.{name}");
        if !is_header_name(&name) {
            let name = secret::name_of(&name);
            return Err(wrong("headers", format!("{name:?} is no header's name")));
        }
        if !is_header_value(&value) {
            return Err((at, "it has a control character".to_owned()));
        }
        let parts = reference::parts(&value).map_err(|what| (at, what.to_owned()))?;
        let parts = parts.into_iter().map(|part| match part {
            Part::Text(text) => HeaderPart::Text(Token::new(text)),
            Part::Env(name) => HeaderPart::Env(name.to_owned()),
            Part::File(path) => HeaderPart::File(path.into()),
        });
        headers.push((name, parts.collect()));
    }
    let auth = match raw.auth {
        None => None,
        Some(Only(raw)) => Some(auth(raw, &headers)?),
    };
    Ok(Recipe::Remote { url, headers, auth })
}

fn auth(raw: RawAuth, headers: &[(String, HeaderValue)]) -> Result<Auth, Wrong> {
    let auth = raw.read().map_err(|(key, what)| match key {
        "" => wrong("auth", what),
        key => (format!("auth.{key}"), what),
    })?;
    let same = |(name, _): &&(String, _)| name.eq_ignore_ascii_case(auth.header());
    match headers.iter().find(same) {
        Some((name, _)) => Err((
            format!("headers.{name}"),
            "`auth` sets the same header".to_owned(),
        )),
        None => Ok(auth),
    }
}

impl RawSource {
    fn has(&self, key: &str) -> bool {
        match key {
            "path" => self.path.is_some(),
            "url" => self.url.is_some(),
            "ref" => self.r#ref.is_some(),
            "subdir" => self.subdir.is_some(),
            "command" => self.command.is_some(),
            "args" => self.args.is_some(),
            "env" => self.env.is_some(),
            "cwd" => self.cwd.is_some(),
            "headers" => self.headers.is_some(),
            "auth" => self.auth.is_some(),
            "hosted" => self.hosted.is_some(),
            _ => false,
        }
    }

    /// The first key whose value has `${MCP_ROOT}`.
    fn key_with_root(&self) -> Option<String> {
        let one = |key: &str, value: &Option<String>| {
            let value = value.as_deref()?;
            variables::names(value, ROOT_VAR).then(|| key.to_owned())
        };
        let args = self.args.iter().flatten().enumerate();
        let env = self.env.iter().flatten();
        let headers = self.headers.iter().flatten();
        one("command", &self.command)
            .or_else(|| one("cwd", &self.cwd))
            .or_else(|| one("url", &self.url))
            .or_else(|| {
                args.map(|(index, arg)| (format!("args[{index}]"), arg.as_str()))
                    .chain(env.map(|(name, value)| (format!("env.{name}"), value.expose())))
                    .chain(headers.map(|(name, value)| (format!("headers.{name}"), value.as_str())))
                    .find(|(_, value)| variables::names(value, ROOT_VAR))
                    .map(|(key, _)| key)
            })
    }
}

/// A value in which no variable is replaced: what is fetched, and from where,
/// is for the file alone to say.
fn fixed<'a>(key: &str, value: Option<&'a str>) -> Result<&'a str, Wrong> {
    let value = value.unwrap_or_default();
    if variables::has_any(value) {
        return Err(wrong(key, "variables are not replaced here".to_owned()));
    }
    Ok(value)
}

fn parsed<T: FromStr<Err = &'static str>>(key: &str, value: Option<&str>) -> Result<T, Wrong> {
    fixed(key, value)?
        .parse()
        .map_err(|what: &str| wrong(key, what.to_owned()))
}

fn wrong(key: &str, what: String) -> Wrong {
    (key.to_owned(), what)
}

#[cfg(test)]
mod tests;

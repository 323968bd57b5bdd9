//! One agent of the configuration, as it is to be launched. Pure.

use std::path::{Path, PathBuf};

use super::layer::stem;
use super::raw::{Mode, RawAgent};
use super::resolve::at_home;
use crate::types::agent::{AgentSpec, Dialect, Inject, Pacing, Place, Restart};
use crate::types::conversation::{ID, Ways};
use crate::types::identity::AgentName;
use crate::types::options::AgentOptions;
use crate::types::secret;

/// A mistake of an agent: the key that has it, and what it is.
type Mistake = (&'static str, String);

/// What to launch: in `cwd`, by a user at `home`, with `settings` in place of the agent's own
/// settings path, if the environment set one.
pub(super) fn spec(
    name: &AgentName,
    raw: RawAgent,
    cwd: PathBuf,
    home: &Path,
    settings: Option<&Path>,
    options: &AgentOptions,
) -> Result<AgentSpec, Mistake> {
    if let Some(kind) = &raw.r#type {
        let what = format!("`type = \"{kind}\"` has no terminal: wrapper cannot launch it");
        return Err(("type", what));
    }
    let odd = |key: &&String| key.is_empty() || key.contains(['=', '\0']);
    if let Some(key) = raw.env.keys().find(odd) {
        let key = secret::name_of(key);
        let what = format!("`env` cannot set {key:?}: that is no variable's name");
        return Err(("env", what));
    }
    let command = raw.command.clone().unwrap_or_else(|| name.to_string());
    // A version of claude called otherwise is claude still if it is called so here.
    let dialect = match Dialect::of(stem(&command)) {
        Dialect::Generic => Dialect::of(name.as_str()),
        dialect => dialect,
    };
    let settings = (settings.map(Path::to_owned)).or_else(|| {
        raw.mcp_settings_path
            .as_ref()
            .filter(|path| !path.is_empty())
            .map(|path| cwd.join(at_home(home, path)))
    });
    // As agentchattr: a template is for one mode alone.
    let has_template = (raw.mcp_proxy_flag_template.as_ref()).is_some_and(|text| !text.is_empty());
    let mode = raw.mcp_inject.or(has_template.then_some(Mode::ProxyFlag));
    let inject = match mode {
        Some(mode) => Some(inject(mode, &raw, settings, dialect)?),
        None => None,
    };
    let conversations = conversations(&raw)?;
    let pacing = Pacing::default();
    Ok(AgentSpec {
        inject,
        name: name.clone(),
        command: at_home(home, &command),
        args: raw.args,
        cwd,
        own_label: options.label.clone(),
        label: options.label.clone().or(raw.label),
        color: raw.color,
        env: raw.env,
        strip_env: raw.strip_env,
        dialect,
        transport: raw.mcp_transport.unwrap_or_default(),
        http_key: raw.mcp_http_key,
        merge_project: raw.mcp_merge_project.unwrap_or(true),
        approve_tools: raw.approve_tools.unwrap_or(true),
        restart: (options.restart())
            .or(raw.restart)
            .unwrap_or(Restart::OnCrash),
        conversations,
        session_env_prefix: raw.session_env_prefix,
        pacing: Pacing {
            enter_delay: raw.inject_delay.map_or(pacing.enter_delay, |delay| delay.0),
            draft_wait: raw.draft_wait.map_or(pacing.draft_wait, |wait| wait.0),
            undelivered_after: raw
                .undelivered_after
                .map_or(pacing.undelivered_after, |wait| wait.0),
            ..pacing
        },
    })
}

/// How it is told of its conversations.
fn conversations(raw: &RawAgent) -> Result<Ways, Mistake> {
    let ways = Ways {
        last: raw.resume_args.clone(),
        new: raw.session_args.clone(),
        known: raw.resume_session_args.clone(),
    };
    if ways.new.is_empty() {
        return Ok(Ways {
            known: Vec::new(),
            ..ways
        });
    }
    for (key, words) in [
        ("session_args", &ways.new),
        ("resume_session_args", &ways.known),
    ] {
        if !words.iter().any(|word| word.contains(ID)) {
            let what = format!("`{key}` needs `{ID}`: the conversation could not be told");
            return Err((key, what));
        }
    }
    Ok(ways)
}

fn inject(
    mode: Mode,
    raw: &RawAgent,
    settings: Option<PathBuf>,
    dialect: Dialect,
) -> Result<Inject, Mistake> {
    let lacks = |key| {
        let what = format!("`mcp_inject = \"{}\"` needs `{key}`", mode.as_str());
        ("mcp_inject", what)
    };
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let flag = || given(&raw.mcp_flag).ok_or_else(|| lacks("mcp_flag"));
    let var = || {
        let key = "mcp_env_var";
        let var = given(&raw.mcp_env_var).ok_or_else(|| lacks(key))?;
        if var.contains(['=', '\0']) {
            return Err((
                key,
                format!(
                    "`{key}` cannot be {:?}: that is no variable's name",
                    secret::name_of(&var)
                ),
            ));
        }
        Ok(var)
    };
    match mode {
        Mode::Flag => Ok(Inject::Flag { flag: flag()? }),
        Mode::ProxyFile => Ok(Inject::ProxyFile { flag: flag()? }),
        Mode::SettingsFile => Ok(Inject::SettingsFile {
            path: settings.ok_or_else(|| lacks("mcp_settings_path"))?,
        }),
        Mode::Env => Ok(Inject::Env { var: var()? }),
        Mode::EnvContent => Ok(Inject::EnvContent { var: var()? }),
        Mode::Stdio => {
            let place = match (given(&raw.mcp_flag), settings) {
                (Some(flag), _) => Place::Flag(flag),
                (None, Some(path)) => Place::Settings(path),
                (None, None) => return Err(lacks("mcp_flag` or `mcp_settings_path")),
            };
            Ok(Inject::Stdio { place })
        }
        Mode::ProxyFlag => {
            let key = "mcp_proxy_flag_template";
            let template = raw.mcp_proxy_flag_template.clone();
            let template = template.ok_or_else(|| lacks(key))?;
            check_template(key, &template, dialect).map_err(|what| (key, what))?;
            Ok(Inject::ProxyFlag { template })
        }
    }
}

fn check_template(key: &str, template: &str, dialect: Dialect) -> Result<(), String> {
    if let Err(error) = shell_words::split(template) {
        return Err(format!("cannot split `{key}`: {error}"));
    }
    let mut needed = vec!["{url}"];
    // Codex is told of the key in any case: templates of agentchattr's lack it.
    if dialect != Dialect::Codex {
        needed.push("{key_env}");
    }
    match needed.iter().find(|word| !template.contains(**word)) {
        Some(word) => Err(format!(
            "`{key}` needs `{word}`: the agent could not reach its tools"
        )),
        None => Ok(()),
    }
}

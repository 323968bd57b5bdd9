//! `--dry-run`: shows what a launch would set, write and run; registers, writes
//! and starts nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::gather::Told;
use super::plan::{self, Wiring};
use super::program::environment;
use super::setting::Setting;
use super::talk;
use super::tmux::server;
use crate::cli::Run;
use crate::report::{self, Failure};
use crate::servers::project::LeftOut;
use crate::types::agent::{AgentSpec, Inject};
use crate::types::exit::Exit;
use crate::types::secret;
use crate::types::upstream::{Endpoint, Scheme};

/// Prints the plan, with what the hub and the system would have given
/// replaced by what they would be called.
pub(super) fn show(
    setting: &Setting,
    spec: &AgentSpec,
    program: &Path,
    told: &Arc<Told>,
    args: &Run,
) -> Result<Exit, Failure> {
    let failed = |error| Failure::new(Exit::Failed, error);
    let wiring = plan::rehearse(spec, setting, told, args.offline).map_err(failed)?;
    let plan = wiring.plan(spec)?;
    let refused = |error| plan::refused(spec, Exit::Failed, error);
    plan.check().map_err(refused)?;
    let variables = variables(setting, spec, &wiring);
    let hub = &setting.config.hub;
    let mut conversation = talk::of(spec, &args.args);
    let words = match conversation.last() {
        Some(words) if args.resume => words,
        _ => conversation.begin("CONVERSATION".to_owned()),
    };
    let run: Vec<String> = std::iter::once(program.as_os_str())
        .chain(spec.args.iter().map(OsStr::new))
        .chain(words.iter().map(OsStr::new))
        .chain(plan.args.iter().map(OsString::as_os_str))
        .chain(args.args.iter().map(OsString::as_os_str))
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let url = (!args.offline).then(|| {
        Endpoint {
            scheme: Scheme::Http,
            host: hub.host.clone(),
            port: hub.port,
            path: "/".into(),
        }
        .to_string()
    });
    let mode = spec.inject.as_ref().map(Inject::mode);
    let tmux = (args.tmux).then(|| server::foreseen(&setting.env, spec.name.as_str()));
    if args.json {
        let left_out = told
            .left_out
            .iter()
            .map(|left_out| json!({"name": left_out.name, "reason": left_out.why}));
        report::line(json!({
            "agent": spec.name,
            "label": spec.label,
            "cwd": spec.cwd,
            "run": run,
            "set": variables,
            "unset": spec.strip_env,
            "hub": url,
            "tmux": tmux,
            "left_out": left_out.collect::<Value>(),
            "inject": {"mode": mode, "plan": plan},
            "restart": spec.restart,
        }));
    } else {
        report::line(format_args!("run     {}", shell_words::join(&run)));
        report::line(format_args!("in      {}", spec.cwd.display()));
        if let Some(tmux) = &tmux {
            report::line(format_args!("tmux    {tmux}"));
        }
        report::line(format_args!("hub     {}", url.as_deref().unwrap_or("none")));
        for (key, value) in &variables {
            report::line(format_args!("set     {key}={value}"));
        }
        for key in spec
            .strip_env
            .iter()
            .filter(|key| setting.env.contains_key(OsStr::new(key)))
        {
            report::line(format_args!("unset   {key}"));
        }
        report::line(format_args!("inject  {}", mode.unwrap_or("nothing")));
        for LeftOut { name, why, .. } in &told.left_out {
            report::line(format_args!("without {name}: {why}"));
        }
        let plan = plan.to_string();
        let shown = format!("{}\n{plan}", run.join(" "));
        report::line(plan.trim_end());
        for (word, meaning) in PLACEHOLDERS {
            if shown.contains(word) || variables.values().any(|value| value.contains(word)) {
                report::line(format_args!("{word:<12} stands for {meaning}"));
            }
        }
    }
    Ok(Exit::Done)
}

/// What a launch chooses, and what it is called here.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("CONVERSATION", "the id of the conversation"),
    ("HUB-TOKEN", "the token that the hub gives"),
    ("PORT", "the port of the session's proxy"),
    ("SESSION", "the session's id"),
];

/// What is set besides what the plan sets, without credentials.
fn variables(setting: &Setting, spec: &AgentSpec, wiring: &Wiring) -> BTreeMap<String, String> {
    let env = environment(spec, &setting.env);
    let exempt = ["NO_PROXY", "no_proxy"].into_iter().filter_map(|name| {
        let value = env.get(OsStr::new(name))?;
        let is_ours = setting.env.get(OsStr::new(name)) != Some(value);
        is_ours.then(|| (name.to_owned(), value.to_string_lossy().into_owned()))
    });
    let own = spec.env.iter().map(|(key, value)| {
        let shown = if secret::is_likely(key, value) {
            "****"
        } else {
            value
        };
        (key.clone(), shown.to_owned())
    });
    own.chain(exempt)
        .chain(wiring.context.variables(&spec.session_env_prefix))
        .collect()
}

//! What a launch knows of servers besides the hub, before anything is touched.

use std::fs::{self, OpenOptions};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::{Map, Value};

use super::plan;
use super::program::{self, environment};
use super::setting::Setting;
use crate::cli::Run;
use crate::inject;
use crate::paths;
use crate::report::{self, Failure};
use crate::servers::given::{self, Given};
use crate::servers::project::{self, LeftOut, Project};
use crate::servers::source;
use crate::servers::trust::{self, Answer, Trust};
use crate::types::agent::{AgentSpec, Dialect, Inject};
use crate::types::exit::Exit;
use crate::types::identity::ServerName;
use crate::types::server::{Kind, Origin, Server};
use crate::types::text::one_line;

/// The servers that the project and the configuration want the agent to have.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) servers: Vec<Server>,
    /// The project's file, unless the agent is to be left alone with it.
    pub(super) project: Option<inject::Project>,
    /// The project's servers that the agent is not told of.
    pub(super) left_out: Vec<LeftOut>,
    /// What the user was warned of: for the log as well.
    pub(super) warnings: Vec<String>,
    /// The user's own servers, if being told of ours would displace them.
    pub(super) displaced: Option<PathBuf>,
    /// What the user has in the place that the agent's settings go to.
    pub(super) settings: Map<String, Value>,
}

/// Finds the servers, fetches what is missing, and asks what has to be asked;
/// for `--dry-run` it does neither. The user is warned.
pub(super) fn gather(setting: &Setting, spec: &AgentSpec, args: &Run) -> Result<Told, Failure> {
    let told = find(setting, spec, args)?;
    told.warnings.iter().for_each(report::warning);
    Ok(told)
}

/// As [`gather`], and keeps the warnings to itself.
pub(super) fn find(setting: &Setting, spec: &AgentSpec, args: &Run) -> Result<Told, Failure> {
    let mut told = Told {
        displaced: displaced(setting, spec),
        settings: own_settings(setting, spec).map_err(failed)?,
        ..Told::default()
    };
    let state = paths::state(&setting.env);
    let env = environment(spec, &setting.env);
    let wanted = setting.config.servers_for(&spec.name);
    let ready = if args.dry_run {
        source::rehearse(wanted, &env, &state)
    } else {
        source::prepare(wanted, &env, &state)
    };
    let ready = ready.map_err(|failures| failed(failures.into()))?;
    told.warnings = ready.warnings;
    told.servers = ready.servers;
    let own = &setting.config.mcp.server_name;
    let given = given::given(&args.mcp, &args.mcp_file, own, &env, &spec.cwd)
        .map_err(|error| failed(error.into()))?;
    told.give(given, spec)?;
    if spec.merge_project {
        let reading = project::read(&spec.cwd, own, &env);
        told.warnings.extend(reading.warning);
        if let Some(found) = reading.project {
            told.add(found, setting, spec, args).map_err(failed)?;
        }
    }
    for server in &mut told.servers {
        if let Kind::Command(command) = &mut server.kind {
            program::exempt(command, &env);
        }
    }
    let unstartable = told.servers.iter().filter_map(|server| {
        let Kind::Command(command) = &server.kind else {
            return None;
        };
        let why = program::missing(command, &env, &spec.cwd)?;
        let program = if command.is_private {
            "its command".to_owned()
        } else {
            format!("`{}`", one_line(&command.program, 80))
        };
        Some(format!(
            "the MCP server `{}` will not start: {program}: {why}",
            server.name
        ))
    });
    let unstartable: Vec<String> = unstartable.collect();
    told.warnings.extend(unstartable);
    Ok(told)
}

impl Told {
    /// Adds what this launch alone has, in the place of what has its name.
    fn give(&mut self, given: Given, spec: &AgentSpec) -> Result<(), Failure> {
        if let (Some(server), None) = (given.servers.first(), &spec.inject) {
            let (agent, server) = (&spec.name, one_line(server.name.as_str(), 128));
            return Err(failed(anyhow!(
                "cannot tell `{agent}` of the server `{server}`: agent `{agent}` has no `mcp_inject`"
            )));
        }
        self.warnings.extend(given.warnings);
        for server in given.servers {
            self.servers.retain(|other| other.name != server.name);
            self.servers.push(server);
        }
        Ok(())
    }

    /// Adds the project's servers if the user trusts them. What of them the
    /// agent cannot have is left out.
    fn add(
        &mut self,
        found: Project,
        setting: &Setting,
        spec: &AgentSpec,
        args: &Run,
    ) -> anyhow::Result<()> {
        let file = found.path.display().to_string();
        if spec.inject.is_none() {
            report::note(format_args!(
                "`{}` has no `mcp_inject`: the servers of {file} are left out",
                spec.name
            ));
            self.left_out = found.all_left_out("the agent has no `mcp_inject`");
            return Ok(());
        }
        let state = paths::state(&setting.env);
        let trusted = found.entries.is_empty() || is_trusted(&found, spec, &state, args)?;
        let names = found.names.clone();
        if trusted {
            let usable = found.usable(spec.dialect);
            self.warnings.extend(usable.warnings);
            self.left_out = usable.left_out;
            let mut wanted = usable.native;
            for server in usable.servers {
                let name = server.name.clone();
                let is_command = matches!(server.kind, Kind::Command(_));
                match self.why_not(&server, setting, spec)? {
                    None => {
                        wanted.push(name);
                        self.servers.push(server);
                    }
                    Some(why) => self.left_out.push(LeftOut {
                        name: one_line(name.as_str(), 128),
                        is_command,
                        why,
                    }),
                }
            }
            let left_out = self.left_out.iter().map(|LeftOut { name, why, .. }| {
                format!("the server `{name}` of {file} is left out: {why}")
            });
            let left_out: Vec<String> = left_out.collect();
            self.warnings.extend(left_out);
            self.settle(names, &wanted, spec, args);
        } else {
            self.left_out = found.all_left_out("nobody has said yes to it");
            self.settle(names, &[], spec, args);
        }
        Ok(())
    }

    /// Notes which of its servers an agent that reads the file may have.
    fn settle(&mut self, names: Vec<String>, wanted: &[ServerName], spec: &AgentSpec, args: &Run) {
        if !settles_itself(spec, args) {
            let wanted = wanted.iter().map(ToString::to_string).collect();
            self.project = Some(inject::Project { names, wanted });
        }
    }

    /// Why the agent cannot have that server of the project, if it cannot.
    fn why_not(
        &self,
        server: &Server,
        setting: &Setting,
        spec: &AgentSpec,
    ) -> anyhow::Result<Option<String>> {
        let name = &server.name;
        let same = |other: &&Server| other.name.as_str().eq_ignore_ascii_case(name.as_str());
        if let Some(other) = self.servers.iter().find(same) {
            let whose = match other.origin {
                Origin::Session => "this launch",
                Origin::Project | Origin::Rewritten => "the file",
                _ => "your configuration",
            };
            return Ok(Some(format!("{whose} has one of that name")));
        }
        plan::cannot_tell(spec, setting, server)
    }
}

/// True if the user's own arguments take the place of ours, by which claude
/// learns what the user said of the project's servers: it asks by itself then.
fn settles_itself(spec: &AgentSpec, args: &Run) -> bool {
    let mut words = args.args.iter().map(|arg| arg.as_encoded_bytes());
    matches!(spec.dialect, Dialect::Claude | Dialect::Codebuddy)
        && words.any(|word| word == b"--settings" || word.starts_with(b"--settings="))
}

/// What the user says of the project's servers, said before, or says now.
fn is_trusted(found: &Project, spec: &AgentSpec, state: &Path, args: &Run) -> anyhow::Result<bool> {
    let file = found.path.display();
    if args.trust_project {
        return Ok(true);
    }
    let trust = Trust::new(state);
    let remembered = trust
        .remembered(&spec.cwd, &found.digest)
        .unwrap_or_else(|error| {
            report::warning(format_args!(
                "{error:#}: what you said of servers is not known"
            ));
            None
        });
    let terminal = || OpenOptions::new().read(true).write(true).open("/dev/tty");
    match (remembered, args.dry_run) {
        (Some(Answer::Yes), _) => return Ok(true),
        (Some(Answer::No), _) => {
            report::note(format_args!(
                "the servers of {file} are left out, as you said: `--trust-project` takes them, \
                 `wrapper trust forget {}` has you asked again",
                one_line(&shell_words::quote(&spec.cwd.to_string_lossy()), 400)
            ));
            return Ok(false);
        }
        (None, true) => {}
        // Whoever started it was asked; nobody may be looking at this pane.
        (None, false) if args.pane.is_some() || args.team.is_some() => {}
        // Somebody may sit at the terminal that it has all the same.
        (None, false) if args.headless => {}
        (None, false) => {
            if let Ok(terminal) = terminal() {
                let answer = trust::ask(found, BufReader::new(&terminal), &terminal)
                    .context("cannot ask about the project's servers")?;
                if let Some(answer) = answer {
                    trust.remember(&spec.cwd, &found.digest, answer)?;
                }
                return Ok(answer == Some(Answer::Yes));
            }
        }
    }
    report::note(format_args!(
        "the servers of {file} are left out, as nobody has said yes to them: \
         `--trust-project` takes them"
    ));
    Ok(false)
}

/// Kimi's own file of servers, if there is one: named by `--mcp-config-file`,
/// ours would be all that it reads.
fn displaced(setting: &Setting, spec: &AgentSpec) -> Option<PathBuf> {
    if spec.dialect != Dialect::Kimi {
        return None;
    }
    let env = environment(spec, &setting.env);
    let own = match paths::var(&env, "KIMI_SHARE_DIR") {
        Some(dir) => spec.cwd.join(dir),
        None => paths::home(&env).join(".kimi"),
    };
    Some(own.join("mcp.json")).filter(|file| file.is_file())
}

/// The settings that the user has where ours go: in the variable, or in the
/// file that the variable names.
fn own_settings(setting: &Setting, spec: &AgentSpec) -> anyhow::Result<Map<String, Value>> {
    let (var, in_file) = match &spec.inject {
        Some(Inject::Env { var }) => (var, true),
        Some(Inject::EnvContent { var }) => (var, false),
        _ => return Ok(Map::new()),
    };
    let env = environment(spec, &setting.env);
    let Some(value) = paths::var(&env, var) else {
        return Ok(Map::new());
    };
    let read = || -> anyhow::Result<Map<String, Value>> {
        let text = if in_file {
            fs::read_to_string(spec.cwd.join(value))?
        } else {
            value.to_str().map(str::to_owned).context("it is no text")?
        };
        inject::settings(&text).map_err(anyhow::Error::msg)
    };
    read().with_context(|| format!("cannot add our servers to the settings in `{var}`"))
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, error)
}

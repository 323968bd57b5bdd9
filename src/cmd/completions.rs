//! `wrapper completions SHELL`, and the answers that its script asks for: verbs
//! and options, the agents of the configuration, the sessions that run.

use std::io::{self, Write};

use clap::{Arg, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use super::setting::block_on;
use crate::cli::{Cli, Completions, Shell};
use crate::config;
use crate::control::find;
use crate::paths;
use crate::report;
use crate::types::exit::Exit;
use crate::types::options::Options;

/// Set by a shell that wants to know how a command line may go on.
const VARIABLE: &str = "_WRAPPER_COMPLETE";

/// Prints the script.
pub(super) fn run(args: &Completions) -> Exit {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let name = "wrapper";
    let out = &mut io::stdout();
    let written = shell.write_registration(VARIABLE, name, name, name, out);
    if let Err(error) = written.and_then(|()| out.flush()) {
        report::lose(error);
    }
    Exit::Done
}

/// Answers the shell if it is the one that asks; None: the user does.
#[must_use]
pub fn complete() -> Option<Exit> {
    // A directory that has gone has no files to complete.
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(command).var(VARIABLE);
    match asked.try_complete(std::env::args_os(), here.as_deref()) {
        Ok(false) => None,
        Ok(true) => Some(Exit::Done),
        Err(error) => {
            report::note(error);
            Some(Exit::NotDone)
        }
    }
}

/// The command line with what is known at this moment. An agent is a verb here:
/// `wrapper claude` is how one is launched.
fn command() -> Command {
    let agents = agents();
    let command = Cli::command();
    let of_agents: Vec<Command> = match command.find_subcommand("run") {
        Some(run) => agents.iter().map(|name| launch(run, name)).collect(),
        None => Vec::new(),
    };
    lively(command, &agents).subcommands(of_agents)
}

/// `run` as the verb that an agent's name is.
fn launch(run: &Command, agent: &str) -> Command {
    let is_agent = |id: &clap::Id| id == "agent";
    let args = run.get_arguments().filter(|arg| !is_agent(arg.get_id()));
    let groups = run.get_groups();
    let groups = groups.filter(|group| !group.get_args().any(is_agent));
    Command::new(agent.to_owned())
        .about("Launch it here")
        .args(args.cloned())
        .groups(groups.cloned())
}

/// Has sessions and agents completed wherever one is named.
fn lively(command: Command, agents: &[String]) -> Command {
    let names = agents.to_vec();
    let agents_now = move || candidates(&names);
    command
        .mut_args(|arg: Arg| match arg.get_id().as_str() {
            "session" | "sessions" => arg.add(ArgValueCandidates::new(sessions)),
            "agent" => arg.add(ArgValueCandidates::new(agents_now.clone())),
            _ => arg,
        })
        .mut_subcommands(|verb| lively(verb, agents))
}

fn candidates(names: &[String]) -> Vec<CompletionCandidate> {
    names.iter().map(CompletionCandidate::new).collect()
}

/// The agents of the configuration; none if it cannot be read, which is not
/// for this moment to say.
fn agents() -> Vec<String> {
    let env = paths::env();
    let here = std::env::current_dir().unwrap_or_default();
    let config = config::load(&env, &here, &Options::default());
    config.map_or_else(
        |_| Vec::new(),
        |config| config.agents().map(ToString::to_string).collect(),
    )
}

fn sessions() -> Vec<CompletionCandidate> {
    let state = paths::state(&paths::env());
    let found = block_on(Exit::NotDone, async {
        Ok(find::sessions(&state, None).await)
    });
    let found = found.unwrap_or_default().into_iter();
    let candidate = |found: find::Found| {
        let about = format!(
            "{}, {}",
            report::word(&found.session.state),
            found.session.cwd
        );
        CompletionCandidate::new(found.session.name).help(Some(about.into()))
    };
    found.map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_has_nothing_to_object() {
        lively(Cli::command(), &["claude".to_owned()]).debug_assert();
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("a verb");
        launch(run, "claude").debug_assert();
    }
}

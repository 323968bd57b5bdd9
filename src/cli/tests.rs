//! Command lines, and what they mean.

use super::*;

fn parse(line: &str) -> Result<Verb, String> {
    let args = ["wrapper"].into_iter().chain(line.split_whitespace());
    Cli::parse_from(args.map(OsString::from))
        .map(|cli| cli.verb)
        .map_err(|error| error.to_string())
}

fn run(line: &str) -> Run {
    match parse(line) {
        Ok(Verb::Run(run)) => run,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn clap_has_nothing_to_object() {
    Cli::command().debug_assert();
}

#[test]
fn options_stand_before_or_after_the_agent() {
    for line in [
        "claude --port 7 --label L --offline -- --model x serve",
        "--port=7 --label L claude --offline -- --model x serve",
        "--offline --port 7 --label=L run claude -- --model x serve",
        "run --offline claude --port=7 --label L -- --model x serve",
    ] {
        let run = run(line);
        assert_eq!(run.agent, "claude", "{line}");
        assert_eq!(run.options.port, Some(7), "{line}");
        assert_eq!(run.of_agent.label.as_deref(), Some("L"), "{line}");
        assert!(run.offline && !run.dry_run, "{line}");
        assert_eq!(run.args, ["--model", "x", "serve"], "{line}");
    }
}

#[test]
fn a_verb_may_follow_options() {
    let options = |line| match parse(line) {
        Ok(Verb::Serve(serve)) => serve.options,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(options("serve --port 9"), options("--port 9 serve"));
    assert!(matches!(parse("--channel c say hi"), Ok(Verb::Say(say)) if say.text == "hi"));
    assert!(matches!(parse("-n 3 read"), Ok(Verb::Read(read)) if read.n == 3));
}

#[test]
fn an_agent_may_have_the_value_of_an_option_for_a_name() {
    assert_eq!(run("--label serve claude").agent, "claude");
}

#[test]
fn arguments_that_are_no_text_reach_the_agent() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![0xff, b'x']);
    let args = ["wrapper", "claude", "--"].map(OsString::from);
    let cli = Cli::parse_from(args.into_iter().chain([odd.clone()])).expect("parsed");
    assert!(matches!(cli.verb, Verb::Run(run) if run.args == [odd]));
}

#[test]
fn wrong_usage_says_what_is_wrong() {
    for (line, says) in [
        (
            "claude --model x",
            "go after `--`: wrapper <agent> -- --model",
        ),
        (
            "--model x claude",
            "go after `--`: wrapper <agent> -- --model",
        ),
        ("claude --lable x", "'--label'"),
        ("claude --port x", "invalid value 'x' for '--port <N>'"),
        ("claude --port 70000", "not in 0..=65535"),
        ("claude --restart on-fire", "on-crash"),
        ("claude --restart never --no-restart", "cannot be used with"),
        ("claude --json", "--dry-run"),
        ("claude codex", "unexpected argument 'codex'"),
        ("--port 7", "<AGENT>"),
        ("--config", "a value is required"),
        ("-- serve", "<AGENT>"),
        ("who --label x", "unexpected argument '--label'"),
        ("say", "<TEXT>"),
        ("send claude", "<TEXT>"),
        ("send claude x --wait long", "possible values: busy, idle"),
        ("send claude x --timeout 5", "time unit needed"),
        (
            "send claude x --no-wait --timeout 5s",
            "cannot be used with",
        ),
    ] {
        let said = parse(line).expect_err(line);
        assert!(said.contains(says), "{line}: {said}");
    }
}

#[test]
fn every_verb_is_a_reserved_word() {
    for verb in Cli::command().get_subcommands() {
        let name = verb.get_name();
        assert!(crate::types::agent::VERBS.contains(&name), "{name}");
    }
}

#[test]
fn help_fits_a_screen_and_leaves_nothing_out() {
    assert!(HELP.lines().count() < 40);
    assert!(HELP.lines().all(|line| line.chars().count() <= 80));
    for verb in Cli::command().get_subcommands() {
        if verb.is_hide_set() || verb.get_name() == "run" {
            continue;
        }
        let name = verb.get_name();
        assert!(HELP.contains(&format!(" {name} ")) || HELP.contains(&format!(" {name},")));
    }
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("a verb");
    let shown = run.get_arguments().filter(|arg| !arg.is_hide_set());
    for long in shown.filter_map(clap::Arg::get_long) {
        assert!(HELP.contains(&format!("--{long}")), "{long}");
    }
}

#[test]
fn options_stand_before_a_verb_of_a_verb_as_well() {
    for line in [
        "--config f mcp list s",
        "mcp --config f list s",
        "mcp list --config f s",
        "mcp list s --config=f",
    ] {
        match parse(line) {
            Ok(Verb::Mcp(Mcp::List(list))) => {
                assert_eq!(list.session, "s", "{line}");
                assert_eq!(list.options.config, Some("f".into()), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
    let set = parse("--json --port 7 mcp --url http://h/ set s docs");
    assert!(
        matches!(&set, Ok(Verb::Mcp(Mcp::Set(set))) if set.json && set.options.port == Some(7)),
        "{set:?}"
    );
    for line in [
        "trust",
        "--json trust",
        "trust --json",
        "--config f trust list",
    ] {
        assert!(
            matches!(parse(line), Ok(Verb::Trust(Trust::List(_)))),
            "{line}"
        );
    }
    assert!(
        matches!(parse("--json trust forget d"), Ok(Verb::Trust(Trust::Forget(forget))) if forget.json)
    );
}

#[test]
fn a_verb_that_was_mistyped_is_suggested() {
    for (line, says) in [
        ("sya hi", "did you mean `wrapper say`?"),
        ("kill mine", "did you mean `wrapper stop`?"),
        ("claude hi", "arguments of the agent go after `--`"),
        ("claude --model x", "options of the agent go after `--`"),
    ] {
        let said = parse(line).expect_err(line);
        assert!(said.contains(says), "{line}: {said}");
    }
}

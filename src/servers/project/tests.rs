//! Projects' files in every shape that people leave them in.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

const OK: &str = r#""ok": {"command": "sh"}"#;

fn env() -> Env {
    [("TOK", "t"), ("HOME", "/h")]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

fn own() -> ServerName {
    "agentchattr".parse().expect("a name")
}

fn reading(content: &[u8]) -> Reading {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join(FILE), content).expect("written");
    read(dir.path(), &own(), &env())
}

/// What an agent has of a file's servers: names, each with its origin, and
/// what is left out.
fn usable(content: &str, dialect: Dialect) -> (Vec<(String, Origin)>, Vec<LeftOut>) {
    let reading = reading(content.as_bytes());
    assert_eq!(reading.warning, None, "{content}");
    let usable = reading.project.expect(content).usable(dialect);
    let servers = usable.servers.iter();
    let servers = servers.map(|server| (server.name.to_string(), server.origin));
    (servers.collect(), usable.left_out)
}

#[test]
fn a_digest_is_sha_256() {
    assert_eq!(
        Digest::of(b"abc").as_str(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_file_that_people_wrote_is_read_as_they_meant_it() {
    for content in [
        format!("{{\"mcpServers\": {{{OK}}}}}"),
        format!("\u{feff}{{\"mcpServers\": {{{OK}}}}}"),
        format!("{{ // ours\n\"mcpServers\": {{{OK},}},}}"),
        format!("{{\"servers\": {{{OK}}}, \"inputs\": []}}"),
        format!("{{{OK}}}"),
        format!("{{\"$schema\": \"x\", \"inputs\": [], {OK}}}"),
        format!("{{\"mcpServers\": {{\"ok\": 1, {OK}}}}}"),
    ] {
        for dialect in [Dialect::Codex, Dialect::Claude] {
            let (servers, left_out) = usable(&content, dialect);
            assert_eq!(servers.len(), 1, "{content}: {servers:?} {left_out:?}");
            assert_eq!(servers[0].0, "ok", "{content}");
            assert_eq!(left_out, [], "{content}");
        }
    }
}

#[test]
fn a_file_that_says_nothing_is_nothing() {
    for content in [
        "",
        " \n",
        "\u{feff}",
        "null",
        "{}",
        "{\"mcpServers\": null}",
        "{\"mcpServers\": {}}",
        "{\"servers\": null}",
        "// none yet",
    ] {
        let reading = reading(content.as_bytes());
        let is_nothing = reading.project.is_none() && reading.warning.is_none();
        assert!(is_nothing, "{content:?}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let reading = read(dir.path(), &own(), &env());
    assert!(reading.project.is_none() && reading.warning.is_none());
}

#[test]
fn a_file_that_cannot_be_used_is_a_warning() {
    let many: Vec<String> = (0..=MOST).map(|n| format!("\"s{n}\": {{}}")).collect();
    let many = format!("{{\"mcpServers\": {{{}}}}}", many.join(","));
    let deep = "[".repeat(10_000);
    for (content, says) in [
        ("{", "line 1"),
        ("[]", "expected an object"),
        ("7", "expected an object"),
        ("{\"mcpServers\": []}", "`mcpServers` must be an object"),
        ("{\"servers\": 7}", "`servers` must be an object"),
        ("{\"a\": 1}", "it has no `mcpServers`"),
        (many.as_str(), "more than 200"),
        (deep.as_str(), "recursion limit"),
    ] {
        let reading = reading(content.as_bytes());
        let warning = reading.warning.expect(says);
        assert!(warning.contains(says), "{warning}");
        assert!(warning.contains(FILE) && reading.project.is_none());
    }
    let warning = reading(b"{\"a\": \"\xff\"}").warning.expect("a warning");
    assert!(warning.ends_with("it is no UTF-8"), "{warning}");
    let large = " ".repeat((1 << 20) + 1);
    let warning = reading(large.as_bytes()).warning.expect("a warning");
    assert!(warning.ends_with("larger than 1 MiB"), "{warning}");
}

#[test]
fn what_is_no_regular_file_is_a_warning_and_blocks_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(FILE);
    let warning = || {
        let reading = read(dir.path(), &own(), &env());
        assert!(reading.project.is_none());
        reading.warning.expect("a warning")
    };
    fs::write(
        dir.path().join("real"),
        format!("{{\"mcpServers\": {{{OK}}}}}"),
    )
    .expect("written");
    for target in ["real", "nowhere", FILE] {
        symlink(target, &file).expect("linked");
        assert!(warning().contains("symbolic link"), "{target}");
        fs::remove_file(&file).expect("removed");
    }
    fs::create_dir(&file).expect("made");
    assert!(warning().contains("no regular file"));
    fs::remove_dir(&file).expect("removed");
    mkfifo(&file, Mode::S_IRWXU).expect("made");
    assert!(warning().contains("no regular file"));
    fs::remove_file(&file).expect("removed");
    let _socket = std::os::unix::net::UnixListener::bind(&file).expect("bound");
    assert!(warning().contains(FILE));
}

#[test]
fn an_entry_that_no_agent_can_have_is_left_out_by_name_and_reason() {
    let long = "x".repeat(MOST_ENTRY);
    let long = format!(r#"{{"command": "sh", "args": ["{long}"]}}"#);
    for (name, entry, says) in [
        ("a", r#""ours""#, "expected an object, not a string"),
        ("a", "null", "expected an object, not null"),
        ("a", "{}", "neither `command` nor `url`"),
        ("", r#"{"command": "sh"}"#, "no server name"),
        ("a\\u0000", r#"{"command": "sh"}"#, "no server name"),
        (
            "a",
            r#"{"command": "sh", "env": {"P": 1}}"#,
            "`env.P`: expected a string, not a number",
        ),
        ("a", r#"{"command": "sh", "args": [1]}"#, "`args[0]`"),
        ("a", r#"{"url": "http://h/${NO}"}"#, "`NO` is not set"),
        (
            "a",
            r#"{"url": "http://h/", "headers": {"A": "${input:key}"}}"#,
            "`headers.A`: `${input:key}` has a value in an editor alone",
        ),
        (
            "a",
            r#"{"command": "${workspaceFolder}/x"}"#,
            "in an editor alone",
        ),
        ("a", &long, "larger than 16 KiB"),
        (
            "AgentChattr",
            r#"{"command": "sh"}"#,
            "take it for `agentchattr`",
        ),
        (
            "agentchattr_",
            r#"{"command": "sh"}"#,
            "take it for `agentchattr`",
        ),
    ] {
        let content = format!("{{\"mcpServers\": {{\"{name}\": {entry}, {OK}}}}}");
        for dialect in [Dialect::Codex, Dialect::Claude, Dialect::Copilot] {
            let (servers, left_out) = usable(&content, dialect);
            assert_eq!(servers.len(), 1, "{content}: {servers:?}");
            assert_eq!(left_out.len(), 1, "{content}: {left_out:?}");
            assert!(left_out[0].why.contains(says), "{left_out:?}");
        }
    }
    // What is switched off is not left out, and our own name is ours.
    let content = format!(
        r#"{{"mcpServers": {{"off": {{"url": "${{NO}}", "disabled": true}}, "agentchattr": {{"url": "http://h/"}}, {OK}}}}}"#
    );
    let (servers, left_out) = usable(&content, Dialect::Codex);
    assert_eq!((servers.len(), left_out.len()), (1, 0));
}

#[test]
fn null_is_a_key_that_is_not_there() {
    let content = r#"{"mcpServers": {"a": {"command": "sh", "cwd": null, "env": null, "url": null, "headers": null, "disabled": null},
        "b": {"command": "sh", "env": {"A": null}}}}"#;
    let (servers, left_out) = usable(content, Dialect::Gemini);
    assert_eq!((servers.len(), left_out), (2, Vec::new()));
}

#[test]
fn all_that_is_handed_on_has_a_limit() {
    let entry = format!(
        r#"{{"command": "sh", "args": ["{}"]}}"#,
        "x".repeat(15 << 10)
    );
    let entries: Vec<String> = (0..6).map(|n| format!("\"s{n}\": {entry}")).collect();
    let content = format!("{{\"mcpServers\": {{{}}}}}", entries.join(","));
    let (servers, left_out) = usable(&content, Dialect::Opencode);
    assert_eq!((servers.len(), left_out.len()), (4, 2));
    assert!(left_out[0].why.contains("64 KiB at most"), "{left_out:?}");
}

#[test]
fn an_agent_that_reads_the_file_keeps_what_it_alone_understands() {
    for entry in [
        r#"{"type": "http", "url": "https://h/", "headersHelper": "./h"}"#,
        r#"{"type": "http", "url": "https://h/", "oauth": {}}"#,
        r#"{"type": "ws", "url": "wss://h/"}"#,
    ] {
        let content = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}");
        let read = |content: &str| reading(content.as_bytes()).project.expect(content);
        let claude = read(&content).usable(Dialect::Claude);
        assert_eq!((claude.native.len(), claude.left_out.len()), (1, 0));
        let codex = read(&content).usable(Dialect::Codex);
        assert_eq!((codex.native.len(), codex.left_out.len()), (0, 1));
        // It would send the variable as it stands.
        let unset = content.replace("h/", "h/${NO}");
        let claude = read(&unset).usable(Dialect::Claude);
        assert_eq!((claude.native.len(), claude.left_out.len()), (0, 1));
        // It would not read the file.
        let commented = format!("{content} // x");
        let claude = read(&commented).usable(Dialect::Claude);
        assert_eq!((claude.native.len(), claude.left_out.len()), (0, 1));
    }
}

#[test]
fn what_claude_would_read_otherwise_is_told_by_us() {
    for (entry, origin) in [
        (r#"{"command": "sh", "args": ["${TOK}"]}"#, Origin::Project),
        (r#"{"type": "stdio", "command": "sh"}"#, Origin::Project),
        (r#"{"type": "http", "url": "https://h/"}"#, Origin::Project),
        (
            r#"{"command": "sh", "args": ["${env:TOK}"]}"#,
            Origin::Rewritten,
        ),
        (r#"{"command": ["sh", "-c"]}"#, Origin::Rewritten),
        (r#"{"type": "local", "command": "sh"}"#, Origin::Rewritten),
        (
            r#"{"command": "sh", "environment": {"A": "1"}}"#,
            Origin::Rewritten,
        ),
        (r#"{"httpUrl": "https://h/"}"#, Origin::Rewritten),
        (r#"{"url": "https://h/"}"#, Origin::Rewritten),
    ] {
        let content = format!("{{\"mcpServers\": {{\"a\": {entry}}}}}");
        assert_eq!(usable(&content, Dialect::Claude).0[0].1, origin, "{entry}");
        let commented = format!("{content} /* x */");
        assert_eq!(
            usable(&commented, Dialect::Claude).0[0].1,
            Origin::Rewritten
        );
    }
    let content = r#"{"mcpServers": {"a": {"command": "sh", "args": ["${env:TOK}"]}}}"#;
    let (servers, left_out) = usable(content, Dialect::Copilot);
    assert_eq!((servers.len(), left_out.len()), (0, 1));
}

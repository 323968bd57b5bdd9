//! Tables of `[mcp_servers]`, and what is wrong with some.

use super::*;
use crate::types::credential::TokenSource;

fn read(text: &str) -> Result<Vec<ServerSpec>, String> {
    let raw = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let own = "agentchattr".parse().expect("a name");
    specs(raw, &own).map_err(|mistake| {
        let hint = mistake.hint.map(|hint| format!(" ({hint})"));
        format!(
            "{}: {}{}",
            mistake.key,
            mistake.what,
            hint.unwrap_or_default()
        )
    })
}

#[track_caller]
fn recipe(text: &str) -> Recipe {
    let mut specs = read(&format!("[x]\n{text}")).expect(text);
    specs.remove(0).recipe
}

#[test]
fn every_type_has_its_recipe() {
    let command = |source, program: &str, args: &[&str]| Recipe::Command {
        source,
        program: program.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: BTreeMap::new(),
        cwd: None,
        is_hosted: false,
    };
    assert_eq!(
        recipe("command = 'npx'\nargs = ['-y', '${PACKAGE}']"),
        command(Source::None, "npx", &["-y", "${PACKAGE}"])
    );
    assert_eq!(
        recipe("type = 'local'\npath = '/p'\ncommand = 'node'\nargs = ['${MCP_ROOT}/s.js']"),
        command(Source::Local("/p".into()), "node", &["${MCP_ROOT}/s.js"])
    );
    let git = |at: &str, subdir: Option<&str>| {
        Source::Git(Git {
            url: "https://x.dev/r".parse().expect("a URL"),
            at: at.parse().expect("a ref"),
            subdir: subdir.map(|subdir| subdir.parse().expect("a subdirectory")),
        })
    };
    assert_eq!(
        recipe("type = 'git'\nurl = 'https://x.dev/r'\nref = 'v1'\ncommand = '${MCP_ROOT}/s'"),
        command(git("v1", None), "${MCP_ROOT}/s", &[])
    );
    assert_eq!(
        recipe(
            "type = 'git'\nurl = 'https://x.dev/r'\nref = 'branch:main'\nsubdir = 'a'\ncommand = 's'"
        ),
        command(git("branch:main", Some("a")), "s", &[])
    );
    assert_eq!(
        recipe(
            "type = 'remote'\nurl = 'https://${HOST}/mcp'\n\
             headers = { A = 'Bearer ${T}', B = '@env:T', C = '@file:/t' }"
        ),
        Recipe::Remote {
            url: "https://${HOST}/mcp".into(),
            headers: vec![
                (
                    "A".into(),
                    vec![HeaderPart::Text(Token::new("Bearer ${T}"))]
                ),
                ("B".into(), vec![HeaderPart::Env("T".into())]),
                ("C".into(), vec![HeaderPart::File("/t".into())]),
            ],
            auth: None,
        }
    );
    let Recipe::Remote { auth, .. } =
        recipe("type = 'remote'\nurl = 'https://x.dev'\nauth = { env = 'T', header = 'X-Key' }")
    else {
        panic!("no remote server");
    };
    let source = TokenSource::Env("T".into());
    let header = Some("X-Key".into());
    assert_eq!(auth, Some(Auth { header, source }));
    for (text, wanted) in [
        ("", false),
        ("hosted = true", true),
        ("hosted = false", false),
    ] {
        let Recipe::Command { is_hosted, .. } = recipe(&format!("command = 'x'\n{text}")) else {
            panic!("no command");
        };
        assert_eq!(is_hosted, wanted, "{text}");
    }
    let spec = read("[x]\ncommand = 'x'\nsession_context = 'full'\nagents = ['claude']");
    let spec = spec.expect("good").remove(0);
    assert_eq!(spec.context, ContextLevel::Full);
    let agent = |name: &str| name.parse().expect("a name");
    assert!(spec.is_for(&agent("claude")) && !spec.is_for(&agent("codex")));
}

#[test]
fn what_a_type_lacks_or_has_too_much_is_named() {
    let git = "type = 'git'\nurl = 'https://x.dev/r'\nref = 'v1'\ncommand = 's'";
    for (text, says) in [
        ("", "x.command: a command as it is needs it"),
        ("command = ''", "x.command: a command as it is needs it"),
        (
            "url = 'https://x.dev'",
            "x.command: a command as it is needs it (for a `url`, set `type` to \"remote\" or \"git\")",
        ),
        (
            "command = 'x'\nurl = 'y'",
            "x.url: a command as it is has no such key",
        ),
        (
            "command = 'x'\nheaders = {}",
            "x.headers: a command as it is has no such key",
        ),
        (
            "type = 'local'\ncommand = 'x'",
            "x.path: a local source needs it",
        ),
        (
            "type = 'local'\npath = '/p'",
            "x.command: a local source needs it",
        ),
        (
            "type = 'local'\npath = '/p'\ncommand = 'x'\nref = 'v1'",
            "x.ref: a local source has no such key",
        ),
        (
            "type = 'git'\nurl = 'u'\ncommand = 'x'",
            "x.ref: a git source needs it",
        ),
        (
            "type = 'git'\nref = 'v1'\ncommand = 'x'",
            "x.url: a git source needs it",
        ),
        (
            &format!("{git}\npath = '/p'"),
            "x.path: a git source has no such key",
        ),
        (
            &format!("{git}\nsubdir = '../x'"),
            "x.subdir: it must be a relative path without `..`",
        ),
        (
            &git.replace("v1", "--upload-pack=x"),
            "x.ref: that is neither a commit of 40 hex digits, nor a tag, nor `branch:NAME`",
        ),
        (
            &git.replace("x.dev", "s3cret@x.dev"),
            "x.url: it carries a credential, which other users would see while git runs: \
             leave it to git's own credential helper",
        ),
        (
            &git.replace("x.dev", "${HOST}"),
            "x.url: variables are not replaced here",
        ),
    ] {
        assert_eq!(
            read(&format!("[x]\n{text}")),
            Err(says.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_sent_or_replaced_is_named_without_its_value() {
    for (text, says) in [
        ("type = 'remote'", "x.url: a remote server needs it"),
        (
            "type = 'remote'\nurl = 'https://x.dev'\ncommand = 'x'",
            "x.command: a remote server has no such key",
        ),
        (
            "type = 'remote'\nurl = 'ftp://s3cret'",
            "x.url: it is no `http://host:port/path`: the scheme is neither http nor https",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nheaders = { 'A B' = 's3cret' }",
            "x.headers: \"A B\" is no header's name",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nheaders = { A = \"s3cret\\n\" }",
            "x.headers.A: it has a control character",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nheaders = { A = '@env:' }",
            "x.headers.A: it names neither a variable nor a file",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nhosted = true",
            "x.hosted: a remote server has no such key",
        ),
        (
            "command = 'x'\nauth = { env = 'T' }",
            "x.auth: a command as it is has no such key",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nauth = { token = 's3cret', env = 'T' }",
            "x.auth.env: there is `token` already",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nauth = {}",
            "x.auth: it names no source: one of `token`, `env`, `file` and `command`",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nauth = { env = 'T' }\n\
             headers = { authorization = 's3cret' }",
            "x.headers.authorization: `auth` sets the same header",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev'\nauth = { env = 'T', header = 'X-A' }\n\
             headers = { Authorization = 's3cret', x-a = 's3cret' }",
            "x.headers.x-a: `auth` sets the same header",
        ),
        (
            "command = 'x'\nargs = ['a', '${MCP_ROOT}/b']",
            "x.args[1]: `${MCP_ROOT}` is the directory of a source, and a command as it is has none",
        ),
        (
            "command = 'x'\nenv = { A = '${MCP_ROOT}' }",
            "x.env.A: `${MCP_ROOT}` is the directory of a source, and a command as it is has none",
        ),
        (
            "command = 'x'\ncwd = '${MCP_ROOT}'",
            "x.cwd: `${MCP_ROOT}` is the directory of a source, and a command as it is has none",
        ),
        (
            "type = 'remote'\nurl = 'https://x.dev/${MCP_ROOT}'",
            "x.url: `${MCP_ROOT}` is the directory of a source, and a remote server has none",
        ),
        (
            "command = 'x'\nenv = { 'A=B' = '1' }",
            "x.env: \"A=****\" is no variable's name",
        ),
    ] {
        assert_eq!(
            read(&format!("[x]\n{text}")),
            Err(says.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn names_are_one_of_a_kind() {
    let table = |name: &str| format!("[{name}]\ncommand = 'x'\n");
    for (text, says) in [
        (table("agentchattr"), "is the name of the hub's own tools"),
        (table("AgentChattr"), "is the name of the hub's own tools"),
        (
            table("docs") + &table("Docs"),
            "there is `Docs` already, which differs in case only",
        ),
        (table("'a.b'"), "\"a.b\" is no server name"),
        (table("'-a'"), "\"-a\" is no server name"),
        (table("docs") + &table("docs"), "duplicate key"),
    ] {
        let said = read(&text).expect_err("a mistake");
        assert!(said.contains(says), "{said}");
    }
}

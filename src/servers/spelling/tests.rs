//! Entries of every agent, and what is wrong with some.

mod mistakes;

use serde_json::json;

use super::*;
use crate::types::credential::{TokenCommand, TokenSource};
use crate::types::upstream::{Endpoint, Scheme};

fn env() -> Env {
    [("TOKEN", "s3cret"), ("BIN", "/opt/bin"), ("HOME", "/h")]
        .map(|(name, value)| (name.into(), value.into()))
        .into()
}

fn read(entry: &Value) -> Result<Option<Entry>, Mistake> {
    read_by(entry, Author::Project)
}

fn read_by(entry: &Value, by: Author) -> Result<Option<Entry>, Mistake> {
    let env = env();
    let dir = Path::new("/project");
    parse(entry, Around { env: &env, dir, by })
}

#[track_caller]
fn good(entry: &Value) -> Kind {
    read(entry)
        .expect("a good entry")
        .expect("one that is on")
        .kind
}

fn remote(transport: Transport, headers: &[(&str, &str)]) -> Kind {
    Kind::Remote(Remote {
        endpoint: Endpoint {
            scheme: Scheme::Https,
            host: "x.dev".into(),
            port: 443,
            path: "/mcp".into(),
        },
        transport,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Token::new(*value)))
            .collect(),
        auth: None,
    })
}

fn command(words: &[&str], env: &[(&str, &str)]) -> Command {
    Command {
        program: words[0].to_owned(),
        args: words[1..].iter().map(|word| (*word).to_owned()).collect(),
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Token::new(*value)))
            .collect(),
        cwd: None,
        is_private: false,
        is_hosted: false,
    }
}

#[test]
fn remote_servers_of_every_agent() {
    let (http, sse) = (remote(Transport::Http, &[]), remote(Transport::Sse, &[]));
    let bearer = remote(Transport::Http, &[("Authorization", "Bearer s3cret")]);
    for (entry, wanted) in [
        (json!({"type": "http", "url": "https://x.dev/mcp"}), &http),
        (
            json!({"type": "streamable-http", "url": "https://x.dev/mcp"}),
            &http,
        ),
        (
            json!({"type": "streamableHttp", "url": "https://x.dev/mcp"}),
            &http,
        ),
        (
            json!({"type": "http-stream", "serverUrl": "https://x.dev/mcp"}),
            &http,
        ),
        (json!({"serverURL": "https://x.dev/mcp"}), &http),
        (
            json!({"httpUrl": "https://x.dev/mcp", "trust": true, "timeout": 5}),
            &http,
        ),
        (
            json!({"url": "https://x.dev/mcp", "enabled": true, "disabled": false}),
            &http,
        ),
        (json!({"type": "sse", "url": "https://x.dev/mcp"}), &sse),
        (
            json!({"transport": "sse", "url": "https://x.dev/mcp"}),
            &sse,
        ),
        (
            json!({"type": "remote", "transport": "sse", "url": "https://x.dev/mcp"}),
            &sse,
        ),
        (
            json!({"type": "remote", "url": "https://x.dev/mcp", "oauth": false}),
            &http,
        ),
        (
            json!({"type": "http", "url": "https://x.dev/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}),
            &bearer,
        ),
        (
            json!({"type": "remote", "url": "https://x.dev/mcp", "headers": {"Authorization": "Bearer {env:TOKEN}"}}),
            &bearer,
        ),
        (
            json!({"url": "https://x.dev/mcp", "bearer_token_env_var": "TOKEN"}),
            &bearer,
        ),
        (
            json!({"url": "https://x.dev/mcp", "http_headers": {"Authorization": "Bearer s3cret"}}),
            &bearer,
        ),
        (
            json!({"url": "https://${HOST:-x.dev}/mcp", "env_http_headers": {"X": "TOKEN"}}),
            &remote(Transport::Http, &[("X", "s3cret")]),
        ),
    ] {
        assert_eq!(&good(&entry), wanted, "{entry}");
    }
}

#[test]
fn commands_of_every_agent() {
    let npx = Kind::Command(command(&["npx", "-y", "x"], &[]));
    let set = Kind::Command(command(&["x"], &[("K", "s3cret")]));
    for (entry, wanted) in [
        (json!({"command": "npx", "args": ["-y", "x"]}), &npx),
        (
            json!({"type": "stdio", "command": "npx", "args": ["-y", "x"], "tools": ["*"]}),
            &npx,
        ),
        (
            json!({"type": "local", "command": ["npx", "-y", "x"]}),
            &npx,
        ),
        (
            json!({"command": ["npx", "-y"], "args": ["x"], "alwaysAllow": ["t"]}),
            &npx,
        ),
        (json!({"command": "x", "env": {"K": "${TOKEN}"}}), &set),
        (json!({"command": "x", "env": {"K": "${NO:-s3cret}"}}), &set),
        (
            json!({"command": ["x"], "environment": {"K": "{env:TOKEN}"}}),
            &set,
        ),
        (
            json!({"command": "x", "env_vars": ["TOKEN"]}),
            &Kind::Command(command(&["x"], &[("TOKEN", "s3cret")])),
        ),
        (
            json!({"command": "${BIN}/x", "args": ["{env:TOKEN}"]}),
            &Kind::Command(Command {
                is_private: true,
                is_hosted: false,
                ..command(&["/opt/bin/x", "{env:TOKEN}"], &[])
            }),
        ),
        (
            json!({"command": "x", "args": ["--key=${TOKEN}"], "cwd": "sub"}),
            &Kind::Command(Command {
                is_private: true,
                is_hosted: false,
                cwd: Some("/project/sub".into()),
                ..command(&["x", "--key=s3cret"], &[])
            }),
        ),
        (
            json!({"command": "x", "cwd": "~/y"}),
            &Kind::Command(Command {
                cwd: Some("/h/y".into()),
                ..command(&["x"], &[])
            }),
        ),
    ] {
        assert_eq!(&good(&entry), wanted, "{entry}");
    }
}

#[test]
fn what_is_switched_off_is_none_and_what_is_unknown_is_told() {
    for entry in [
        json!({"command": "x", "enabled": false}),
        json!({"url": "${NO}", "disabled": true}),
    ] {
        assert_eq!(read(&entry), Ok(None));
    }
    let entry = json!({"command": "x", "comand": 1, "trust": true, "description": "d"});
    let entry = read(&entry).expect("good").expect("on");
    assert_eq!(entry.unknown, ["comand"]);
}

#[test]
fn a_variable_that_is_not_set_is_another_matter() {
    for (entry, key) in [
        (json!({"command": "${NO}"}), "command"),
        (json!({"command": "x", "args": ["a", "${NO}"]}), "args[1]"),
        (json!({"command": "x", "env": {"K": "${NO}"}}), "env.K"),
        (json!({"command": "x", "env_vars": ["NO"]}), "env_vars[0]"),
        (json!({"url": "https://${NO}/"}), "url"),
        (
            json!({"url": "https://x.dev", "headers": {"A": "${NO}"}}),
            "headers.A",
        ),
        (
            json!({"url": "https://x.dev", "bearer_token_env_var": "NO"}),
            "bearer_token_env_var",
        ),
    ] {
        let mistake = read(&entry).expect_err("a mistake");
        assert_eq!(mistake.key, key, "{entry}");
        assert_eq!(mistake.what, Wrong::Unset(Unset::Missing("NO".into())));
    }
}

#[test]
fn the_user_may_say_more_than_a_project() {
    let of = |entry: &Value, by| {
        let entry = read_by(entry, by).expect("a good entry").expect("on");
        assert_eq!(entry.unknown, Vec::<String>::new());
        entry.kind
    };
    for (auth, wanted) in [
        (
            json!({"token": "${TOKEN}"}),
            TokenSource::Literal(Token::new("s3cret")),
        ),
        (json!({"env": "T"}), TokenSource::Env("T".into())),
        (json!({"file": "t"}), TokenSource::File("/project/t".into())),
        (json!({"file": "~/t"}), TokenSource::File("/h/t".into())),
        (
            json!({"command": ["./t", "${BIN}", "./t"], "timeout": "1s"}),
            TokenSource::Command(TokenCommand {
                argv: ["/project/./t", "/opt/bin", "./t"].map(Into::into).into(),
                timeout: std::time::Duration::from_secs(1),
                refresh_interval: None,
            }),
        ),
    ] {
        let entry = json!({"url": "https://x.dev/mcp", "auth": auth});
        for by in [Author::Launch, Author::Live] {
            let Kind::Remote(remote) = of(&entry, by) else {
                panic!("{entry}");
            };
            let source = remote.auth.map(|auth| auth.source);
            assert_eq!(source.as_ref(), Some(&wanted), "{entry}");
        }
        let mistake = read(&entry).expect_err("no project's");
        assert_eq!(mistake.key, "auth");
    }
    for (said, by, wanted) in [
        (None, Author::Launch, false),
        (None, Author::Live, true),
        (Some(true), Author::Launch, true),
        (Some(false), Author::Live, false),
    ] {
        let mut entry = json!({"command": "x"});
        if let Some(said) = said {
            entry["hosted"] = said.into();
        }
        let Kind::Command(command) = of(&entry, by) else {
            panic!("{entry}");
        };
        assert_eq!(command.is_hosted, wanted, "{entry} {by:?}");
    }
    let of_project = read(&json!({"command": "x", "hosted": true}));
    let of_project = of_project.expect("read").expect("on");
    assert_eq!(of_project.unknown, ["hosted"]);
    let Kind::Command(command) = of_project.kind else {
        panic!("no command");
    };
    assert!(!command.is_hosted);
    for (entry, key) in [
        (json!({"url": "https://x.dev", "auth": "s3cret"}), "auth"),
        (
            json!({"url": "https://x.dev", "auth": {"tokn": "s3cret"}}),
            "auth",
        ),
        (
            json!({"url": "https://x.dev", "auth": {"token": 53}}),
            "auth",
        ),
        (
            json!({"url": "https://x.dev", "auth": {"token": "s3cret", "timeout": "1s"}}),
            "auth.timeout",
        ),
        (
            json!({"url": "https://x.dev", "auth": {"env": "T"}, "headers": {"AUTHORIZATION": "s3cret"}}),
            "headers.AUTHORIZATION",
        ),
        (json!({"command": "x", "auth": {"env": "T"}}), "auth"),
        (json!({"url": "https://x.dev", "hosted": true}), "hosted"),
        (json!({"command": "x", "hosted": "s3cret"}), "hosted"),
    ] {
        let mistake = read_by(&entry, Author::Launch).expect_err("a mistake");
        assert_eq!(mistake.key, key, "{entry}");
        assert!(!mistake.what.to_string().contains("s3cret"), "{entry}");
    }
}

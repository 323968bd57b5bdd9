//! By what way a server is reached, and what has none.

use serde_json::json;

use super::*;
use crate::types::agent::Route;
use crate::types::credential::{Auth, TokenSource};

#[test]
fn credentials_keep_out_of_files_and_arguments_where_a_bridge_can() {
    let servers = [docs(), command("tool", &[("API_TOKEN", "secret")])];
    for inject in [
        Inject::ProxyFile { flag: flag() },
        Inject::Env { var: "V".into() },
        Inject::EnvContent { var: "V".into() },
        Inject::SettingsFile {
            path: "/src/s.json".into(),
        },
        Inject::Stdio {
            place: Place::Flag(flag()),
        },
    ] {
        let mode = inject.mode();
        let plan = exposed(&planned(&spec("claude", inject), &servers).expect(mode));
        let text = format!(
            "{}{}{}",
            plan["args"],
            plan["files"],
            plan["env"]["V"].as_str().unwrap_or_default()
        )
        .replace("key-secret", "");
        assert!(!text.contains("secret"), "{mode}: {text}");
        assert!(text.contains(r#"["bridge","tool"]"#), "{mode}: {text}");
    }
    // What is no credential may be seen.
    let servers = [command("tool", &[("MODE", "fast")])];
    let plan = shown(
        &spec("claude", Inject::ProxyFile { flag: flag() }),
        &servers,
    );
    let env = &plan["files"][0]["mcpServers"]["tool"]["env"];
    assert_eq!(*env, json!({ "MODE": "fast", "WRAPPER_SESSION_ID": "7" }));
}

#[test]
fn what_an_agent_would_misread_goes_by_way_of_the_bridge() {
    let change = |change: &dyn Fn(&mut Command)| {
        let mut server = command("tool", &[]);
        if let Kind::Command(command) = &mut server.kind {
            change(command);
        }
        server
    };
    let replaced = change(&|command| command.args = vec!["${HOME}".into()]);
    let elsewhere = change(&|command| command.cwd = Some("/srv".into()));
    for (name, server, bridged) in [
        ("claude", &replaced, true),
        ("kimi", &replaced, false),
        ("claude", &elsewhere, true),
        ("gemini", &elsewhere, false),
    ] {
        let plan = shown(
            &spec(name, Inject::ProxyFile { flag: flag() }),
            std::slice::from_ref(server),
        );
        let entry = &plan["files"][0]["mcpServers"]["tool"];
        assert_eq!(
            entry["args"][0] == json!("bridge"),
            bridged,
            "{name}: {entry}"
        );
    }
}

#[test]
fn an_entry_in_a_shared_file_is_the_same_for_every_session() {
    let path = PathBuf::from("/home/u/.gemini/settings.json");
    let spec = spec("gemini", Inject::SettingsFile { path });
    let plan_of = |port: u16, id: &str| {
        let context = [("WRAPPER_SESSION_ID".to_owned(), id.to_owned())];
        let link = Link {
            proxy: Some(Proxy {
                base: format!("http://127.0.0.1:{port}"),
                key: Token::random(),
            }),
            ..link(&context)
        };
        let mut other = command("tool", &[]);
        if let Kind::Command(command) = &mut other.kind {
            command.args = vec![id.to_owned()];
        }
        plan(&spec, &[hub(), docs(), other], &link)
            .expect("a plan")
            .files
    };
    assert_eq!(plan_of(1, "one"), plan_of(2, "two"));
}

#[test]
fn what_cannot_be_carried_is_named_with_the_way_out() {
    let sse = {
        let mut server = docs();
        if let Kind::Remote(remote) = &mut server.kind {
            remote.transport = Transport::Sse;
        }
        server
    };
    let named = |name: &str| {
        let mut server = docs();
        server.name = name.parse().expect(name);
        server
    };
    let template = |text: &str| Inject::ProxyFlag {
        template: text.into(),
    };
    let table = [
        (
            spec("codex", template("{server}={url}")),
            sse,
            "`codex` cannot reach a server over SSE",
        ),
        (
            spec("codex", template("{server}={url}")),
            named("a b"),
            "`codex` cannot have a server named \"a b\"",
        ),
        (
            spec("other", template("{server}={url}{key_env}")),
            command("tool", &[]),
            "it is a command",
        ),
        (
            spec("other", template("{url}{key_env}")),
            docs(),
            "has no `{server}`",
        ),
    ];
    for (spec, server, says) in table {
        let unable = planned(&spec, &[hub(), server.clone()]).expect_err(says);
        let text = unable.to_string();
        assert!(
            text.contains(says)
                && text.contains(&format!("{:?}", server.name.as_str()).replace('"', "`")),
            "{text}"
        );
        assert!(unable.hint.contains("agents = "), "{}", unable.hint);
    }
    let mut silent = spec("other", template("{url}"));
    silent.inject = None;
    assert_eq!(planned(&silent, &[hub()]), Ok(InjectPlan::default()));
    assert!(planned(&silent, &[hub(), docs()]).is_err());
}

#[test]
fn without_a_proxy_there_is_no_way_through_it() {
    let spec = spec("claude", Inject::ProxyFile { flag: flag() });
    let link = Link {
        proxy: None,
        ..link(&[])
    };
    let unable = plan(&spec, &[hub()], &link).expect_err("no proxy");
    assert!(unable.to_string().contains("there is no proxy"), "{unable}");
}

#[test]
fn a_credential_that_lives_goes_through_the_proxy_in_every_mode() {
    let mut server = docs();
    let Kind::Remote(remote) = &mut server.kind else {
        panic!("no remote server");
    };
    remote.headers.clear();
    remote.auth = Some(Auth {
        header: None,
        source: TokenSource::Literal(Token::new("lives-secret")),
    });
    for inject in [
        Inject::Flag { flag: flag() },
        Inject::ProxyFile { flag: flag() },
        Inject::Env { var: "V".into() },
        Inject::EnvContent { var: "V".into() },
        Inject::SettingsFile {
            path: "/src/s.json".into(),
        },
        Inject::ProxyFlag {
            template: "--mcp {server}={url}".into(),
        },
        Inject::Stdio {
            place: Place::Flag(flag()),
        },
    ] {
        let mode = inject.mode();
        let is_bridged = inject.route() == Route::Bridge;
        let plan =
            exposed(&planned(&spec("claude", inject), &[hub(), server.clone()]).expect(mode));
        let text = plan.to_string();
        assert!(!text.contains("lives-secret"), "{mode}: {text}");
        assert!(!text.contains("docs.example"), "{mode}: {text}");
        let keyed = plan["env"]["WRAPPER_MCP_KEY"] == "key-secret";
        assert_eq!(keyed, !is_bridged, "{mode}: {text}");
        assert!(
            text.contains("/docs/mcp") || is_bridged && text.contains(r#"["bridge","docs"]"#),
            "{mode}: {text}"
        );
    }
    let spec = spec("claude", Inject::Flag { flag: flag() });
    let link = Link {
        proxy: None,
        ..link(&[])
    };
    let unable = plan(&spec, &[server], &link).expect_err("no proxy");
    assert!(unable.to_string().contains("there is no proxy"), "{unable}");
}

use super::*;

#[test]
fn a_trial_speaks_of_no_call_and_of_no_address_that_is_none() {
    let docs: ServerName = "docs".parse().expect("a name");
    let (at, hosted) = (Endpoint::loopback(1, "/mcp"), Endpoint::hosted(&docs));
    let late = Failed::Lost(Lost::Late);
    for (failed, at, said) in [
        (
            &late,
            &at,
            "the MCP server `docs` at http://127.0.0.1:1/mcp gave no answer: it takes too long",
        ),
        (
            &late,
            &hosted,
            "the MCP server `docs` gave no answer: it takes too long",
        ),
        (
            &Failed::Missing { has_session: false },
            &at,
            "the MCP server `docs` at http://127.0.0.1:1/mcp is not there (HTTP 404): correct \
             its `url` under `[mcp_servers.docs]`, or in `.mcp.json`",
        ),
        (
            &Failed::Away(io::ErrorKind::ConnectionRefused.into()),
            &at,
            "the MCP server `docs` at http://127.0.0.1:1/mcp cannot be reached: connection refused",
        ),
    ] {
        assert_eq!(failed.trouble(&docs, Some(at)), said);
    }
}

#[test]
fn the_way_out_is_said() {
    let name = |name: &str| -> ServerName { name.parse().expect("a name") };
    let at: Endpoint = "https://h/mcp?key=secret".parse().expect("a URL");
    let moved = "https://h/mcp/?key=secret".parse().ok();
    for (failed, server, status, said) in [
        (
            Failed::Refused(401),
            "docs",
            405,
            "`headers` under `[mcp_servers.docs]`",
        ),
        (
            Failed::Refused(403),
            "my docs",
            405,
            "under `[mcp_servers.\"my docs\"]`",
        ),
        (
            Failed::Ungranted(Ungranted {
                kind: "command",
                why: "`gcloud` failed with exit status: 1".into(),
            }),
            "docs",
            405,
            "its credential (command) cannot be had: `gcloud` failed with exit status: 1. \
             Nothing was done; the user has to mend that, or to set another: \
             `wrapper mcp token SESSION docs`",
        ),
        (
            Failed::Denied {
                status: 401,
                kind: "env",
                why: Some("it is old".into()),
            },
            "my docs",
            405,
            "refuses its credential (env) with HTTP 401, and there is no other: it is old. \
             Nothing was done; the user has to set another: \
             `wrapper mcp token SESSION 'my docs'`, or `auth` under `[mcp_servers.\"my docs\"]`",
        ),
        (
            Failed::Denied {
                status: 403,
                kind: "static",
                why: None,
            },
            "docs",
            405,
            "refuses its credential (static) with HTTP 403. Nothing was done",
        ),
        (
            Failed::Missing { has_session: true },
            "docs",
            405,
            "connect to it again",
        ),
        (
            Failed::Missing { has_session: false },
            "docs",
            405,
            "correct its `url`",
        ),
        (
            Failed::Moved(moved),
            "docs",
            405,
            "has moved to https://h/mcp/?****.",
        ),
        (Failed::Moved(None), "docs", 405, "has moved."),
        (
            Failed::WrongDoor(Transport::Sse),
            "my docs",
            405,
            "use /my%20docs/sse",
        ),
        (
            Failed::WrongDoor(Transport::Http),
            "docs",
            404,
            "use /docs/mcp",
        ),
        (
            Failed::Unsound("X Y".into()),
            "docs",
            405,
            "its header `X Y`",
        ),
        (Failed::Closed, "docs", 410, "connect to it again"),
        (Failed::Lost(Lost::Closed), "docs", 502, "may or may not"),
    ] {
        let words = failed.words(&name(server), Some(&at));
        assert!(words.contains(said), "{words}");
        assert!(
            words.contains(server) && words.contains("https://h/mcp?****"),
            "{words}"
        );
        assert!(!words.contains("secret"), "{words}");
        assert_eq!(failed.status(Door::Mcp), status, "{words}");
    }
}

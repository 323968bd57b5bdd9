//! Servers that are reached by way of a proxy which the environment names.

use serde_json::{Value, json};
use wrapper::types::agent::Transport;
use wrapper::types::identity::Token;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Upstream as Server};

use crate::support::forward::Forward;
use crate::support::rig::Rig;
use crate::support::upstream::Upstream;

fn server(url: &str) -> Server {
    let credential = vec![("Authorization".to_owned(), Token::new("Bearer token-1"))];
    Server {
        endpoint: url.parse().expect("a URL"),
        transport: Transport::Http,
        credential: Credential::Headers(credential),
        context: ContextLevel::Id,
        owner: Owner::Us,
        is_guest: false,
    }
}

/// What a call of a tool there is answered with.
async fn called(rig: &Rig, url: &str) -> String {
    rig.put("docs", server(url));
    let call: Value =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}});
    let mut raw = rig.raw().await;
    raw.send(&rig.post_to("/docs/mcp", "", &call)).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}{body}");
    body
}

#[tokio::test]
async fn a_proxy_that_reads_gets_the_whole_url_and_its_own_credential() {
    let upstream = Upstream::start();
    let forward = Forward::http(upstream.port, None).await;
    let url = format!("http://user:word@127.0.0.1:{}", forward.port);
    let rig = Rig::by_way_of(&[("http_proxy", &url), ("NO_PROXY", "exempt.test")]);
    for _ in 0..2 {
        let body = called(&rig, "http://docs.test/mcp?a=b").await;
        assert!(body.contains("done"), "{body}");
        let head = upstream.last_head();
        for line in [
            "POST http://docs.test:80/mcp?a=b HTTP/1.1\r\nProxy-Authorization: Basic dXNlcjp3b3Jk\r\n",
            "Host: docs.test:80\r\n",
            "Authorization: Bearer token-1\r\n",
        ] {
            assert!(head.contains(line), "{line}: {head}");
        }
    }
    // Over one connection, and none of it for what is here or exempt.
    assert_eq!(forward.asked().len(), 1);
    let here = format!("http://localhost:{}/mcp", upstream.port);
    assert!(called(&rig, &here).await.contains("done"));
    let head = upstream.last_head();
    assert!(
        head.starts_with("POST /mcp ") && !head.contains("Proxy-"),
        "{head}"
    );
    let body = called(&rig, "http://exempt.test/mcp").await;
    assert!(body.contains("cannot be reached"), "{body}");
    assert_eq!(forward.asked().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_carries_bytes_is_asked_for_the_name() {
    let upstream = Upstream::start();
    let forward = Forward::socks(upstream.port).await;
    let url = format!("socks5h://user:w%20rd@127.0.0.1:{}", forward.port);
    let rig = Rig::by_way_of(&[("ALL_PROXY", &url)]);
    let body = called(&rig, "http://docs.test:81/mcp").await;
    assert!(body.contains("done"), "{body}");
    assert_eq!(forward.asked(), ["user w rd docs.test 81"]);
    let head = upstream.last_head();
    assert!(
        head.starts_with("POST /mcp ") && !head.contains("Proxy-"),
        "{head}"
    );
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_in_words() {
    let upstream = Upstream::start();
    for (url, refusal, said) in [
        (
            "http://docs.test/mcp",
            "407 Proxy Authentication Required",
            "wants to know who asks (HTTP 407)",
        ),
        (
            "https://docs.test/mcp",
            "407 Proxy Authentication Required",
            "wants to know who asks (HTTP 407)",
        ),
        (
            "https://docs.test/mcp",
            "403 Not allowed",
            "refuses (HTTP 403 Not allowed): the user has to",
        ),
        (
            "https://docs.test/mcp",
            "502 Bad Gateway",
            "answers HTTP 502 Bad Gateway",
        ),
        (
            "http://docs.test/mcp",
            "502 Bad Gateway",
            "answers HTTP 502. The call may or may not",
        ),
    ] {
        let answer =
            format!("HTTP/1.1 {refusal}\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n");
        let forward = Forward::http(upstream.port, Some(answer.leak())).await;
        let proxy = format!("http://user:secret-word@127.0.0.1:{}", forward.port);
        let rig = Rig::by_way_of(&[("ALL_PROXY", &proxy)]);
        let body = called(&rig, url).await;
        let by = format!("the proxy http://127.0.0.1:{} {said}", forward.port);
        assert!(
            body.contains(&by) && body.contains(r#""isError":true"#),
            "{by}: {body}"
        );
        assert!(!body.contains("secret-word"), "{body}");
    }
    // One that is not there.
    let rig = Rig::by_way_of(&[("ALL_PROXY", "http://127.0.0.1:1")]);
    let body = called(&rig, "https://docs.test/mcp").await;
    assert!(
        body.contains("the proxy http://127.0.0.1:1 is away"),
        "{body}"
    );
    // One that is none.
    let forward = Forward::http(upstream.port, Some("SSH-2.0\r\n\r\n")).await;
    let proxy = format!("127.0.0.1:{}", forward.port);
    let rig = Rig::by_way_of(&[("HTTPS_PROXY", &proxy)]);
    let body = called(&rig, "https://docs.test/mcp").await;
    assert!(
        body.contains("does not answer in HTTP/1.1: is it one?"),
        "{body}"
    );
    assert!(upstream.state.heads.lock().expect("no panic").is_empty());
}

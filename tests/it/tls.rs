//! Servers over TLS. What the machine trusts is read from where every program
//! reads it, so each test runs again in a process of its own that is told so.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use wrapper::proxy::Patience;
use wrapper::types::agent::Transport;
use wrapper::types::identity::Token;
use wrapper::types::owner::Owner;
use wrapper::types::server::ContextLevel;
use wrapper::types::upstream::{Credential, Endpoint, Scheme, Upstream as Server};

use crate::support::forward::Forward;
use crate::support::rig::{KEY, Rig};
use crate::support::upstream::Upstream;

/// Names the directory of the authority, in a process that trusts it.
const AUTHORITY: &str = "WRAPPER_TEST_AUTHORITY";
const CALL: &str = r#"{"id":1,"method":"tools/call","params":{"name":"t"}}"#;

/// The parameters of an authority.
fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// Runs `test` again where `trusted` (by the key of a new authority) are the
/// authorities; the key, in that process.
fn where_trusted(test: &str, trusted: impl FnOnce(&KeyPair) -> String) -> Option<KeyPair> {
    if let Some(dir) = env::var_os(AUTHORITY) {
        let key = fs::read_to_string(Path::new(&dir).join("key.pem")).expect("a key");
        return Some(KeyPair::from_pem(&key).expect("a key"));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let file = dir.path().join("authorities.pem");
    fs::write(&file, trusted(&key)).expect("written");
    fs::write(dir.path().join("key.pem"), key.serialize_pem()).expect("written");
    let output = Command::new(env::current_exe().expect("ourselves"))
        .args(["--exact", test, "--nocapture"])
        .env(AUTHORITY, dir.path())
        .env("SSL_CERT_FILE", file)
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    None
}

/// A server that shows a certificate for `names` that the authority `of` this
/// name signed with `key`.
fn acceptor(of: &str, key: KeyPair, names: &[&str], is_expired: bool) -> TlsAcceptor {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    if is_expired {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let own = KeyPair::generate().expect("a key");
    let issuer = Issuer::new(authority(of), key);
    let certificate = params.signed_by(&own, &issuer).expect("signed");
    let private = own.serialize_der().try_into().expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("a certificate with its key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn server(host: &str, port: u16) -> Server {
    let credential = vec![("Authorization".to_owned(), Token::new("Bearer token-1"))];
    Server {
        endpoint: Endpoint {
            scheme: Scheme::Https,
            host: host.into(),
            ..Endpoint::loopback(port, "/mcp")
        },
        transport: Transport::Http,
        credential: Credential::Headers(credential),
        context: ContextLevel::None,
        owner: Owner::Us,
        is_guest: false,
    }
}

fn call(rig: &Rig, name: &str) -> String {
    let message = serde_json::from_str(CALL).expect("JSON");
    rig.post_to(&format!("/{name}/mcp"), "", &message)
}

#[tokio::test]
async fn a_server_that_the_machine_trusts_is_spoken_to() {
    let test = "tls::a_server_that_the_machine_trusts_is_spoken_to";
    let trusted = |key: &KeyPair| authority("ours").self_signed(key).expect("signed").pem();
    let Some(key) = where_trusted(test, trusted) else {
        return;
    };
    let rig = Rig::new();
    let acceptor = acceptor("ours", key, &["localhost", "127.0.0.1"], false);
    let upstream = Upstream::start_tls(acceptor);
    rig.put("docs", server("localhost", upstream.port));
    rig.put("byte", server("127.0.0.1", upstream.port));
    let mut raw = rig.raw().await;
    for name in ["docs", "docs", "byte"] {
        raw.send(&call(&rig, name)).await;
        let (head, body) = raw.answer().await;
        assert!(
            head.starts_with("HTTP/1.1 200 ") && body.contains("done"),
            "{body}"
        );
        assert!(!upstream.last_head().contains(KEY));
    }
    // The listener, and one connection for each name.
    assert_eq!(*upstream.state.open.borrow(), 3);
    // Far more than any buffer holds, both ways.
    let (size, before) = (10 << 20, upstream.state.bytes.load(Ordering::Relaxed));
    let more = format!("Content-Type: octet-stream\r\nContent-Length: {size}\r\n");
    raw.send(&rig.head("PUT /docs/mcp", &more)).await;
    raw.io.write_all(&vec![b'x'; size]).await.expect("sent");
    assert!(raw.answer().await.0.starts_with("HTTP/1.1 200 "));
    assert_eq!(upstream.state.bytes.load(Ordering::Relaxed) - before, size);
    // Every event as it comes.
    let stream = json!({ "id": 2, "method": "tools/call", "params": { "name": "stream" } });
    raw.send(&rig.post_to("/docs/mcp", "", &stream)).await;
    for i in 1..=3 {
        upstream.state.steps.add_permits(1);
        raw.until(&format!("data: POST {i}\n\n\r\n")).await;
    }
    raw.until("0\r\n\r\n").await;
    // Its connections end, and it comes back.
    let upstream = upstream.die().await.revive();
    raw.send(&call(&rig, "docs")).await;
    assert!(raw.answer().await.1.contains("done"));
    assert_eq!(upstream.calls().len(), 5);
}

#[tokio::test]
async fn a_server_behind_a_proxy_is_spoken_to_through_a_tunnel() {
    let test = "tls::a_server_behind_a_proxy_is_spoken_to_through_a_tunnel";
    let trusted = |key: &KeyPair| authority("ours").self_signed(key).expect("signed").pem();
    let Some(key) = where_trusted(test, trusted) else {
        return;
    };
    let upstream = Upstream::start_tls(acceptor("ours", key, &["docs.test"], false));
    let forward = Forward::http(upstream.port, None).await;
    let url = format!("http://user:word@127.0.0.1:{}", forward.port);
    let rig = Rig::by_way_of(&[("HTTPS_PROXY", &url)]);
    rig.put("docs", server("docs.test", 443));
    let mut raw = rig.raw().await;
    for _ in 0..2 {
        raw.send(&call(&rig, "docs")).await;
        let (_, body) = raw.answer().await;
        assert!(body.contains("done"), "{body}");
        // What the proxy is told, the server is not, nor the other way round.
        let head = upstream.last_head();
        assert!(
            head.starts_with("POST /mcp ") && !head.contains("Proxy-"),
            "{head}"
        );
    }
    let connect = "CONNECT docs.test:443 HTTP/1.1\r\nHost: docs.test:443\r\n\
                   Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n\r\n";
    assert_eq!(forward.asked(), [connect]);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not() {
    let test = "tls::a_server_that_nobody_vouches_for_is_not";
    let trusted = |key: &KeyPair| authority("ours").self_signed(key).expect("signed").pem();
    let Some(key) = where_trusted(test, trusted) else {
        return;
    };
    // Whatever is tried again is never answered.
    let rig = Rig::patient(Patience {
        away: Duration::from_secs(3600),
        ..Patience::default()
    });
    let stranger = || KeyPair::generate().expect("a key");
    let again = || KeyPair::from_pem(&key.serialize_pem()).expect("a key");
    for (name, acceptor, said) in [
        (
            "unknown",
            acceptor("theirs", stranger(), &["localhost"], false),
            "an authority that this machine does not trust",
        ),
        (
            "namesake",
            acceptor("ours", stranger(), &["localhost"], false),
            "an authority that this machine does not trust",
        ),
        (
            "other",
            acceptor("ours", again(), &["other.example"], false),
            "its certificate is another server's",
        ),
        (
            "expired",
            acceptor("ours", again(), &["localhost"], true),
            "its certificate is not valid: invalid peer certificate: certificate expired",
        ),
    ] {
        let upstream = Upstream::start_tls(acceptor);
        rig.put(name, server("localhost", upstream.port));
        let body = told(&rig, name).await;
        assert!(body.contains(said), "{name}: {body}");
        let heads = upstream.state.heads.lock().expect("no panic");
        assert!(heads.is_empty(), "{name}");
    }
    // One that speaks HTTP and takes our greeting for a bad request.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let greeted = async {
        let (mut io, _) = listener.accept().await.expect("a connection");
        let bad = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        io.write_all(bad).await.expect("sent");
        io
    };
    rig.put("plain", server("localhost", port));
    let (body, _io) = tokio::join!(told(&rig, "plain"), greeted);
    assert!(body.contains("it does not speak TLS"), "{body}");
}

/// What the agent is told in place of an answer.
async fn told(rig: &Rig, name: &str) -> String {
    let mut raw = rig.raw().await;
    raw.send(&call(rig, name)).await;
    let (head, body) = raw.answer().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.contains(r#""isError":true"#), "{body}");
    body
}

#[tokio::test]
async fn a_machine_without_authorities_says_so() {
    let test = "tls::a_machine_without_authorities_says_so";
    let Some(key) = where_trusted(test, |_| String::new()) else {
        return;
    };
    let rig = Rig::new();
    let upstream = Upstream::start_tls(acceptor("ours", key, &["localhost"], false));
    rig.put("docs", server("localhost", upstream.port));
    let body = told(&rig, "docs").await;
    let said = ["this machine trusts no authority", "`SSL_CERT_FILE`"];
    assert!(said.iter().all(|said| body.contains(said)), "{body}");
}

#[tokio::test]
async fn the_variables_of_agents_name_authorities_and_a_bad_one_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate().expect("a key");
    let pem = authority("ours").self_signed(&key).expect("signed").pem();
    let (file, empty) = (dir.path().join("ours.pem"), dir.path().join("empty.pem"));
    fs::write(&file, pem).expect("written");
    fs::write(&empty, "no certificate\n").expect("written");
    let key = key.serialize_pem();
    let upstream = Upstream::start_tls(acceptor(
        "ours",
        KeyPair::from_pem(&key).expect("a key"),
        &["localhost"],
        false,
    ));
    let none = dir.path().join("none.pem");
    for (name, place, said) in [
        ("NODE_EXTRA_CA_CERTS", &file, "done"),
        ("REQUESTS_CA_BUNDLE", &file, "done"),
        ("CURL_CA_BUNDLE", &file, "done"),
        ("SSL_CERT_FILE", &file, "done"),
        (
            "NODE_EXTRA_CA_CERTS",
            &none,
            "`NODE_EXTRA_CA_CERTS` names /",
        ),
        ("SSL_CERT_FILE", &none, "`SSL_CERT_FILE` names /"),
        ("NODE_EXTRA_CA_CERTS", &empty, "it has no certificate"),
    ] {
        let rig = Rig::by_way_of(&[(name, place.to_str().expect("text"))]);
        rig.put("docs", server("localhost", upstream.port));
        let mut raw = rig.raw().await;
        raw.send(&call(&rig, "docs")).await;
        let (_, body) = raw.answer().await;
        assert!(body.contains(said), "{name} {}: {body}", place.display());
    }
}

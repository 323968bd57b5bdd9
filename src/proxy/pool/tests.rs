use tokio::io::{DuplexStream, duplex};

use super::*;

fn link() -> (Link, DuplexStream) {
    let (near, far) = duplex(1);
    (Peer::new(Wire::Local(near)), far)
}

fn server(name: &str) -> ServerName {
    name.parse().expect("a name")
}

#[test]
fn a_connection_is_of_one_server_at_one_place_with_one_credential() {
    let pool = Pool::default();
    let here = Endpoint::loopback(1, "/mcp");
    let token = |text: &str| vec![("Authorization".to_owned(), Token::new(text))];
    let (a, b, none) = (token("a"), token("b"), Vec::new());
    let key = |name, to: &Endpoint, voice| pool.key(&server(name), to, voice);
    let first = key("docs", &here, Voice::Headers(&a, "x"));
    for (other, is_same) in [
        (key("docs", &here, Voice::Headers(&a, "y")), true),
        (key("docs", &here.at("/else"), Voice::Headers(&a, "")), true),
        (key("docs", &here, Voice::Headers(&b, "")), false),
        (key("docs", &here, Voice::Headers(&none, "")), false),
        (
            key(
                "docs",
                &Endpoint::loopback(2, "/mcp"),
                Voice::Headers(&a, ""),
            ),
            false,
        ),
        (key("other", &here, Voice::Headers(&a, "")), false),
        (
            key("docs", &here, Voice::Identity(Some(&Token::new("a")))),
            false,
        ),
        (key("docs", &here, Voice::Identity(None)), false),
    ] {
        assert_eq!(first == other, is_same, "{other:?}");
    }
}

#[tokio::test]
async fn what_was_rotated_away_is_closed_and_not_kept() {
    let pool = Pool::default();
    let here = Endpoint::loopback(1, "/mcp");
    let key = |token: &str| {
        let token = Token::new(token);
        pool.key(&server("hub"), &here, Voice::Identity(Some(&token)))
    };
    assert!(pool.take(key("old")).is_none());
    let ((one, _one), (two, _two)) = (link(), link());
    pool.put(key("old"), one);
    assert!(pool.take(key("new")).is_none());
    assert_eq!(pool.waiting().idle.len(), 0);
    // One that was under way meanwhile.
    pool.put(key("old"), two);
    assert_eq!(pool.waiting().idle.len(), 0);
}

#[tokio::test]
async fn a_million_rotations_leave_nothing() {
    let pool = Pool::default();
    let here = Endpoint::loopback(1, "/mcp");
    let server = server("hub");
    let mut far_ends = None;
    for n in 0..1_000_000 {
        let token = Token::new(format!("token-{n}"));
        let key = pool.key(&server, &here, Voice::Identity(Some(&token)));
        assert!(pool.take(key).is_none());
        if n % 64 == 63 {
            let (link, far) = link();
            pool.put(key, link);
            far_ends = Some(far);
        }
    }
    drop(far_ends);
    let waiting = pool.waiting();
    assert_eq!((waiting.idle.len(), waiting.latest.len()), (1, 1));
    assert!(waiting.idle.capacity() <= MOST_IDLE);
}

#[tokio::test]
async fn a_pool_is_bounded() {
    let pool = Pool::default();
    let here = Endpoint::loopback(1, "/mcp");
    let mut far_ends = Vec::new();
    for n in 0..1000 {
        let key = pool.key(&server(&format!("s{n}")), &here, Voice::Identity(None));
        assert!(pool.take(key).is_none());
        let (link, far) = link();
        pool.put(key, link);
        far_ends.push(far);
    }
    let waiting = pool.waiting();
    assert_eq!(waiting.idle.len(), MOST_IDLE);
    assert_eq!(waiting.latest.len(), MOST_LATEST);
}

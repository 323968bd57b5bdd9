use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::{TcpListener, TcpSocket};

use super::*;

async fn pair(host: &str) -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind((host, 0)).await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let host = match at {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    let stream = TcpStream::connect((host, at.port())).await;
    (listener, stream.expect("connected"))
}

fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
    let far = stream.peer_addr().expect("a peer");
    (far, stream.local_addr().expect("an end"))
}

#[tokio::test]
async fn a_connection_is_asked_after_until_it_is_accepted() {
    for host in ["127.0.0.1", "::1", "::"] {
        let (listener, stream) = pair(host).await;
        let (far, near) = ends(&stream);
        assert_eq!(look(far, near).expect("told"), Far::Waiting, "{host}");
        let proven = async {
            prove(&stream, &Owner::Us).await.expect("it is ours");
        };
        let (accepted, ()) = tokio::join!(listener.accept(), proven);
        let (io, _) = accepted.expect("accepted");
        let me = Uid::effective().as_raw();
        assert_eq!(look(far, near).expect("told"), Far::Owned(me), "{host}");
        assert_eq!(
            table::look(far, near).expect("told"),
            Far::Owned(me),
            "{host}"
        );
        // The other way round, as a server asks.
        assert!(is_ours(near, far), "{host}");
        drop(io);
        assert_eq!(look(far, near).expect("told"), Far::Closed, "{host}");
    }
}

#[tokio::test]
async fn what_is_not_a_connection_has_no_owner() {
    let (listener, stream) = pair("127.0.0.1").await;
    let (far, near) = ends(&stream);
    let other = SocketAddr::new(near.ip(), 1);
    assert_eq!(
        look(far, other).expect("told"),
        Far::Nowhere,
        "a listener is no connection"
    );
    assert!(!is_ours(far, other));
    // Its listener goes before it was accepted.
    drop(listener);
    let error = prove(&stream, &Owner::Us).await.expect_err("reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test]
async fn a_socket_connected_to_itself_is_nobody() {
    let socket = TcpSocket::new_v4().expect("a socket");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(any).expect("bound");
    let own = socket.local_addr().expect("an address");
    let stream = socket.connect(own).await.expect("connected to itself");
    let error = prove(&stream, &Owner::Us).await.expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn an_end_that_the_system_does_not_know_is_a_strangers() {
    let unbroken = || Ok(None);
    let unknown = accepted(|| Ok(Far::Nowhere), unbroken).await;
    let error = unknown.expect_err("a stranger");
    let stranger = Stranger::in_error(&error).expect("a stranger");
    assert_eq!(stranger.as_owner(), "*");
    let untold = accepted(|| Err(io::ErrorKind::Unsupported.into()), unbroken).await;
    assert!(Stranger::in_error(&untold.expect_err("a stranger")).is_some());
    let reset = || Ok(Some(io::ErrorKind::ConnectionReset.into()));
    let broken = accepted(|| Ok(Far::Nowhere), reset).await;
    assert_eq!(
        broken.expect_err("reset").kind(),
        io::ErrorKind::ConnectionReset
    );
    let asked = Cell::new(0);
    let in_the_end = accepted(
        || {
            asked.set(asked.get() + 1);
            Ok(if asked.get() < 50 {
                Far::Waiting
            } else {
                Far::Owned(7)
            })
        },
        unbroken,
    );
    assert_eq!(in_the_end.await.expect("accepted"), 7);
}

#[test]
fn our_own_user_may_answer_and_whom_the_user_names() {
    let me = Uid::effective().as_raw();
    let other = me + 1;
    let root = User::from_uid(Uid::from_raw(0))
        .ok()
        .flatten()
        .expect("root");
    for (uid, owner, is) in [
        (me, Owner::Us, true),
        (other, Owner::Us, false),
        (other, Owner::Id(other), true),
        (other, Owner::Id(other + 1), false),
        (me, Owner::Id(other), true),
        (0, Owner::Name(root.name.clone()), true),
        (other, Owner::Name(root.name), false),
        (other, Owner::Anyone, true),
        // An id that stands for any of another namespace proves nothing.
        (OVERFLOW_UID, Owner::Id(OVERFLOW_UID), false),
    ] {
        assert_eq!(is_allowed(uid, &owner), is, "{uid} {owner:?}");
    }
}

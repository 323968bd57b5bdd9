//! The frames themselves, as any program may speak them.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wrapper::control::attach::frame::{End, Event, Kind, Said, Shown, take};
use wrapper::types::exit::AgentExit;
use wrapper::types::size::TermSize;

use super::Stage;
use crate::support::soon;

/// A program that is attached.
struct Guest {
    io: UnixStream,
    buf: BytesMut,
}

impl Guest {
    /// Asks; the answer's head, and what follows.
    async fn ask(stage: &Stage, request: &str) -> (String, Self) {
        let sessions = stage.world.json(&["ps", "--json"]);
        let id = sessions[0]["id"].as_str().expect("an id");
        let socket = stage
            .world
            .path(&format!("state/sessions/{id}/control.sock"));
        let mut io = UnixStream::connect(socket).await.expect("let in");
        let request = format!("{request}\r\nHost: x\r\n\r\n");
        io.write_all(request.as_bytes()).await.expect("heard");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon("a head", io.read_u8()).await.expect("a head"));
        }
        let head = String::from_utf8(head).expect("text");
        let buf = BytesMut::new();
        (head, Self { io, buf })
    }

    async fn open(stage: &Stage, query: &str) -> Self {
        let request = format!(
            "GET /v1/attach{query} HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: wrapper-attach"
        );
        let (head, guest) = Self::ask(stage, &request).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        guest
    }

    /// The next frame; None at the end.
    async fn next(&mut self) -> Option<Shown> {
        loop {
            if let Some(frame) = take(&mut self.buf).expect("frames") {
                return Shown::read(frame).expect("a frame");
            }
            let read = soon("a frame", self.io.read_buf(&mut self.buf)).await;
            if read.expect("no reset") == 0 {
                return None;
            }
        }
    }

    /// The output until it has a text.
    async fn shows(&mut self, text: &str) {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(text) {
            match self.next().await {
                Some(Shown::Output(output)) => all.extend_from_slice(&output),
                other => panic!("{other:?} before {text}"),
            }
        }
    }

    async fn say(&mut self, said: &Said) {
        let mut out = BytesMut::new();
        said.put(&mut out);
        self.io.write_all(&out).await.expect("heard");
    }
}

#[tokio::test]
async fn frames_come_in_their_order() {
    let mut stage = Stage::open().await;
    let mut guest = Guest::open(&stage, "?rows=10&cols=40").await;
    let Some(Shown::Hello(hello)) = guest.next().await else {
        panic!("no hello");
    };
    assert_eq!(
        (&*hello.name, &*hello.version),
        ("sh", env!("CARGO_PKG_VERSION"))
    );
    let keyframe = guest.next().await;
    let is_keyframe = |shown: &Option<Shown>, rows, cols| matches!(shown, Some(Shown::Keyframe(size, _)) if *size == TermSize::new(rows, cols));
    assert!(is_keyframe(&keyframe, 24, 80), "{keyframe:?}");
    stage.does("echo one").await;
    guest.shows("one\r\n").await;
    guest.say(&Said::Input("stty size\r".into())).await;
    let keyframe = guest.next().await;
    assert!(is_keyframe(&keyframe, 10, 40), "{keyframe:?}");
    guest.shows("10 40\r\n").await;
    guest.say(&Said::Resize(TermSize::new(11, 41))).await;
    let keyframe = guest.next().await;
    assert!(is_keyframe(&keyframe, 11, 41), "{keyframe:?}");
    // One that has no terminal types as well, and has no size.
    let mut program = Guest::open(&stage, "").await;
    program.say(&Said::Input("exit 0\r".into())).await;
    let end = Shown::End(End {
        how: Some(AgentExit::Code(0)),
    });
    assert_eq!(guest.next().await, Some(end));
    assert_eq!(guest.next().await, None);
}

#[tokio::test]
async fn an_end_of_the_agent_is_an_event() {
    let mut stage = Stage::open().await;
    let mut guest = Guest::open(&stage, "").await;
    guest.next().await;
    guest.next().await;
    stage.does("exit 3").await;
    let Some(Shown::Event(Event { event, how, text })) = guest.next().await else {
        panic!("no event");
    };
    assert_eq!((event, how), (Kind::Exited, Some(AgentExit::Code(3))));
    assert!(text.starts_with("the agent ended with code 3: again in"));
    // Another screen, of the next life.
    assert!(matches!(guest.next().await, Some(Shown::Keyframe(..))));
    guest.shows("ready").await;
}

#[tokio::test]
async fn what_is_no_frame_is_hung_up_on() {
    let stage = Stage::open().await;
    for bad in [&b"Z\0\0\0\0"[..], b"R\0\0\0\x01x", b"I\xff\xff\xff\xff"] {
        let mut guest = Guest::open(&stage, "").await;
        guest.io.write_all(bad).await.expect("heard");
        while guest.next().await.is_some() {}
    }
    let mut guest = Guest::open(&stage, "").await;
    guest.say(&Said::Detach).await;
    while guest.next().await.is_some() {}
}

#[tokio::test]
async fn whoever_does_not_ask_for_the_protocol_is_told_of_it() {
    let stage = Stage::open().await;
    for request in [
        "GET /v1/attach HTTP/1.1",
        "GET /v1/attach HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket",
    ] {
        let (head, _) = Guest::ask(&stage, request).await;
        assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
        assert!(
            head.to_lowercase().contains("upgrade: wrapper-attach"),
            "{head}"
        );
    }
}

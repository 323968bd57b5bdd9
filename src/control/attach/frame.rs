//! The frames of an attached terminal. Pure.
//!
//! A frame is `[type: u8][length: u32, big endian][payload]`, and its payload
//! at most [`MAX`] bytes. The session says Hello, a Keyframe, and then what
//! comes, until End; whoever looks on says what is typed. A session hangs up
//! at a frame that it does not know; a viewer skips one. The version in Hello
//! is the program's.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::types::exit::AgentExit;
use crate::types::identity::SessionId;
use crate::types::size::TermSize;

/// What the request and its answer call this in their `Upgrade`.
pub const PROTOCOL: &str = "wrapper-attach";

/// Bytes of a payload.
pub const MAX: usize = 1024 * 1024;

/// Bytes ahead of a payload.
const HEAD: usize = 5;

/// What a session says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// `H`, JSON: who shows.
    Hello(Hello),
    /// `K`, rows and columns (u16, big endian) and bytes that draw the whole
    /// screen, on a terminal of that size whose modes are those of a new one;
    /// Outputs may go on with it. First of all, and whenever the agent's
    /// terminal has another size or is another, or output was lost.
    Keyframe(TermSize, Bytes),
    /// `O`, what the agent wrote, less what it asked its terminal.
    Output(Bytes),
    /// `E`, JSON: what has happened to the agent. Its screen is over.
    Event(Event),
    /// `X`, JSON: the session has ended, and this is the last frame.
    End(End),
}

/// What one who looks on says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// `I`, what was typed.
    Input(Bytes),
    /// `R`, rows and columns (u16, big endian) of the viewer's terminal; and, to
    /// a session that says [`Hello::pixels`], its width and height in pixels, if
    /// they are known.
    Resize(TermSize),
    /// `D`, empty: it leaves. To hang up says the same.
    Detach,
}

/// Who shows, and how large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub session: SessionId,
    /// The instance's name at this moment.
    pub name: String,
    /// The session's program's.
    pub version: String,
    /// It takes sizes in pixels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pixels: bool,
}

/// What has happened to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub event: Kind,
    /// How it ended, as in [`End`].
    #[serde(flatten)]
    pub how: Option<AgentExit>,
    /// The same and what follows, in words.
    pub text: String,
}

/// Kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The agent has ended by itself.
    Exited,
    /// It was ended, and starts again.
    Restarting,
}

/// How the agent ended, if that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    #[serde(flatten)]
    pub how: Option<AgentExit>,
}

/// What is no frame of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    #[error("no frame begins with the byte {0}")]
    Unknown(u8),
    #[error("a frame `{0}` whose payload is none")]
    Payload(char),
}

/// A frame as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub payload: Bytes,
}

/// Takes the first frame off `buf`; None: it is not whole yet.
///
/// # Errors
/// If it is longer than any may be.
pub fn take(buf: &mut BytesMut) -> Result<Option<Frame>, Broken> {
    let Some((mut head, rest)) = buf.split_at_checked(HEAD) else {
        return Ok(None);
    };
    let kind = head.get_u8();
    let length = head.get_u32() as usize;
    if length > MAX {
        return Err(Broken::TooLong(length));
    }
    if rest.len() < length {
        return Ok(None);
    }
    buf.advance(HEAD);
    let payload = buf.split_to(length).freeze();
    Ok(Some(Frame { kind, payload }))
}

impl Shown {
    /// Appends it, as more than one frame if it is too long for one.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Hello(hello) => put_json(out, b'H', hello),
            Self::Keyframe(size, bytes) => {
                let rest = bytes.split_at_checked(MAX - 4);
                let (first, rest) = rest.unwrap_or((bytes, &[]));
                let size = sides(*size);
                put(out, b'K', &[&size, first]);
                rest.chunks(MAX).for_each(|more| put(out, b'O', &[more]));
            }
            Self::Output(bytes) => bytes.chunks(MAX).for_each(|more| put(out, b'O', &[more])),
            Self::Event(event) => put_json(out, b'E', event),
            Self::End(end) => put_json(out, b'X', end),
        }
    }

    /// Reads a frame; None: one of a later version.
    ///
    /// # Errors
    /// If its payload is none.
    pub fn read(Frame { kind, payload }: Frame) -> Result<Option<Self>, Broken> {
        Ok(Some(match kind {
            b'H' => Self::Hello(json(kind, &payload)?),
            b'K' => {
                let (size, bytes) = size(kind, payload)?;
                Self::Keyframe(size, bytes)
            }
            b'O' => Self::Output(payload),
            b'E' => Self::Event(json(kind, &payload)?),
            b'X' => Self::End(json(kind, &payload)?),
            _ => return Ok(None),
        }))
    }
}

impl Said {
    /// Appends it.
    pub fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Input(keys) => keys.chunks(MAX).for_each(|more| put(out, b'I', &[more])),
            Self::Resize(size) if *size == size.cells() => put(out, b'R', &[&sides(*size)]),
            Self::Resize(size) => {
                let pixels = sides(TermSize {
                    rows: size.x_pixels,
                    cols: size.y_pixels,
                    ..*size
                });
                put(out, b'R', &[&sides(*size), &pixels]);
            }
            Self::Detach => put(out, b'D', &[]),
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// If it is none, or its payload is none.
    pub fn read(Frame { kind, payload }: Frame) -> Result<Self, Broken> {
        match kind {
            b'I' => Ok(Self::Input(payload)),
            b'R' => {
                let (size, mut rest) = size(kind, payload)?;
                match rest.len() {
                    0 => Ok(Self::Resize(size)),
                    4 => {
                        let (x, y) = (rest.get_u16(), rest.get_u16());
                        Ok(Self::Resize(size.with_pixels(x, y)))
                    }
                    _ => Err(Broken::Payload('R')),
                }
            }
            b'D' => Ok(Self::Detach),
            _ => Err(Broken::Unknown(kind)),
        }
    }
}

fn put(out: &mut BytesMut, kind: u8, payload: &[&[u8]]) {
    let length: usize = payload.iter().map(|part| part.len()).sum();
    out.reserve(HEAD + length);
    out.put_u8(kind);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for part in payload {
        out.put_slice(part);
    }
}

fn put_json(out: &mut BytesMut, kind: u8, value: &impl Serialize) {
    // What is said here are words and numbers, which never fail.
    let text = serde_json::to_vec(value).unwrap_or_default();
    put(out, kind, &[&text]);
}

fn json<'a, T: Deserialize<'a>>(kind: u8, payload: &'a [u8]) -> Result<T, Broken> {
    serde_json::from_slice(payload).map_err(|_| Broken::Payload(kind.into()))
}

fn sides(size: TermSize) -> [u8; 4] {
    let ([a, b], [c, d]) = (size.rows.to_be_bytes(), size.cols.to_be_bytes());
    [a, b, c, d]
}

fn size(kind: u8, mut payload: Bytes) -> Result<(TermSize, Bytes), Broken> {
    let mut side = || payload.try_get_u16();
    match (side(), side()) {
        (Ok(rows), Ok(cols)) => Ok((TermSize::new(rows, cols), payload)),
        _ => Err(Broken::Payload(kind.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(said: &Shown) -> Vec<u8> {
        let mut out = BytesMut::new();
        said.put(&mut out);
        out.to_vec()
    }

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let mut buf = BytesMut::from(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = take(&mut buf).expect("whole frames") {
            frames.push(frame);
        }
        assert!(buf.is_empty(), "{} bytes are left", buf.len());
        frames
    }

    #[test]
    fn a_frame_keeps_its_form() {
        let how = Some(AgentExit::Code(3));
        let event = Event {
            event: Kind::Exited,
            how: Some(AgentExit::Signal(9)),
            text: "t".into(),
        };
        let hello = Hello {
            session: "0123456789ab".parse().expect("an id"),
            name: "claude".into(),
            version: "0.1.0".into(),
            pixels: false,
        };
        for (said, bytes) in [
            (
                Shown::Hello(hello),
                &b"H\0\0\0\x3c{\"session\":\"0123456789ab\",\"name\":\"claude\",\"version\":\"0.1.0\"}"[..],
            ),
            (
                Shown::Keyframe(TermSize::new(24, 300), Bytes::from("\x1b[H")),
                b"K\0\0\0\x07\0\x18\x01\x2c\x1b[H",
            ),
            (Shown::Output(Bytes::from("ab")), b"O\0\0\0\x02ab"),
            (
                Shown::Event(event),
                b"E\0\0\0\x28{\"event\":\"exited\",\"signal\":9,\"text\":\"t\"}",
            ),
            (Shown::End(End { how }), b"X\0\0\0\x0a{\"code\":3}"),
            (Shown::End(End::default()), b"X\0\0\0\x02{}"),
        ] {
            let written = shown(&said);
            assert_eq!(
                String::from_utf8_lossy(&written),
                String::from_utf8_lossy(bytes)
            );
            let frame = frames(bytes).remove(0);
            assert_eq!(Shown::read(frame), Ok(Some(said)));
        }
        for (said, bytes) in [
            (Said::Input(Bytes::from("q")), &b"I\0\0\0\x01q"[..]),
            (
                Said::Resize(TermSize::new(5, 7)),
                b"R\0\0\0\x04\0\x05\0\x07",
            ),
            (
                Said::Resize(TermSize::new(5, 7).with_pixels(300, 2)),
                b"R\0\0\0\x08\0\x05\0\x07\x01\x2c\0\x02",
            ),
            (Said::Detach, b"D\0\0\0\0"),
        ] {
            let mut out = BytesMut::new();
            said.put(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(Said::read(frames(bytes).remove(0)), Ok(said));
        }
    }

    #[test]
    fn what_is_too_long_for_a_frame_goes_on_in_others() {
        let bytes: Bytes = vec![b'x'; 2 * MAX + 10].into();
        let keyframe = shown(&Shown::Keyframe(TermSize::default(), bytes.clone()));
        let kinds: Vec<_> = frames(&keyframe)
            .iter()
            .map(|frame| (frame.kind, frame.payload.len()))
            .collect();
        assert_eq!(kinds, [(b'K', MAX), (b'O', MAX), (b'O', 14)]);
        let output = frames(&shown(&Shown::Output(bytes)));
        assert!(output.iter().all(|frame| frame.payload.len() <= MAX));
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let mut long = BytesMut::from(&b"I\0\x10\0\x01"[..]);
        assert_eq!(take(&mut long), Err(Broken::TooLong(MAX + 1)));
        for part in [&b""[..], b"I", b"I\0\0\0", b"I\0\0\0\x02x"] {
            assert_eq!(take(&mut BytesMut::from(part)), Ok(None));
        }
        let frame = |kind, payload: &'static [u8]| Frame {
            kind,
            payload: Bytes::from_static(payload),
        };
        for (kind, payload, broken) in [
            (b'Z', &b""[..], Broken::Unknown(b'Z')),
            (b'R', b"\0\x05\0", Broken::Payload('R')),
            (b'R', b"\0\x05\0\x05\0", Broken::Payload('R')),
        ] {
            assert_eq!(Said::read(frame(kind, payload)), Err(broken));
        }
        assert_eq!(Shown::read(frame(b'Z', b"later")), Ok(None));
        assert_eq!(Shown::read(frame(b'K', b"\0")), Err(Broken::Payload('K')));
        assert_eq!(Shown::read(frame(b'X', b"[")), Err(Broken::Payload('X')));
    }
}

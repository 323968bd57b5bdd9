//! What a server writes, cut into lines. A long answer is not waited for: it
//! is passed on while it comes, if its beginning tells whose it is.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::message;
use super::session::Session;

/// What is read at once, and of a line before it counts as long.
const ROOM: usize = 64 * 1024;
/// The longest line that is held, where its beginning tells nothing.
const LONGEST: usize = 256 * 1024 * 1024;

/// What becomes of the line that comes.
enum Fate {
    /// It is waited for.
    Held,
    /// As [`Fate::Held`]; its beginning tells nothing.
    Unknown,
    Passed(mpsc::Sender<io::Result<Bytes>>),
    Skipped,
}

/// Passes everything on until the server stops writing.
///
/// # Errors
/// If it cannot be read, or goes on without end.
pub(super) async fn pump(mut output: impl AsyncRead + Unpin, session: &Session) -> io::Result<()> {
    let mut buf = BytesMut::new();
    // Bytes of the line that hold no line feed.
    let mut seen = 0;
    let mut fate = Fate::Held;
    loop {
        if buf.is_empty() {
            // What a long line took is given back.
            buf = BytesMut::new();
        }
        buf.reserve(ROOM);
        if output.read_buf(&mut buf).await? == 0 {
            if let Fate::Passed(out) = fate {
                // Nobody may wait for it any more.
                let _ = out.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
            }
            return Ok(());
        }
        while let Some(at) = memchr::memchr(b'\n', &buf[seen..]) {
            let mut line = buf.split_to(seen + at + 1);
            line.truncate(line.len() - 1);
            seen = 0;
            match std::mem::replace(&mut fate, Fate::Held) {
                Fate::Held | Fate::Unknown => {
                    message::flatten(&mut line);
                    session.hear(line.freeze()).await;
                }
                Fate::Passed(out) => drop(pass(&out, line).await),
                Fate::Skipped => {}
            }
        }
        fate = match fate {
            Fate::Held if buf.len() >= ROOM => match message::early(&buf) {
                None => Fate::Unknown,
                Some(id) => {
                    message::flatten(&mut buf);
                    let beginning = buf.split();
                    match session.begin(&beginning, id).await {
                        Some(out) => Fate::Passed(out),
                        None => Fate::Skipped,
                    }
                }
            },
            Fate::Passed(out) => match pass(&out, buf.split()).await {
                Ok(()) => Fate::Passed(out),
                Err(_) => Fate::Skipped,
            },
            Fate::Skipped => {
                buf.clear();
                Fate::Skipped
            }
            fate => fate,
        };
        seen = buf.len();
        if seen > LONGEST {
            return Err(io::Error::other("it writes a line of more than 256 MB"));
        }
    }
}

/// Passes a piece on; an error if nobody wants it.
async fn pass(
    out: &mpsc::Sender<io::Result<Bytes>>,
    mut piece: BytesMut,
) -> Result<(), mpsc::error::SendError<io::Result<Bytes>>> {
    message::flatten(&mut piece);
    if piece.is_empty() {
        return Ok(());
    }
    out.send(Ok(piece.freeze())).await
}

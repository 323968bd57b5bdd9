//! One who is attached: shown what there is, and heard.
//!
//! A guest that reads slowly loses output and is shown the whole screen again;
//! so is one in a flood, for nobody can read that: it costs the session little.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::frame::{End, Event, Hello, Kind, Said, Shown};
use super::wire::Frames;
use crate::session::{News, Next, Piece, Session, Show, Viewer};
use crate::types::size::TermSize;

/// Bytes that are written at once, if they are there.
const BATCH: usize = 64 * 1024;

/// How much a guest is shown in which time.
const MOST: usize = 256 * 1024;
const SLICE: Duration = Duration::from_millis(50);

/// How much may wait for a guest: at first, and while it loses output.
const ROOM: usize = 512 * 1024;
const SCANT: usize = 64 * 1024;

/// A guest that has kept up for so long is no longer one that loses output.
const CALM: Duration = Duration::from_secs(1);

/// The most rests between two losses, each a [`SLICE`].
const RESTS: u32 = 4;

/// A caller that is about to be attached.
#[derive(Debug)]
pub(in crate::control) struct Guest {
    pub(super) upgrade: OnUpgrade,
    pub(super) hello: Hello,
    pub(super) size: Option<TermSize>,
    pub(super) session: Session,
}

impl Guest {
    /// Attends to the guest until it leaves or the session ends.
    pub(in crate::control) async fn attend(self) {
        let Ok(io) = self.upgrade.await else {
            return debug!("one who asked to attach has hung up");
        };
        // Nothing else was ever served here.
        let Ok(parts) = io.downcast::<TokioIo<UnixStream>>() else {
            return debug!("one who asked to attach came another way");
        };
        let (read, write) = parts.io.into_inner().into_split();
        let viewer = self.session.viewer();
        let mut screen = Screen {
            viewer: &viewer,
            write,
            out: BytesMut::new(),
            slice: (Instant::now(), 0),
        };
        let shown = screen.show(&self.session, self.hello, self.size);
        let heard = hear(Frames::new(read, &parts.read_buf), &viewer);
        let result = tokio::select! {
            result = shown => result,
            result = heard => result,
        };
        if let Err(error) = result {
            debug!(%error, "one who was attached has gone");
        }
    }
}

/// Does what the guest says, until it leaves.
async fn hear(mut frames: Frames<OwnedReadHalf>, viewer: &Viewer) -> io::Result<()> {
    let mut told = None;
    while let Some(frame) = frames.next().await? {
        match Said::read(frame).map_err(io::Error::other)? {
            Said::Input(keys) => viewer.keys(keys, told).await,
            Said::Resize(size) => {
                told = Some(size);
                viewer.resize(size).await;
            }
            Said::Detach => break,
        }
    }
    Ok(())
}

/// The guest's end of the show.
struct Screen<'a> {
    viewer: &'a Viewer,
    write: OwnedWriteHalf,
    out: BytesMut,
    /// When the time began that is counted, and the bytes in it.
    slice: (Instant, usize),
}

impl Screen<'_> {
    async fn show(
        &mut self,
        session: &Session,
        hello: Hello,
        mut size: Option<TermSize>,
    ) -> io::Result<()> {
        Shown::Hello(hello).put(&mut self.out);
        let (mut room, mut rests) = (ROOM, 0);
        while let Some(show) = self.viewer.watch(size.take(), room).await {
            let began = Instant::now();
            if !self.follow(show).await? {
                break;
            }
            (room, rests) = match began.elapsed() {
                calm if calm >= CALM => (ROOM, 1),
                _ => (SCANT, RESTS.min(rests + 1)),
            };
            sleep(SLICE * rests).await;
        }
        let how = session.status().borrow().exit;
        Shown::End(End { how }).put(&mut self.out);
        self.flush().await
    }

    /// Shows what comes. True if something was lost, false at the end.
    async fn follow(&mut self, mut show: Show) -> io::Result<bool> {
        loop {
            let mut piece = match show.next().await {
                Next::Piece(piece) => Some(piece),
                Next::Lost => return Ok(true),
                Next::Over => return Ok(false),
            };
            while let Some(next) = piece {
                self.put(next).await;
                piece = (self.out.len() < BATCH).then(|| show.at_once()).flatten();
            }
            self.flush().await?;
        }
    }

    async fn put(&mut self, piece: Piece) {
        let shown = match piece {
            Piece::Keyframe(keyframe) => {
                if keyframe.unsure {
                    self.viewer.repaint().await;
                }
                Shown::Keyframe(keyframe.size, keyframe.bytes.into())
            }
            Piece::Output(output) => Shown::Output(output.into()),
            Piece::News(News { exit, text }) => Shown::Event(Event {
                event: exit.map_or(Kind::Restarting, |_| Kind::Exited),
                how: exit,
                text,
            }),
        };
        shown.put(&mut self.out);
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.write.write_all(&self.out).await?;
        let (began, bytes) = &mut self.slice;
        if began.elapsed() >= SLICE {
            (*began, *bytes) = (Instant::now(), 0);
        }
        *bytes += self.out.len();
        self.out.clear();
        if *bytes >= MOST {
            sleep_until(*began + SLICE).await;
        }
        Ok(())
    }
}

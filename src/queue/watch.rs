//! Tells when a queue has changed: by file events where there are any, else
//! by the clock.
//!
//! inotify itself rather than a crate around it: two watches whose events need
//! not be told apart, no thread, and the kernel does the filtering. In the
//! data directory only new names count, as a queue file that was taken must be
//! made again to be appended to; so the server's other writing wakes nobody.

use std::path::Path;
use std::time::Duration;

use tracing::warn;

/// Between two looks where there are no events.
const POLL: Duration = Duration::from_secs(1);

/// Two directories, watched.
#[derive(Debug)]
pub(super) struct Watch {
    events: Option<system::Events>,
    /// Why the clock is looked at as well.
    polls: Option<String>,
    /// Others may write to the files from other machines.
    is_remote: bool,
}

impl Watch {
    /// Watches for new files in `data_dir` and for writes in `taken`.
    ///
    /// # Panics
    /// If not in a runtime.
    pub(super) fn on(data_dir: &Path, taken: &Path) -> Self {
        let remote = system::remote(data_dir);
        let is_remote = remote.is_some();
        let remote = remote.map(|kind| format!("`{}` is on {kind}", data_dir.display()));
        match system::events(data_dir, taken) {
            // Whoever writes on this machine is heard at once even there.
            Ok(events) => Self {
                events: Some(events),
                polls: remote,
                is_remote,
            },
            Err(reason) => Self {
                is_remote,
                ..Self::polling(remote.unwrap_or(reason))
            },
        }
    }

    /// Without events.
    pub(super) fn polling(reason: String) -> Self {
        Self {
            events: None,
            polls: Some(reason),
            is_remote: false,
        }
    }

    pub(super) fn polls(&self) -> Option<&str> {
        self.polls.as_deref()
    }

    pub(super) fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Waits until there may be something new; cancel safe.
    pub(super) async fn changed(&mut self) {
        let pause = async {
            match self.polls {
                Some(_) => tokio::time::sleep(POLL).await,
                None => std::future::pending().await,
            }
        };
        let is_lost = tokio::select! {
            is_lost = system::heard(self.events.as_mut()) => is_lost,
            () = pause => false,
        };
        if is_lost {
            *self = Self::polling("a watched directory was moved or removed".into());
            warn!("the queue is polled: a watched directory was moved or removed");
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use nix::errno::Errno;
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use nix::sys::statfs::statfs;
    use tokio::net::unix::pipe::Receiver;

    /// Events as bytes; to the runtime their descriptor is a pipe.
    pub(super) type Events = Receiver;

    pub(super) fn events(data_dir: &Path, taken: &Path) -> Result<Events, String> {
        let watched = || {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let made = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            inotify.add_watch(data_dir, made | AddWatchFlags::IN_ONLYDIR)?;
            let written = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CLOSE_WRITE;
            inotify.add_watch(taken, written | AddWatchFlags::IN_ONLYDIR)?;
            Ok(inotify)
        };
        let inotify = watched().map_err(|error| match error {
            Errno::EMFILE | Errno::ENFILE => format!(
                "no more file events for this user: {error} (see `fs.inotify.max_user_instances`)"
            ),
            Errno::ENOSPC => format!(
                "no more file events for this user: {error} (see `fs.inotify.max_user_watches`)"
            ),
            _ => format!("no file events: {error}"),
        })?;
        Receiver::from_file_unchecked(OwnedFd::from(inotify).into())
            .map_err(|error| format!("no file events: {error}"))
    }

    /// Waits for events and takes all there are; true if a watch is gone.
    pub(super) async fn heard(events: Option<&mut Events>) -> bool {
        let Some(events) = events else {
            return std::future::pending().await;
        };
        let mut is_lost = events.readable().await.is_err();
        let mut buf = [0; 4096];
        while let Ok(n) = events.try_read(&mut buf) {
            is_lost |= ends(&buf[..n]);
        }
        is_lost
    }

    /// True if one of these events says that its watch is gone: sixteen bytes
    /// of watch, mask, cookie and length, and a name of that length, each
    /// (inotify(7)).
    fn ends(mut events: &[u8]) -> bool {
        let number = |bytes: &[u8], at: usize| {
            let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        while let (Some(mask), Some(length)) = (number(events, 4), number(events, 12)) {
            if mask & AddWatchFlags::IN_IGNORED.bits() != 0 {
                return true;
            }
            events = events.get(16 + length as usize..).unwrap_or_default();
        }
        false
    }

    /// File systems whose files may change without an event, by the numbers of
    /// statfs(2).
    const REMOTE: [(i64, &str); 11] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x0102_1997, "9P"),
        (0x6573_5546, "FUSE"),
        (0x5346_414f, "AFS"),
        (0x7375_7245, "Coda"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x786f_4256, "a folder of VirtualBox"),
    ];

    pub(super) fn remote(dir: &Path) -> Option<&'static str> {
        let kind = statfs(dir).ok()?.filesystem_type().0;
        // The type differs between C libraries, and some extend the sign.
        let kind = kind as i64 & 0xffff_ffff;
        let known = REMOTE.iter().find(|(magic, _)| *magic == kind);
        known.map(|(_, name)| *name)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_end_of_a_watch_is_found_among_events() {
            let event = |mask: AddWatchFlags, name: &[u8]| {
                let length = u32::try_from(name.len()).expect("short");
                let head = [1, mask.bits(), 0, length].map(u32::to_ne_bytes).concat();
                [&head, name].concat()
            };
            let made = event(AddWatchFlags::IN_CREATE, b"claude_queue.jsonl\0\0\0\0\0\0");
            let written = event(AddWatchFlags::IN_MODIFY, b"");
            let gone = event(AddWatchFlags::IN_IGNORED, b"");
            for (events, is_lost) in [
                (vec![], false),
                ([&made[..], &written, &made].concat(), false),
                ([&made[..], &gone, &written].concat(), true),
                ([&written[..], &gone].concat(), true),
                (made[..10].to_vec(), false),
            ] {
                assert_eq!(ends(&events), is_lost, "{events:?}");
            }
        }
    }
}

/// Others have events of another kind, which are not used yet.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::path::Path;

    #[derive(Debug)]
    pub(super) enum Events {}

    pub(super) fn events(_: &Path, _: &Path) -> Result<Events, String> {
        Err("file events of this system are not used".into())
    }

    pub(super) async fn heard(events: Option<&mut Events>) -> bool {
        match events {
            Some(never) => match *never {},
            None => std::future::pending().await,
        }
    }

    pub(super) fn remote(_: &Path) -> Option<&'static str> {
        None
    }
}

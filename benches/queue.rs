//! A queue from an appended line to the entry in hand, against the least that
//! watching a file takes: one inotify watch and a read.
//!
//! `cargo bench --bench queue [-- LINES]` runs both in turn in one process,
//! line by line, and prints percentiles in microseconds, and how fast a heap
//! of lines is handed out.

#![expect(clippy::print_stdout, reason = "its figures are its output")]

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::OpenOptions;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use wrapper::queue::Queue;
    use wrapper::types::identity::SessionId;

    type Failure = Box<dyn std::error::Error + Send + Sync>;

    /// How long a line waits for what follows from the one before: a mention
    /// finds an idle wrapper.
    const PAUSE: Duration = Duration::from_millis(25);

    pub(super) fn run(lines: usize) -> Result<(), Failure> {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        let (bare_dir, our_dir) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let relay = Reader::start(bare_dir.path(), relay);
        let queue = Reader::start(our_dir.path(), queue);
        relay.ready.recv()?;
        queue.ready.recv()?;
        for n in 0..lines {
            // Each of them comes first equally often.
            for turn in 0..2 {
                let (reader, dir, times) = if (n + turn) % 2 == 0 {
                    (&relay, bare_dir.path(), &mut bare)
                } else {
                    (&queue, our_dir.path(), &mut ours)
                };
                std::thread::sleep(PAUSE);
                let start = Instant::now();
                append(dir, 1)?;
                times.push(reader.ready.recv()?.duration_since(start));
            }
        }
        for (name, times) in [("inotify", &mut bare), ("queue", &mut ours)] {
            times.sort();
            let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6;
            let (half, most, all) = (at(50), at(99), at(100));
            println!("{name:>8} median {half:>7.0} us, 99 % {most:>7.0} us, most {all:>7.0} us");
        }
        let heap = tempfile::tempdir()?;
        append(heap.path(), 10_000)?;
        let start = Instant::now();
        let reader = Reader::start(heap.path(), queue_of_many);
        let took = reader.ready.recv()?.duration_since(start);
        println!(
            "{:>8} 10000 lines in {:.1} ms",
            "queue",
            took.as_secs_f64() * 1e3
        );
        Ok(())
    }

    /// Appends as agentchattr does.
    fn append(dir: &Path, lines: usize) -> Result<(), Failure> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .append(true)
            .open(dir.join("claude_queue.jsonl"))?;
        let line = "{\"sender\":\"user\",\"text\":\"user: @claude\",\"time\":\"12:00:00\",\
                    \"channel\":\"general\"}\n";
        Ok(file.write_all(line.repeat(lines).as_bytes())?)
    }

    /// A thread that tells when it is ready, and whenever it has a line.
    struct Reader {
        ready: mpsc::Receiver<Instant>,
    }

    impl Reader {
        fn start(
            dir: &Path,
            read: fn(&Path, &mpsc::Sender<Instant>) -> Result<(), Failure>,
        ) -> Self {
            let (told, ready) = mpsc::channel();
            let dir = dir.to_owned();
            std::thread::spawn(move || {
                if let Err(error) = read(&dir, &told) {
                    println!("a reader has ended: {error}");
                }
            });
            Self { ready }
        }
    }

    fn relay(dir: &Path, told: &mpsc::Sender<Instant>) -> Result<(), Failure> {
        let path = dir.join("claude_queue.jsonl");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)?;
        file.seek(SeekFrom::End(0))?;
        let inotify = Inotify::init(InitFlags::empty())?;
        inotify.add_watch(&path, AddWatchFlags::IN_MODIFY)?;
        told.send(Instant::now())?;
        let mut text = String::new();
        loop {
            inotify.read_events()?;
            if file.read_to_string(&mut text)? > 0 && told.send(Instant::now()).is_err() {
                return Ok(());
            }
        }
    }

    fn queue(dir: &Path, told: &mpsc::Sender<Instant>) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let mut queue = open(dir)?;
            told.send(Instant::now())?;
            loop {
                let batch = queue.next().await;
                if told.send(Instant::now()).is_err() {
                    return Ok(());
                }
                queue.ack(batch[batch.len() - 1].position).await?;
            }
        })
    }

    fn queue_of_many(dir: &Path, told: &mpsc::Sender<Instant>) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let mut queue = open(dir)?;
            let mut got = 0;
            while got < 10_000 {
                let batch = queue.next().await;
                got += batch.len();
                queue.ack(batch[batch.len() - 1].position).await?;
            }
            Ok(told.send(Instant::now())?)
        })
    }

    fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    }

    fn open(dir: &Path) -> Result<Queue, Failure> {
        let (base, name) = ("claude".parse()?, "claude".parse()?);
        Ok(Queue::open(dir, &SessionId::random(), &base, &name)?)
    }
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let lines = std::env::args().find_map(|arg| arg.parse().ok());
    linux::run(lines.unwrap_or(500))
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("only Linux has events to compare with");
}

//! Mentions in files that others append to: real files, real kills, and every
//! way in which a line can go astray.

mod heirs; // names that change, and the dead
mod lines; // lines that are torn, odd, many, or still being written

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::json;
use tempfile::TempDir;
use wrapper::queue::{Queue, Waiting};
use wrapper::types::identity::SessionId;

use crate::support::world::FAKE;
use crate::support::{eventually, soon};

/// A server's data directory.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn queue_file(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}_queue.jsonl"))
    }

    /// Opens a queue file as the server does.
    fn append(&self, name: &str) -> File {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        options.open(self.queue_file(name)).expect("opened")
    }

    /// Appends as the server does: open, write, close.
    fn put(&self, name: &str, text: &str) {
        put(&mut self.append(name), text);
    }

    fn open_as(&self, base: &str, name: &str) -> Queue {
        let (base, name) = (base.parse(), name.parse());
        let (base, name) = (base.expect("an agent"), name.expect("a name"));
        Queue::open(self.path(), &SessionId::random(), &base, &name).expect("opened")
    }

    fn open(&self, name: &str) -> Queue {
        self.open_as("claude", name)
    }

    /// The spools, and below them the files that were taken.
    fn spools(&self) -> Vec<PathBuf> {
        children(&self.path().join(".wrapper-queues"))
    }

    fn taken(&self) -> Vec<PathBuf> {
        let spools = self.spools();
        let taken = spools.iter().map(|spool| spool.join("taken"));
        taken.flat_map(|taken| children(&taken)).collect()
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn line(text: &str) -> String {
    json!({"sender": "user", "text": text, "time": "12:00:00", "channel": "general"}).to_string()
}

fn put(file: &mut File, text: &str) {
    let line = format!("{}\n", line(text));
    file.write_all(line.as_bytes()).expect("written");
}

fn write(file: &mut File, bytes: &str) {
    file.write_all(bytes.as_bytes()).expect("written");
}

/// What is handed out next, until it is as much as is wanted.
async fn texts(queue: &mut Queue, wanted: usize) -> Vec<String> {
    take(queue, wanted).await.0
}

/// The same, acknowledged.
async fn done(queue: &mut Queue, wanted: usize) -> Vec<String> {
    let (texts, last) = take(queue, wanted).await;
    queue.ack(last.position).await.expect("noted");
    texts
}

async fn take(queue: &mut Queue, wanted: usize) -> (Vec<String>, Waiting) {
    let mut all = Vec::new();
    while all.len() < wanted {
        all.extend(soon("entries of the queue", queue.next()).await);
    }
    let texts = all.iter().map(|waiting| waiting.entry.text.clone());
    (texts.collect(), all.pop().expect("one at least"))
}

/// Lets a queue look after its files until something holds.
async fn run_until(queue: &mut Queue, what: &str, holds: impl Fn() -> bool + Send + 'static) {
    let seen = tokio::task::spawn_blocking({
        let what = what.to_owned();
        move || eventually(&what, || holds().then_some(()))
    });
    tokio::select! {
        batch = queue.next() => panic!("nobody wrote {batch:?}"),
        seen = seen => seen.expect("seen"),
    }
}

/// A reader in a process of its own, killed at the latest with the test.
struct Reader(Child);

impl Reader {
    fn start(data: &Data, name: &str, log: &Path) -> Self {
        let reader = Command::new(FAKE)
            .arg("queue")
            .args([data.path(), Path::new(name), log])
            .spawn();
        Self(reader.expect("a process"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

#[test]
fn ten_thousand_entries_survive_ten_kills_of_their_reader() {
    const ROUNDS: usize = 10;
    const EACH: usize = 500;
    let data = Data::new();
    let log = data.path().join("log");
    let mut log_file = File::options()
        .create_new(true)
        .append(true)
        .read(true)
        .open(&log)
        .expect("a log");
    let mut lines = String::new();
    let mut got_when = |count: usize| {
        eventually("the reader gets entries", || {
            log_file.read_to_string(&mut lines).expect("a log");
            let got: BTreeSet<&str> = lines.lines().filter(|l| l.starts_with("got")).collect();
            (got.len() >= count).then_some(())
        });
    };
    for round in 0..ROUNDS {
        let reader = Reader::start(&data, "claude", &log);
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let data = &data;
                scope.spawn(move || {
                    for n in 0..EACH {
                        data.put("claude", &format!("{writer}-{}", round * EACH + n));
                    }
                });
            }
            // In the middle of it all, at another place each time.
            got_when(round * 2 * EACH + 1 + round * 97);
            drop(reader);
        });
    }
    let last = Reader::start(&data, "claude", &log);
    got_when(ROUNDS * 2 * EACH);
    drop(last);

    let (mut got, mut acked) = (BTreeSet::new(), BTreeSet::new());
    for line in lines.lines() {
        match line.split_once(' ').expect("two words") {
            ("acked", text) => assert!(acked.insert(text), "{text} was acknowledged twice"),
            (_, text) => {
                assert!(
                    !acked.contains(text),
                    "{text} came after it was acknowledged"
                );
                got.insert(text);
            }
        }
    }
    let wanted: Vec<String> = (0..2)
        .flat_map(|writer| (0..ROUNDS * EACH).map(move |n| format!("{writer}-{n}")))
        .collect();
    assert_eq!(got, wanted.iter().map(String::as_str).collect());
}

#[tokio::test]
async fn what_waits_at_the_start_is_taken_and_nothing_is_left_at_the_end() {
    let data = Data::new();
    for text in ["one", "two"] {
        data.put("claude", text);
    }
    data.put("codex", "not ours");
    let mut queue = data.open("claude");
    assert_eq!(queue.polls(), None);
    assert!(!data.queue_file("claude").exists());
    for dir in [
        data.path().join(".wrapper-queues"),
        data.spools()[0].clone(),
    ] {
        let mode = fs::metadata(dir).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert_eq!(texts(&mut queue, 2).await, ["one", "two"]);
    // The reader waits already.
    let (texts, ()) = tokio::join!(done(&mut queue, 1), async {
        data.put("claude", "three");
    });
    assert_eq!(texts, ["three"]);

    let spool = data.spools()[0].join("taken");
    run_until(&mut queue, "what was delivered is removed", move || {
        children(&spool).is_empty()
    })
    .await;
    drop(queue);
    assert_eq!(data.spools(), [] as [PathBuf; 0]);
    assert!(data.queue_file("codex").exists());
}

#[tokio::test]
async fn a_cancelled_wait_loses_nothing() {
    let data = Data::new();
    let mut queue = data.open("claude");
    let mut all = Vec::new();
    for n in 0..200 {
        data.put("claude", &n.to_string());
        tokio::select! {
            biased;
            batch = queue.next() => all.extend(batch),
            () = tokio::task::yield_now() => {}
        }
    }
    while all.len() < 200 {
        all.extend(soon("the others", queue.next()).await);
    }
    let texts: Vec<String> = all.into_iter().map(|waiting| waiting.entry.text).collect();
    let wanted: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    assert_eq!(texts, wanted);
}

#[tokio::test]
async fn a_data_directory_that_is_made_anew_is_read_on() {
    let data = Data::new();
    let mut queue = data.open("claude");
    data.put("claude", "one");
    assert_eq!(done(&mut queue, 1).await, ["one"]);
    fs::remove_dir_all(data.path()).expect("removed");
    soon("the queue hears of it", async {
        while queue.polls().is_none() {
            tokio::select! {
                biased;
                batch = queue.next() => panic!("nobody wrote {batch:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    fs::create_dir(data.path()).expect("made");
    data.put("claude", "two");
    assert_eq!(done(&mut queue, 1).await, ["two"]);
    assert_eq!(data.taken().len(), 1);
    assert_eq!(queue.polls(), None);
}

#[tokio::test]
async fn what_cannot_be_a_data_directory_is_told() {
    let data = Data::new();
    let file = data.path().join("file");
    fs::write(&file, "").expect("written");
    for (dir, why) in [
        (data.path().join("no"), "No such file"),
        (file, "Not a directory"),
    ] {
        let (base, name) = ("claude".parse(), "claude".parse());
        let (base, name) = (base.expect("an agent"), name.expect("a name"));
        let opened = Queue::open(&dir, &SessionId::random(), &base, &name);
        let error = format!("{:#}", opened.expect_err("no data directory"));
        let told = format!("cannot take mentions from `{}`: {why}", dir.display());
        assert!(error.starts_with(&told), "{error}");
    }
}

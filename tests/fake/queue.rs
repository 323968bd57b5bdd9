//! A wrapper's end of a queue: `fake-agent queue DATA_DIR NAME LOG` appends
//! `got TEXT` to LOG for every entry that it is handed, and `acked TEXT` once it
//! has acknowledged it, until it is killed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use wrapper::queue::{Queue, Waiting};
use wrapper::types::identity::SessionId;

/// How many entries are acknowledged at once.
const TOGETHER: usize = 50;

pub(crate) async fn run() -> ExitCode {
    let mut args = std::env::args().skip(2);
    let mut next = || args.next().expect("an argument");
    let (data_dir, name, log) = (PathBuf::from(next()), next(), next());
    let base = "claude".parse().expect("an agent");
    let name = name.parse().expect("a name");
    let session = SessionId::random();
    let mut queue = Queue::open(&data_dir, &session, &base, &name).expect("a data directory");
    let mut log = OpenOptions::new()
        .append(true)
        .open(log)
        .expect("a log of the test's");
    let mut say = |word: &str, some: &[Waiting]| {
        let lines: String = some
            .iter()
            .flat_map(|waiting| [word, " ", &waiting.entry.text, "\n"])
            .collect();
        log.write_all(lines.as_bytes()).expect("written");
    };
    loop {
        for some in queue.next().await.chunks(TOGETHER) {
            say("got", some);
            let upto = some[some.len() - 1].position;
            queue.ack(upto).await.expect("noted");
            say("acked", some);
        }
    }
}

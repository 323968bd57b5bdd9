//! Mentions that outlive their wrapper: the real program, killed again and
//! again while its queue is written to.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wrapper::types::exit::AgentExit;

use super::support::agentchattr::Agentchattr;
use super::support::pty::Outer;
use super::support::world::World;
use super::support::{eventually, meanwhile};

const ENTRIES: usize = 10_000;
const WRITERS: usize = 2;
const KILLS: usize = 10;

/// What each writer may append until it has to wait: twice in each life.
const SHARE: usize = ENTRIES / WRITERS / KILLS / 2;

/// Writers that append as the server does, in a tight loop, a share at a time.
struct Writers {
    shares: Arc<(Mutex<usize>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(queue: &Path) -> Self {
        let shares = Arc::new((Mutex::new(0), Condvar::new()));
        let write = |writer: usize| {
            let (shares, queue) = (Arc::clone(&shares), queue.to_owned());
            move || {
                for n in 0..ENTRIES / WRITERS {
                    if n % SHARE == 0 {
                        let (given, changed) = &*shares;
                        let given = given.lock().unwrap_or_else(PoisonError::into_inner);
                        let waits = |given: &mut usize| *given <= n / SHARE;
                        drop(changed.wait_while(given, waits));
                    }
                    append(&queue, n * WRITERS + writer);
                }
            }
        };
        let threads = (0..WRITERS).map(|writer| std::thread::spawn(write(writer)));
        let threads = threads.collect();
        Self { shares, threads }
    }

    /// Lets all of them go on.
    fn share(&self) {
        let (given, changed) = &*self.shares;
        *given.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        changed.notify_all();
    }

    fn end(self) {
        for thread in self.threads {
            thread.join().expect("all is written");
        }
    }
}

/// Opens, writes a line, closes. The number of the job tells the entries apart.
fn append(queue: &Path, job: usize) {
    let entry = json!({
        "sender": "user", "text": "user: x", "time": "00:00:00", "channel": "general", "job_id": job,
    });
    let file = OpenOptions::new().create(true).append(true).open(queue);
    let mut file = file.expect("opened");
    file.write_all(format!("{entry}\n").as_bytes())
        .expect("written");
}

/// One life of the wrapper: what its agent was given.
struct Life {
    report: PathBuf,
}

impl Life {
    fn report(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.report).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The jobs of each prompt that was submitted.
    fn prompts(&self) -> Vec<Vec<usize>> {
        let jobs = |prompt: &str| {
            let words = prompt.split([' ', ',']);
            let jobs = words.filter_map(|word| word.strip_prefix("job_id=")?.parse().ok());
            jobs.collect()
        };
        let report = self.report();
        let prompts = report.iter().filter_map(|one| one["prompt"].as_str());
        prompts.map(jobs).collect()
    }
}

/// Kills the wrapper, and waits until its agent is gone as well: nothing is
/// reported any more.
async fn strike(world: &World, mut terminal: Outer) {
    let pid = i32::try_from(terminal.pid()).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("killed");
    assert_eq!(terminal.end().await, AgentExit::Signal(9));
    drop(terminal);
    eventually("the end of the agent", || {
        let left = world.processes();
        let is_agent = |(_, args): &(i32, String)| args.contains("fake-agent ");
        (!left.iter().any(is_agent)).then_some(())
    });
}

/// True if nothing waits that was written.
fn is_spent(data_dir: &Path) -> bool {
    let spools = fs::read_dir(data_dir.join(".wrapper-queues")).expect("spools");
    let mut taken = spools.flatten().map(|spool| spool.path().join("taken"));
    let is_empty = |dir: PathBuf| fs::read_dir(dir).is_ok_and(|files| files.count() == 0);
    !data_dir.join("fake_queue.jsonl").exists() && taken.all(is_empty)
}

#[tokio::test]
async fn ten_thousand_mentions_outlive_ten_kills() {
    let world = World::new();
    let server = Agentchattr::of(&world, &[]);
    let writers = Writers::start(&server.data_dir.join("fake_queue.jsonl"));
    let mut lives = Vec::new();
    for n in 0..KILLS {
        writers.share();
        let mut terminal = world.launch(&["fake"]);
        // Killed at all kinds of moments: before a delivery, within, after.
        let (moment, times) = [("start", 1), ("paste", 1), ("prompt", 2)][n % 3];
        for time in 1..=times {
            let met = |_: &mut Outer| {
                let report = world.report();
                let met = report.iter().filter(|one| one.get(moment).is_some());
                met.count() >= time
            };
            terminal.until(moment, met).await;
            if time == 1 {
                writers.share();
            }
        }
        strike(&world, terminal).await;
        let report = world.path(&format!("report-{n}"));
        fs::rename(world.path("report"), &report).expect("kept");
        lives.push(Life { report });
        // The server has noticed; the name is kept for who comes back.
        server.post("/__test/expire/fake", &Value::Null).await;
    }
    writers.end();
    let last = Life {
        report: world.path("report"),
    };
    let mut terminal = world.launch(&["fake"]);
    loop {
        let known = last.prompts().len();
        let further = async || {
            let is_spent = is_spent(&server.data_dir);
            (is_spent || last.prompts().len() > known).then_some(is_spent)
        };
        let is_spent = tokio::select! {
            is_spent = meanwhile("another prompt", further) => is_spent,
            () = terminal.until("another prompt", |_| false) => unreachable!("it waits for ever"),
        };
        if is_spent {
            break;
        }
    }
    lives.push(last);

    let mut seen: BTreeMap<usize, Vec<(usize, bool)>> = BTreeMap::new();
    for (n, life) in lives.iter().enumerate() {
        let prompts = life.prompts();
        for (at, jobs) in prompts.iter().enumerate() {
            let is_last = at + 1 == prompts.len();
            for job in jobs {
                seen.entry(*job).or_default().push((n, is_last));
            }
        }
    }
    let lost: Vec<usize> = (0..ENTRIES).filter(|job| !seen.contains_key(job)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    for (job, times) in seen {
        // Only what was submitted last before a kill may come again.
        let (_, before) = times.split_last().expect("once at least");
        assert!(
            before.iter().all(|(_, is_last)| *is_last),
            "{job}: {times:?}"
        );
    }
    terminal.leave().await;
}

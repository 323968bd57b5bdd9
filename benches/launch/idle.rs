//! What a wrapper takes while it idles.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::stage::{Outer, World};
use super::{Failure, SETTLED};

pub(super) async fn idle(world: &World, time: Duration) -> Result<(), Failure> {
    // One wrapper: several would share the pages of the program among them.
    let names = ["relay", "wrapper"];
    let mut all = Vec::new();
    for name in names {
        let mut outer = Outer::run(&world.command(name))?;
        outer.until(b"> ").await?;
        all.push(outer);
    }
    sleep(SETTLED).await;
    let mut pids: Vec<u32> = all.iter().map(|outer| outer.process.pid()).collect();
    pids.push(world.hub.id());
    let before = usages(&pids)?;
    sleep(time).await;
    let after = usages(&pids)?;
    println!("\nidle for {} s, all at once", time.as_secs());
    for (at, name) in names.iter().chain(&["the hub"]).enumerate() {
        let (before, after) = (&before[at], &after[at]);
        println!(
            "{name:>18} {:6.2} MB PSS ({:.2} private) {:3} threads {:6.2} switches/s {:3} ticks",
            after.pss,
            after.private,
            after.threads,
            (after.switches - before.switches) as f64 / time.as_secs_f64(),
            after.ticks - before.ticks,
        );
    }
    for outer in all {
        outer.end().await?;
    }
    Ok(())
}

/// What a process has used so far, and what it holds.
pub(super) struct Usage {
    pss: f64,
    private: f64,
    threads: usize,
    /// Voluntary switches of its threads: how often one of them fell asleep.
    switches: u64,
    ticks: u64,
}

pub(super) fn usages(pids: &[u32]) -> Result<Vec<Usage>, Failure> {
    pids.iter()
        .map(|pid| {
            let mut whole = usage(*pid)?;
            for anchor in anchors(*pid)? {
                let more = usage(anchor)?;
                whole.pss += more.pss;
                whole.private += more.private;
                whole.threads += more.threads;
                whole.switches += more.switches;
                whole.ticks += more.ticks;
            }
            Ok(whole)
        })
        .collect()
}

/// The children of a process that run its own program: what a wrapper leaves
/// in the session of its agent.
pub(super) fn anchors(pid: u32) -> Result<Vec<u32>, Failure> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe"));
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let own = program(pid)?;
    let children: Vec<u32> = children
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(children
        .into_iter()
        .filter(|child| own.ends_with("wrapper") && program(*child).is_ok_and(|of| of == own))
        .collect())
}

pub(super) fn usage(pid: u32) -> Result<Usage, Failure> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let memory = fs::read_to_string(proc.join("smaps_rollup"))?;
    let tasks: Vec<PathBuf> = fs::read_dir(proc.join("task"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    let mut switches = 0;
    for task in &tasks {
        let status = fs::read_to_string(task.join("status"))?;
        switches += number(&status, "voluntary_ctxt_switches:")?;
    }
    let stat = fs::read_to_string(proc.join("stat"))?;
    // The name, which may hold anything, ends with the last parenthesis.
    let fields = stat.rsplit_once(')').ok_or("a strange stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let private = number(&memory, "Private_Clean:")? + number(&memory, "Private_Dirty:")?;
    Ok(Usage {
        pss: number(&memory, "Pss:")? as f64 / 1024.0,
        private: private as f64 / 1024.0,
        threads: tasks.len(),
        switches,
        ticks: ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?,
    })
}

pub(super) fn number(text: &str, key: &str) -> Result<u64, Failure> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    Ok(word.ok_or(key)?.parse()?)
}

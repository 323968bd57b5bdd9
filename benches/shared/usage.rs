//! What wrappers hold and have used, as the kernel counts it.

use std::fs;
use std::path::PathBuf;

use super::Failure;
use super::number::number;

/// What a process has used so far, and what it holds.
pub(crate) struct Usage {
    /// In MB, as all of this.
    pub(crate) pss: f64,
    pub(crate) private: f64,
    pub(crate) threads: usize,
    /// Voluntary switches of its threads: how often one of them fell asleep.
    pub(crate) switches: u64,
    /// Of the processor.
    pub(crate) ticks: u64,
}

/// Of wrappers, each with its anchor, or of other processes.
pub(crate) fn usages(pids: &[u32]) -> Result<Vec<Usage>, Failure> {
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
pub(crate) fn anchors(pid: u32) -> Result<Vec<u32>, Failure> {
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

fn usage(pid: u32) -> Result<Usage, Failure> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let memory = fs::read_to_string(proc.join("smaps_rollup"))?;
    let tasks: Vec<PathBuf> = fs::read_dir(proc.join("task"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    let mut switches = 0;
    for task in &tasks {
        let status = fs::read_to_string(task.join("status"))?;
        switches += number(&status, "voluntary_ctxt_switches:").ok_or("no switches")?;
    }
    let stat = fs::read_to_string(proc.join("stat"))?;
    // The name, which may hold anything, ends with the last parenthesis.
    let fields = stat.rsplit_once(')').ok_or("a strange stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let kb = |key| number(&memory, key).ok_or(key);
    let private = kb("Private_Clean:")? + kb("Private_Dirty:")?;
    Ok(Usage {
        pss: kb("Pss:")? as f64 / 1024.0,
        private: private as f64 / 1024.0,
        threads: tasks.len(),
        switches,
        ticks: ticks.map(str::parse::<u64>).sum::<Result<_, _>>()?,
    })
}

//! `wrapper logs SESSION`: what a session has logged, also after its end.

mod tail;

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use chrono::{DateTime, Local};
use serde_json::{Value, json};

use super::found;
use super::setting::block_on;
use crate::cli::Logs;
use crate::control::find::{self, NotFound};
use crate::control::roster;
use crate::paths;
use crate::report::{self, Failure};
use crate::types::exit::Exit;
use crate::types::text;
use tail::Tail;

/// Where a log says, in its first lines, whose it is.
const HEAD: u64 = 4096;

/// A log, and the directory of its session while that runs.
struct Log {
    path: PathBuf,
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Logs) -> Result<Exit, Failure> {
    block_on(Exit::NotDone, async {
        let log = locate(&paths::state(&paths::env()), &args.session).await?;
        let mut tail = Tail::of(&log.path);
        let follows = args.follow && log.dir.is_some();
        if !follows && !log.path.exists() {
            let error = anyhow!("there is no log {}", log.path.display());
            return Err(
                Failure::new(Exit::NotDone, error).hint("the newest 50 are kept, and no other")
            );
        }
        let lines = last(tail.lines().map_err(failed)?, args.n);
        if args.json && !args.follow {
            report::json(&lines.iter().map(|line| entry(line)).collect::<Vec<_>>());
            return Ok(Exit::Done);
        }
        show(lines, args.json);
        let follows = args.follow && !report::is_lost();
        let Some(dir) = log.dir.filter(|_| follows) else {
            return Ok(Exit::Done);
        };
        let mut end = tokio::task::spawn_blocking(move || roster::outlast(&dir));
        loop {
            let is_over = tokio::select! {
                ended = &mut end => {
                    ended.context("cannot wait for the session's end").and_then(|end| end).map_err(failed)?;
                    true
                }
                () = tail.changed() => false,
            };
            show(tail.lines().map_err(failed)?, args.json);
            if is_over || report::is_lost() {
                return Ok(Exit::Done);
            }
        }
    })
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::new(Exit::NotDone, error)
}

/// The log of the session that `asked` means: a running one, else the last that
/// had this id or this name.
async fn locate(state: &Path, asked: &str) -> Result<Log, Failure> {
    match find::session(state, asked).await {
        Ok(found) => Ok(Log {
            path: found.session.log.into(),
            dir: Some(found.dir),
        }),
        Err(error @ NotFound::Several { .. }) => Err(found::not_found(error)),
        Err(error @ NotFound::None { .. }) => {
            let path = ended(&state.join("logs"), asked).ok_or_else(|| found::not_found(error))?;
            Ok(Log { path, dir: None })
        }
    }
}

/// The newest log of that id or name, or the one whose id begins so.
fn ended(logs: &Path, asked: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(logs).ok()?.flatten();
    let mut all: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    all.sort_by(|one, other| other.cmp(one));
    let id = |path: &Path| path.file_stem().is_some_and(|id| id == asked);
    let begins = |path: &Path| {
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        !asked.is_empty() && stem.is_some_and(|stem| stem.starts_with(asked))
    };
    let mut paths = all.iter().map(|(_, path)| path);
    if let Some(found) = paths.clone().find(|path| id(path)) {
        return Some(found.clone());
    }
    if let Some(found) = paths.clone().find(|path| is_of(path, asked)) {
        return Some(found.clone());
    }
    let found = paths.find(|path| begins(path))?;
    paths.all(|path| !begins(path)).then(|| found.clone())
}

/// True if a log says that it is the session's of this name.
fn is_of(log: &Path, name: &str) -> bool {
    let mut head = Vec::new();
    let read = fs::File::open(log).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let head = String::from_utf8_lossy(&head);
    let mut launched = head
        .lines()
        .filter(|line| line.contains(": launched session="));
    read.is_ok() && launched.any(|line| line.ends_with(&format!(" name={name:?}")))
}

fn last(lines: Vec<String>, n: Option<usize>) -> Vec<String> {
    let Some(n) = n else {
        return lines;
    };
    let mut kept: VecDeque<String> = lines.into();
    kept.drain(..kept.len().saturating_sub(n));
    kept.into()
}

fn show(lines: Vec<String>, as_json: bool) {
    for line in lines {
        if as_json {
            report::json(&entry(&line));
        } else {
            // What others have sent may be quoted there.
            let shown = for_eyes(&line);
            let shown = shown.chars().filter(|&c| c == '\t' || !text::is_control(c));
            report::line(shown.collect::<String>());
        }
    }
}

/// A line for the user: by the clock of this place, and without the part of the
/// program that wrote it.
fn for_eyes(line: &str) -> String {
    let parts = entry(line);
    let time = parts["time"].as_str();
    let Some(time) = time.and_then(|time| DateTime::parse_from_rfc3339(time).ok()) else {
        return line.to_owned();
    };
    let clock = time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
    let text = parts["text"].as_str().unwrap_or_default();
    match parts["level"].as_str() {
        Some(level @ ("warn" | "error")) => {
            let level = if level == "warn" { "warning" } else { level };
            format!("{clock}  {level}: {text}")
        }
        _ => format!("{clock}  {text}"),
    }
}

/// A line in its parts; one that goes on with the line before is text alone.
fn entry(line: &str) -> Value {
    let parts = || {
        let (time, rest) = line.split_once(' ')?;
        DateTime::parse_from_rfc3339(time).ok()?;
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let (target, text) = rest.split_once(": ")?;
        Some(json!({"time": time, "level": level.to_lowercase(), "target": target, "text": text}))
    };
    parts().unwrap_or_else(|| json!({"time": null, "level": null, "target": null, "text": line}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_in_its_parts() {
        let line = "2026-11-21T22:16:10.123456Z  INFO wrapper::cmd::launch: launched session=ab name=\"x: y\"";
        let told = entry(line);
        assert_eq!(told["time"], "2026-11-21T22:16:10.123456Z");
        assert_eq!(
            (&told["level"], &told["target"]),
            (&json!("info"), &json!("wrapper::cmd::launch"))
        );
        assert_eq!(told["text"], "launched session=ab name=\"x: y\"");
        for line in ["", "at src/main.rs: 3", "now INFO x: y"] {
            let told = entry(line);
            assert_eq!((&told["time"], &told["text"]), (&Value::Null, &json!(line)));
        }
    }

    #[test]
    fn a_line_is_shown_by_the_clock_of_this_place_and_without_our_insides() {
        let at = "2026-11-21T22:16:10.123456Z";
        let local = DateTime::parse_from_rfc3339(at).expect("a time");
        let clock = local.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
        for (line, shown) in [
            ("  INFO wrapper::cmd::launch: launched", "launched"),
            ("  WARN wrapper::x: odd", "warning: odd"),
            (" ERROR wrapper::x: bad", "error: bad"),
        ] {
            assert_eq!(
                for_eyes(&format!("{at}{line}")),
                format!("{clock}  {shown}")
            );
        }
        assert_eq!(for_eyes("  goes on"), "  goes on");
    }

    #[test]
    fn the_newest_log_of_a_name_is_meant() {
        let dir = tempfile::tempdir().expect("a directory");
        for (age, id, name) in [
            (30, "a1", "claude"),
            (20, "b2", "claude"),
            (10, "b3", "codex"),
        ] {
            let path = dir.path().join(format!("{id}.log"));
            let text = format!("now INFO x: launched session={id} agent=claude name={name:?}\n");
            fs::write(&path, text).expect("written");
            let time =
                std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 - age);
            let file = fs::File::options().append(true).open(&path).expect("there");
            file.set_modified(time).expect("dated");
        }
        for (asked, id) in [
            ("claude", Some("b2")),
            ("codex", Some("b3")),
            ("a1", Some("a1")),
            ("a", Some("a1")),
            ("b", None),
            ("claud", None),
            ("", None),
        ] {
            let found = ended(dir.path(), asked);
            let wanted = id.map(|id| dir.path().join(format!("{id}.log")));
            assert_eq!(found, wanted, "{asked}");
        }
    }

    #[test]
    fn the_last_lines_are_kept() {
        let lines = || ["1", "2", "3"].map(str::to_owned).to_vec();
        for (n, kept) in [(None, 3), (Some(0), 0), (Some(2), 2), (Some(9), 3)] {
            let last = last(lines(), n);
            assert_eq!(last, lines()[3 - kept..], "{n:?}");
        }
    }
}

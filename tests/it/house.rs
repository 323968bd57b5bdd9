//! The rules of the house that the compiler cannot see.

use std::fs;
use std::path::{Path, PathBuf};

/// Which floor may use which; `*` is everything. `main`, `lib` and `cmd` are
/// where machines meet.
const FLOORS: &[(&str, &[&str])] = &[
    ("cmd", &["*"]),
    ("presence", &["hub", "types"]),
    ("inbox", &["hub", "presence", "queue", "session", "types"]),
    ("bridge", &["control", "paths", "types"]),
    ("control", &["catalog", "paths", "session", "types"]),
    (
        "catalog",
        &[
            "credential",
            "hosting",
            "paths",
            "proxy",
            "servers",
            "types",
        ],
    ),
    ("session", &["terminal", "types"]),
    (
        "proxy",
        &["credential", "hosting", "loopback", "paths", "types"],
    ),
    ("credential", &["paths", "types"]),
    ("hosting", &["paths", "types"]),
    ("hub", &["loopback", "paths", "types"]),
    ("queue", &["paths", "types"]),
    ("inject", &["paths", "types"]),
    ("servers", &["paths", "types"]),
    ("terminal", &["types"]),
    ("config", &["paths", "types"]),
    ("logging", &["paths"]),
    ("report", &["types"]),
    ("cli", &["types"]),
    ("loopback", &["types"]),
    ("paths", &[]),
    ("types", &[]),
];

/// What a pure file does without: waiting, clocks, and the world outside.
const IMPURE: &[&str] = &[
    ".await",
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "tokio::",
    "std::fs",
    "std::net::Tcp",
    "std::env",
    "std::process",
];

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let floor = floor(&file);
        if ["main", "lib"].contains(&floor.as_str()) {
            continue;
        }
        let Some((_, may)) = FLOORS.iter().find(|(name, _)| *name == floor) else {
            wrong.push(format!("{}: `{floor}` is on no floor", file.display()));
            continue;
        };
        for (number, line) in code(&text) {
            assert!(
                !line.contains("use crate::{"),
                "{}:{number}: one `use` a module, so that this test can read it",
                file.display()
            );
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if used != floor && !may.contains(&"*") && !may.contains(&used.as_str()) {
                    wrong.push(format!(
                        "{}:{number}: `{floor}` may not use `{used}`",
                        file.display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_files_are_pure() {
    let mut wrong = Vec::new();
    let mut pure = 0;
    for (file, text) in sources() {
        let docs = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .any(|line| line.contains("Pure."));
        if !docs && floor(&file) != "types" {
            continue;
        }
        pure += 1;
        for (number, line) in code(&text) {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                wrong.push(format!(
                    "{}:{number}: a pure file has no `{word}`",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(pure > 8, "the scan found only {pure} pure files");
}

#[test]
fn files_stay_small() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(file, text)| (text.lines().count(), file))
        .filter(|(lines, _)| *lines > 500)
        .map(|(lines, file)| {
            format!(
                "{}: {lines} lines: what second thing lives there?",
                file.display()
            )
        })
        .collect();
    assert!(long.is_empty(), "\n{}", long.join("\n"));
}

/// Every source file with its text, by its path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut dirs) = (Vec::new(), vec![root.clone()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((
                    path.strip_prefix(&root).expect("below src").to_owned(),
                    text,
                ));
            }
        }
    }
    assert!(
        found.len() > 20,
        "the scan found only {} files",
        found.len()
    );
    found
}

/// The folder or file at the top of `src` that a file belongs to.
fn floor(file: &Path) -> String {
    let first = file.components().next().expect("a component").as_os_str();
    Path::new(first)
        .with_extension("")
        .to_string_lossy()
        .into_owned()
}

/// Numbered lines of code: no comments, and nothing from the tests on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .map(|line| line.split("//").next().unwrap_or_default())
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

//! A project's servers, and whether they are trusted.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use wrapper::paths::Env;
use wrapper::servers::project::{self, Digest, Project, Reading};
use wrapper::servers::trust::{Answer, Trust, ask};
use wrapper::types::agent::Dialect;
use wrapper::types::server::{Kind, Origin};

/// A project in a directory, and a directory of state.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("project")).expect("made");
        Self { dir }
    }

    fn with(file: &str) -> Self {
        let place = Self::new();
        fs::write(place.path("project/.mcp.json"), file).expect("written");
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn read(&self) -> Reading {
        let env = Env::from([("TOKEN".into(), "s3cret".into())]);
        let own = "agentchattr".parse().expect("a name");
        project::read(&self.path("project"), &own, &env)
    }

    #[track_caller]
    fn project(&self) -> Project {
        self.read().project.expect("servers")
    }

    fn trust(&self) -> Trust {
        Trust::new(&self.path("state"))
    }
}

const SERVERS: &str = r#"{"mcpServers": {
    "agentchattr": {"command": "evil"},
    "Docs 2.0": {"command": "npx", "args": ["-y", "docs"], "env": {"KEY": "${TOKEN}"}, "colour": "red"},
    "net": {"type": "http", "url": "https://x.dev/mcp"},
    "lacks": {"command": "x", "args": ["${NO_SUCH}"]},
    "off": {"command": "x", "disabled": true}
}}"#;

#[test]
fn a_projects_servers_are_read_less_ours_and_those_that_are_off() {
    let place = Place::with(SERVERS);
    let project = place.project();
    let shown: Vec<String> = project
        .entries
        .iter()
        .map(|entry| entry.shown.to_string())
        .collect();
    assert_eq!(
        shown,
        [
            "Docs 2.0: npx -y docs  with KEY=****",
            "net: https://x.dev/mcp",
            "lacks: x '${NO_SUCH}'"
        ]
    );
    assert_eq!(project.digest, Digest::of(SERVERS.as_bytes()));
    let path = project.path.display().to_string();
    let usable = project.usable(Dialect::Codex);
    let names: Vec<&str> = usable
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    assert_eq!(names, ["Docs 2.0", "net"]);
    assert!(
        usable
            .servers
            .iter()
            .all(|server| server.origin == Origin::Project)
    );
    assert!(
        matches!(&usable.servers[0].kind, Kind::Command(command) if command.env["KEY"].expose() == "s3cret")
    );
    assert_eq!(
        usable.warnings,
        [format!(
            "{path}: `mcpServers.Docs 2.0.colour` is ignored: unknown key"
        )]
    );
    assert_eq!(usable.left_out[0].name, "lacks");
    assert_eq!(
        usable.left_out[0].why,
        "`args[0]`: the variable `NO_SUCH` is not set"
    );
}

#[test]
fn a_project_without_servers_has_none() {
    let ours = Place::with(r#"{"mcpServers": {"agentchattr": 1}}"#).project();
    assert!(ours.entries.is_empty() && ours.names == ["agentchattr"]);
    let place = Place::new();
    fs::remove_dir(place.path("project")).expect("removed");
    assert!(place.read().project.is_none());
    fs::write(place.path("project"), "a file").expect("written");
    let reading = place.read();
    assert!(reading.project.is_none() && reading.warning.is_none());
}

#[test]
fn an_answer_is_of_one_directory_and_one_content() {
    let place = Place::with(SERVERS);
    fs::create_dir(place.path("other")).expect("made");
    symlink(place.path("project"), place.path("link")).expect("linked");
    let (trust, one, two) = (place.trust(), Digest::of(b"one"), Digest::of(b"two"));
    let dir = place.path("project");
    let known = |dir: &str, digest: &Digest| {
        trust
            .remembered(&place.path(dir), digest)
            .expect("a good file")
    };
    assert_eq!(known("project", &one), None);
    trust.remember(&dir, &one, Answer::Yes).expect("remembered");
    trust.remember(&dir, &two, Answer::No).expect("remembered");
    assert_eq!(known("project", &one), Some(Answer::Yes));
    assert_eq!(
        known("link", &one),
        Some(Answer::Yes),
        "by the canonical directory"
    );
    assert_eq!(known("project", &two), Some(Answer::No));
    assert_eq!(known("project", &Digest::of(b"three")), None);
    assert_eq!(known("other", &one), None);
    assert_eq!(known("gone", &one), None);
    trust.remember(&dir, &one, Answer::No).expect("remembered");
    assert_eq!(
        known("project", &one),
        Some(Answer::No),
        "the last answer counts"
    );
    for n in 0..30_u8 {
        trust
            .remember(&dir, &Digest::of(&[n]), Answer::Yes)
            .expect("remembered");
    }
    assert_eq!(known("project", &one), None, "few are kept");
    assert_eq!(known("project", &Digest::of(&[29])), Some(Answer::Yes));
    let mode = |name: &str| {
        let meta = fs::metadata(place.path(name)).expect("there");
        meta.permissions().mode() & 0o777
    };
    assert_eq!((mode("state"), mode("state/trust.json")), (0o700, 0o600));
}

#[test]
fn launches_at_one_time_lose_no_answer() {
    let place = Place::new();
    let trust = place.trust();
    let dirs: Vec<PathBuf> = (0..8).map(|n| place.path(&format!("p{n}"))).collect();
    let digest = Digest::of(b"x");
    std::thread::scope(|scope| {
        for dir in &dirs {
            fs::create_dir(dir).expect("made");
            let (trust, digest) = (&trust, &digest);
            scope.spawn(move || {
                for n in 0..5_u8 {
                    trust
                        .remember(dir, &Digest::of(&[n]), Answer::No)
                        .expect("remembered");
                }
                trust
                    .remember(dir, digest, Answer::Yes)
                    .expect("remembered");
            });
        }
    });
    for dir in &dirs {
        assert_eq!(
            trust.remembered(dir, &digest).expect("good"),
            Some(Answer::Yes)
        );
        assert_eq!(
            trust.remembered(dir, &Digest::of(&[0])).expect("good"),
            Some(Answer::No)
        );
    }
}

#[test]
fn a_broken_file_of_answers_is_told_and_kept() {
    let place = Place::new();
    let (trust, digest, dir) = (place.trust(), Digest::of(b"x"), place.path("project"));
    let file = place.path("state/trust.json");
    fs::create_dir(place.path("state")).expect("made");
    fs::write(&file, "{oops").expect("written");
    let error = trust.remembered(&dir, &digest).expect_err("told");
    let said = format!("{error:#}");
    assert!(
        said.starts_with(&format!("cannot understand {}: ", file.display())),
        "{said}"
    );
    assert_eq!(fs::read(&file).expect("untouched"), b"{oops");
    trust
        .remember(&dir, &digest, Answer::Yes)
        .expect("remembered");
    assert_eq!(
        trust.remembered(&dir, &digest).expect("good"),
        Some(Answer::Yes)
    );
    let aside = place.path("state/trust.json.broken");
    assert_eq!(fs::read(aside).expect("kept"), b"{oops");
    // What cannot be read at all is not replaced.
    fs::remove_file(&file).expect("removed");
    fs::create_dir(&file).expect("made");
    assert!(trust.remember(&dir, &digest, Answer::Yes).is_err());
}

#[test]
fn the_question_shows_what_would_run_and_takes_no_silence_for_yes() {
    let place = Place::with(SERVERS);
    let project = place.project();
    for (typed, answer, asked) in [
        ("y\n", Some(Answer::Yes), 1),
        ("YES\n", Some(Answer::Yes), 1),
        ("n\n", Some(Answer::No), 1),
        ("\n", Some(Answer::No), 1),
        ("maybe\ny\n", Some(Answer::Yes), 2),
        ("", None, 1),
        ("what", None, 2),
    ] {
        let mut shown = Vec::new();
        let said = ask(&project, typed.as_bytes(), &mut shown).expect("asked");
        let shown = String::from_utf8(shown).expect("text");
        assert_eq!(said, answer, "{typed:?}");
        assert_eq!(
            shown.matches("Use these servers? [y/N] ").count(),
            asked,
            "{shown}"
        );
        assert!(shown.contains("\n  net: https://x.dev/mcp\n"), "{shown}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("evil"),
            "{shown}"
        );
    }
}

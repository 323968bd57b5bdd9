//! What agents are told, and what is put back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use wrapper::config;
use wrapper::inject::{Applied, Format, InjectPlan, Link, PlannedFile, Proxy, plan, undo_journal};
use wrapper::paths::Env;
use wrapper::types::agent::{AgentSpec, Inject, Transport};
use wrapper::types::identity::Token;
use wrapper::types::options::{AgentOptions, Options};
use wrapper::types::server::{ContextLevel, Kind, Origin, Remote, Server};
use wrapper::types::upstream::Endpoint;

use crate::support::eventually;

/// A user with gemini's settings, and the sessions they start.
pub(crate) struct User {
    pub(crate) dir: TempDir,
}

pub(crate) const SETTINGS: &str = "{\n    \"theme\": \"dark\",  \"list\": [1, 2.50],\n    \"mcpServers\": {\n        \"mine\": {\"url\": \"x\"}\n    }\n}\n";

impl User {
    pub(crate) fn new() -> Self {
        let user = Self {
            dir: tempfile::tempdir().expect("a directory"),
        };
        fs::create_dir_all(user.path("sessions")).expect("made");
        user
    }

    pub(crate) fn with(settings: &str) -> Self {
        let user = Self::new();
        fs::create_dir_all(user.path("home/.gemini")).expect("made");
        user.write(settings);
        user
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn settings(&self) -> PathBuf {
        self.path("home/.gemini/settings.json")
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(self.settings(), text).expect("written");
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.settings()).expect("settings")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text()).expect("JSON")
    }

    /// What the agent would find under our name.
    pub(crate) fn entry(&self) -> Option<Value> {
        // It may be blank still.
        let json: Value = serde_json::from_str(&self.text()).ok()?;
        json.pointer("/mcpServers/agentchattr").cloned()
    }

    pub(crate) fn session(&self, id: &str) -> PathBuf {
        session(self.dir.path(), id)
    }

    pub(crate) fn start(&self, id: &str) -> Applied {
        let session = self.session(id);
        gemini(self.dir.path(), &session)
            .apply(&session)
            .expect("applied")
    }

    /// A session in a process of its own, killed while it runs.
    pub(crate) fn start_and_kill(&self, id: &str) {
        let before = self.text();
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "inject::a_session_that_waits_for_its_end"])
            .env("WAITING_SESSION", self.dir.path())
            .env("WAITING_SESSION_ID", id)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        let session = self.session(id);
        eventually("the session is there", || {
            let journal = session.join("undo.json").exists();
            (journal && (self.text() != before || self.entry().is_some())).then_some(())
        });
        assert!(!undo_journal(&session).expect("read"), "it is alive");
        assert!(self.entry().is_some());
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
}

pub(crate) fn session(root: &Path, id: &str) -> PathBuf {
    let dir = root.join("sessions").join(id);
    fs::create_dir_all(&dir).expect("made");
    dir
}

pub(crate) fn agent(root: &Path, name: &str) -> AgentSpec {
    let env = Env::from([("HOME".into(), root.join("home").into())]);
    config::load(&env, root, &Options::default())
        .and_then(|config| config.agent(name, &AgentOptions::default()))
        .expect("an agent")
}

/// A plan that tells `spec`'s agent of the hub.
pub(crate) fn planned(spec: &AgentSpec, token: &str, session: &Path) -> InjectPlan {
    let bearer = Token::new(format!("Bearer {token}"));
    let hub = Server {
        name: "agentchattr".parse().expect("a name"),
        origin: Origin::Hub,
        kind: Kind::Remote(Remote {
            endpoint: Endpoint::loopback(8200, "/mcp"),
            transport: Transport::Http,
            headers: vec![("Authorization".into(), bearer)],
            auth: None,
        }),
        context: ContextLevel::None,
    };
    let link = Link {
        proxy: Some(Proxy {
            base: "http://127.0.0.1:4711".into(),
            key: Token::new("sesame"),
        }),
        program: Path::new("/bin/wrapper"),
        context: &[],
        dir: session,
        project: None,
        displaced: None,
        settings: serde_json::Map::new(),
    };
    plan(spec, &[hub], &link).expect("a plan")
}

pub(crate) fn gemini(root: &Path, session: &Path) -> InjectPlan {
    planned(&agent(root, "gemini"), "unused", session)
}

/// No test by itself: what [`User::start_and_kill`] runs.
#[test]
fn a_session_that_waits_for_its_end() {
    let Some(root) = std::env::var_os("WAITING_SESSION").map(PathBuf::from) else {
        return;
    };
    let id = std::env::var("WAITING_SESSION_ID").expect("an id");
    let session = session(&root, &id);
    let _applied = gemini(&root, &session).apply(&session).expect("applied");
    let _ = std::io::read_to_string(std::io::stdin());
}

#[test]
fn a_file_is_restored_byte_for_byte() {
    for text in [
        SETTINGS,
        "{}",
        "{ }\n\n",
        r#"{"mcpServers":{}}"#,
        "\t{\"a\":1e5}",
        "\u{feff}{\r\n\t// mine\r\n\t\"a\": 1, /* and */\r\n}\r\n",
    ] {
        let user = User::with(text);
        fs::set_permissions(user.settings(), fs::Permissions::from_mode(0o640)).expect("set");
        let applied = user.start("a");
        assert!(user.text().contains("\"Bearer ${WRAPPER_MCP_KEY}\""));
        assert!(!user.text().contains("sesame"));
        let mode = |path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!(mode(user.settings()), 0o640);
        assert_eq!(mode(user.path("sessions/a/undo.json")), 0o600);
        drop(applied);
        assert_eq!(user.text(), text);
        assert_eq!(mode(user.settings()), 0o640);
        assert_eq!(fs::read_dir(user.session("a")).expect("listed").count(), 0);
        let beside = fs::read_dir(user.path("home/.gemini")).expect("listed");
        assert_eq!(beside.count(), 1, "no temporary file is left");
    }
}

#[test]
fn all_but_the_entry_stays_as_it_was_written() {
    let user = User::with(SETTINGS);
    let _applied = user.start("a");
    insta::assert_snapshot!(user.text(), @r#"
    {
        "theme": "dark",  "list": [1, 2.50],
        "mcpServers": {
            "mine": {"url": "x"},
            "agentchattr": {
                "httpUrl": "${WRAPPER_MCP_URL}/agentchattr/mcp",
                "headers": {
                    "Authorization": "Bearer ${WRAPPER_MCP_KEY}"
                }
            }
        }
    }
    "#);
}

#[test]
fn edits_in_between_survive() {
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    user.write(&user.text().replace("dark", "light"));
    drop(applied);
    assert_eq!(user.text(), SETTINGS.replace("dark", "light"));

    // As agents do: the whole file anew, in another order.
    let applied = user.start("a");
    let mut json = user.json();
    json["mcpServers"]["another"] = json!({ "url": "y" });
    json["mcpServers"]["agentchattr"] = {
        let entry = json["mcpServers"]["agentchattr"].as_object().expect("it");
        entry.clone().into_iter().rev().collect()
    };
    user.write(&json.to_string());
    drop(applied);
    let servers = &user.json()["mcpServers"];
    assert_eq!(
        servers,
        &json!({ "mine": { "url": "x" }, "another": { "url": "y" } })
    );
}

#[test]
fn an_entry_that_is_no_longer_ours_stays() {
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    let theirs = user.text().replace("Bearer ${", "Basic ${");
    user.write(&theirs);
    drop(applied);
    assert_eq!(user.text(), theirs);
}

#[test]
fn an_entry_of_the_users_own_comes_back() {
    let text = SETTINGS.replace("mine", "agentchattr");
    let user = User::with(&text);
    let applied = user.start("a");
    assert_ne!(user.entry().expect("ours")["httpUrl"], json!(null));
    user.write(&user.text().replace("dark", "light"));
    drop(applied);
    assert_eq!(user.text(), text.replace("dark", "light"));
}

#[test]
fn an_entry_that_stands_there_for_good_is_left_there() {
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    let ours = user.text();
    drop(applied);
    user.write(&ours);
    drop(user.start("a"));
    assert_eq!(user.text(), ours);
}

#[test]
fn a_file_and_its_directories_are_made_and_go_again() {
    let user = User::new();
    let applied = user.start("a");
    assert!(user.entry().is_some());
    drop(applied);
    assert!(!user.path("home").exists());

    let applied = user.start("a");
    fs::write(user.path("home/.gemini/other"), "x").expect("written");
    user.write(&user.text().replace('\n', " "));
    drop(applied);
    assert!(!user.settings().exists() && user.path("home/.gemini/other").exists());

    let applied = user.start("a");
    user.write(&user.text().replacen('{', "{\"theme\": 1, ", 1));
    drop(applied);
    assert_eq!(user.json(), json!({ "theme": 1 }));
}

#[test]
fn what_does_not_parse_is_left_alone() {
    for (text, why) in [
        ("{\n  // mine\n  a: 1\n}", "key must be a string at line 3"),
        ("{\"a\": 1,,}", "key must be a string at line 1"),
        ("[]", "expected an object at line 1"),
        (
            "{\"mcpServers\": null}",
            "`mcpServers` is no object at line 1",
        ),
    ] {
        let user = User::with(text);
        let session = user.session("a");
        let plan = gemini(user.dir.path(), &session);
        let error = plan.check().expect_err(text);
        assert_eq!(
            plan.apply(&session).expect_err(text).to_string(),
            error.to_string()
        );
        assert_eq!(
            format!("{error:#}"),
            format!(
                "cannot merge {}: {why}: the file was left as it was",
                fs::canonicalize(user.settings()).expect("there").display()
            )
        );
        assert_eq!(user.text(), text);
        assert_eq!(fs::read_dir(&session).expect("listed").count(), 0);
    }
}

#[test]
fn a_file_that_was_broken_meanwhile_is_left_alone() {
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    let broken = format!("{} oops", user.text());
    user.write(&broken);
    drop(applied);
    assert_eq!(user.text(), broken);
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    fs::remove_file(user.settings()).expect("removed");
    drop(applied);
    assert!(!user.settings().exists());
}

#[test]
fn links_are_followed_and_stay() {
    let user = User::with(SETTINGS);
    fs::rename(user.settings(), user.path("dotfile")).expect("moved");
    symlink("../../dotfile", user.settings()).expect("linked");
    let applied = user.start("a");
    assert!(user.entry().is_some());
    drop(applied);
    assert!(user.settings().is_symlink());
    assert_eq!(
        fs::read_to_string(user.path("dotfile")).expect("there"),
        SETTINGS
    );

    fs::remove_file(user.path("dotfile")).expect("removed");
    let session = user.session("a");
    let error = gemini(user.dir.path(), &session).apply(&session);
    assert!(error.is_err(), "a link to nowhere is not followed");
    assert!(user.settings().is_symlink() && !user.path("dotfile").exists());
}

#[test]
fn the_last_of_two_sessions_restores_the_file() {
    for first_goes_first in [true, false] {
        for edited in [false, true] {
            let user = User::with(SETTINGS);
            let (a, b) = (user.start("a"), user.start("b"));
            if edited {
                user.write(&user.text().replace("dark", "light"));
            }
            let (first, last) = if first_goes_first { (a, b) } else { (b, a) };
            drop(first);
            assert!(user.entry().is_some(), "one session is there still");
            drop(last);
            let theme = if edited { "light" } else { "dark" };
            assert_eq!(user.text(), SETTINGS.replace("dark", theme));
        }
    }
}

#[test]
fn a_file_that_two_sessions_made_goes_with_the_last() {
    for first_goes_first in [true, false] {
        let user = User::new();
        let (a, b) = (user.start("a"), user.start("b"));
        let (first, last) = if first_goes_first { (a, b) } else { (b, a) };
        drop(first);
        assert!(user.entry().is_some());
        drop(last);
        assert!(!user.path("home").exists());
    }
}

#[test]
fn the_next_start_puts_back_what_a_killed_session_left() {
    let user = User::with(SETTINGS);
    user.start_and_kill("a");
    assert!(user.entry().is_some(), "nobody put it back yet");
    user.write(&user.text().replace("dark", "light"));
    assert!(undo_journal(&user.session("a")).expect("undone"));
    assert_eq!(user.text(), SETTINGS.replace("dark", "light"));
    assert!(undo_journal(&user.session("a")).expect("nothing to do"));
}

#[test]
fn a_killed_session_does_not_take_the_entry_from_a_living_one() {
    let user = User::with(SETTINGS);
    user.start_and_kill("a");
    let b = user.start("b");
    assert!(undo_journal(&user.session("a")).expect("undone"));
    assert!(user.entry().is_some(), "b is there still");
    drop(b);
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn a_living_session_does_not_wait_for_a_killed_one() {
    let user = User::with(SETTINGS);
    let b = user.start("b");
    user.start_and_kill("a");
    drop(b);
    assert_eq!(user.text(), SETTINGS);
    assert!(undo_journal(&user.session("a")).expect("undone"));
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn a_journal_is_there_before_the_first_change() {
    let user = User::with(SETTINGS);
    let session = user.session("a");
    let plan = gemini(user.dir.path(), &session);
    fs::create_dir(session.join("undo.json")).expect("in the way");
    assert!(plan.apply(&session).is_err());
    assert_eq!(user.text(), SETTINGS);
}

/// Makes a user's settings impossible to replace.
type Spoil<'a> = &'a dyn Fn(&User);

/// Servers of one plan, in one file.
pub(crate) fn several(path: &Path, format: Format, names: &[&str]) -> InjectPlan {
    let entry = |name: &&str| PlannedFile::Merged {
        path: path.to_owned(),
        format,
        keys: vec!["mcp_servers".into(), (*name).into()],
        entry: json!({ "url": format!("http://127.0.0.1/{name}"), "env": { "A": "b" } }),
    };
    InjectPlan {
        files: names.iter().map(entry).collect(),
        ..InjectPlan::default()
    }
}

#[test]
fn several_servers_go_into_one_file_and_out_again() {
    let names: Vec<String> = (0..10).map(|number| format!("server-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (format, text) in [
        (Format::Json, "{\n  // mine\n  \"a\": 1\n}\n"),
        (
            Format::Toml,
            "# mine\r\nmodel = \"o\"\r\n\r\n[mcp_servers.mine]\r\nurl = 'x' # y",
        ),
    ] {
        let user = User::with(text);
        let (a, b) = (user.session("a"), user.session("b"));
        let of_a = several(&user.settings(), format, &names);
        of_a.check().expect(text);
        assert_eq!(user.text(), text, "nothing is written yet");
        let of_a = of_a.apply(&a).expect(text);
        let with_a = user.text();
        assert!(names.iter().all(|name| with_a.contains(name)));
        // Another session has two of them, and one of its own.
        let of_b = several(&user.settings(), format, &["server-3", "b", "server-9"]);
        let of_b = of_b.apply(&b).expect(text);
        drop(of_a);
        let with_b = user.text();
        for (name, there) in [("server-3", true), ("/b\"", true), ("server-4", false)] {
            assert_eq!(with_b.contains(name), there, "{name}: {with_b}");
        }
        user.write(&with_b.replace("mine", "yours"));
        drop(of_b);
        assert_eq!(user.text(), text.replace("mine", "yours"));
    }
}

#[test]
fn two_ways_to_one_file_are_one_file() {
    let user = User::with(SETTINGS);
    let link = user.path("link.json");
    symlink(user.settings(), &link).expect("linked");
    let mut plan = several(&user.settings(), Format::Json, &["one"]);
    plan.files
        .extend(several(&link, Format::Json, &["two"]).files);
    let applied = plan.apply(&user.session("a")).expect("applied");
    let servers = &user.json()["mcp_servers"];
    assert!(servers["one"].is_object() && servers["two"].is_object());
    drop(applied);
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn sessions_with_entries_of_their_own_do_not_disturb_each_other() {
    let text = "[mcp_servers.one]\nurl = 'mine' # the user's\n";
    for first_goes_first in [true, false] {
        let user = User::with(text);
        let start = |id: &str| {
            let mut plan = several(&user.settings(), Format::Toml, &["one"]);
            let PlannedFile::Merged { entry, .. } = &mut plan.files[0] else {
                unreachable!("it is merged");
            };
            entry["url"] = id.into();
            plan.apply(&user.session(id)).expect("applied")
        };
        let (a, b) = (start("a"), start("b"));
        assert!(user.text().contains("\"b\""));
        let (first, last, stays) = if first_goes_first {
            (a, b, "\"b\"")
        } else {
            (b, a, "\"a\"")
        };
        drop(first);
        assert!(user.text().contains(stays), "{}", user.text());
        drop(last);
        assert_eq!(user.text(), text);
    }
}

#[test]
fn what_cannot_be_replaced_is_refused_before_anything_is_done() {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    let cases: [(Spoil, &str); 8] = [
        (&|user| mode(&user.settings(), 0o444), "it is read-only"),
        (
            &|user| mode(&user.path("home/.gemini"), 0o555),
            "/home/.gemini is not writable",
        ),
        (
            &|user| {
                fs::remove_dir_all(user.path("home/.gemini")).expect("removed");
                mode(&user.path("home"), 0o555);
            },
            "/home is not writable",
        ),
        (
            &|user| {
                fs::remove_dir_all(user.path("home/.gemini")).expect("removed");
                fs::write(user.path("home/.gemini"), "").expect("written");
            },
            "Not a directory (os error 20)",
        ),
        (
            &|user| {
                fs::remove_file(user.settings()).expect("removed");
                fs::create_dir(user.settings()).expect("made");
            },
            "it is not a file",
        ),
        (
            &|user| {
                fs::remove_file(user.settings()).expect("removed");
                let mode = nix::sys::stat::Mode::S_IRWXU;
                nix::unistd::mkfifo(&user.settings(), mode).expect("made");
            },
            "it is not a file",
        ),
        (
            &|user| fs::write(user.settings(), b"{\n\xff}").expect("written"),
            "it is not UTF-8 at line 2",
        ),
        (
            &|user| {
                fs::remove_file(user.settings()).expect("removed");
                symlink("nowhere", user.settings()).expect("linked");
            },
            "it is a link to nowhere",
        ),
    ];
    for (spoil, why) in cases {
        let user = User::with(SETTINGS);
        spoil(&user);
        let session = user.session("a");
        let plan = gemini(user.dir.path(), &session);
        let error = plan.check().expect_err(why).to_string();
        assert!(error.starts_with("cannot merge "), "{error}");
        assert!(
            error.ends_with(&format!("{why}: the file was left as it was")),
            "{error}"
        );
        assert_eq!(plan.apply(&session).expect_err(why).to_string(), error);
        assert_eq!(fs::read_dir(&session).expect("listed").count(), 0);
        // So that it can be removed.
        for dir in ["home", "home/.gemini"] {
            let path = user.path(dir);
            if path.is_dir() {
                mode(&path, 0o755);
            }
        }
    }
}

#[test]
fn a_panic_puts_back_what_it_unwinds() {
    let user = User::with(SETTINGS);
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _applied = user.start("a");
        assert!(user.entry().is_none(), "the entry is there");
    }));
    assert!(ended.is_err());
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn files_of_ours_are_private_and_go() {
    let user = User::new();
    let session = user.session("a");
    let mut spec = agent(user.dir.path(), "claude");
    spec.inject = Some(Inject::Flag { flag: "-m".into() });
    let planned = |token| planned(&spec, token, &session);
    let applied = planned("one").apply(&session).expect("applied");
    let file = session.join("mcp.json");
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
    let text = || fs::read_to_string(&file).expect("text");
    assert!(text().contains("Bearer one"));
    planned("two").write_owned().expect("written anew");
    assert!(text().contains("Bearer two"));
    drop(applied);
    assert!(!file.exists());
}

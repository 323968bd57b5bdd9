//! An undo that failed is owed: kept, tried again at every start, and said.

use std::fs;
use std::path::Path;
use std::process::Command;

use wrapper::inject::{Owed, settle, undo_journal};

use crate::background::{in_state, stop};
use crate::inject::{SETTINGS, User};
use crate::support::eventually;
use crate::support::world::{FAKE, World};

impl User {
    /// Tries what is owed; the files that still are.
    fn settle(&self) -> Vec<Owed> {
        settle(self.dir.path()).expect("settled")
    }

    /// Sees that nothing is owed, and nothing of ours is left.
    fn is_settled(&self) {
        assert_eq!(self.settle(), []);
        assert!(!self.path("owed").exists());
        let beside = fs::read_dir(self.path("home/.gemini")).expect("listed");
        let names: Vec<_> = beside.flatten().map(|file| file.file_name()).collect();
        assert!(
            names.iter().all(|name| name == "settings.json"),
            "{names:?}"
        );
    }

    /// The last moments of a session: its directory goes as well.
    fn end(&self, id: &str, applied: wrapper::inject::Applied) {
        drop(applied);
        fs::remove_dir_all(self.session(id)).expect("removed");
    }
}

#[test]
fn an_undo_that_failed_is_owed_until_it_has_succeeded() {
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    let ours = user.text();
    user.write(&format!("{ours} oops"));
    user.end("a", applied);
    assert_eq!(user.text(), format!("{ours} oops"));
    for _ in 0..3 {
        let owed = user.settle();
        assert_eq!(owed.len(), 1, "{owed:?}");
        assert!(owed[0].why.starts_with("cannot merge "), "{owed:?}");
        assert!(!owed[0].why.contains('\n'));
    }
    let journal = user.path("owed/a.json");
    let mode = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).expect("there").mode() & 0o777
    };
    assert_eq!((mode(&journal), mode(&user.path("owed"))), (0o600, 0o700));
    // The user has repaired it, and changed something else.
    user.write(&ours.replace("dark", "light"));
    user.is_settled();
    assert_eq!(user.text(), SETTINGS.replace("dark", "light"));
}

#[test]
fn what_the_user_did_meanwhile_ends_a_debt() {
    for meanwhile in ["deleted", "changed", "taken out", "something else"] {
        let user = User::with(SETTINGS);
        let applied = user.start("a");
        let ours = user.text();
        user.write(&format!("{ours} oops"));
        user.end("a", applied);
        assert_eq!(user.settle().len(), 1, "{meanwhile}");
        match meanwhile {
            "deleted" => fs::remove_file(user.settings()).expect("removed"),
            "changed" => user.write(&ours.replace("Bearer ${", "Basic ${")),
            "taken out" => user.write("{}"),
            // No JSON, and not a word of ours.
            _ => user.write("theme: dark"),
        }
        let left = fs::read(user.settings()).ok();
        user.is_settled();
        assert_eq!(fs::read(user.settings()).ok(), left, "{meanwhile}");
    }
}

#[test]
fn two_debts_on_one_file_are_paid_by_one_repair() {
    let user = User::with(SETTINGS);
    let (a, b) = (user.start("a"), user.start("b"));
    let ours = user.text();
    user.write("{ agentchattr");
    user.end("b", b);
    user.end("a", a);
    assert_eq!(user.settle().len(), 1, "one line a file");
    assert!(user.path("owed/a.json").exists() && user.path("owed/b.json").exists());
    user.write(&ours);
    user.is_settled();
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn a_debt_never_takes_the_entry_from_a_session_that_runs() {
    let user = User::with(SETTINGS);
    let a = user.start("a");
    let ours = user.text();
    user.write("{ agentchattr");
    user.end("a", a);
    user.write(&ours);
    let b = user.start("b");
    assert_eq!(user.settle(), []);
    assert!(user.entry().is_some(), "b is there still");
    user.end("b", b);
    assert_eq!(user.text(), SETTINGS);

    // A session that comes while the debt is open leaves what the first has found.
    let a = user.start("a");
    user.write("{ agentchattr");
    user.end("a", a);
    user.write(&ours);
    user.end("b", user.start("b"));
    assert_eq!(user.text(), SETTINGS);
    user.is_settled();
}

#[test]
fn the_undo_of_a_killed_session_can_be_owed_as_well() {
    let user = User::with(SETTINGS);
    user.start_and_kill("a");
    let ours = user.text();
    user.write("{ agentchattr");
    assert!(undo_journal(&user.session("a")).expect("kept"));
    fs::remove_dir_all(user.session("a")).expect("its directory is not needed");
    assert_eq!(user.settle().len(), 1);
    user.write(&ours);
    user.is_settled();
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn a_file_that_must_not_change_is_tried_again_later() {
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    let set = |flag| {
        let ran = Command::new("chattr")
            .arg(flag)
            .arg(user.settings())
            .output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    if !set("+i") {
        // Only root may, and not every file system can.
        return;
    }
    user.end("a", applied);
    let owed = user.settle();
    assert!(set("-i"));
    assert_eq!(owed.len(), 1, "{owed:?}");
    user.is_settled();
    assert_eq!(user.text(), SETTINGS);
}

/// A file system of its own, if one can be had.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let size = ["-t", "tmpfs", "-o", "size=64k", "none"];
        let ran = Command::new("mount").args(size).arg(at).output();
        ran.is_ok_and(|ran| ran.status.success())
            .then_some(Self(at))
    }

    fn remount(&self, how: &str) {
        // Whoever writes to it is waited for.
        eventually(how, || {
            let ran = Command::new("mount").args(["-o", how]).arg(self.0).output();
            ran.expect("mount runs").status.success().then_some(())
        });
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut text = vec![b'x'; 64 * 1024];
        while !text.is_empty() && fs::write(self.0.join("full"), &text).is_err() {
            let less = text.len() - 1024;
            text.truncate(less);
        }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_disk_that_was_full_or_read_only_is_tried_again_later() {
    for fault in ["full", "read-only", "full, with our state on it"] {
        let user = User::new();
        let home = match fault {
            "full, with our state on it" => user.path(""),
            _ => user.path("home"),
        };
        fs::create_dir_all(&home).expect("made");
        let Some(disk) = Disk::mount(&home) else {
            return;
        };
        fs::create_dir_all(user.path("home/.gemini")).expect("made");
        fs::create_dir_all(user.path("sessions")).expect("made");
        let long = format!("{SETTINGS}{}", " ".repeat(9000));
        user.write(&long);
        let applied = user.start("a");
        match fault {
            "read-only" => disk.remount("remount,ro"),
            _ => disk.fill(),
        }
        let ours = user.text();
        drop(applied);
        assert_eq!(user.text(), ours, "{fault}");
        let owed = settle(&user.dir.path().join("")).unwrap_or_default();
        let in_its_place = user.path("sessions/a/undo.json").exists();
        assert!(owed.len() == 1 || in_its_place, "{fault}: {owed:?}");
        match fault {
            "read-only" => disk.remount("remount,rw"),
            _ => fs::remove_file(home.join("full")).expect("removed"),
        }
        assert!(undo_journal(&user.session("a")).expect("undone"));
        user.is_settled();
        assert_eq!(user.text(), long, "{fault}");
    }
}

#[test]
fn every_start_says_what_is_owed_and_tries_again() {
    let world = World::new();
    let settings = world.path("settings.json");
    world.configure(&format!(
        "[agents.fake]\ncommand = {FAKE:?}\nmcp_inject = \"settings_file\"\nmcp_settings_path = {settings:?}\n\
         [agents.other]\ncommand = {FAKE:?}\n\
         [mcp_servers.theirs]\ncommand = {FAKE:?}\nargs = [\"tool\"]\nagents = [\"fake\"]\n"
    ));
    fs::write(&settings, "{\n  \"theme\": 1\n}\n").expect("written");
    assert!(world.verb(&["fake", "-d", "--offline"]).status.success());
    in_state(&world, "fake", "idle");
    let ours = fs::read_to_string(&settings).expect("read");
    assert!(ours.contains("theirs"), "{ours}");
    fs::write(&settings, format!("{ours} oops")).expect("written");
    stop(&world, "fake");
    assert!(world.sessions().is_empty(), "its directory is gone");

    let said = |args: &[&str]| {
        let output = world.verb(args);
        let both = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(both).expect("text");
        let named = |line: &&str| line.contains("settings.json") && line.contains("ended session");
        text.lines().filter(named).count()
    };
    assert_eq!(said(&["ps"]), 1);
    assert_eq!(said(&["doctor", "other"]), 1);
    assert_eq!(
        said(&["other", "--headless", "--offline", "--", "--exit", "0"]),
        2,
        "start and end"
    );
    fs::write(&settings, &ours).expect("repaired");
    assert_eq!(said(&["ps"]), 0);
    assert_eq!(
        fs::read_to_string(&settings).expect("read"),
        "{\n  \"theme\": 1\n}\n"
    );
    assert!(!world.path("state/owed").exists());
}

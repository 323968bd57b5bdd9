//! What of a settings file is kept besides its text: its links, its names, its
//! attributes; and that nothing of ours stays beside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::Value;
use wrapper::inject::{Applied, Format, PlannedFile, introduce, undo_journal};

use crate::inject::{SETTINGS, User, agent, gemini, planned, session, several};

/// Files that agents make before they have anything to say.
const BLANK: [&str; 5] = ["", "\n", " \t\r\n\n", "\u{feff}", "\u{feff}\r\n"];

#[test]
fn a_blank_settings_file_is_as_a_missing_one_and_blank_again_at_the_end() {
    for text in BLANK {
        let user = User::with(text);
        gemini(user.dir.path(), &user.session("a"))
            .check()
            .expect(text);
        let applied = user.start("a");
        assert!(user.entry().is_some());
        drop(applied);
        assert_eq!(user.text(), text);

        // Whoever goes last.
        for first_goes_first in [true, false] {
            let (a, b) = (user.start("a"), user.start("b"));
            let (first, last) = if first_goes_first { (a, b) } else { (b, a) };
            drop(first);
            assert!(user.entry().is_some());
            drop(last);
            assert_eq!(user.text(), text);
        }

        user.start_and_kill("c");
        assert!(undo_journal(&user.session("c")).expect("undone"));
        assert_eq!(user.text(), text);

        // What somebody wrote meanwhile stays, as does what somebody cleared.
        let applied = user.start("a");
        user.write(&user.text().replacen('{', "{\"theme\": 1, ", 1));
        drop(applied);
        assert_eq!(user.json(), serde_json::json!({ "theme": 1 }));
        let applied = user.start("a");
        user.write(text);
        drop(applied);
        assert_eq!(user.text(), text);
        assert!(!user.path("owed").exists());
    }
}

#[test]
fn blank_settings_are_read_for_every_agent_that_has_some_in_json() {
    for name in ["gemini", "codebuddy", "antigravity"] {
        for text in BLANK {
            let user = User::new();
            let spec = agent(user.dir.path(), name);
            let session = user.session("a");
            let plan = planned(&spec, "unused", &session);
            let Some(PlannedFile::Merged { path, .. }) = plan.files.first() else {
                unreachable!("{name} has a settings file");
            };
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(path, text).expect("written");
            let applied = plan.apply(&session).expect(name);
            let json: Value = serde_json::from_slice(&fs::read(path).expect("read")).expect("JSON");
            assert!(json["mcpServers"]["agentchattr"].is_object(), "{name}");
            drop(applied);
            assert_eq!(fs::read_to_string(path).expect("read"), text, "{name}");
        }
    }
}

#[test]
fn a_draft_that_a_killed_session_left_is_swept() {
    let user = User::with(SETTINGS);
    user.start_and_kill("a");
    let journal = fs::read(user.path("sessions/a/undo.json")).expect("a journal");
    let journal: Value = serde_json::from_slice(&journal).expect("JSON");
    let draft = PathBuf::from(journal["drafts"][0].as_str().expect("a draft is named"));
    assert_eq!(
        draft.parent(),
        fs::canonicalize(user.settings()).expect("there").parent()
    );
    fs::write(&draft, "all of the settings").expect("written");
    // Nothing is left to be written.
    user.write(SETTINGS);
    assert!(undo_journal(&user.session("a")).expect("undone"));
    assert!(!draft.exists());
    assert_eq!(user.text(), SETTINGS);

    // That is where it is written indeed.
    fs::create_dir(&draft).expect("made");
    fs::write(draft.join("x"), "").expect("written");
    let session = user.session("a");
    let error = gemini(user.dir.path(), &session).apply(&session);
    assert!(error.is_err(), "something is in its way");
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn a_file_that_has_become_a_link_is_edited_where_it_is() {
    for (relative, is_shared) in [(true, false), (false, false), (true, true)] {
        let user = User::with(SETTINGS);
        let applied = user.start("a");
        let dotfile = user.path("dotfile");
        fs::rename(user.settings(), &dotfile).expect("moved");
        let target = if relative {
            Path::new("../../dotfile")
        } else {
            &dotfile
        };
        symlink(target, user.settings()).expect("linked");
        // One that found the link has the file itself in its journal.
        let b = is_shared.then(|| user.start("b"));
        drop(applied);
        assert_eq!(user.entry().is_some(), is_shared, "b is there still");
        drop(b);
        assert!(user.settings().is_symlink());
        assert_eq!(fs::read_to_string(&dotfile).expect("there"), SETTINGS);
        assert_eq!(
            fs::read_dir(user.path("home/.gemini"))
                .expect("listed")
                .count(),
            1
        );
        let beside = fs::read_dir(user.path("")).expect("listed").flatten();
        assert!(
            beside
                .into_iter()
                .all(|file| !file.file_name().to_string_lossy().starts_with('.'))
        );
    }
}

#[test]
fn a_file_that_was_made_and_linked_since_is_emptied_and_the_link_stays() {
    let user = User::new();
    let applied = user.start("a");
    fs::rename(user.settings(), user.path("dotfile")).expect("moved");
    symlink(user.path("dotfile"), user.settings()).expect("linked");
    drop(applied);
    assert_eq!(user.json(), serde_json::json!({}));
    assert!(user.settings().is_symlink());
}

#[test]
fn a_file_with_a_second_name_keeps_it() {
    let user = User::with(SETTINGS);
    let second = user.path("second");
    fs::hard_link(user.settings(), &second).expect("linked");
    let inode = |path: &Path| fs::metadata(path).expect("there").ino();
    let before = inode(&second);
    let a = user.start("a");
    assert!(
        fs::read_to_string(&second)
            .expect("read")
            .contains("agentchattr")
    );
    // By the other name, it is the same file.
    let plan = several(&second, Format::Json, &["b"]);
    let b = plan.apply(&user.session("b")).expect("applied");
    assert!(user.session("b").join("undo.json").exists());
    assert!(
        !user.session("b").join("undo.write").exists(),
        "it is written"
    );
    drop(a);
    assert!(user.text().contains("mcp_servers") && user.entry().is_none());
    drop(b);
    assert_eq!(user.text(), SETTINGS);
    assert_eq!((inode(&second), inode(&user.settings())), (before, before));
}

#[test]
fn a_write_in_place_that_was_cut_short_is_taken_back() {
    let user = User::with(SETTINGS);
    fs::hard_link(user.settings(), user.path("second")).expect("linked");
    user.start_and_kill("a");
    let ours = user.text();
    let note = serde_json::json!({ "path": user.settings(), "old": SETTINGS, "new": ours });
    fs::write(user.path("sessions/a/undo.write"), note.to_string()).expect("noted");
    user.write(&format!("{}{}", &ours[..98], &SETTINGS[98..]));
    assert!(undo_journal(&user.session("a")).expect("undone"));
    assert_eq!(user.text(), SETTINGS);
    assert!(!user.path("sessions/a/undo.write").exists());
}

/// `rw-`, and `r--` for the user 1234.
const ACCESS: [u8; 44] = [
    2, 0, 0, 0, // the version
    1, 0, 6, 0, 255, 255, 255, 255, // the owner
    2, 0, 4, 0, 210, 4, 0, 0, // 1234
    4, 0, 4, 0, 255, 255, 255, 255, // the group
    16, 0, 4, 0, 255, 255, 255, 255, // at most
    32, 0, 0, 0, 255, 255, 255, 255, // others
];

#[test]
fn attributes_access_lists_and_owners_stay() {
    let user = User::with(SETTINGS);
    let path = user.settings();
    for (name, value) in [
        ("user.mine", b"tag".as_slice()),
        ("system.posix_acl_access", &ACCESS),
    ] {
        if setxattr(&path, name, value, XattrFlags::empty()).is_err() {
            // Not every file system has them.
            return;
        }
    }
    if geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(1234), Some(1235)).expect("given away");
    }
    let look = || {
        let get = |name| {
            let mut value = [0; 64];
            let length = getxattr(&path, name, &mut value).unwrap_or_default();
            value[..length].to_vec()
        };
        let data = fs::metadata(&path).expect("there");
        let owner = (data.uid(), data.gid(), data.mode());
        (get("user.mine"), get("system.posix_acl_access"), owner)
    };
    let before = look();
    assert_eq!(
        (before.0.as_slice(), before.1.as_slice()),
        (b"tag".as_slice(), ACCESS.as_slice())
    );
    let applied = user.start("a");
    assert_eq!(look(), before);
    assert!(user.entry().is_some());
    drop(applied);
    assert_eq!(look(), before);
    assert_eq!(user.text(), SETTINGS);
}

#[test]
fn two_state_directories_on_one_settings_file_know_of_each_other() {
    for differ in [false, true] {
        for first_goes_first in [true, false] {
            let user = User::with(SETTINGS);
            let common = user.path("state");
            let start = |root: &str, id: &str| -> Applied {
                let root = user.path(root);
                let dir = session(&root, id);
                introduce(&root, &common).expect("introduced");
                let mut plan = gemini(user.dir.path(), &dir);
                if let (true, Some(PlannedFile::Merged { entry, .. })) =
                    (differ, plan.files.first_mut())
                {
                    entry["httpUrl"] = id.into();
                }
                plan.apply(&dir).expect("applied")
            };
            let started = [start("one", "a"), start("two", "b"), start("state", "c")];
            let mut started = started.into_iter().collect::<Vec<_>>();
            if first_goes_first {
                started.reverse();
            }
            while let Some(applied) = started.pop() {
                assert!(user.entry().is_some(), "one session is there still");
                drop(applied);
            }
            assert_eq!(user.text(), SETTINGS, "{differ} {first_goes_first}");
        }
    }
}

#[test]
fn settings_that_cannot_be_written_do_if_all_stands_there_for_good() {
    use std::os::unix::fs::PermissionsExt;
    let user = User::with(SETTINGS);
    let applied = user.start("a");
    let ours = user.text();
    drop(applied);
    user.write(&ours);
    fs::set_permissions(user.settings(), fs::Permissions::from_mode(0o444)).expect("set");
    drop(user.start("a"));
    assert_eq!(user.text(), ours);
}

#[test]
fn a_journal_takes_a_path_that_is_no_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let user = User::new();
    let odd = user.path("").join(std::ffi::OsStr::from_bytes(b"h\xff"));
    fs::create_dir(&odd).expect("made");
    let settings = odd.join("settings.json");
    fs::write(&settings, "{}").expect("written");
    let plan = several(&settings, Format::Json, &["one"]);
    std::mem::forget(plan.apply(&user.session("a")).expect("applied"));
    let held = undo_journal(&user.session("a")).expect("read");
    assert!(!held, "it is alive, and could be read");
    assert!(fs::read_to_string(&settings).expect("read").contains("one"));
}

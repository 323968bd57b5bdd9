//! The manifest of an agent: the user's own, or the built-in one.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::paths::{self, Env};
use crate::session::detect::Manifest;

/// The manifest of the agent `name` that runs `command`, and why the user's own
/// is not used if there is one that cannot be: one line. The user's is found by
/// the agent's name, else by its command's.
pub(super) fn of(env: &Env, name: &str, command: &Path) -> (Manifest, Option<String>) {
    let stem = command.file_stem().unwrap_or_default().to_string_lossy();
    let built_in = || Manifest::of(&stem);
    let dir = paths::manifests(env);
    for name in [name, &stem] {
        let path = dir.join(format!("{name}.toml"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return (built_in(), Some(unused(&path, &error.to_string()))),
        };
        return match Manifest::parse(&text) {
            Ok(manifest) => (manifest, None),
            Err(error) => (built_in(), Some(unused(&path, &located(&text, &error)))),
        };
    }
    (built_in(), None)
}

fn unused(path: &Path, why: &str) -> String {
    let path = path.display();
    format!("cannot use the manifest {path}: {why}: the built-in one is used")
}

/// Where a mistake is, the line, and what is wrong with it.
fn located(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let said = error.message().trim_end().replace('\n', ", ");
    format!("line {number}, `{line}`: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_manifest_takes_the_place_of_the_built_in_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let env = Env::from([("XDG_CONFIG_HOME".into(), dir.path().into())]);
        let manifests = paths::manifests(&env);
        fs::create_dir_all(&manifests).expect("made");
        let stash = |name: &str| {
            let (manifest, why) = of(&env, name, Path::new("/bin/claude"));
            (manifest.stash().map(<[u8]>::to_vec), why)
        };
        let built_in = stash("claude").0;
        assert_eq!(built_in.as_deref(), Some(&b"\x13"[..]));
        fs::write(manifests.join("claude.toml"), "stash = \"ctrl-x\"").expect("written");
        fs::write(manifests.join("mine.toml"), "stash = \"ctrl-y\"").expect("written");
        assert_eq!(stash("claude"), (Some(vec![0x18]), None));
        assert_eq!(stash("other"), (Some(vec![0x18]), None));
        assert_eq!(stash("mine"), (Some(vec![0x19]), None));
        let text = "queues = true\n\n[[rule]]\nname = \"x\"\nstate = \"bored\"\n";
        fs::write(manifests.join("mine.toml"), text).expect("written");
        let (stash, why) = stash("mine");
        assert_eq!(stash, built_in);
        let why = why.expect("a reason");
        let said = "mine.toml: line 5, `state = \"bored\"`: unknown variant `bored`";
        assert!(why.contains(said), "{why}");
        assert!(!why.contains('\n'), "{why}");
    }
}

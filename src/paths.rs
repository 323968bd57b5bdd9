//! Every path that we own, and the modes they are made with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a session has to undo, in its directory.
pub const JOURNAL: &str = "undo.json";

/// The environment as a value: tests never touch the process's own.
pub type Env = BTreeMap<OsString, OsString>;

/// The process's environment, taken once.
#[must_use]
pub fn env() -> Env {
    std::env::vars_os().collect()
}

/// A variable that is set and not empty: agentchattr counts empty as unset.
#[must_use]
pub fn var<'a>(env: &'a Env, name: &str) -> Option<&'a OsString> {
    env.get(std::ffi::OsStr::new(name))
        .filter(|value| !value.is_empty())
}

/// The user's home: `HOME`, or the account's where that is unset or `/`
/// (service managers and containers leave it so).
#[must_use]
pub fn home(env: &Env) -> PathBuf {
    let home = var(env, "HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute() && home != Path::new("/"))
        .or_else(|| {
            nix::unistd::User::from_uid(nix::unistd::Uid::current())
                .ok()
                .flatten()
                .map(|user| user.dir)
        })
        .filter(|home| home != Path::new("/"))
        .unwrap_or_else(|| {
            std::env::temp_dir().join(format!("wrapper-{}", nix::unistd::Uid::current()))
        });
    plain(&home)
}

/// An XDG base directory: the variable if it is absolute, else below home.
fn base(env: &Env, name: &str, below_home: &str) -> PathBuf {
    var(env, name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .map_or_else(|| home(env).join(below_home), |path| plain(&path))
}

/// The user's own configuration file, whether or not it exists.
#[must_use]
pub fn user_config(env: &Env) -> PathBuf {
    base(env, "XDG_CONFIG_HOME", ".config").join("wrapper/config.toml")
}

/// Where the user's own manifests are, each named by its agent.
#[must_use]
pub fn manifests(env: &Env) -> PathBuf {
    base(env, "XDG_CONFIG_HOME", ".config").join("wrapper/manifests")
}

/// The root of everything that sessions keep; absolute, as it is told to
/// processes that run elsewhere.
#[must_use]
pub fn state(env: &Env) -> PathBuf {
    match var(env, "WRAPPER_STATE_DIR").map(PathBuf::from) {
        Some(named) => plain(&std::path::absolute(&named).unwrap_or(named)),
        None => common_state(env),
    }
}

/// What [`state`] is without `WRAPPER_STATE_DIR`.
#[must_use]
pub fn common_state(env: &Env) -> PathBuf {
    plain(&base(env, "XDG_STATE_HOME", ".local/state").join("wrapper"))
}

/// A path without doubled and trailing slashes.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Where the embedded hub keeps its chat, unless the configuration says.
#[must_use]
pub fn hub_data(env: &Env) -> PathBuf {
    base(env, "XDG_DATA_HOME", ".local/share").join("wrapper/hub")
}

/// `path` with a leading `~/` replaced by the home directory.
#[must_use]
pub fn expand(env: &Env, path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => plain(&home(env).join(rest.trim_start_matches('/'))),
        None if path == "~" => home(env),
        None => plain(Path::new(path)),
    }
}

/// Makes a directory and its parents, for this user alone (0700).
pub fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Writes a file for this user alone (0600), whole or not at all: through a
/// temporary file in the same directory and a rename.
pub fn private_file(path: &Path, body: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(body)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Opens a file for appending, made for this user alone (0600).
pub fn private_log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs
            .iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect()
    }

    #[test]
    fn xdg_variables_count_if_absolute() {
        let set = env(&[
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_STATE_HOME", "rel"),
            ("XDG_DATA_HOME", ""),
        ]);
        assert_eq!(user_config(&set), Path::new("/c/wrapper/config.toml"));
        assert_eq!(state(&set), Path::new("/h/.local/state/wrapper"));
        assert_eq!(hub_data(&set), Path::new("/h/.local/share/wrapper/hub"));
        for (named, path) in [("/s", "/s"), ("//s//x/", "/s/x")] {
            let state = state(&env(&[("WRAPPER_STATE_DIR", named)]));
            assert_eq!(state.to_str(), Some(path));
        }
        assert!(state(&env(&[("WRAPPER_STATE_DIR", "s")])).is_absolute());
    }

    #[test]
    fn a_home_that_is_root_or_unset_is_the_accounts() {
        for set in [
            env(&[]),
            env(&[("HOME", "")]),
            env(&[("HOME", "/")]),
            env(&[("HOME", "relative")]),
        ] {
            let home = home(&set);
            assert!(home.is_absolute() && home != Path::new("/"), "{home:?}");
        }
    }

    #[test]
    fn a_tilde_is_home() {
        let set = env(&[("HOME", "/h")]);
        assert_eq!(expand(&set, "~/x/y"), Path::new("/h/x/y"));
        assert_eq!(expand(&set, "~//x//y").to_str(), Some("/h/x/y"));
        let doubled = env(&[("HOME", "//h//")]);
        assert_eq!(
            user_config(&doubled).to_str(),
            Some("/h/.config/wrapper/config.toml")
        );
        assert_eq!(expand(&set, "~user/x"), Path::new("~user/x"));
        assert_eq!(expand(&set, "/x"), Path::new("/x"));
    }

    #[test]
    fn files_are_private_and_replaced_whole() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let inner = dir.path().join("a/b");
        private_dir(&inner).expect("made");
        let path = inner.join("file");
        private_file(&path, b"one").expect("written");
        private_file(&path, b"two").expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::metadata(&inner).expect("there").permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(fs::read_dir(&inner).expect("listed").count(), 1);
    }
}

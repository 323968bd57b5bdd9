//! A command that gives credentials, and counts who asks.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use wrapper::credential::Keepers;
use wrapper::types::credential::{Auth, TokenCommand, TokenSource};
use wrapper::types::upstream::Endpoint;

/// Prints what stands in `say`, once it may: while there is a pipe `gate`, each
/// run waits for a line from it.
const SCRIPT: &str = "echo \"$WRAPPER_REASON\" >> runs\n\
                      if [ -p gate ]; then read -r _ < gate; fi\n";

/// A directory with a script in it.
pub(crate) struct Source {
    dir: tempfile::TempDir,
}

impl Source {
    /// One that says this.
    pub(crate) fn new(say: &str) -> Self {
        let source = Self::script("cat say\n");
        source.say(say);
        source
    }

    /// One that runs this, in its directory.
    pub(crate) fn script(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let script = format!("cd '{}' || exit\n{SCRIPT}{text}", dir.path().display());
        fs::write(dir.path().join("script"), script).expect("written");
        Self { dir }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// Says this from now on.
    pub(crate) fn say(&self, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.path("say")).expect("renamed");
    }

    /// Lets every run wait for [`Source::open`].
    pub(crate) fn shut(&self) {
        mkfifo(&self.path("gate"), Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    }

    /// Waits for a run that waits, and lets it go on.
    pub(crate) async fn open(&self) {
        let gate = self.path("gate");
        let open = tokio::task::spawn_blocking(move || fs::write(gate, "go\n"));
        let opened = super::soon("a run at the gate", open).await;
        opened.expect("no panic").expect("written");
    }

    /// Why it was run, each time.
    pub(crate) fn runs(&self) -> Vec<String> {
        let runs = fs::read_to_string(self.path("runs")).unwrap_or_default();
        runs.lines().map(str::to_owned).collect()
    }

    pub(crate) fn argv(&self) -> Vec<String> {
        let script = self.path("script").display().to_string();
        vec!["sh".to_owned(), script]
    }

    pub(crate) fn auth(&self) -> Auth {
        self.with(Duration::from_secs(10), None)
    }

    pub(crate) fn with(&self, timeout: Duration, refresh_interval: Option<Duration>) -> Auth {
        let argv = self.argv();
        plain(TokenSource::Command(TokenCommand {
            argv,
            timeout,
            refresh_interval,
        }))
    }
}

/// A credential from this source, in the usual header.
pub(crate) fn plain(source: TokenSource) -> Auth {
    Auth {
        header: None,
        source,
    }
}

/// Keepers with an environment in which commands are found.
pub(crate) fn keepers() -> Keepers {
    let path = std::env::var_os("PATH").expect("a PATH");
    let env = [("PATH".into(), path), ("API_TOKEN".into(), "of-env".into())];
    let variables = [("WRAPPER_SESSION_ID", "0123456789ab")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Keepers::new(env.into(), variables.into())
}

pub(crate) fn endpoint() -> Endpoint {
    "https://u.dev/mcp?key=hidden".parse().expect("a URL")
}

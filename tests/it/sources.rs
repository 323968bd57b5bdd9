//! Servers of the configuration made ready: real repositories, the real git.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use wrapper::paths::Env;
use wrapper::servers::source::{Failures, Ready, prepare, rehearse};
use wrapper::types::server::{self, Kind};
use wrapper::types::source::{Git, HeaderPart, HeaderValue, Recipe, ServerSpec, Source};

/// A user with a state directory, and a remote that they fetch from.
struct Place {
    dir: tempfile::TempDir,
    env: Env,
}

impl Place {
    /// A remote with a tagged commit, and one after it.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = std::env::var_os("PATH").expect("a PATH");
        let env = Env::from([
            ("PATH".into(), path),
            ("HOME".into(), dir.path().join("home").into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
        ]);
        let place = Self { dir, env };
        fs::create_dir(place.path("home")).expect("made");
        place.git(&["init", "--quiet", "-b", "main", "."]);
        for (name, text) in [
            ("server.js", "one\n"),
            ("run.sh", "#!/bin/sh\n"),
            ("node_modules/x/index.js", "x\r\n"),
            ("sub/server.js", "sub\n"),
        ] {
            place.write(name, text);
        }
        let run = place.path("remote/run.sh");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).expect("set");
        symlink("/etc", place.path("remote/out")).expect("linked");
        place.commit("one");
        place.git(&["tag", "v1"]);
        place.git(&["tag", "-a", "-m", "first", "release/1.0"]);
        place.write("server.js", "two\n");
        place.commit("two");
        place
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path("remote").join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A", "-f"]);
        self.git(&["commit", "--quiet", "-m", message]);
    }

    /// Git in the remote; what it prints.
    fn git(&self, args: &[&str]) -> String {
        let remote = self.path("remote");
        fs::create_dir_all(&remote).expect("made");
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@x.dev"])
            .args(args)
            .env_clear()
            .envs(&self.env)
            .current_dir(remote)
            .output()
            .expect("git runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    fn url(&self) -> String {
        format!("file://{}", self.path("remote").display())
    }

    /// A server at a ref of the remote.
    fn spec(&self, name: &str, at: &str) -> ServerSpec {
        spec(name, &self.url(), at, None)
    }

    fn prepare(&self, specs: &[ServerSpec]) -> Result<Ready, Failures> {
        prepare(specs, &self.env, &self.path("state"))
    }

    /// What stands in `server.js` of the one server.
    #[track_caller]
    fn served(&self, at: &str) -> String {
        let ready = self.prepare(&[self.spec("x", at)]).expect("ready");
        fs::read_to_string(root(&ready, 0).join("server.js")).expect("a file")
    }

    /// Lets `script` run in place of git; `$GIT` is the real one.
    fn instead_of_git(&mut self, script: &str) {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).expect("made");
        let path = self
            .env
            .get(std::ffi::OsStr::new("PATH"))
            .expect("a PATH")
            .clone();
        let real = std::env::split_paths(&path)
            .map(|dir| dir.join("git"))
            .find(|git| git.is_file() && !git.starts_with(&bin))
            .expect("git");
        let log = self.path("git.log");
        let (real, log) = (real.display(), log.display());
        let script = format!("#!/bin/sh\nGIT='{real}'\nLOG='{log}'\n{script}\n");
        fs::write(bin.join("git"), script).expect("written");
        fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).expect("set");
        let mut dirs = vec![bin];
        dirs.extend(std::env::split_paths(&path));
        let path = std::env::join_paths(dirs).expect("a PATH");
        self.env.insert("PATH".into(), path);
    }

    /// What is below `sources`, two floors deep, but for locks.
    fn kept(&self) -> Vec<String> {
        let list = |dir: &Path| -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let repositories = list(&self.path("state/sources"));
        let mut names: Vec<String> = (repositories.iter().flat_map(|dir| list(dir)))
            .map(|path| {
                path.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| name != "lock")
            .collect();
        names.sort();
        names
    }
}

fn spec(name: &str, url: &str, at: &str, subdir: Option<&str>) -> ServerSpec {
    ServerSpec {
        name: name.parse().expect("a name"),
        recipe: Recipe::Command {
            is_hosted: false,
            source: Source::Git(Git {
                url: url.parse().expect("a URL"),
                at: at.parse().expect("a ref"),
                subdir: subdir.map(|subdir| subdir.parse().expect("a directory")),
            }),
            program: "${MCP_ROOT}/run.sh".into(),
            args: vec!["${MCP_ROOT}".into()],
            env: [(
                "ROOT".to_owned(),
                wrapper::types::identity::Token::new("${MCP_ROOT}"),
            )]
            .into(),
            cwd: Some("${MCP_ROOT}".into()),
        },
        context: server::ContextLevel::default(),
        agents: None,
    }
}

#[track_caller]
fn command(ready: &Ready, index: usize) -> &server::Command {
    match &ready.servers[index].kind {
        Kind::Command(command) => command,
        Kind::Remote(remote) => panic!("{remote:?}"),
    }
}

#[track_caller]
fn root(ready: &Ready, index: usize) -> PathBuf {
    PathBuf::from(&command(ready, index).args[0])
}

#[test]
fn a_checkout_is_what_was_committed_and_its_place_stands_for_the_variable() {
    let mut place = Place::new();
    place.env.insert("MCP_ROOT".into(), "/wrong".into());
    let one = place.git(&["rev-parse", "v1"]);
    let ready = place.prepare(&[place.spec("x", &one)]).expect("ready");
    assert!(ready.warnings.is_empty());
    let root = root(&ready, 0);
    assert!(root.starts_with(place.path("state/sources")) && root.ends_with(&one));
    let command = command(&ready, 0);
    assert_eq!(Path::new(&command.program), root.join("run.sh"));
    assert_eq!(Path::new(command.env["ROOT"].expose()), root);
    assert_eq!(command.cwd.as_ref(), Some(&root));
    assert!(!command.is_private, "nothing came from the environment");
    let read = |name: &str| fs::read_to_string(root.join(name)).expect(name);
    assert_eq!(read("server.js"), "one\n");
    assert_eq!(read("node_modules/x/index.js"), "x\r\n");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&root.join("run.sh")) & 0o100, 0o100);
    assert_eq!(mode(&place.path("state/sources")), 0o700);
    assert_eq!(mode(root.parent().expect("a parent")), 0o700);
    assert_eq!(place.kept(), [one]);
}

#[test]
fn tags_and_branches_are_what_they_are_called() {
    let place = Place::new();
    assert_eq!(place.served("v1"), "one\n");
    assert_eq!(place.served("release/1.0"), "one\n");
    assert_eq!(place.served("branch:main"), "two\n");
    // A branch that ends alike is another one.
    place.git(&["branch", "a/refs/heads/main", "v1"]);
    assert_eq!(place.served("branch:main"), "two\n");
    place.write("server.js", "three\n");
    place.commit("three");
    assert_eq!(place.served("branch:main"), "three\n");
    // A tag is asked for once.
    place.git(&["tag", "-f", "v1"]);
    assert_eq!(place.served("v1"), "one\n");
}

#[test]
fn a_branch_of_a_remote_that_is_away_is_what_it_was() {
    let place = Place::new();
    assert_eq!(place.served("branch:main"), "two\n");
    fs::rename(place.path("remote"), place.path("away")).expect("moved");
    let ready = place
        .prepare(&[place.spec("x", "branch:main")])
        .expect("ready");
    assert_eq!(
        fs::read(root(&ready, 0).join("server.js")).expect("read"),
        b"two\n"
    );
    let [warning] = &ready.warnings[..] else {
        panic!("{:?}", ready.warnings)
    };
    let start = format!("`mcp_servers.x`: cannot fetch {}: fatal: ", place.url());
    assert!(
        warning.starts_with(&start) && warning.contains("`branch:main` is what it was before"),
        "{warning}"
    );
    let other = place.prepare(&[place.spec("x", "branch:other")]);
    assert!(other.is_err(), "{other:?}");
}

#[test]
fn ten_that_are_there_start_no_git() {
    let mut place = Place::new();
    let (one, two) = (
        place.git(&["rev-parse", "v1"]),
        place.git(&["rev-parse", "main"]),
    );
    let refs = [one.as_str(), two.as_str(), "v1", "release/1.0"];
    let specs: Vec<ServerSpec> = (0..10)
        .map(|n| place.spec(&format!("s{n}"), refs[n % refs.len()]))
        .collect();
    let first = place.prepare(&specs).expect("ready");
    place.instead_of_git("echo \"$*\" >> \"$LOG\"; exit 1");
    let again = place.prepare(&specs).expect("ready without git");
    assert_eq!(again.servers, first.servers);
    assert!(!place.path("git.log").exists());
    // The guard of this test: what is not there does start it.
    assert!(place.prepare(&[place.spec("x", "v2")]).is_err());
    assert!(place.path("git.log").exists());
}

#[test]
fn a_server_that_gives_no_single_commits_is_fetched_whole() {
    let mut place = Place::new();
    for n in 0..3 {
        place.write("server.js", &format!("{n}\n"));
        place.commit("more");
    }
    // Neither a tip nor a tag; the old protocol hides it.
    let hidden = place.git(&["rev-parse", "main~2"]);
    let set = [
        ("COUNT", "1"),
        ("KEY_0", "protocol.version"),
        ("VALUE_0", "0"),
    ];
    for (name, value) in set {
        place
            .env
            .insert(format!("GIT_CONFIG_{name}").into(), value.into());
    }
    place.instead_of_git("echo \"$*\" >> \"$LOG\"; exec \"$GIT\" \"$@\"");
    assert_eq!(place.served(&hidden), "0\n");
    let log = fs::read_to_string(place.path("git.log")).expect("a log");
    assert_eq!(log.matches(" fetch ").count(), 2, "{log}");
    // A server that gives them is asked for no more.
    place.git(&["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    let other = place.git(&["rev-parse", "main~1"]);
    assert_eq!(place.served(&other), "1\n");
    let log = fs::read_to_string(place.path("git.log")).expect("a log");
    assert_eq!(log.matches(" fetch ").count(), 3, "{log}");
}

#[test]
fn launches_at_one_time_fetch_once() {
    let mut place = Place::new();
    place.instead_of_git("echo \"$*\" >> \"$LOG\"; exec \"$GIT\" \"$@\"");
    let specs = [place.spec("x", "v1")];
    let roots: Vec<PathBuf> = std::thread::scope(|scope| {
        let launches: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| root(&place.prepare(&specs).expect("ready"), 0)))
            .collect();
        let joined = launches
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join);
        joined.map(|root| root.expect("no panic")).collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]));
    let log = fs::read_to_string(place.path("git.log")).expect("a log");
    assert_eq!(log.matches(" fetch ").count(), 1, "{log}");
    assert_eq!(place.kept().len(), 2, "{:?}", place.kept());
}

#[test]
fn several_are_fetched_at_one_time() {
    let mut place = Place::new();
    let other = place.path("other");
    place.git(&["clone", "--quiet", ".", &other.display().to_string()]);
    for pipe in ["a", "b"] {
        nix::unistd::mkfifo(&place.path(pipe), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    }
    // Each fetch goes on when the other one has begun.
    let dir = place.dir.path().display().to_string();
    place.instead_of_git(&format!(
        "case \" $* \" in\n\
         *' fetch '*/other*) timeout 20 sh -c 'echo > {dir}/a; cat {dir}/b' || exit 1;;\n\
         *' fetch '*) timeout 20 sh -c 'cat {dir}/a; echo > {dir}/b' || exit 1;;\n\
         esac\nexec \"$GIT\" \"$@\""
    ));
    let url = format!("file://{}", other.display());
    let specs = [place.spec("x", "v1"), spec("y", &url, "v1", None)];
    let ready = place.prepare(&specs).expect("both");
    assert_ne!(root(&ready, 0), root(&ready, 1));
}

/// The variable that makes the test below the launch that is to be killed.
const VICTIM: &str = "SOURCES_VICTIM";

#[test]
fn a_launch_that_is_killed_half_way_leaves_nothing_that_is_used() {
    if let Some(dir) = std::env::var_os(VICTIM) {
        let env = wrapper::paths::env();
        let url = format!("file://{}/remote", Path::new(&dir).display());
        let state = Path::new(&dir).join("state");
        let fetched = prepare(&[spec("x", &url, "v1", None)], &env, &state);
        unreachable!("killed before: {fetched:?}");
    }
    let mut place = Place::new();
    let path = place.env.clone();
    // Half a checkout, then the end of the launch.
    place.instead_of_git(
        "case \" $* \" in *\" checkout \"*) echo half > server.js; kill -9 $PPID; exit 1;; esac\n\
         exec \"$GIT\" \"$@\"",
    );
    let test = "sources::a_launch_that_is_killed_half_way_leaves_nothing_that_is_used";
    let victim = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test])
        .env_clear()
        .envs(&place.env)
        .env(VICTIM, place.dir.path())
        .output()
        .expect("started");
    let signal = std::os::unix::process::ExitStatusExt::signal(&victim.status);
    assert_eq!(signal, Some(9), "{victim:?}");
    let left = place.kept();
    assert!(left.len() == 1 && left[0].starts_with("tmp-"), "{left:?}");
    place.env = path;
    assert_eq!(place.served("v1"), "one\n");
    let kept = place.kept();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(
        !kept.iter().any(|name| name.starts_with("tmp-")),
        "{kept:?}"
    );
}

#[test]
fn a_repository_that_we_are_started_in_is_left_alone() {
    let mut place = Place::new();
    let remote = place.path("remote");
    let before = place.git(&["status", "--porcelain", "--branch"]);
    for (name, value) in [
        ("GIT_DIR", remote.join(".git")),
        ("GIT_WORK_TREE", remote.clone()),
        ("GIT_INDEX_FILE", remote.join(".git/index")),
        ("GIT_OBJECT_DIRECTORY", remote.join(".git/objects")),
    ] {
        place.env.insert(name.into(), value.into());
    }
    assert_eq!(place.served("v1"), "one\n");
    place
        .env
        .retain(|name, _| !name.as_encoded_bytes().starts_with(b"GIT_"));
    assert_eq!(place.git(&["status", "--porcelain", "--branch"]), before);
    assert_eq!(fs::read(remote.join("server.js")).expect("read"), b"two\n");
}

#[test]
fn a_subdirectory_does_not_lead_out() {
    let place = Place::new();
    let (url, specs) = (place.url(), |subdir| {
        [spec("x", &place.url(), "v1", Some(subdir))]
    });
    let ready = place.prepare(&specs("sub")).expect("ready");
    assert!(root(&ready, 0).join("server.js").is_file());
    for subdir in ["out", "none", "server.js"] {
        // The first time it is fetched, the second it is there.
        for _ in 0..2 {
            let said = place
                .prepare(&specs(subdir))
                .expect_err("refused")
                .to_string();
            let start = format!("`mcp_servers.x`: `subdir`: there is no directory {subdir} in ");
            assert!(said.starts_with(&start) && said.ends_with(&url), "{said}");
        }
    }
}

#[test]
fn all_that_fails_is_told() {
    let place = Place::new();
    let none = format!("file://{}", place.path("none").display());
    let commit = "0123456789012345678901234567890123456789";
    let local = ServerSpec {
        recipe: Recipe::Command {
            source: Source::Local(place.path("gone")),
            program: "x".into(),
            args: Vec::new(),
            env: [].into(),
            cwd: None,
            is_hosted: false,
        },
        ..place.spec("local", "v1")
    };
    let failures = place
        .prepare(&[
            place.spec("tag", "v9"),
            spec("away", &none, "v1", None),
            place.spec("good", "v1"),
            place.spec("branch", "branch:none"),
            place.spec("commit", commit),
            local,
        ])
        .expect_err("failures");
    let said = failures.to_string();
    let lines: Vec<&str> = said.lines().collect();
    let url = place.url();
    for (line, starts) in lines.iter().zip([
        format!(
            "`mcp_servers.tag`: cannot fetch {url}: fatal: couldn't find remote ref refs/tags/v9"
        ),
        format!("`mcp_servers.away`: cannot fetch {none}: fatal: "),
        format!("`mcp_servers.branch`: cannot fetch {url}: it has no branch `none`"),
        format!("`mcp_servers.commit`: cannot fetch {url}: it has no commit `{commit}`"),
        format!(
            "`mcp_servers.local`: `path`: cannot find {}",
            place.path("gone").display()
        ),
    ]) {
        assert!(line.starts_with(&starts), "{line}\n{starts}");
    }
    assert_eq!((lines.len(), failures.0.len()), (5, 5), "{said}");
}

#[test]
fn a_rehearsal_touches_nothing() {
    let place = Place::new();
    let specs = [place.spec("x", "v1"), place.spec("y", "branch:main")];
    let ready = rehearse(&specs, &place.env, &place.path("state")).expect("as if ready");
    assert!(root(&ready, 0).ends_with("v1") && !place.path("state").exists());
    place.prepare(&specs).expect("ready");
    let rehearsed = rehearse(&specs, &place.env, &place.path("state")).expect("ready");
    assert_eq!(
        rehearsed.servers,
        place.prepare(&specs).expect("ready").servers
    );
}

#[test]
fn values_come_from_the_environment_and_from_files() {
    let mut place = Place::new();
    let text = wrapper::types::identity::Token::new;
    place.env.insert("TOKEN".into(), "s3cret".into());
    place.env.insert("LINES".into(), "s3cret\nX: y".into());
    fs::write(place.path("key"), "from a file\n").expect("written");
    let remote = |url: &str, headers: Vec<(String, HeaderValue)>| ServerSpec {
        recipe: Recipe::Remote {
            url: url.into(),
            headers,
            auth: None,
        },
        ..place.spec("net", "v1")
    };
    let command_spec = |arg: &str| ServerSpec {
        recipe: Recipe::Command {
            source: Source::None,
            program: "x".into(),
            args: vec![arg.into()],
            env: [("E".to_owned(), text("${TOKEN}"))].into(),
            cwd: None,
            is_hosted: false,
        },
        ..place.spec("cmd", "v1")
    };
    let headers = vec![
        (
            "A".to_owned(),
            vec![HeaderPart::Text(text("Bearer ${TOKEN}"))],
        ),
        ("B".to_owned(), vec![HeaderPart::Env("TOKEN".into())]),
        ("C".to_owned(), vec![HeaderPart::File(place.path("key"))]),
    ];
    let ready = place
        .prepare(&[
            remote("https://x.dev/${PATH_TO:-mcp}", headers),
            command_spec("--key=${TOKEN}"),
            command_spec("--key=${NO:-none}"),
        ])
        .expect("ready");
    let Kind::Remote(net) = &ready.servers[0].kind else {
        panic!("{ready:?}")
    };
    let values: Vec<&str> = net
        .headers
        .iter()
        .map(|(_, value)| value.expose())
        .collect();
    assert_eq!(values, ["Bearer s3cret", "s3cret", "from a file"]);
    assert_eq!(net.endpoint.href(), "https://x.dev/mcp");
    assert_eq!(command(&ready, 1).args, ["--key=s3cret"]);
    assert_eq!(command(&ready, 1).env["E"].expose(), "s3cret");
    assert!(command(&ready, 1).is_private && !command(&ready, 2).is_private);

    let header = |value| vec![("A".to_owned(), value)];
    let gone = place.path("gone");
    for (spec, says) in [
        (
            command_spec("${NO}"),
            "`mcp_servers.cmd`: `args[0]`: the variable `NO` is not set".to_owned(),
        ),
        (
            remote("https://x.dev", header(vec![HeaderPart::Env("NO".into())])),
            "`mcp_servers.net`: `headers.A`: the variable `NO` is not set".to_owned(),
        ),
        (
            remote(
                "https://x.dev",
                header(vec![HeaderPart::File(gone.clone())]),
            ),
            format!(
                "`mcp_servers.net`: `headers.A`: cannot read {}: ",
                gone.display()
            ),
        ),
        (
            remote(
                "https://x.dev",
                header(vec![HeaderPart::Env("LINES".into())]),
            ),
            "`mcp_servers.net`: `headers.A`: the value has a control character".to_owned(),
        ),
        (
            remote("https://u:${TOKEN}@x.dev", Vec::new()),
            "`mcp_servers.net`: `url`: it is no `http://host:port/path`: ".to_owned(),
        ),
    ] {
        let said = place.prepare(&[spec]).expect_err("refused").to_string();
        assert!(
            said.starts_with(&says) && !said.contains("s3cret"),
            "{said}"
        );
    }
}

#[test]
fn git_asks_nobody_and_gives_up_on_a_silent_server() {
    let mut place = Place::new();
    for (name, value) in [
        ("GIT_ASKPASS", "/bin/false"),
        ("SSH_ASKPASS", "/bin/false"),
        ("GIT_SSH_COMMAND", "ssh -i key"),
    ] {
        place.env.insert(name.into(), value.into());
    }
    place.instead_of_git(
        "echo \"args $*\" >> \"$LOG\"\n\
         env | grep -e ^GIT_ -e ^SSH_ -e ^GCM_ >> \"$LOG\"\nexec \"$GIT\" \"$@\"",
    );
    assert_eq!(place.served("v1"), "one\n");
    let log = fs::read_to_string(place.path("git.log")).expect("a log");
    let (_, fetch) = log.split_once(" fetch ").expect("a fetch");
    for line in [
        "GIT_TERMINAL_PROMPT=0",
        "GIT_ASKPASS=",
        "SSH_ASKPASS=",
        "SSH_ASKPASS_REQUIRE=never",
        "GCM_INTERACTIVE=never",
    ] {
        assert!(fetch.lines().any(|other| other == line), "{line}: {fetch}");
    }
    let ssh = fetch
        .lines()
        .find(|line| line.starts_with("GIT_SSH_COMMAND="));
    let ssh = ssh.expect("a command");
    assert!(
        ssh.starts_with("GIT_SSH_COMMAND=ssh -i key -o BatchMode=yes"),
        "{ssh}"
    );
    for setting in ["-c http.lowSpeedLimit=1", "-c http.lowSpeedTime=30"] {
        assert!(log.contains(setting), "{log}");
    }
}

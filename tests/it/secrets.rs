//! No token where none may be: arguments, logs, files, the screen.

use std::fs;
use std::path::{Path, PathBuf};

use wrapper::types::exit::AgentExit;

use super::support::world::World;

#[tokio::test]
async fn secrets_stay_where_they_belong() {
    let world = World::with_hub();
    let send = "chat_send={\"channel\":\"general\",\"message\":\"here I am\"}";
    let mut terminal = world.launch(&["fake", "--", "--call", send]);
    terminal.shows("\n>").await;
    world.json(&["say", "--json", "@fake hello"]);
    terminal
        .until("a call", |_| {
            world
                .report()
                .iter()
                .any(|entry| entry.get("call").is_some())
        })
        .await;

    let human = fs::read_to_string(world.path("data/wrapper/hub/human.token"))
        .expect("a token")
        .trim()
        .to_owned();
    let agent = world.reported("start")["pid"].as_i64().expect("a pid");
    let environ = fs::read(format!("/proc/{agent}/environ")).expect("an environment");
    let key = String::from_utf8_lossy(&environ)
        .split('\0')
        .find_map(|pair| pair.strip_prefix("WRAPPER_MCP_KEY=").map(str::to_owned))
        .expect("the key");
    let token = world.token("fake");
    let secrets = [human.as_str(), key.as_str(), token.as_str()];
    assert!(
        secrets.iter().all(|secret| secret.len() == 32),
        "{secrets:?}"
    );

    let processes = world.processes();
    assert!(processes.len() >= 3, "{processes:?}");
    for (pid, args) in &processes {
        assert!(
            !secrets.iter().any(|secret| args.contains(secret)),
            "arguments of {pid}"
        );
    }
    // The agent's environment has the key, and nothing else of the three.
    let environ = String::from_utf8_lossy(&environ);
    assert!(!environ.contains(&human) && !environ.contains(&token));

    // Files of the session, of the hub's log, of the report: none, but the
    // hub's own store and the human's own token.
    let session = world.sessions().pop().expect("a session");
    assert!(files(&session).len() >= 2, "{:?}", files(&session));
    for file in files(&world.path(""))
        .iter()
        .filter(|file| !file.to_string_lossy().contains("/hub/"))
    {
        let text = String::from_utf8_lossy(&fs::read(file).expect("read")).into_owned();
        assert!(
            !secrets.iter().any(|secret| text.contains(secret)),
            "{}",
            file.display()
        );
    }
    terminal.keys(b"/exit 0\r").await;
    assert_eq!(terminal.end().await, AgentExit::Code(0));
    let shown = String::from_utf8_lossy(&terminal.bytes);
    assert!(!secrets.iter().any(|secret| shown.contains(secret)));
    let logs = files(&world.path("state/logs"));
    assert_eq!(logs.len(), 1);
    let log = fs::read_to_string(&logs[0]).expect("a log");
    assert!(log.contains("DEBUG") && !secrets.iter().any(|secret| log.contains(secret)));
}

/// Every file below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else if path.is_file() {
                vec![path]
            } else {
                // A socket keeps nothing.
                Vec::new()
            }
        })
        .collect()
}

//! Credentials that live, from real commands, files and variables.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wrapper::credential::{Granted, Keepers, Ungranted};
use wrapper::types::credential::{Auth, TokenSource};
use wrapper::types::identity::{ServerName, Token};

use super::support::source::{Source, endpoint, keepers, plain};
use super::support::{eventually, meanwhile, soon};

fn docs() -> ServerName {
    "docs".parse().expect("a name")
}

async fn ask(keepers: &Keepers, auth: &Auth) -> Result<Arc<Granted>, Ungranted> {
    soon("a grant", keepers.grant(&docs(), &endpoint(), auth)).await
}

/// The value of the one header that is granted.
async fn token(keepers: &Keepers, auth: &Auth) -> String {
    let granted = ask(keepers, auth).await.expect("a credential");
    assert_eq!(granted.headers.len(), 1);
    granted.headers[0].1.expose().to_owned()
}

async fn renew(keepers: &Keepers, auth: &Auth, used: &Granted) -> Result<(), Ungranted> {
    let (docs, endpoint) = (docs(), endpoint());
    soon("a renewal", keepers.renew(&docs, &endpoint, auth, used)).await
}

fn pid(source: &Source, file: &str) -> Pid {
    let path = source.path(file);
    let id = eventually("a process", || {
        fs::read_to_string(&path).ok()?.trim().parse().ok()
    });
    Pid::from_raw(id)
}

/// True once a process is gone, or nobody has asked how it ended.
fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    kill(pid, None).is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn many_callers_share_one_run() {
    let (source, keepers) = (Source::new("one\n"), Arc::new(keepers()));
    source.shut();
    let auth = source.auth();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (keepers, auth) = (Arc::clone(&keepers), auth.clone());
        callers.spawn(async move { token(&keepers, &auth).await });
    }
    source.open().await;
    let tokens = soon("all callers", callers.join_all()).await;
    assert_eq!(tokens, ["Bearer one"; 16]);
    assert_eq!(source.runs(), ["start"]);

    // The same for those that were refused.
    let used = ask(&keepers, &auth).await.expect("a credential");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (keepers, auth, used) = (Arc::clone(&keepers), auth.clone(), Arc::clone(&used));
        callers.spawn(async move { renew(&keepers, &auth, &used).await });
    }
    source.say("two");
    source.open().await;
    let renewed = soon("all callers", callers.join_all()).await;
    assert_eq!(renewed, [const { Ok(()) }; 16]);
    assert_eq!(token(&keepers, &auth).await, "Bearer two");
    // Late, and without need.
    assert_eq!(renew(&keepers, &auth, &used).await, Ok(()));
    assert_eq!(source.runs(), ["start", "unauthorized"]);
}

#[tokio::test]
async fn renewed_beside_the_requests_that_go_on() {
    let (source, keepers) = (Source::new("one"), keepers());
    let auth = source.with(Duration::from_secs(10), Some(Duration::from_nanos(1)));
    assert_eq!(token(&keepers, &auth).await, "Bearer one");
    source.shut();
    source.say("two");
    for _ in 0..3 {
        assert_eq!(token(&keepers, &auth).await, "Bearer one");
    }
    source.open().await;
    meanwhile("the new one", async || {
        (token(&keepers, &auth).await == "Bearer two").then_some(())
    })
    .await;
    assert_eq!(source.runs()[..2], ["start", "expiring"]);
}

#[tokio::test]
async fn a_short_life_never_leaves_anybody_without() {
    let source = Source::script("cat \"say$(($(wc -l < runs)))\"\n");
    let start = SystemTime::now();
    let end = |second| {
        let end = DateTime::<Utc>::from(start + Duration::from_secs(second));
        end.to_rfc3339_opts(SecondsFormat::Millis, true)
    };
    for turn in 1..20 {
        let said = format!(
            "{{\"status\":{{\"token\":\"t{turn}\",\"expirationTimestamp\":\"{}\"}}}}\n",
            end(turn)
        );
        fs::write(source.path(&format!("say{turn}")), said).expect("written");
    }
    let (keepers, auth) = (keepers(), source.auth());
    let mut seen: Vec<String> = Vec::new();
    meanwhile("four lives", async || {
        let granted = ask(&keepers, &auth).await.expect("a credential");
        assert!(granted.expires_at.is_some_and(|end| end > start));
        let token = granted.headers[0].1.expose().to_owned();
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        (seen.len() == 4).then_some(())
    })
    .await;
    assert_eq!(seen, ["Bearer t1", "Bearer t2", "Bearer t3", "Bearer t4"]);
    let status = keepers.status(&docs(), &auth).expect("a status");
    assert_eq!((status.kind, status.error), ("command", None));
    let shown = status.expires_at.expect("an end");
    assert!(shown > start + Duration::from_secs(3), "{shown:?}");
}

#[tokio::test]
async fn a_failing_source_leaves_what_is_valid_and_rests() {
    let source =
        Source::script("cat say || { echo 'say: it is not\u{1b}[2J here' >&2; exit 7; }\n");
    source.say("one");
    let auth = source.with(Duration::from_secs(10), Some(Duration::from_nanos(1)));
    let keepers = keepers();
    assert_eq!(token(&keepers, &auth).await, "Bearer one");
    fs::remove_file(source.path("say")).expect("removed");
    let error = meanwhile("a failure", async || {
        assert_eq!(token(&keepers, &auth).await, "Bearer one");
        keepers.status(&docs(), &auth).expect("a status").error
    })
    .await;
    let says = "`sh` failed with exit status: 7";
    assert_eq!(*error, *says);
    let used = ask(&keepers, &auth).await.expect("a credential");
    let refused = renew(&keepers, &auth, &used).await.expect_err("a pause");
    assert_eq!((refused.kind, &*refused.why), ("command", says));
    assert_eq!(source.runs(), ["start", "expiring"]);
    // Forgotten, it starts anew.
    source.say("two");
    keepers.forget(&docs());
    assert_eq!(keepers.status(&docs(), &auth), None);
    assert_eq!(token(&keepers, &auth).await, "Bearer two");
}

#[tokio::test]
async fn the_same_again_is_no_renewal() {
    let (source, keepers) = (Source::new("one"), keepers());
    let auth = source.auth();
    let used = ask(&keepers, &auth).await.expect("a credential");
    for _ in 0..3 {
        let refused = renew(&keepers, &auth, &used).await.expect_err("no other");
        assert_eq!(&*refused.why, "it gave the same credential again");
    }
    assert_eq!(source.runs(), ["start", "unauthorized"]);
    assert_eq!(token(&keepers, &auth).await, "Bearer one");
}

#[tokio::test]
async fn what_a_command_says_in_vain_is_not_repeated() {
    for (script, says) in [
        ("printf 's3cret-1\\ns3cret-2\\n'", "it has several lines"),
        ("printf 's3cret\\033x'", "it has a control character"),
        ("true", "it is empty"),
        ("echo '{\"A\": 5}'", "a value in it is no string"),
        ("echo s3cret-1; exit 3", "`sh` failed with exit status: 3"),
        (
            "echo s3cret-1; echo 'token s3cret-1 is bad' >&2; exit 3",
            "`sh` failed with exit status: 3",
        ),
        ("kill -9 $$", "`sh` failed with signal: 9 (SIGKILL)"),
        ("yes s3cret", "`sh` printed more than 64 kB"),
        (
            "echo '{\"status\":{\"token\":\"s3cret\",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\"}}'",
            "it gave a credential that has expired",
        ),
    ] {
        let source = Source::script(script);
        let (keepers, auth) = (keepers(), source.auth());
        let refused = ask(&keepers, &auth).await.expect_err(script);
        let said = format!("{refused} {refused:?} {keepers:?}");
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
        assert_eq!(ask(&keepers, &auth).await, Err(refused), "{script}");
        assert_eq!(source.runs(), ["start"], "{script}");
    }
    let gone = plain(TokenSource::Command(match Source::new("").auth().source {
        TokenSource::Command(command) => wrapper::types::credential::TokenCommand {
            argv: vec!["no-such-program".to_owned()],
            ..command
        },
        other => panic!("{other:?}"),
    }));
    let refused = ask(&keepers(), &gone).await.expect_err("no such program");
    assert!(
        refused.why.starts_with("cannot run `no-such-program`: "),
        "{refused}"
    );
}

#[tokio::test]
async fn a_command_that_hangs_ends_with_all_that_it_started() {
    let source = Source::script("sleep 1000 & echo $! > child; echo s3cret; wait\n");
    let auth = source.with(Duration::from_millis(300), None);
    let refused = ask(&keepers(), &auth).await.expect_err("too long");
    assert_eq!(&*refused.why, "`sh` took longer than 300ms");
    let child = pid(&source, "child");
    eventually("the end of its child", || is_gone(child).then_some(()));
}

#[tokio::test]
async fn a_command_that_nobody_wants_any_more_ends() {
    let (source, keepers) = (
        Source::script("sleep 1000 & echo $! > child; wait\n"),
        Arc::new(keepers()),
    );
    let auth = source.auth();
    let caller = tokio::spawn({
        let keepers = Arc::clone(&keepers);
        async move { ask(&keepers, &auth).await }
    });
    meanwhile("a run", async || {
        let text = fs::read_to_string(source.path("child")).ok()?;
        text.ends_with('\n').then_some(())
    })
    .await;
    let child = pid(&source, "child");
    caller.abort();
    assert!(caller.await.is_err_and(|error| error.is_cancelled()));
    assert!(!is_gone(child));
    keepers.forget(&docs());
    meanwhile("the end of its child", async || {
        is_gone(child).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_not_waited_for() {
    let source = Source::script("sleep 1000 & echo $! > child; echo one\n");
    assert_eq!(token(&keepers(), &source.auth()).await, "Bearer one");
    let child = pid(&source, "child");
    assert!(!is_gone(child));
    kill(child, Signal::SIGKILL).expect("killed");
}

#[tokio::test]
async fn a_command_is_told_whose_credential_it_is_to_give() {
    let source = Source::script(
        "echo \"$WRAPPER_SERVER_NAME|$WRAPPER_SERVER_URL|$WRAPPER_SESSION_ID|$API_TOKEN|$HOME\"\n\
         if read -r line; then echo input; fi\n",
    );
    let auth = Auth {
        header: Some("X-Key".to_owned()),
        ..source.auth()
    };
    let granted = ask(&keepers(), &auth).await.expect("a credential");
    assert_eq!(granted.headers[0].0, "X-Key");
    assert_eq!(
        granted.headers[0].1.expose(),
        "docs|https://u.dev/mcp|0123456789ab|of-env|"
    );
}

#[tokio::test]
async fn a_command_may_name_its_headers() {
    let source = Source::new("{\"X-One\": \"a b\", \"X-Two\": \"c\"}\n");
    let granted = ask(&keepers(), &source.auth()).await.expect("headers");
    let headers: Vec<(&str, &str)> = (granted.headers.iter())
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(headers, [("X-One", "a b"), ("X-Two", "c")]);
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let (source, keepers) = (Source::new("one\n"), keepers());
    let path = source.path("say");
    let auth = plain(TokenSource::File(path.clone()));
    assert_eq!(token(&keepers, &auth).await, "Bearer one");
    // Of the same length, in the same moment, in the same place.
    for turn in 100..300 {
        fs::write(&path, format!("{turn}\n")).expect("written");
        assert_eq!(token(&keepers, &auth).await, format!("Bearer {turn}"));
    }
    source.say("six\n");
    let used = ask(&keepers, &auth).await.expect("a credential");
    assert_eq!(used.headers[0].1.expose(), "Bearer six");
    // What has not changed is the same value.
    let again = ask(&keepers, &auth).await.expect("a credential");
    assert!(Arc::ptr_eq(&used, &again));
    let refused = renew(&keepers, &auth, &used).await.expect_err("no other");
    assert_eq!(*refused.why, *format!("{} has no other", path.display()));
    source.say("ten");
    assert_eq!(renew(&keepers, &auth, &used).await, Ok(()));
    assert_eq!(token(&keepers, &auth).await, "Bearer ten");
    // Half written, or taken away: what there was is kept, and that is told.
    for spoiled in ["", "two\nlines"] {
        source.say(spoiled);
        assert_eq!(token(&keepers, &auth).await, "Bearer ten");
    }
    fs::remove_file(&path).expect("removed");
    assert_eq!(token(&keepers, &auth).await, "Bearer ten");
    let error = keepers
        .status(&docs(), &auth)
        .and_then(|status| status.error);
    let error = error.expect("an error");
    assert!(
        error.starts_with(&format!("cannot read {}: ", path.display())),
        "{error}"
    );
}

#[tokio::test]
async fn an_old_file_is_read_once() {
    let (source, keepers) = (Source::new("one\n"), keepers());
    let path = source.path("say");
    let auth = plain(TokenSource::File(path.clone()));
    let hour = SystemTime::now() - Duration::from_secs(3600);
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(hour).expect("set");
    assert_eq!(token(&keepers, &auth).await, "Bearer one");
    fs::set_permissions(source.path(""), fs::Permissions::from_mode(0o755)).expect("set");
    let first = ask(&keepers, &auth).await.expect("a credential");
    // Another file of the same age, size and name.
    source.say("two\n");
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(hour).expect("set");
    assert_eq!(token(&keepers, &auth).await, "Bearer two");
    assert!(renew(&keepers, &auth, &first).await.is_ok());
}

#[tokio::test]
async fn what_is_no_file_holds_nobody_up() {
    let source = Source::new("");
    source.shut();
    for (file, says) in [
        ("gate", "it is no regular file"),
        ("", "it is no regular file"),
        ("none", "No such file"),
        ("say", "it is empty"),
    ] {
        let auth = plain(TokenSource::File(source.path(file)));
        let refused = ask(&keepers(), &auth).await.expect_err(file);
        assert!(refused.why.contains(says), "{refused}");
        assert_eq!(refused.kind, "file");
    }
}

#[tokio::test]
async fn variables_and_fixed_tokens_are_what_they_are() {
    let keepers = keepers();
    for (source, kind, wanted, no_other) in [
        (
            TokenSource::Env("API_TOKEN".into()),
            "env",
            "Bearer of-env",
            "the variable `API_TOKEN` has no other",
        ),
        (
            TokenSource::Literal(Token::new("fixed")),
            "static",
            "Bearer fixed",
            "it is a fixed one",
        ),
    ] {
        let auth = plain(source);
        assert_eq!(token(&keepers, &auth).await, wanted);
        let used = ask(&keepers, &auth).await.expect("a credential");
        let refused = renew(&keepers, &auth, &used).await.expect_err("no other");
        assert_eq!((refused.kind, &*refused.why), (kind, no_other));
    }
    let auth = plain(TokenSource::Env("NONE".into()));
    let refused = ask(&keepers, &auth).await.expect_err("not set");
    assert_eq!(&*refused.why, "the variable `NONE` is not set");
}

#[tokio::test]
async fn one_that_is_tried_out_leaves_the_one_in_use() {
    let (used, tried) = (Source::new("one"), Source::new("two"));
    let keepers = keepers();
    for _ in 0..3 {
        assert_eq!(token(&keepers, &used.auth()).await, "Bearer one");
        assert_eq!(token(&keepers, &tried.auth()).await, "Bearer two");
    }
    assert_eq!((used.runs().len(), tried.runs().len()), (1, 1));
    // Another place may not get what was given for this one.
    let other = "https://v.dev/mcp".parse().expect("a URL");
    let granted = keepers.grant(&docs(), &other, &used.auth()).await;
    granted.expect("a credential");
    assert_eq!(used.runs(), ["start", "start"]);
}

#[tokio::test]
async fn credentials_that_are_set_anew_are_dropped() {
    let keepers = keepers();
    let mut dropped = Vec::new();
    for turn in 0..20_000 {
        let auth = plain(TokenSource::Literal(Token::new(turn.to_string())));
        let granted = keepers.grant(&docs(), &endpoint(), &auth).await;
        dropped.push(Arc::downgrade(&granted.expect("a credential")));
    }
    let kept = dropped.iter().filter(|weak| weak.strong_count() > 0);
    assert_eq!(kept.count(), 2);
    let auth = plain(TokenSource::Literal(Token::new("one")));
    let mut dropped = Vec::new();
    for turn in 0..2000 {
        let server = format!("server-{turn}").parse().expect("a name");
        let granted = keepers.grant(&server, &endpoint(), &auth).await;
        dropped.push(Arc::downgrade(&granted.expect("a credential")));
    }
    let kept = dropped.iter().filter(|weak| weak.strong_count() > 0);
    assert_eq!(kept.count(), 256);
}

//! The chat's one state, over a store of its own.

use super::super::life::LEASE;
use super::super::post::Post;
use super::*;

/// A chat in a directory of its own, which goes with it.
fn chat(now: Instant) -> (Chat, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&dir.path().join("db")).expect("a store");
    let news = broadcast::channel(8).0;
    let chat = Chat::open(store, Token::random(), 4, news, now).expect("a chat");
    (chat, dir)
}

fn enter(chat: &mut Chat, now: Instant) -> Record {
    chat.register(&wish("claude"), None, now)
        .expect("registered")
}

fn wish(base: &str) -> Register {
    Register {
        stream: true,
        base: base.into(),
        label: None,
        family: None,
        succeeds: Vec::new(),
    }
}

#[test]
fn who_takes_an_abandoned_name_inherits_its_mentions() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let first = enter(&mut chat, start);
    let late = start + LEASE;
    let mention = Post::chat("@claude hello", ChannelName::general());
    chat.post(Caller::Human, &mention, late).expect("posted");
    let said = chat.store.messages_after(1, 9, None).expect("messages");
    assert_eq!(said[0].text, "claude is offline: the mention waits for it.");

    let second = enter(&mut chat, late);
    assert_eq!(second.name, first.name);
    assert_eq!(chat.caller(&first.token, late), None);
    let stale = chat.triggers(&first.token, 0).expect("asked");
    assert_eq!(stale, None);
    let triggers = chat
        .triggers(&second.token, 0)
        .expect("asked")
        .expect("good");
    assert_eq!(triggers.len(), 1);
    // The one that was put out comes back under another name.
    let back = chat.register(&wish("claude"), Some(&first.token), late);
    assert_eq!(back.expect("registered").name.as_str(), "claude-2");
}

#[test]
fn an_instance_that_comes_back_in_time_was_never_gone() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let one = enter(&mut chat, start);
    let late = start + LEASE * 100;
    assert_eq!(chat.online(late), [""; 0]);
    assert!(chat.caller(&one.token, late).is_some(), "the token is good");
    assert_eq!(chat.online(late), ["claude"]);
    assert_eq!(enter(&mut chat, late).name.as_str(), "claude-2");
}

#[test]
fn everybody_is_who_is_there() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let gone = enter(&mut chat, start);
    let late = start + LEASE;
    let codex = chat
        .register(&wish("codex"), None, late)
        .expect("registered");
    let all = Post::chat("@all", ChannelName::general());
    chat.post(Caller::Human, &all, late).expect("posted");
    for (one, count) in [(&gone, 0), (&codex, 1)] {
        let triggers = chat.triggers(&one.token, 0).expect("asked").expect("good");
        assert_eq!(triggers.len(), count, "{}", one.name);
    }
}

#[test]
fn a_dead_sessions_name_token_and_mentions_go_to_one_successor_at_once() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let (first, second) = (enter(&mut chat, start), enter(&mut chat, start));
    let mention = Post::chat("@claude hello", ChannelName::general());
    chat.post(Caller::Human, &mention, start).expect("posted");
    let follows = Register {
        succeeds: vec!["nobody".into(), first.identity_id.clone()],
        ..wish("claude")
    };
    let foreign = Register {
        base: "codex".into(),
        ..follows.clone()
    };
    let codex = chat.register(&foreign, None, start).expect("registered");
    assert_eq!(codex.name.as_str(), "codex", "of its own family alone");
    let next = chat.register(&follows, None, start).expect("registered");
    assert_eq!(next.name, first.name);
    assert_eq!(
        chat.caller(&first.token, start),
        None,
        "the dead one's token"
    );
    let waiting = chat.triggers(&next.token, 0).expect("asked").expect("good");
    assert_eq!(waiting.len(), 1);
    // Another that asks for the same comes too late.
    let late = chat.register(&follows, None, start).expect("registered");
    assert_eq!(late.name.as_str(), "claude-3");
    // The dead one does not come back either.
    let back = chat.register(&wish("claude"), Some(&first.token), start);
    assert_eq!(back.expect("registered").name.as_str(), "claude-4");
    assert!(chat.caller(&second.token, start).is_some(), "untouched");
}

#[test]
fn the_dead_are_offline_and_their_mentions_wait() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let one = enter(&mut chat, start);
    chat.die(&one.identity_id, start).expect("known");
    assert_eq!(chat.online(start), [""; 0]);
    let mention = Post::chat("@claude hello", ChannelName::general());
    chat.post(Caller::Human, &mention, start).expect("posted");
    let next = enter(&mut chat, start);
    assert_eq!(next.name.as_str(), "claude");
    let waiting = chat.triggers(&next.token, 0).expect("asked").expect("good");
    assert_eq!(waiting.len(), 1);
}

//! The chat's one state, over a store of its own.

use super::super::api::Sent;
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
        ..Register::default()
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

/// Posts as the human who has configured `claude` and `codex`.
fn say(chat: &mut Chat, text: &str, now: Instant) -> Sent {
    let agents = ["claude", "codex"].map(|name| name.parse().expect("a name"));
    chat.store.know(&agents).expect("kept");
    let post = Post::chat(text, ChannelName::general());
    chat.post(Caller::Human, &post, now).expect("posted")
}

fn names(list: &[InstanceName]) -> Vec<&str> {
    list.iter().map(InstanceName::as_str).collect()
}

#[test]
fn a_mention_of_a_configured_agent_waits_until_it_registers() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let sent = say(&mut chat, "@claude @claude-2 @nobody @gemini", start);
    assert_eq!(names(&sent.waiting), ["claude", "claude-2"]);
    assert_eq!(sent.unknown, ["nobody", "gemini"]);
    assert_eq!(chat.online(start), [""; 0]);
    let sent = say(&mut chat, "@claude @codex-99", start);
    assert_eq!(names(&sent.waiting), ["claude"]);
    assert_eq!(sent.unknown, ["codex-99"]);
    for (name, waiting) in [("claude", 2), ("claude-2", 1), ("claude-3", 0)] {
        let one = enter(&mut chat, start);
        assert_eq!(one.name.as_str(), name);
        let triggers = chat.triggers(&one.token, 0).expect("asked").expect("good");
        assert_eq!(triggers.len(), waiting, "{name}");
    }
    let sent = say(&mut chat, "@claude", start);
    assert_eq!(names(&sent.reached), ["claude"]);
}

#[test]
fn one_that_has_left_is_told_when_it_comes_again() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    let one = enter(&mut chat, start);
    let Some(Caller::Agent(id)) = chat.caller(&one.token, start) else {
        panic!("it is known");
    };
    chat.leave(id).expect("left");
    assert_eq!(
        names(&say(&mut chat, "@claude hi", start).waiting),
        ["claude"]
    );
    let next = enter(&mut chat, start);
    let triggers = chat.triggers(&next.token, 0).expect("asked").expect("good");
    assert_eq!(triggers.len(), 1);
}

#[test]
fn mentions_wait_in_bounded_number_and_age() {
    let start = Instant::now();
    let (mut chat, _dir) = chat(start);
    for _ in 0..100 {
        assert_eq!(say(&mut chat, "@codex", start).refused, []);
    }
    let sent = say(&mut chat, "@codex", start);
    assert_eq!(
        (names(&sent.refused), names(&sent.waiting)),
        (vec!["codex"], vec![])
    );
    let aged =
        "UPDATE messages SET timestamp = timestamp - 8 * 86400 WHERE sender = 'user' AND id < 4";
    chat.store.run(aged, []).expect("aged");
    let codex = chat
        .register(&wish("codex"), None, start)
        .expect("registered");
    let triggers = chat
        .triggers(&codex.token, 0)
        .expect("asked")
        .expect("good");
    assert_eq!(triggers.len(), 98, "two were too old");
    let said = chat.store.last_messages(1, None).expect("messages");
    assert_eq!(
        said[0].text,
        "2 mentions waited for codex for more than 7 days: given up."
    );
    // Words of agents that nobody has configured make no instances.
    for n in 0..70 {
        let sent = say(&mut chat, &format!("@claude-{n}"), start);
        let is_refused = !sent.refused.is_empty() || !sent.unknown.is_empty();
        assert_eq!(is_refused, n == 0 || n > 64, "{n}");
    }
}

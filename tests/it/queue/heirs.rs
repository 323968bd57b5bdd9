//! Whose a mention is: names that change, and wrappers that die.

use super::{Data, done, run_until, texts};
use crate::support::soon;

#[tokio::test]
async fn a_renamed_instance_gets_what_its_former_name_was_told() {
    let data = Data::new();
    let name = |text: &str| text.parse().expect("a name");
    let mut queue = data.open("claude");
    data.put("claude", "before");
    queue.rename(&name("claude-1")).expect("renamed");
    assert_eq!(texts(&mut queue, 1).await, ["before"]);
    data.put("claude-1", "after");
    assert_eq!(texts(&mut queue, 1).await, ["after"]);
    data.put("claude", "late");
    assert_eq!(done(&mut queue, 1).await, ["late"]);

    // The name is somebody else's now.
    let mut other = data.open("claude");
    data.put("claude", "to the other");
    data.put("claude-1", "to us");
    assert_eq!(done(&mut queue, 1).await, ["to us"]);
    assert_eq!(done(&mut other, 1).await, ["to the other"]);
}

#[tokio::test]
async fn the_last_to_get_a_name_gets_its_entries() {
    let data = Data::new();
    let mut first = data.open("claude-1");
    let mut second = data.open("claude-2");
    // The hub was restarted, and the names are exchanged: the first is yet to
    // hear of it.
    second
        .rename(&"claude-1".parse().expect("a name"))
        .expect("renamed");
    data.put("claude-1", "to the second");
    let file = data.queue_file("claude-1");
    tokio::join!(
        run_until(&mut first, "the second has taken its file", move || !file
            .exists()),
        async { assert_eq!(done(&mut second, 1).await, ["to the second"]) },
    );
    first
        .rename(&"claude-2".parse().expect("a name"))
        .expect("renamed");
    for _ in 0..2 {
        data.put("claude-2", "to the first");
        data.put("claude-1", "to the second");
        let (mine, theirs) = tokio::join!(done(&mut second, 1), done(&mut first, 1));
        assert_eq!(mine, ["to the second"]);
        assert_eq!(theirs, ["to the first"]);
    }
}

#[tokio::test]
async fn the_dead_leave_their_entries_to_the_next_of_their_name() {
    let data = Data::new();
    let mut dead = data.open("claude");
    for text in ["one", "two", "three"] {
        data.put("claude", text);
    }
    let batch = soon("entries", dead.next()).await;
    dead.ack(batch[0].position).await.expect("noted");
    dead.rename(&"claude-1".parse().expect("a name"))
        .expect("renamed");

    // It lives, and nobody takes anything from it.
    let mut early = data.open("claude-1");
    data.put("claude-1", "new");
    assert_eq!(done(&mut early, 1).await, ["new"]);
    drop(early);
    drop(dead);

    // It is dead, and so is the next, which had delivered one more.
    for (base, name) in [("codex", "claude-1"), ("claude", "claude-2")] {
        let stranger = data.open_as(base, name);
        drop(stranger);
    }
    data.put("claude", "four");
    let mut next = data.open("claude");
    let batch = soon("entries", next.next()).await;
    let (texts, last) = (batch.iter().map(|w| &w.entry.text), &batch[0]);
    assert_eq!(texts.collect::<Vec<_>>(), ["two", "three", "four"]);
    next.ack(last.position).await.expect("noted");
    drop(next);
    let mut last = data.open("claude");
    assert_eq!(done(&mut last, 2).await, ["three", "four"]);
}

#[tokio::test]
async fn a_name_that_is_claimed_back_brings_what_was_left_to_it() {
    let data = Data::new();
    let mut dead = data.open("claude");
    data.put("claude", "one");
    assert_eq!(texts(&mut dead, 1).await, ["one"]);
    drop(dead);
    // Within the grace of a name the hub gives out another one first.
    let mut next = data.open("claude-2");
    next.rename(&"claude".parse().expect("a name"))
        .expect("renamed");
    assert_eq!(done(&mut next, 1).await, ["one"]);
}

#[tokio::test]
async fn what_nobody_inherits_is_kept_for_a_while() {
    let data = Data::new();
    let leave = async |n: usize| {
        let name = format!("claude-{n}");
        let mut dead = data.open(&name);
        data.put(&name, &name);
        assert_eq!(texts(&mut dead, 1).await, [name]);
    };
    leave(2).await;
    let mut alive = data.open("claude-3");
    for n in 4..=53 {
        leave(n).await;
    }
    // Of these, and whoever lives, the oldest go.
    drop(data.open("claude-99"));
    assert_eq!(data.spools().len(), 51);
    data.put("claude-3", "alive");
    assert_eq!(done(&mut alive, 1).await, ["alive"]);
    let mut next = data.open("claude-4");
    assert_eq!(done(&mut next, 1).await, ["claude-4"]);
    let mut too_late = data.open("claude-2");
    data.put("claude-2", "new");
    assert_eq!(done(&mut too_late, 1).await, ["new"]);
}

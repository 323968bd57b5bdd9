//! Lines that are torn, odd, many, or still being written.

use super::*;

#[tokio::test]
async fn a_writer_that_keeps_a_taken_file_open_is_read_to_its_end() {
    let data = Data::new();
    let mut writer = data.append("claude");
    put(&mut writer, "one");
    let mut queue = data.open("claude");
    assert_eq!(done(&mut queue, 1).await, ["one"]);
    // Others find a new file meanwhile.
    data.put("claude", "two");
    assert_eq!(done(&mut queue, 1).await, ["two"]);
    run_until(&mut queue, "the second file is removed", {
        let spool = data.spools()[0].join("taken");
        move || children(&spool).len() == 1
    })
    .await;
    // The reader waits already.
    let (texts, ()) = tokio::join!(done(&mut queue, 1), async {
        put(&mut writer, "three");
    });
    assert_eq!(texts, ["three"]);
    // The end of a writer shows in no write.
    drop(writer);
    let spool = data.spools()[0].join("taken");
    run_until(&mut queue, "the first file is removed", move || {
        children(&spool).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_torn_line_waits_for_its_rest() {
    let data = Data::new();
    let mut queue = data.open("claude");
    let (one, two) = (line("one"), line("two"));

    // In the same breath of the server.
    let mut writer = data.append("claude");
    write(&mut writer, &one[..30]);
    let taken = data.spools()[0].join("taken");
    run_until(&mut queue, "the half line is taken", move || {
        children(&taken).len() == 1
    })
    .await;
    data.put("claude", "meanwhile");
    assert_eq!(done(&mut queue, 1).await, ["meanwhile"]);
    write(&mut writer, &format!("{}\n{}", &one[30..], &two[..9]));
    assert_eq!(done(&mut queue, 1).await, ["one"]);
    drop(writer);

    // In another: the rest is in another file, as the first was taken.
    write(&mut data.append("claude"), &format!("{}\n", &two[9..]));
    assert_eq!(done(&mut queue, 1).await, ["two"]);

    // Whole but for its line feed.
    write(&mut data.append("claude"), &line("three"));
    assert_eq!(done(&mut queue, 1).await, ["three"]);

    // Never: the next line counts.
    write(&mut data.append("claude"), r#"{"sender": "us"#);
    let (taken, file) = (data.spools()[0].join("taken"), data.queue_file("claude"));
    run_until(&mut queue, "the torn line alone is left", move || {
        children(&taken).len() == 1 && !file.exists()
    })
    .await;
    data.put("claude", "four");
    assert_eq!(done(&mut queue, 1).await, ["four"]);
    let taken = data.spools()[0].join("taken");
    run_until(&mut queue, "nothing is left", move || {
        children(&taken).is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_is_no_entry_blocks_nothing() {
    let data = Data::new();
    let mut file = data.append("claude");
    write(&mut file, "no json\n\n[1]\n");
    put(&mut file, "one");
    // Longer than any line may be, and what it hides.
    write(&mut file, &"x".repeat(9 * 1024 * 1024));
    write(&mut file, &format!("{}\n", line("hidden")));
    put(&mut file, "two");
    write(&mut file, "the end\n");
    drop(file);
    let mut queue = data.open("claude");
    assert_eq!(done(&mut queue, 2).await, ["one", "two"]);
    let taken = data.spools()[0].join("taken");
    run_until(&mut queue, "nothing is left", move || {
        children(&taken).is_empty()
    })
    .await;

    // Neither links nor pipes are read, and they are in nobody's way.
    let secret = data.path().join("secret");
    fs::write(&secret, line("secret")).expect("written");
    std::os::unix::fs::symlink(&secret, data.queue_file("claude")).expect("linked");
    data.put("claude-2", "three");
    queue
        .rename(&"claude-2".parse().expect("a name"))
        .expect("renamed");
    assert_eq!(done(&mut queue, 1).await, ["three"]);
    queue
        .rename(&"claude".parse().expect("a name"))
        .expect("renamed");
    fs::remove_file(data.queue_file("claude")).expect("removed");
    data.put("claude", "four");
    assert_eq!(done(&mut queue, 1).await, ["four"]);
}

#[tokio::test]
async fn more_than_a_batch_comes_in_batches() {
    let data = Data::new();
    let long = "x".repeat(100_000);
    for n in 0..30 {
        data.put("claude", &format!("{n} {long}"));
    }
    let mut queue = data.open("claude");
    let first = soon("a batch", queue.next()).await.len();
    assert!((1..5).contains(&first), "{first}");
    assert_eq!(done(&mut queue, 30 - first).await.len(), 30 - first);
}

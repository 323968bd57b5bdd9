//! Who sends prompts to the session `fake`, and their receipts.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Output, Stdio};

use serde_json::{Value, json};

use super::eventually;
use super::pty::Outer;
use super::world::World;

/// Sends a prompt in the background.
pub(crate) fn send(world: &World, args: &[&str]) -> Child {
    let mut send = world.spawn(&[&["send", "fake", "--json"], args].concat());
    send.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// The receipt of a prompt, while the terminal goes on; and whether it is done.
pub(crate) async fn receipt(terminal: &mut Outer, send: Child) -> (Value, bool) {
    let output = tokio::task::spawn_blocking(|| send.wait_with_output());
    let output: Output = tokio::select! {
        output = output => output.expect("no panic").expect("waited"),
        () = terminal.until("a receipt", |_| false) => unreachable!("it waits for ever"),
    };
    let receipt = serde_json::from_slice(&output.stdout);
    (
        receipt.unwrap_or_else(|error| panic!("{error}: {output:?}")),
        output.status.success(),
    )
}

/// Outcome and reason.
pub(crate) fn end(receipt: &Value) -> (&str, &str) {
    let word = |key: &str| receipt[key].as_str().unwrap_or_default();
    (word("outcome"), word("reason"))
}

/// Waits until a prompt of the only session stands like that.
#[track_caller]
pub(crate) fn stands(world: &World, id: &str, expected: (&str, &str)) {
    eventually(&format!("{id}: {expected:?}"), || {
        let socket = world.sessions().pop()?.join("control.sock");
        let mut stream = UnixStream::connect(socket).ok()?;
        write!(stream, "GET /v1/prompts/{id} HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let receipt: Value = serde_json::from_str(body).ok()?;
        (receipt["id"] == json!(id) && end(&receipt) == expected).then_some(())
    });
}

/// Sends a prompt that must be submitted; its receipt.
pub(crate) async fn submitted(world: &World, terminal: &mut Outer, text: &str) -> Value {
    let (receipt, is_done) = receipt(terminal, send(world, &[text])).await;
    assert_eq!((end(&receipt), is_done), (("submitted", ""), true));
    receipt
}

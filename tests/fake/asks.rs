//! Asks the terminal all that agents ask theirs.

use std::io::Read;

use serde_json::json;

use crate::{report, say};

/// The last one is a status report, which every terminal answers.
const QUESTIONS: [&str; 22] = [
    "\x1b[c",
    "\x1b[>c",
    "\x1b[=c",
    "\x1b[3;5H\x1b[6n",
    "\x1b[?6n",
    "\x1b]4;1;?\x07",
    "\x1b]10;?\x07",
    "\x1b]11;?\x1b\\",
    "\x1b]12;?\x07",
    "\x1b[?u",
    "\x1b[?4m",
    "\x1b[>0q",
    "\x1b[?2026$p",
    "\x1b[4$p",
    "\x1bP$qm\x1b\\",
    "\x1bP$qr\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b[14t",
    "\x1b[16t",
    "\x1b[18t",
    "\x1b[?996n",
    "\x1b[?2048h\x1b[?2048l\x1b[5n",
];

/// Asks, and reports what came until the last answer.
pub(crate) fn all() {
    for question in QUESTIONS {
        say(question);
    }
    let (mut answers, mut buf) = (Vec::new(), [0; 4096]);
    while !answers.ends_with(b"\x1b[0n") {
        match std::io::stdin().read(&mut buf) {
            Ok(n @ 1..) => answers.extend_from_slice(&buf[..n]),
            _ => break,
        }
    }
    report(&json!({"answers": String::from_utf8_lossy(&answers)}));
}

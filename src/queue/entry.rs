//! One line of a queue file. Pure.
//!
//! The keys are those of agentchattr 0.4 and 0.5. Nothing is validated here
//! but the size: the server checks neither channels nor texts.

use serde_json::{Map, Value};

/// The longest text and the longest custom prompt, in bytes.
const LONG: usize = 256 * 1024;

/// The longest of everything else, in bytes.
const SHORT: usize = 256;

/// The longest line, in bytes: texts may be written in escapes of six bytes a
/// character, and there are two.
pub(super) const LINE: u64 = 4 * 1024 * 1024;

/// A mention as the server wrote it: untrusted, its sizes limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who wrote the message; `?` if the server did not know.
    pub sender: String,
    /// `sender: message`, or empty; at most 256 KiB.
    pub text: String,
    /// `HH:MM:SS`, the server's local time.
    pub time: String,
    /// The channel, whatever it says; `general` if none is named.
    pub channel: String,
    /// Takes the place of the usual prompt; not blank, at most 256 KiB.
    pub prompt: Option<String>,
    /// The job in whose thread the mention stands.
    pub job_id: Option<u64>,
}

/// A line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) entry: Entry,
    /// Something was too long and is not whole.
    pub(super) is_cut: bool,
}

/// Reads one line; none if it is no JSON object.
pub(super) fn parse(line: &[u8]) -> Option<Parsed> {
    let object: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let mut is_cut = false;
    let mut text = |key: &str, most: usize| {
        let mut text = object.get(key)?.as_str()?.to_owned();
        is_cut |= text.len() > most;
        let boundary = |at: &usize| text.is_char_boundary(*at);
        let end = (0..=most.min(text.len())).rev().find(boundary);
        text.truncate(end.unwrap_or_default());
        Some(text)
    };
    let entry = Entry {
        sender: text("sender", SHORT).unwrap_or_else(|| "?".into()),
        text: text("text", LONG).unwrap_or_default(),
        time: text("time", SHORT).unwrap_or_default(),
        channel: text("channel", SHORT).unwrap_or_else(|| "general".into()),
        prompt: text("prompt", LONG).filter(|prompt| !prompt.trim().is_empty()),
        job_id: object.get("job_id").and_then(Value::as_u64),
    };
    Some(Parsed { entry, is_cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_the_server_wrote_it() {
        let plain = Entry {
            sender: "user".into(),
            text: "user: hi @claude".into(),
            time: "12:00:01".into(),
            channel: "general".into(),
            prompt: None,
            job_id: None,
        };
        let start = r#"{"sender":"user","text":"user: hi @claude","time":"12:00:01","channel":"#;
        for (end, entry) in [
            (r#""general"}"#, plain.clone()),
            (
                r#""x\r!id\r","extra":[1]}"#,
                Entry {
                    channel: "x\r!id\r".into(),
                    ..plain.clone()
                },
            ),
            (
                r#""dev","job_id":7}"#,
                Entry {
                    channel: "dev".into(),
                    job_id: Some(7),
                    ..plain.clone()
                },
            ),
            (
                r#""general","prompt":"do it","job_id":"7"}"#,
                Entry {
                    prompt: Some("do it".into()),
                    ..plain.clone()
                },
            ),
            (r#""general","prompt":" "}"#, plain.clone()),
            (r"3}", plain.clone()),
        ] {
            let parsed = parse(format!("{start}{end}").as_bytes());
            let is_cut = false;
            assert_eq!(parsed, Some(Parsed { entry, is_cut }), "{end}");
        }
        let bare = parse(b"{}").expect("an object").entry;
        assert_eq!(
            (bare.sender.as_str(), bare.channel.as_str()),
            ("?", "general")
        );
    }

    #[test]
    fn what_is_no_object_is_no_entry() {
        let deep = "[".repeat(100_000);
        for bad in [
            "", "null", "[1]", "\"x\"", "{\"a\":", "{} {}", "\u{1}", &deep,
        ] {
            assert_eq!(parse(bad.as_bytes()), None);
        }
        assert_eq!(parse(b"{\"text\":\"\xff\"}"), None);
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let long = "é".repeat(LONG);
        for (key, length) in [("text", LONG), ("prompt", LONG), ("channel", SHORT)] {
            let line = serde_json::json!({key: long, "sender": "s"}).to_string();
            let Parsed { entry, is_cut } = parse(line.as_bytes()).expect("an entry");
            assert!(is_cut, "{key}");
            let longest = [
                entry.text.len(),
                entry.channel.len(),
                entry.prompt.map_or(0, |prompt| prompt.len()),
            ];
            assert_eq!(longest.into_iter().max(), Some(length), "{key}");
            assert!(line.len() as u64 <= LINE);
        }
    }
}

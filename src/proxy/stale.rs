//! Recognises the answer of a hub that does not know our token any more: it
//! has done nothing, so the call may be made again. Pure.
//!
//! agentchattr says so in the text of a result that is no error, as JSON or
//! as the first event of a stream.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::events;
use super::headers::Content;
use super::rpc::{self, Members};

/// The whole text of agentchattr's result.
const TEXT: &str = "Error: stale or unknown authenticated agent session. Re-register and retry.";
/// A part of it without anything that JSON may escape.
static PART: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("stale or unknown"));
/// The longest answer that may say so: a batch of calls, each with the text twice.
pub(super) const LONGEST: usize = 16 * 1024;

/// What the beginning of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Stale,
    /// Not enough of it is here.
    Open,
}

/// Judges the first bytes of an answer's content; `whole` if they are all.
pub(super) fn judge(content: Content, bytes: &[u8], whole: bool) -> Verdict {
    let message = match content {
        Content::Json if whole => bytes,
        Content::Events => match events::end(bytes) {
            Some(end) => &bytes[..end],
            None if whole => bytes,
            None => return open(bytes),
        },
        Content::Json => return open(bytes),
        Content::Other => return Verdict::Fine,
    };
    if PART.find(message).is_none() {
        return Verdict::Fine;
    }
    let json = if content == Content::Events {
        events::read(message).data.unwrap_or_default()
    } else {
        message.into()
    };
    let answers = rpc::messages(&json);
    if !answers.is_empty() && answers.iter().all(is_stale) {
        Verdict::Stale
    } else {
        Verdict::Fine
    }
}

fn open(bytes: &[u8]) -> Verdict {
    if bytes.len() < LONGEST {
        Verdict::Open
    } else {
        Verdict::Fine
    }
}

/// True if the text of a message's result is the one text.
fn is_stale(message: &Members<'_>) -> bool {
    let text = || {
        let result = Members::of(message.last("result")?)?;
        let content: Vec<Members<'_>> = serde_json::from_str(result.last("content")?).ok()?;
        let [only] = content.as_slice() else {
            return None;
        };
        rpc::text(only.last("text")?)
    };
    text().as_deref() == Some(TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(text: &str) -> String {
        format!(
            r#"{{"jsonrpc":"2.0","id":9,"result":{{"content":[{{"type":"text","text":"{text}"}}],"structuredContent":{{"result":"{text}"}},"isError":false}}}}"#
        )
    }

    #[test]
    fn only_the_whole_text_of_the_only_answer_counts() {
        let (stale, fine) = (result(TEXT), result("fine"));
        let quoted = result(&format!("bob wrote: {TEXT}"));
        let error =
            r#"{"jsonrpc":"2.0","id":9,"error":{"code":-32600,"message":"stale or unknown"}}"#;
        for (json, verdict) in [
            (stale.as_str(), Verdict::Stale),
            (&fine, Verdict::Fine),
            (&quoted, Verdict::Fine),
            (error, Verdict::Fine),
            (&format!("[{stale},{stale}]"), Verdict::Stale),
            // One of them was executed.
            (&format!("[{stale},{fine}]"), Verdict::Fine),
            ("stale or unknown", Verdict::Fine),
            ("", Verdict::Fine),
        ] {
            assert_eq!(
                judge(Content::Json, json.as_bytes(), true),
                verdict,
                "{json}"
            );
            let events = format!("event: message\r\ndata: {json}\r\n\r\n");
            assert_eq!(
                judge(Content::Events, events.as_bytes(), false),
                verdict,
                "{events}"
            );
            assert_eq!(judge(Content::Other, json.as_bytes(), true), Verdict::Fine);
        }
    }

    #[test]
    fn an_event_is_held_until_it_is_whole_and_no_longer() {
        for end in ["\n", "\r\n", "\r"] {
            let event = format!("id: 1{end}data: {}{end}{end}", result(TEXT));
            let whole = event.len() - end.len() + 1;
            for length in 0..=event.len() {
                let verdict = judge(Content::Events, &event.as_bytes()[..length], false);
                let expected = if length < whole {
                    Verdict::Open
                } else {
                    Verdict::Stale
                };
                assert_eq!(verdict, expected, "{length} of {event:?}");
            }
        }
        let progress = "data: {\"method\":\"notifications/progress\"}\n\ndata: ";
        assert_eq!(
            judge(Content::Events, progress.as_bytes(), false),
            Verdict::Fine
        );
        assert_eq!(judge(Content::Events, b": ping\n\n", false), Verdict::Fine);
    }

    #[test]
    fn what_is_too_long_to_be_stale_is_let_go() {
        for content in [Content::Json, Content::Events] {
            assert_eq!(judge(content, &[b'x'; LONGEST - 1], false), Verdict::Open);
            assert_eq!(judge(content, &[b'x'; LONGEST], false), Verdict::Fine);
        }
    }
}

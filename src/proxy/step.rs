//! The steps of an MCP session that have to be known in order to take them
//! again: which a request of the agent is, and where its answer has the response.
//! Pure.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::events;
use super::headers::Content;
use super::rpc::{self, Members};

/// The longest request that is looked at.
const LONGEST_REQUEST: usize = 64 * 1024;
/// The longest answer that is held back to be looked at.
pub(super) const LONGEST_ANSWER: usize = 1024 * 1024;

static INITIALIZE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("initialize"));
static LIST: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("tools/list"));

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// `initialize`.
    Hello,
    /// `notifications/initialized`.
    Started,
    /// `tools/list`: the first page, or another.
    List {
        is_first: bool,
    },
    Other,
}

/// Which step the message `body` is; a batch is none.
pub(super) fn step(body: &[u8]) -> Step {
    let is_one = body.len() <= LONGEST_REQUEST
        && (INITIALIZE.find(body).is_some() || LIST.find(body).is_some());
    let message = if is_one {
        str::from_utf8(body).ok().and_then(Members::of)
    } else {
        None
    };
    let Some(message) = message else {
        return Step::Other;
    };
    let method = message.last("method").and_then(rpc::text);
    match (method.as_deref(), message.last("id").is_some()) {
        (Some("initialize"), true) => Step::Hello,
        (Some("notifications/initialized"), false) => Step::Started,
        (Some("tools/list"), true) => {
            let params = message.last("params").and_then(Members::of);
            let cursor = params.as_ref().and_then(|params| params.last("cursor"));
            let is_first = cursor.is_none_or(|cursor| cursor == "null");
            Step::List { is_first }
        }
        _ => Step::Other,
    }
}

/// Where in the beginning of an answer the response is: its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Response {
    /// Not enough of it is here.
    Open,
    At(Range<usize>),
    /// There is none that can be looked at.
    None,
}

/// Looks for the response to one request in the first `bytes` of an answer's
/// content; `whole` if they are all.
pub(super) fn response(content: Content, bytes: &[u8], whole: bool) -> Response {
    match content {
        Content::Json if whole => Response::At(0..bytes.len()),
        Content::Events => {
            let mut at = 0;
            while let Some(length) = events::end(&bytes[at..]) {
                let event = events::read(&bytes[at..at + length]);
                let is_response = |data: &[u8]| {
                    let messages = rpc::messages(data);
                    messages
                        .iter()
                        .any(|message| message.last("method").is_none())
                };
                match event.data {
                    Some(data) if !is_response(&data) => {}
                    Some(Cow::Borrowed(data)) => {
                        let start = data.as_ptr().addr() - bytes.as_ptr().addr();
                        return Response::At(start..start + data.len());
                    }
                    Some(_) => return Response::None,
                    None => {}
                }
                at += length;
            }
            open(bytes, whole)
        }
        Content::Json => open(bytes, whole),
        Content::Other => Response::None,
    }
}

fn open(bytes: &[u8], whole: bool) -> Response {
    if whole || bytes.len() > LONGEST_ANSWER {
        Response::None
    } else {
        Response::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_from_what_only_names_them() {
        for (body, expected) in [
            (r#"{"id":0,"method":"initialize","params":{}}"#, Step::Hello),
            (r#"{"method":"initialize"}"#, Step::Other),
            (r#"{"method":"notifications/initialized"}"#, Step::Started),
            (
                r#"{"id":1,"method":"tools/list"}"#,
                Step::List { is_first: true },
            ),
            (
                r#"{"id":1,"method":"tools/list","params":{"cursor":null}}"#,
                Step::List { is_first: true },
            ),
            (
                r#"{"id":1,"method":"tools/list","params":{"cursor":"2"}}"#,
                Step::List { is_first: false },
            ),
            (
                r#"{"id":1,"method":"tools/call","params":{"a":"initialize"}}"#,
                Step::Other,
            ),
            (r#"[{"id":0,"method":"initialize"}]"#, Step::Other),
            ("initialize", Step::Other),
            ("", Step::Other),
        ] {
            assert_eq!(step(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn the_response_is_found_behind_what_is_none() {
        let at = |content, text: &str, whole| match response(content, text.as_bytes(), whole) {
            Response::At(at) => text[at].to_owned(),
            other => format!("{other:?}"),
        };
        let (json, events) = (Content::Json, Content::Events);
        assert_eq!(at(json, "{}", true), "{}");
        assert_eq!(at(json, "{}", false), "Open");
        let ask = "data: {\"id\":1,\"method\":\"ping\"}\n\n";
        for (stream, whole, found) in [
            (
                "data: {\"id\":1,\"result\":{}}\n\n",
                false,
                "{\"id\":1,\"result\":{}}",
            ),
            (
                "event: message\r\ndata: {\"id\":1}\r\n\r\nmore",
                false,
                "{\"id\":1}",
            ),
            (
                ": ping\n\ndata:\n\ndata: {\"id\":1}\n\n",
                false,
                "{\"id\":1}",
            ),
            ("data: {\ndata: \"id\":1}\n\n", false, "None"),
            ("data: {\"id\":1}\n", false, "Open"),
            ("data: {\"id\":1}\n", true, "None"),
        ] {
            assert_eq!(at(events, stream, whole), found, "{stream}");
            assert_eq!(at(events, &(ask.to_owned() + stream), whole), found);
        }
        let long = "x".repeat(LONGEST_ANSWER + 1);
        assert_eq!(at(events, &long, false), "None");
        assert_eq!(at(Content::Other, "{}", true), "None");
    }
}

//! Follows the stream that answers a POST, so that requests are answered even
//! if it breaks off before they were. Pure.

use crate::types::identity::ServerName;
use crate::types::upstream::Endpoint;

use super::answer;
use super::events;
use super::excuse::Failed;
use super::rpc;

/// An event longer than this is taken for the answer.
const LONGEST: usize = 64 * 1024;

/// What is known of the requests in a body, by the events that answer it.
#[derive(Debug)]
pub(super) struct Fate<'a> {
    server: &'a ServerName,
    at: &'a Endpoint,
    body: &'a [u8],
    /// The event that has begun.
    partial: Vec<u8>,
    /// The ids of what was answered.
    answered: Vec<String>,
    /// Nothing needs to be said for the upstream: there is an answer, or a
    /// place in the stream from where the client goes on by itself.
    is_settled: bool,
}

impl<'a> Fate<'a> {
    /// The fate of the requests in `body`, sent to `server`.
    pub(super) fn new(server: &'a ServerName, at: &'a Endpoint, body: &'a [u8]) -> Self {
        Self {
            server,
            at,
            body,
            partial: Vec::new(),
            answered: Vec::new(),
            is_settled: false,
        }
    }

    /// More of the stream.
    pub(super) fn feed(&mut self, content: &[u8]) {
        if self.is_settled {
            return;
        }
        if self.partial.len() + content.len() > LONGEST {
            self.settle();
            return;
        }
        self.partial.extend_from_slice(content);
        let mut at = 0;
        while let Some(length) = events::end(&self.partial[at..]) {
            let event = events::read(&self.partial[at..at + length]);
            // Behind an id the client resumes the stream.
            self.is_settled |= event.id.is_some_and(|id| !id.is_empty());
            for message in rpc::messages(&event.data.unwrap_or_default()) {
                if message.last("method").is_none() {
                    self.answered.extend(message.last("id").map(str::to_owned));
                }
            }
            at += length;
        }
        self.partial.drain(..at);
    }

    /// What is to be said in place of the upstream when the stream ends here:
    /// a message for each request without an answer. None if it is well so, or
    /// cannot be helped: in the middle of an event.
    pub(super) fn last_words(&mut self, failed: &Failed) -> Option<String> {
        if self.is_settled || !self.partial.trim_ascii().is_empty() {
            return None;
        }
        let why = failed.words(self.server, Some(self.at));
        let replies = answer::failures(self.body, &why);
        let open = replies
            .into_iter()
            .filter(|(id, _)| !self.answered.iter().any(|answered| answered == id));
        let words = open.fold(String::new(), |words, (_, reply)| {
            words + "event: message\ndata: " + &reply + "\n\n"
        });
        self.settle();
        (!words.is_empty()).then_some(words)
    }

    fn settle(&mut self) {
        self.is_settled = true;
        self.partial = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::exchange::Lost;

    #[test]
    fn what_has_no_answer_gets_one() {
        let call = r#"{"id":1,"method":"tools/call"}"#;
        let two = r#"[{"id":1,"method":"tools/call"},{"method":"x"},{"id":"b","method":"y"}]"#;
        let long = "x".repeat(LONGEST);
        let ask = r#"{"id":1,"method":"ping"}"#;
        for (body, stream, told) in [
            (call, String::new(), &["1"][..]),
            (call, ": ping\n\n".into(), &["1"]),
            (call, format!("data: {ask}\n\n"), &["1"]),
            (call, "data: {\"id\":2,\"result\":{}}\n\n".into(), &["1"]),
            (call, "data: {\"id\":1,\"result\":{}}\n\n".into(), &[]),
            (call, "data: {\"id\":1,\"error\":{}}\r\n\r\n".into(), &[]),
            (call, "data: {\"id\":1,".into(), &[]),
            (call, "id: 7\ndata:\n\n".into(), &[]),
            (call, format!("data: {long}\n\n"), &[]),
            (two, "data: {\"id\":1,\"result\":{}}\n\n".into(), &["\"b\""]),
            (
                two,
                "data: [{\"id\":1,\"result\":{}},{\"id\":\"b\",\"error\":{}}]\n\n".into(),
                &[],
            ),
            (r#"{"method":"x"}"#, String::new(), &[]),
            ("no json", String::new(), &[]),
        ] {
            for size in [1, 5, usize::MAX] {
                let server = "docs".parse().expect("a name");
                let at = Endpoint::loopback(1, "/mcp");
                let mut fate = Fate::new(&server, &at, body.as_bytes());
                stream
                    .as_bytes()
                    .chunks(size)
                    .for_each(|piece| fate.feed(piece));
                let words = fate.last_words(&Failed::Lost(Lost::Closed));
                let words = words.unwrap_or_default();
                assert_eq!(
                    words.matches("\n\n").count(),
                    told.len(),
                    "{stream}: {words}"
                );
                for id in told {
                    assert!(
                        words.contains(&format!("\"id\":{id},")),
                        "{stream}: {words}"
                    );
                }
                assert!(
                    told.is_empty() || words.contains("may or may not"),
                    "{words}"
                );
                assert_eq!(fate.last_words(&Failed::Lost(Lost::Closed)), None);
            }
        }
    }
}

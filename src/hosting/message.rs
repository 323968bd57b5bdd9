//! JSON-RPC messages between a client and a server, as far as we look into
//! them: they keep their spelling. Pure.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::types::reply;

/// A JSON value, however it is spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id(String);

/// A message of a client: one line for the server, with its line feed.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) line: Bytes,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ask(Ask),
    /// A notification, and the request that it takes back.
    Note {
        cancels: Option<Id>,
    },
    /// An answer to the server.
    Answer,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    /// Where its id stands in the line.
    at: Range<usize>,
    /// The id as it is spelled.
    pub(super) id: String,
    pub(super) method: String,
    /// By what its progress is told.
    pub(super) progress: Option<Id>,
}

/// A message of a server, and where in the line it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) at: Range<usize>,
    pub(super) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An answer, and where in the line the id stands.
    Answer(Range<usize>),
    /// A request or a notification; the request whose progress it tells.
    Aside { progress: Option<Id> },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// The members that we look for in parameters of any kind.
#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "requestId")]
    request: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

impl Id {
    pub(super) fn of(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        Some(Self(value.to_string()))
    }
}

impl Ask {
    pub(super) fn key(&self) -> Id {
        Id::of(self.id.as_bytes()).unwrap_or(Id(self.id.clone()))
    }

    pub(super) fn is_initialize(&self) -> bool {
        self.method == "initialize"
    }

    /// The answer in words: a failed call for the call of a tool, an error for
    /// another request.
    pub(super) fn failure(&self, why: &str) -> Bytes {
        let is_call = self.method == "tools/call";
        reply::spelled(&self.id, reply::failure(is_call, why)).into()
    }
}

impl Posted {
    /// The request's line with another id, `json`.
    pub(super) fn with_id(&self, ask: &Ask, json: &str) -> Bytes {
        replaced(&self.line, ask.at.clone(), json)
    }
}

/// `text` with `by` in the place of what stands `at`.
pub(super) fn replaced(text: &[u8], at: Range<usize>, by: &str) -> Bytes {
    let mut new = BytesMut::with_capacity(text.len() + by.len());
    new.put_slice(&text[..at.start]);
    new.put_slice(by.as_bytes());
    new.put_slice(&text[at.end..]);
    new.freeze()
}

/// The messages of a body, and whether they are a batch; None if it is no
/// JSON-RPC.
pub(super) fn posted(mut body: Vec<u8>) -> Option<(Vec<Posted>, bool)> {
    flatten(&mut body);
    let body = Bytes::from(body);
    let text = str::from_utf8(&body).ok()?;
    let is_batch = text.trim_ascii_start().starts_with('[');
    let messages: Vec<&RawValue> = if is_batch {
        serde_json::from_str(text).ok()?
    } else {
        vec![serde_json::from_str(text).ok()?]
    };
    let read = |message: &&RawValue| {
        let mut line = BytesMut::with_capacity(message.get().len() + 1);
        line.put_slice(message.get().as_bytes());
        line.put_u8(b'\n');
        let envelope: Envelope<'_> = serde_json::from_str(message.get()).ok()?;
        let params = envelope.params();
        let kind = match (envelope.method, envelope.id) {
            (Some(method), Some(id)) => Kind::Ask(Ask {
                at: place(message.get(), id),
                id: id.get().to_owned(),
                method,
                progress: params.of_meta(),
            }),
            (Some(method), None) => {
                let request = params
                    .request
                    .filter(|_| method == "notifications/cancelled");
                let cancels = request.and_then(|id| Id::of(id.get().as_bytes()));
                Kind::Note { cancels }
            }
            (None, _) => Kind::Answer,
        };
        let line = line.freeze();
        Some(Posted { line, kind })
    };
    let messages: Option<Vec<Posted>> = messages.iter().map(read).collect();
    messages
        .filter(|messages| !messages.is_empty())
        .map(|messages| (messages, is_batch))
}

/// The messages of a server's line; None if it is no JSON-RPC.
pub(super) fn heard(line: &[u8]) -> Option<Vec<Heard>> {
    let text = str::from_utf8(line).ok()?;
    let messages: Vec<&RawValue> = match text.trim_ascii_start().as_bytes().first()? {
        b'[' => serde_json::from_str(text).ok()?,
        b'{' => vec![serde_json::from_str(text).ok()?],
        _ => return None,
    };
    let read = |message: &&RawValue| {
        let envelope: Envelope<'_> = serde_json::from_str(message.get()).ok()?;
        let what = match (&envelope.method, envelope.id) {
            (Some(_), _) => What::Aside {
                progress: envelope.params().token(),
            },
            (None, Some(id)) => What::Answer(place(text, id)),
            // An error about what could not be read answers nobody.
            (None, None) => What::Aside { progress: None },
        };
        let at = place(text, message);
        Some(Heard { at, what })
    };
    messages.iter().map(read).collect()
}

/// Where the id stands at the beginning of an answer that is too long to be
/// waited for; None if it is no answer, or its id comes later.
pub(super) fn early(beginning: &[u8]) -> Option<Range<usize>> {
    let mut at = after(beginning, 0, b'{')?;
    let mut id = None;
    loop {
        let key = scalar(beginning, at)?;
        let value = after(beginning, key.end, b':')?;
        let key = &beginning[key];
        match key {
            b"\"result\"" | b"\"error\"" => return id,
            b"\"method\"" => return None,
            _ => {}
        }
        let value = scalar(beginning, value)?;
        at = after(beginning, value.end, b',')?;
        if key == b"\"id\"" {
            id = Some(value);
        }
    }
}

/// The line that takes back the request of this id, which is JSON.
pub(super) fn cancel(id: &str) -> Bytes {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"nobody waits for the answer"}}}}{}"#,
        '\n'
    )
    .into()
}

/// Puts blanks in the place of line ends, which stand between tokens alone and
/// mean the same there.
pub(super) fn flatten(json: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &json[from..]) {
        json[from + at] = b' ';
        from += at + 1;
    }
}

impl<'a> Envelope<'a> {
    fn params(&self) -> Params<'a> {
        // What has another shape has none of these members.
        let params = self.params.map(|json| serde_json::from_str(json.get()));
        params.and_then(Result::ok).unwrap_or_default()
    }
}

impl Params<'_> {
    fn token(&self) -> Option<Id> {
        self.token.and_then(|json| Id::of(json.get().as_bytes()))
    }

    fn of_meta(&self) -> Option<Id> {
        let meta: Params<'_> = serde_json::from_str(self.meta?.get()).ok()?;
        meta.token()
    }
}

/// Where `part`, which was read from `text`, stands in it.
fn place(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + part.get().len()
}

/// Where it goes on behind `byte`, which comes next in `text` but for blanks.
fn after(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = at + blanks(&text[at..]);
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

/// The string, number or word that comes next.
fn scalar(text: &[u8], at: usize) -> Option<Range<usize>> {
    let at = at + blanks(&text[at..]);
    if matches!(text.get(at)?, b'{' | b'[') {
        return None;
    }
    let mut values = serde_json::Deserializer::from_slice(&text[at..]).into_iter::<&RawValue>();
    values.next()?.ok()?;
    Some(at..at + values.byte_offset())
}

fn blanks(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

#[cfg(test)]
mod tests;

//! Heads and bodies of HTTP/1.1: what is let through means one thing to every
//! reader behind us. Pure.

use httparse::{EMPTY_HEADER, Header, Status};

use crate::proxy::framing::Framing;
use crate::proxy::gate::Gate;
use crate::proxy::head::{self, Request};
use crate::proxy::headers::STAY;
use crate::types::identity::Token;

use super::{cut, prefixes};

const OURS: &str = "Host: 127.0.0.1:1\r\nAuthorization: Bearer k\r\n";

/// Tries a request line and headers, which may be followed by a body, and the
/// same bytes as an answer; the first four bytes say where they are cut.
///
/// # Panics
/// If something does not hold.
pub fn http(data: &[u8]) {
    let (cuts, text) = cut(data);
    let gate = Gate::new(Token::new("k"), 1);
    // So that not every try is refused at the gate.
    let line = memchr::memchr(b'\n', text).map_or(0, |end| end + 1);
    let input = [&text[..line], OURS.as_bytes(), &text[line..]].concat();
    if let Ok(Some((length, request))) = head::request(&input, &gate) {
        for prefix in prefixes(&input[..length - 1], cuts) {
            assert_eq!(head::request(prefix, &gate), Ok(None));
        }
        crosses_once(&request, &gate);
        framed(
            request.body.unwrap_or(Framing::EMPTY),
            &input[length..],
            cuts,
        );
    }
    for method in ["POST", "HEAD"] {
        if let Ok(Some((length, answer))) = head::answer(text, method) {
            for prefix in prefixes(&text[..length - 1], cuts) {
                assert_eq!(head::answer(prefix, method), Ok(None));
            }
            let lines = answer.crossing.iter().position(|&b| b == b'\n');
            lines_are_clear(
                &answer.crossing[lines.map_or(0, |end| end + 1)..],
                &["content-length"],
            );
            framed(answer.body, &text[length..], cuts);
        }
    }
}

/// The head that goes on is read as what came, and as nothing else.
fn crosses_once(request: &Request, gate: &Gate) {
    lines_are_clear(&request.crossing, &[]);
    let framing = match request.body {
        None => String::new(),
        Some(Framing::Length(length)) => format!("Content-Length: {length}\r\n"),
        Some(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
    };
    let head = format!(
        "{} {} HTTP/1.1\r\n{OURS}{framing}",
        request.method, request.target
    );
    let again = [head.as_bytes(), &request.crossing, b"\r\n"].concat();
    let Ok(Some((length, read))) = head::request(&again, gate) else {
        panic!(
            "it is not read again: {:?}",
            String::from_utf8_lossy(&again)
        );
    };
    assert_eq!(length, again.len(), "it ends where it ends");
    assert_eq!(
        (&read.method, &read.target, read.body, &read.crossing),
        (
            &request.method,
            &request.target,
            request.body,
            &request.crossing
        )
    );
}

/// Header lines end in one way, and none is about a connection or a body.
fn lines_are_clear(lines: &[u8], but: &[&str]) {
    let count = |end: &[u8]| memchr::memmem::find_iter(lines, end).count();
    let ends = count(b"\r\n");
    assert_eq!((count(b"\r"), count(b"\n"), count(b"\0")), (ends, ends, 0));
    let mut slots: [Header<'_>; 128] = [EMPTY_HEADER; 128];
    let text = [lines, b"\r\n"].concat();
    let Ok(Status::Complete((length, headers))) = httparse::parse_headers(&text, &mut slots) else {
        panic!("no headers: {:?}", String::from_utf8_lossy(lines));
    };
    assert_eq!((length, headers.len()), (text.len(), ends));
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        let stays = STAY.contains(&name.as_str()) && !but.contains(&name.as_str());
        assert!(!stays, "{name}");
        assert!(!header.value.contains(&b'\n'), "{name}");
    }
}

/// A body ends at the same byte and has the same content, however it is cut.
fn framed(framing: Framing, bytes: &[u8], cuts: &[u8]) {
    let mut whole = framing;
    let mut content = Vec::new();
    let all = whole.take(bytes, |piece| content.extend_from_slice(piece));
    let (mut state, mut taken, mut pieces) = (framing, 0, Vec::new());
    let mut result = Ok(());
    for prefix in prefixes(bytes, cuts) {
        if prefix.len() <= taken {
            continue;
        }
        let rest = &prefix[taken..];
        match state.take(rest, |piece| pieces.extend_from_slice(piece)) {
            Ok(n) => {
                taken += n;
                if n < rest.len() {
                    break;
                }
            }
            Err(bad) => {
                result = Err(bad);
                break;
            }
        }
    }
    match all {
        Ok(n) => {
            assert_eq!((result, taken, state), (Ok(()), n, whole));
            assert_eq!(pieces, content);
            if n < bytes.len() {
                assert!(state.is_done(), "it left something");
            }
        }
        Err(bad) => assert_eq!(result, Err(bad)),
    }
}

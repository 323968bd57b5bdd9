use super::*;

fn id(json: &str) -> Id {
    Id::of(json.as_bytes()).expect("JSON")
}

#[test]
fn what_a_client_posts_becomes_lines() {
    let read = |body: &str| posted(body.into());
    for body in ["", "x", "[]", "[1]", "1", r#"{"method":1}"#, r#"{"id":"#] {
        assert!(read(body).is_none(), "{body}");
    }
    let body = "[{\n\"id\" : \"a\\n\",\"method\":\"tools/call\",\r\n\"params\":{\"_meta\":{\"progressToken\": 7}}},\
                {\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":3}},\
                {\"method\":\"x\",\"params\":[1]},{\"id\":1,\"result\":{}}]";
    let (messages, is_batch) = read(body).expect("messages");
    assert!(is_batch);
    let kinds: Vec<&Kind> = messages.iter().map(|message| &message.kind).collect();
    let Kind::Ask(ask) = kinds[0] else {
        panic!("{kinds:?}");
    };
    assert_eq!(
        (ask.id.as_str(), ask.method.as_str()),
        (r#""a\n""#, "tools/call")
    );
    assert_eq!(ask.progress, Some(id("7")));
    let line = str::from_utf8(&messages[0].line).expect("text");
    assert!(
        line.ends_with("}}}\n") && line.matches('\n').count() == 1,
        "{line}"
    );
    assert!(!line.contains('\r'), "{line}");
    let other = messages[0].with_id(ask, "9");
    assert!(other.starts_with(b"{ \"id\" : 9,\"method\""), "{other:?}");
    let cancels = Some(id("3"));
    assert_eq!(kinds[1], &Kind::Note { cancels });
    assert_eq!(kinds[2], &Kind::Note { cancels: None });
    assert_eq!(kinds[3], &Kind::Answer);
    let (messages, is_batch) = read(r#" {"id":null,"method":"x"}"#).expect("one");
    assert!(!is_batch && messages.len() == 1);
}

#[test]
fn what_a_server_says_is_told_apart() {
    let aside = |progress| What::Aside { progress };
    for (line, expected) in [
        ("", None),
        ("starting on port 80", None),
        ("12", None),
        ("{", None),
        ("\"text\"", None),
        (r#"{"id":5,"result":{}}"#, Some(What::Answer(6..7))),
        (
            r#"{"result":{"id":4},"id":"x"}"#,
            Some(What::Answer(24..27)),
        ),
        (r#"{"method":"m","id":1}"#, Some(aside(None))),
        (r#"{"error":{},"id":null}"#, Some(aside(None))),
        (
            r#"{"method":"notifications/progress","params":{"progressToken":"t"}}"#,
            Some(aside(Some(id("\"t\"")))),
        ),
    ] {
        let heard = heard(line.as_bytes());
        let expected = expected.map(|what| {
            let at = 0..line.len();
            vec![Heard { at, what }]
        });
        assert_eq!(heard, expected, "{line}");
    }
    let batch = r#" [{"id":1,"result":0} , {"method":"m"}]"#;
    let heard = heard(batch.as_bytes()).expect("two");
    assert_eq!(&batch[heard[1].at.clone()], r#"{"method":"m"}"#);
    assert_eq!(heard[0].what, What::Answer(8..9));
}

#[test]
fn ids_are_the_same_however_they_are_spelled() {
    assert_eq!(id(r#""\u0061""#), id(r#""a""#));
    assert_ne!(id("1"), id(r#""1""#));
}

#[test]
fn an_answer_is_known_by_its_beginning_if_its_id_comes_first() {
    for (beginning, found) in [
        (r#"{"jsonrpc":"2.0","id":12,"result":{"a"#, Some("12")),
        (r#" { "id" : "a,b" , "error" : {"#, Some(r#""a,b""#)),
        (r#"{"jsonrpc":"2.0","result":{"a"#, None),
        (r#"{"result":{},"id":1"#, None),
        (r#"{"id":1,"method":"x","params":{"#, None),
        (r#"{"id":1"#, None),
        (r#"{"id":1,"resul"#, None),
        (r#"{"extra":{"a":1},"id":1,"result":"#, None),
        (r#"[{"id":1,"result":"#, None),
        ("xxxx", None),
        ("", None),
    ] {
        let at = early(beginning.as_bytes());
        assert_eq!(at.map(|at| &beginning[at]), found, "{beginning}");
    }
}

#[test]
fn failures_are_answers_that_a_model_reads() {
    for (method, said) in [
        (
            "tools/call",
            r#"{"jsonrpc":"2.0","id":"i","result":{"content":[{"type":"text","text":"a \"why\""}],"isError":true}}"#,
        ),
        (
            "tools/list",
            r#"{"jsonrpc":"2.0","id":"i","error":{"code":-32000,"message":"a \"why\""}}"#,
        ),
    ] {
        let body = format!(r#"{{"id":"i","method":"{method}"}}"#);
        let (messages, _) = posted(body.into()).expect("a message");
        let Kind::Ask(ask) = &messages[0].kind else {
            panic!("a request");
        };
        assert_eq!(ask.failure("a \"why\""), said);
    }
}

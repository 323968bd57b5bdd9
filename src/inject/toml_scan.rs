//! Where the keys of a TOML document are in its text. Pure.
//!
//! `toml` says whether a document is valid and what its values are, and the
//! parser below it where they stand. `toml_edit` would do both, but prints
//! anew what it reads: CRLF becomes LF, a byte order mark goes, a last line
//! gets an end that it had not.
//!
//! *Invariant*: a text has been through `toml` before it is scanned.

use std::borrow::Cow;
use std::iter::Peekable;
use std::vec;

use toml_parser::Source;
use toml_parser::parser::{Event, EventKind, parse_document};

use super::document::Refusal;
use super::list::{List, Span, line};

/// A header, or a key and its value.
#[derive(Debug)]
pub(super) struct Expression {
    /// From the document's root.
    pub(super) path: Vec<String>,
    /// How much of the path the table around it has: none of a header's.
    pub(super) depth: usize,
    pub(super) kind: Kind,
    /// Where it stands, without what is around it on its line.
    pub(super) span: Span,
}

#[derive(Debug)]
pub(super) enum Kind {
    Table,
    ArrayOfTables,
    /// A key, with the braces and the members of its value if that is an
    /// inline table.
    Pair(Option<Inline>),
}

#[derive(Debug)]
pub(super) struct Inline {
    open: usize,
    close: usize,
    pub(super) members: Vec<Expression>,
}

impl Inline {
    pub(super) fn list(&self) -> List {
        List {
            open: self.open,
            close: self.close,
            members: self.members.iter().map(|member| member.span).collect(),
        }
    }
}

/// The table that a document is.
///
/// # Errors
/// It does not parse: what is wrong, and the line.
pub(super) fn table(text: &str) -> Result<toml::Table, Refusal> {
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let what = error.message().lines().next().unwrap_or_default();
        format!("{what} at line {}", line(text, at.min(text.len())))
    })
}

/// All headers and keys of a valid document, in order.
pub(super) fn scan(text: &str) -> Vec<Expression> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut events: Vec<Event> = Vec::new();
    parse_document(&tokens, &mut events, &mut ());
    let counts = |event: &Event| {
        !matches!(
            event.kind(),
            EventKind::Whitespace | EventKind::Comment | EventKind::Newline | EventKind::KeySep
        )
    };
    let events: Vec<Event> = events.into_iter().filter(counts).collect();
    let mut scanner = Scanner {
        source,
        events: events.into_iter().peekable(),
    };
    let mut found = Vec::new();
    let mut table: Vec<String> = Vec::new();
    while let Some(event) = scanner.events.peek() {
        let kind = match event.kind() {
            EventKind::StdTableOpen => Kind::Table,
            EventKind::ArrayTableOpen => Kind::ArrayOfTables,
            _ => {
                found.push(scanner.pair(&table));
                continue;
            }
        };
        let start = event.span().start();
        scanner.events.next();
        table = scanner.key(&[]);
        let end = scanner
            .events
            .next()
            .map_or(start, |close| close.span().end());
        found.push(Expression {
            path: table.clone(),
            depth: 0,
            kind,
            span: Span {
                start,
                end,
                comma: None,
            },
        });
    }
    found
}

struct Scanner<'a> {
    source: Source<'a>,
    events: Peekable<vec::IntoIter<Event>>,
}

impl Scanner<'_> {
    /// The keys that come next, below a table.
    fn key(&mut self, table: &[String]) -> Vec<String> {
        let mut path = table.to_vec();
        while let Some(key) = self
            .events
            .next_if(|event| event.kind() == EventKind::SimpleKey)
        {
            let mut name = Cow::Borrowed("");
            if let Some(raw) = self.source.get(key) {
                raw.decode_key(&mut name, &mut ());
            }
            path.push(name.into_owned());
        }
        path
    }

    fn pair(&mut self, table: &[String]) -> Expression {
        let start = self.events.peek().map_or(0, |key| key.span().start());
        let path = self.key(table);
        self.events.next();
        let (inline, end) = self.value(&path);
        Expression {
            path,
            depth: table.len(),
            kind: Kind::Pair(inline),
            span: Span {
                start,
                end,
                comma: None,
            },
        }
    }

    /// The value that comes next, and where it ends.
    fn value(&mut self, path: &[String]) -> (Option<Inline>, usize) {
        let Some(first) = self.events.next() else {
            return (None, 0);
        };
        match first.kind() {
            EventKind::InlineTableOpen => {
                let mut members: Vec<Expression> = Vec::new();
                let mut close = first;
                while let Some(event) = self.events.peek() {
                    match event.kind() {
                        EventKind::SimpleKey => members.push(self.pair(path)),
                        EventKind::ValueSep => {
                            let comma = event.span().start();
                            if let Some(member) = members.last_mut() {
                                member.span.comma = Some(comma);
                            }
                            self.events.next();
                        }
                        _ => {
                            close = *event;
                            self.events.next();
                            break;
                        }
                    }
                }
                let inline = Inline {
                    open: first.span().start(),
                    close: close.span().start(),
                    members,
                };
                (Some(inline), close.span().end())
            }
            EventKind::ArrayOpen => {
                let mut end = first.span().end();
                while let Some(event) = self.events.peek() {
                    end = event.span().end();
                    match event.kind() {
                        EventKind::ArrayClose => {
                            self.events.next();
                            break;
                        }
                        EventKind::ValueSep => {
                            self.events.next();
                        }
                        _ => {
                            self.value(path);
                        }
                    }
                }
                (None, end)
            }
            _ => (None, first.span().end()),
        }
    }
}

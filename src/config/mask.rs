//! A text of the configuration as it may be shown: without the values of keys
//! that may hold secrets. Pure.
//!
//! *Invariant*: a value is hidden unless its key is known to hold none. So a
//! mistyped key, a text that does not parse, and a comment show nothing.

use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::{Token, TokenKind};

use crate::types::secret;

/// Keys whose values are texts that are never secret. Numbers and the like are
/// shown wherever they stand.
const OPEN: [&str; 33] = [
    "agent",
    "agents",
    "color",
    "cwd",
    "data_dir",
    "draft_wait",
    "enter_backend",
    "file",
    "header",
    "host",
    "label",
    "mcp_env_var",
    "mcp_flag",
    "mcp_http_key",
    "mcp_inject",
    "mcp_settings_path",
    "mcp_transport",
    "model",
    "name",
    "path",
    "ref",
    "refresh_interval",
    "restart",
    "server_name",
    "session_context",
    "session_env_prefix",
    "strip_env",
    "subdir",
    "timeout",
    "type",
    "undelivered_after",
    "upload_dir",
    "url",
];

/// Tables whose keys are the user's own: any may hold a secret.
const CLOSED: [&str; 2] = ["env", "headers"];

/// What stands for a value.
const HIDDEN: &str = "****";

/// Digits of a number that may be shown under any key.
const SHORT: usize = 6;

/// A text and what of it is hidden.
pub(super) struct Masked<'a> {
    text: &'a str,
    /// In order.
    hidden: Vec<Range<usize>>,
}

impl<'a> Masked<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let tokens = Source::new(text).lex().into_vec();
        let mut reader = Reader {
            text,
            hidden: Vec::new(),
            header: Vec::new(),
            keys: Vec::new(),
            open: Vec::new(),
        };
        let mut statement = Vec::new();
        let mut depth = 0_usize;
        for token in tokens {
            match token.kind() {
                TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
                TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                    depth = depth.saturating_sub(1);
                }
                _ => {}
            }
            let ends = token.kind() == TokenKind::Newline && (depth == 0 || !is_value(&statement))
                || token.kind() == TokenKind::Eof;
            statement.push(token);
            if ends {
                reader.statement(&statement);
                statement.clear();
                depth = 0;
            }
        }
        Self {
            text,
            hidden: reader.hidden,
        }
    }

    /// A part of the text, with `****` where something is hidden.
    pub(super) fn shown(&self, part: Range<usize>) -> String {
        let mut shown = String::new();
        let mut at = part.start;
        for hidden in &self.hidden {
            if hidden.end <= at || hidden.start >= part.end {
                continue;
            }
            let start = hidden.start.max(at);
            shown.push_str(self.text.get(at..start).unwrap_or_default());
            shown.push_str(HIDDEN);
            at = hidden.end.min(part.end);
        }
        shown.push_str(self.text.get(at..part.end).unwrap_or_default());
        shown
    }
}

/// True if a statement has come to its value.
fn is_value(statement: &[Token]) -> bool {
    let equals = |token: &Token| token.kind() == TokenKind::Equals;
    statement.iter().any(equals)
}

struct Reader<'a> {
    text: &'a str,
    hidden: Vec<Range<usize>>,
    /// The table that the statement is in.
    header: Vec<String>,
    /// The keys above a value, from the header on.
    keys: Vec<String>,
    /// For each open bracket or brace, how many keys there were.
    open: Vec<(TokenKind, usize)>,
}

impl Reader<'_> {
    /// A header, or a key and its value, with the end of its line.
    fn statement(&mut self, tokens: &[Token]) {
        self.keys.clear();
        self.open.clear();
        let first = tokens.iter().find(|token| {
            let kind = token.kind();
            !matches!(kind, TokenKind::Whitespace | TokenKind::Newline)
        });
        let is_header = first.is_some_and(|token| token.kind() == TokenKind::LeftSquareBracket)
            && !is_value(tokens);
        if is_header {
            let words = tokens.iter().filter(|token| is_word(token));
            self.header = words.map(|token| self.word(token)).collect();
        }
        let mut is_key = true;
        let mut pending: Vec<&Token> = Vec::new();
        for token in tokens {
            match token.kind() {
                TokenKind::Comment => self.hide(token.span().start() + 1, token.span().end()),
                TokenKind::Equals => {
                    for key in pending.drain(..) {
                        self.key(key);
                    }
                    is_key = false;
                }
                TokenKind::LeftCurlyBracket | TokenKind::LeftSquareBracket if !is_key => {
                    self.open.push((token.kind(), self.keys.len()));
                    is_key = token.kind() == TokenKind::LeftCurlyBracket;
                }
                TokenKind::RightCurlyBracket | TokenKind::RightSquareBracket => {
                    is_key = is_header;
                    if let Some((_, keys)) = self.open.pop() {
                        self.keys.truncate(keys);
                    }
                }
                TokenKind::Comma => {
                    if let Some((kind, keys)) = self.open.last() {
                        self.keys.truncate(*keys);
                        is_key = *kind == TokenKind::LeftCurlyBracket;
                    }
                }
                _ if !is_word(token) => {}
                _ if is_header => self.key_word(token),
                _ if is_key => pending.push(token),
                _ => self.value(token),
            }
        }
        // No `=` follows: it may be anything.
        for word in pending {
            if !OPEN.contains(&self.word(word).as_str()) {
                self.hide(word.span().start(), word.span().end());
            }
        }
    }

    fn key(&mut self, token: &Token) {
        self.key_word(token);
        let word = self.word(token);
        self.keys.push(word);
    }

    /// A key is shown as far as it can be a name.
    fn key_word(&mut self, token: &Token) {
        let word = self.word(token);
        let span = token.span();
        if secret::is_token(&word) {
            self.hide(span.start(), span.end());
        } else if let Some(end) = word.find(['=', ':', ' ']) {
            self.hide(span.start() + end + 2, span.end() - 1);
        }
    }

    fn value(&mut self, token: &Token) {
        let word = self.word(token);
        let span = token.span();
        let path = || self.header.iter().chain(&self.keys).map(String::as_str);
        let closed = path().any(|key| CLOSED.contains(&key));
        let open = path().next_back().is_some_and(|key| OPEN.contains(&key));
        let is_short = token.kind() == TokenKind::Atom
            && (["true", "false"].contains(&word.as_str())
                || word.len() < SHORT
                    && word
                        .bytes()
                        .all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)));
        let is_clean = !secret::is_token(&word) && secret::without_query(&word) == word;
        let is_command = path().next_back() == Some("command")
            && self.open.is_empty()
            && !word.contains([' ', '=']);
        if !is_short && (closed || !(open || is_command) || !is_clean) {
            self.hide(span.start(), span.end());
        }
    }

    fn hide(&mut self, start: usize, end: usize) {
        if start < end {
            self.hidden.push(start..end);
        }
    }

    /// A key or a value without its quotes.
    fn word(&self, token: &Token) -> String {
        let span = token.span();
        let text = self.text.get(span.start()..span.end()).unwrap_or_default();
        text.trim_matches(['"', '\'']).to_owned()
    }
}

fn is_word(token: &Token) -> bool {
    matches!(
        token.kind(),
        TokenKind::Atom
            | TokenKind::BasicString
            | TokenKind::LiteralString
            | TokenKind::MlBasicString
            | TokenKind::MlLiteralString
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_hidden_unless_their_key_holds_none() {
        for (text, shown) in [
            ("port = 'hunter2'", "port = ****"),
            ("inject_delay = -1.5", "inject_delay = -1.5"),
            ("prot = 8300", "prot = 8300"),
            ("tokn = \"hunter2\" # hunter2", "tokn = **** #****"),
            ("pin = 12345678", "pin = ****"),
            ("label = \"sk-ant-123\"", "label = ****"),
            ("url = 'https://h/p'", "url = 'https://h/p'"),
            ("url = 'https://u:p@h/p'", "url = ****"),
            ("url = 'https://h/p?key=k'", "url = ****"),
            ("command = 'npx'", "command = 'npx'"),
            (
                "command = ['x', '--token', 'y']",
                "command = [****, ****, ****]",
            ),
            ("args = ['--token', 'hunter2']", "args = [****, ****]"),
            (
                "auth = { token = 'hunter2', timeout = 'x' }",
                "auth = { token = ****, timeout = 'x' }",
            ),
            ("env = { label = 'hunter2' }", "env = { label = **** }"),
            ("[a.env]\nlabel = 'hunter2'", "[a.env]\nlabel = ****"),
            (
                "[a.'env']\nlabel.x = 'hunter2'",
                "[a.'env']\nlabel.x = ****",
            ),
            ("x = '''\nhunter2\nhunter2'''", "x = ****"),
            ("x = \"hunter2", "x = ****"),
            ("x = hunter2 hunter3", "x = **** ****"),
            ("hunter2", "****"),
            ("\"A=hunter2\" = 1", "\"A=****\" = 1"),
            ("sk-ant-123 = 1", "**** = 1"),
            ("[agents.sk-ant-123]", "[agents.****]"),
            (
                "[server\nport = 1\ntoken = 'hunter2'",
                "[server\nport = 1\ntoken = ****",
            ),
            (
                "a = [\n'hunter2',\nhunter3 # x\n]",
                "a = [\n****,\n**** #****\n]",
            ),
            ("agents = ['claude']", "agents = ['claude']"),
        ] {
            let masked = Masked::new(text);
            assert_eq!(masked.shown(0..text.len()), shown, "{text}");
        }
    }
}

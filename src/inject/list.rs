//! Members between braces, with commas between them: one is added or cut out,
//! and no other byte moves. Pure.
//!
//! *Invariant*: [`List::add`] only inserts, and [`List::cut`] of what it
//! inserted takes out exactly that, in whatever order several are cut. So a
//! member goes after the last comment, on a line of its own only where the
//! closing brace stands on one.

/// Blanks, as JSON and TOML have them.
pub(super) const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// A list in a text: where its braces are, and its members.
pub(super) struct List {
    pub(super) open: usize,
    pub(super) close: usize,
    pub(super) members: Vec<Span>,
}

/// A member from the start of its key to the end of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The comma after it.
    pub(super) comma: Option<usize>,
}

impl List {
    /// Adds a member at the end. It is made from the indentation of the line
    /// that it gets to itself; none if it stands behind others.
    pub(super) fn add(&self, text: &str, member: impl FnOnce(Option<&str>) -> String) -> String {
        let last = self.members.last();
        let from = last.map_or(self.open + 1, |last| {
            last.comma.map_or(last.end, |comma| comma + 1)
        });
        let at = from + text[from..self.close].trim_end_matches(BLANK).len();
        let own_line = text[at..self.close].contains('\n').then(|| match last {
            Some(last) => indent(text, last.start).to_owned(),
            None => format!("{}{}", indent(text, self.open), unit(text)),
        });
        let gap = match &own_line {
            Some(indent) => format!("{}{indent}", newline(text)),
            None if at > self.open + 1 => " ".to_owned(),
            None => String::new(),
        };
        let member = member(own_line.as_deref());
        let (head, tail) = text.split_at(at);
        match last {
            None => format!("{head}{gap}{member}{tail}"),
            Some(last) if last.comma.is_some() => format!("{head}{gap}{member},{tail}"),
            Some(last) => {
                let (head, comments) = head.split_at(last.end);
                format!("{head},{comments}{gap}{member}{tail}")
            }
        }
    }

    /// Takes a member out, with one comma and the blanks that set it apart.
    pub(super) fn cut(&self, text: &str, index: usize) -> String {
        let Span { start, end, comma } = self.members[index];
        let before = text[..start].trim_end_matches(BLANK).len();
        let gap = &text[before..start];
        let after = comma.map_or(end, |comma| comma + 1);
        let rest_of_line = text[after..].split('\n').next().unwrap_or_default();
        // What follows on the line may not slip behind a comment.
        let keeps_gap = gap.contains('\n') && !rest_of_line.trim_matches(BLANK).is_empty();
        let from = if keeps_gap { start } else { before };
        let Some(comma) = comma else {
            let (head, tail) = (&text[..from], &text[end..]);
            let comma = index.checked_sub(1).and_then(|i| self.members[i].comma);
            return match comma {
                Some(comma) => format!("{}{}{tail}", &head[..comma], &head[comma + 1..]),
                None => format!("{head}{tail}"),
            };
        };
        let mut tail = &text[after..];
        if keeps_gap || gap.is_empty() {
            tail = tail.trim_start_matches([' ', '\t']);
        }
        format!("{}{}{tail}", &text[..from], &text[end..comma])
    }
}

/// The blanks at the start of the line that has `at`.
pub(super) fn indent(text: &str, at: usize) -> &str {
    let line = &text[line_start(text, at)..at];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// True if nothing but blanks stands before `at` on its line.
pub(super) fn leads(text: &str, at: usize) -> bool {
    line_start(text, at) + indent(text, at).len() == at
}

pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |end| end + 1)
}

/// The line that has `at`, from 1.
pub(super) fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// What one step of indentation is in this document.
pub(super) fn unit(text: &str) -> &str {
    text.split('\n')
        .skip(1)
        .map(|line| line.split_at(line.len() - line.trim_start_matches([' ', '\t']).len()))
        .find(|(blanks, rest)| !blanks.is_empty() && !rest.starts_with(['*', '\r']))
        .map_or("  ", |(blanks, _)| blanks)
}

/// How this document ends its lines.
pub(super) fn newline(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

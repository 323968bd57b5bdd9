//! Which headers and keys of a TOML document make up one table, or where it
//! would go. Pure.

use std::ops::Range;

use super::document::Refusal;
use super::list::line;
use super::toml_scan::{Expression, Inline, Kind};

/// Where a table is or would be.
pub(super) enum Place<'a> {
    /// These expressions say it.
    Pieces(Vec<usize>),
    /// This member of an inline table says it.
    Member(&'a Inline, usize),
    /// It belongs into this inline table, so deep in the document.
    Inside(&'a Inline, usize),
    /// What should have it is no table.
    Blocked(&'a Expression),
    None,
}

pub(super) fn place<'a>(expressions: &'a [Expression], keys: &[String]) -> Place<'a> {
    let has = |index: &usize| expressions[*index].path.starts_with(keys);
    let pieces: Vec<usize> = (0..expressions.len()).filter(has).collect();
    if !pieces.is_empty() {
        return Place::Pieces(pieces);
    }
    let around = |expression: &&Expression| {
        !matches!(expression.kind, Kind::Table) && keys.starts_with(&expression.path)
    };
    let Some(mut around_it) = expressions.iter().find(around) else {
        return Place::None;
    };
    while let Kind::Pair(Some(inline)) = &around_it.kind {
        let mut members = inline.members.iter();
        if let Some(index) = members
            .clone()
            .position(|member| member.path.starts_with(keys))
        {
            return Place::Member(inline, index);
        }
        match members.find(around) {
            Some(deeper) => around_it = deeper,
            None => return Place::Inside(inline, around_it.path.len()),
        }
    }
    Place::Blocked(around_it)
}

/// From the first of the pieces to the last, if nothing else is in between.
pub(super) fn chunk(
    text: &str,
    expressions: &[Expression],
    pieces: &[usize],
    keys: &[String],
) -> Result<Range<usize>, Refusal> {
    let (first, last) = (pieces[0], pieces[pieces.len() - 1]);
    if last - first + 1 == pieces.len() {
        return Ok(expressions[first].span.start..expressions[last].span.end);
    }
    let stray = pieces.windows(2).find(|pair| pair[0] + 1 != pair[1]);
    let stray = stray.map_or(last, |pair| pair[1]);
    Err(format!(
        "`{}` is there already, and goes on apart from its start at line {}",
        keys.join("."),
        line(text, expressions[stray].span.start)
    ))
}

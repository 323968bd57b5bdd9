//! `@env:VAR` and `@file:PATH` in a value: at its beginning or after a blank.
//! Pure.

/// A part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands.
    Text(&'a str),
    /// The variable of that name.
    Env(&'a str),
    /// The file at that path, which goes on to the end of the value.
    File(&'a str),
}

/// The parts of a value. `user@env:x` is text: no blank stands before it.
///
/// # Errors
/// A reference that names neither a variable nor a file.
pub fn parts(value: &str) -> Result<Vec<Part<'_>>, &'static str> {
    const EMPTY: &str = "it names neither a variable nor a file";
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some((at, is_file)) = next(rest) {
        let (text, reference) = rest.split_at(at);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        if is_file {
            let path = &reference["@file:".len()..];
            if path.is_empty() {
                return Err(EMPTY);
            }
            parts.push(Part::File(path));
            return Ok(parts);
        }
        let name = &reference["@env:".len()..];
        let end = name.find([' ', '\t']).unwrap_or(name.len());
        let (name, after) = name.split_at(end);
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(EMPTY);
        }
        parts.push(Part::Env(name));
        rest = after;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Text(rest));
    }
    Ok(parts)
}

/// Where the next reference begins, and whether it is one to a file.
fn next(text: &str) -> Option<(usize, bool)> {
    text.match_indices('@').find_map(|(at, _)| {
        let is_free = at == 0 || text[..at].ends_with([' ', '\t']);
        let rest = &text[at..];
        match (rest.starts_with("@env:"), rest.starts_with("@file:")) {
            (false, false) => None,
            (_, is_file) => is_free.then_some((at, is_file)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_stands_at_the_beginning_or_after_a_blank() {
        use Part::{Env, File, Text};
        for (value, wanted) in [
            ("", vec![Text("")]),
            ("plain", vec![Text("plain")]),
            ("@env:A", vec![Env("A")]),
            ("Bearer @env:TOKEN", vec![Text("Bearer "), Env("TOKEN")]),
            (
                "@env:A @env:B c",
                vec![Env("A"), Text(" "), Env("B"), Text(" c")],
            ),
            (
                "Bearer @file:~/my token",
                vec![Text("Bearer "), File("~/my token")],
            ),
            ("me@env:x @else", vec![Text("me@env:x @else")]),
        ] {
            assert_eq!(parts(value), Ok(wanted), "{value}");
        }
        for value in ["@env:", "Bearer @env: x", "@file:", "@env:A=B"] {
            assert!(parts(value).is_err(), "{value}");
        }
    }
}

//! What may be sent as a bearer token. Pure.
//!
//! *Invariant*: no refusal repeats anything of the token.

/// Why a text is no bearer token (RFC 6750, 2.1), as the end of a sentence
/// about it. Signs that servers use besides those of the RFC, as `|` and `:`,
/// may stand in one.
///
/// # Errors
/// Blanks, quotes, JSON, a byte order mark, and what is beyond ASCII.
pub fn check(token: &str) -> Result<(), &'static str> {
    let has = |signs: &str| token.contains(|c| signs.contains(c));
    let scheme = token.get(..7).unwrap_or_default();
    if token.is_empty() {
        Err("it is empty")
    } else if token.starts_with('\u{feff}') {
        Err("it begins with a byte order mark: save it as UTF-8 without one")
    } else if token.starts_with(['{', '[']) {
        Err("it is JSON, and no token: give the token alone")
    } else if scheme.eq_ignore_ascii_case("bearer ") {
        Err("it begins with `Bearer`, which is added: give the token alone")
    } else if token.contains(char::is_whitespace) {
        Err("it has a blank, and no token has: set `header` to send it as it is")
    } else if has("\"'`") {
        Err("it has quotes, and no token has: give it without (`-o tsv`, `jq -r`)")
    } else if !token.bytes().all(|b| b.is_ascii_graphic()) || has("{}[]<>(),;\\") {
        Err("it has a sign that no bearer token has: set `header` to send it as it is")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_pass_and_what_only_holds_one_does_not() {
        for token in [
            "abc",
            "eyJhbGciOiJSUzI1NiJ9.e30.aB-_~+/==",
            "ghp_x",
            "1|abc",
            "user:key",
        ] {
            assert_eq!(check(token), Ok(()), "{token}");
        }
        for (token, says) in [
            ("", "it is empty"),
            ("\"s3cret\"", "it has quotes"),
            ("'s3cret'", "it has quotes"),
            ("\u{feff}s3cret", "it begins with a byte order mark"),
            ("{\"token\":\"s3cret\"}", "it is JSON"),
            ("[\"s3cret\"]", "it is JSON"),
            ("Bearer s3cret", "it begins with `Bearer`"),
            ("bearer s3cret", "it begins with `Bearer`"),
            ("not s3cret", "it has a blank"),
            ("s3cret,s3cret", "it has a sign"),
            ("s3cr\u{e9}t", "it has a sign"),
            ("s3cret\u{7f}", "it has a sign"),
        ] {
            let refused = check(token).expect_err(token);
            assert!(refused.starts_with(says), "{token}: {refused}");
            assert!(!refused.contains("s3cr"), "{refused}");
        }
    }
}

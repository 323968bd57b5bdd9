//! What may be a credential, and texts without them. Pure.

use super::identity::Token;

/// Words in the names of variables and headers that hold credentials.
const WORDS: [&str; 14] = [
    "AUTH",
    "BEARER",
    "CONNECTION_STRING",
    "COOKIE",
    "CRED",
    "DSN",
    "KEY",
    "PASS",
    "PRIVATE",
    "PWD",
    "SECRET",
    "SIGNATURE",
    "TOKEN",
    "_PAT",
];

/// True if a variable's or a header's name says that its value is a
/// credential, or if the value is a URL that holds one.
#[must_use]
pub fn is_likely(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    let url_of_a_user = value.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
    });
    WORDS.iter().any(|word| name.contains(word)) || url_of_a_user || is_token(value)
}

/// How the tokens of well-known services begin.
const PREFIXES: [&str; 19] = [
    "AIza",
    "AKIA",
    "ASIA",
    "Basic ",
    "Bearer ",
    "eyJ",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "hf_",
    "npm_",
    "pypi-",
    "sk-",
    "sk_",
    "xox",
];

/// True for a text that begins as tokens do, whatever it is called.
#[must_use]
pub fn is_token(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// `text` with `****` in the place of every word that is a token, and without
/// the users and queries of its URLs.
#[must_use]
pub fn without_tokens(text: &str) -> String {
    let is_quote = |c: char| c.is_whitespace() || "\"'`,;()[]{}".contains(c);
    let shown = |word: &str| {
        if is_token(word) {
            "****".to_owned()
        } else {
            without_query(word)
        }
    };
    let pieces = text.split_inclusive(is_quote).map(|piece| {
        let word = piece.trim_end_matches(is_quote);
        format!("{}{}", shown(word), &piece[word.len()..])
    });
    pieces.collect()
}

/// Arguments without what follows an option that takes a credential.
#[must_use]
pub fn of_args(args: &[&str]) -> Vec<String> {
    let is_option = |arg: &str| arg.starts_with('-') && is_likely(arg.trim_start_matches('-'), "");
    let mut is_next = false;
    let shown = args.iter().map(|arg| {
        let hides = std::mem::take(&mut is_next) && !arg.starts_with('-');
        match arg.split_once(['=', ':']) {
            _ if hides || is_token(arg) => "****".to_owned(),
            Some((name, value)) if is_likely(name, value) && !value.starts_with("//") => {
                format!("{}****", &arg[..=name.len()])
            }
            _ => {
                is_next = is_option(arg);
                without_query(arg)
            }
        }
    });
    shown.collect()
}

/// What of a text can be a name: another text may have slipped in behind it.
#[must_use]
pub fn name_of(text: &str) -> String {
    match text.find(['=', ':']) {
        _ if is_token(text) => "****".to_owned(),
        Some(end) => format!("{}****", &text[..=end]),
        None => text.to_owned(),
    }
}

/// A URL without the parts that may hold a credential; any other text as it is.
#[must_use]
pub fn without_query(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (place, query) = rest
        .split_once('?')
        .map_or((rest, ""), |(place, _)| (place, "?****"));
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = host
        .rsplit_once('@')
        .map_or(host.to_owned(), |(_, host)| format!("****@{host}"));
    format!("{scheme}://{host}{path}{query}")
}

/// `text` with `****` in the place of every one of `secrets`, as it is and as
/// JSON spells it.
#[must_use]
pub fn mask(text: &str, secrets: &[Token]) -> String {
    let mut spellings: Vec<String> = secrets
        .iter()
        .map(|secret| secret.expose().to_owned())
        .filter(|secret| !secret.is_empty())
        .collect();
    let escaped: Vec<String> = spellings
        .iter()
        .map(|secret| serde_json::Value::from(secret.as_str()).to_string())
        .map(|quoted| quoted[1..quoted.len() - 1].to_owned())
        .collect();
    spellings.extend(escaped);
    // One may be a part of another.
    spellings.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    spellings
        .iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, "****"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_tell_of_credentials() {
        for (name, value, likely) in [
            ("GITHUB_TOKEN", "x", true),
            ("X-Api-Key", "x", true),
            ("authorization", "x", true),
            ("PGPASSWORD", "x", true),
            ("DB", "postgres://u:p@host/db", true),
            ("DB", "postgres://host/db?user=a@b", false),
            ("NODE_ENV", "production", false),
            ("PATH", "/bin", false),
        ] {
            assert_eq!(is_likely(name, value), likely, "{name}={value}");
        }
    }

    #[test]
    fn a_url_is_shown_without_credentials() {
        for (text, shown) in [
            ("https://h/p", "https://h/p"),
            ("https://u:p@h:1/p?k=v", "https://****@h:1/p?****"),
            ("https://h?k=a@b", "https://h?****"),
            ("a?b", "a?b"),
        ] {
            assert_eq!(without_query(text), shown);
        }
    }

    #[test]
    fn arguments_are_shown_without_credentials() {
        let args = [
            "-y",
            "--token",
            "x",
            "--key=x",
            "--no-auth",
            "-v",
            "A_TOKEN=x",
            "sk-1",
            "https://u@h",
        ];
        let shown = [
            "-y",
            "--token",
            "****",
            "--key=****",
            "--no-auth",
            "-v",
            "A_TOKEN=****",
            "****",
            "https://****@h",
        ];
        assert_eq!(of_args(&args), shown);
    }

    #[test]
    fn words_that_are_tokens_are_hidden() {
        assert_eq!(
            without_tokens("no `sk-1`, https://u:p@h/x?k=v (or `plain`)"),
            "no `****`, https://****@h/x?**** (or `plain`)"
        );
        for (text, name) in [
            ("A=b", "A=****"),
            ("A", "A"),
            ("X: y", "X:****"),
            ("a b", "a b"),
            ("sk-1", "****"),
        ] {
            assert_eq!(name_of(text), name);
        }
    }

    #[test]
    fn a_mask_hides_every_spelling() {
        let secrets = ["ab", "abc", "a\"b", ""].map(Token::new);
        assert_eq!(
            mask("abc ab a\"b {\"x\":\"a\\\"b\"}", &secrets),
            "**** **** **** {\"x\":\"****\"}"
        );
    }
}

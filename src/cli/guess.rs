//! The verb that a word was meant to be. Pure.

use crate::types::agent::VERBS;

/// Verbs that nobody types.
const HIDDEN: [&str; 6] = ["bridge", "demo-agent", "hosted", "man", "run", "tmux-pane"];

/// What other programs call what a verb of ours does.
const ALIASES: &[(&str, &str)] = &[
    ("cat", "screen"),
    ("check", "doctor"),
    ("connect", "attach"),
    ("exit", "stop"),
    ("hub", "serve"),
    ("info", "explain"),
    ("kill", "stop"),
    ("list", "ps"),
    ("log", "logs"),
    ("ls", "ps"),
    ("message", "say"),
    ("msg", "say"),
    ("quit", "stop"),
    ("rm", "stop"),
    ("server", "serve"),
    ("servers", "mcp"),
    ("sessions", "ps"),
    ("start", "up"),
    ("status", "ps"),
    ("tail", "logs"),
    ("tell", "send"),
    ("type", "send"),
    ("version", "--version"),
    ("view", "attach"),
    ("watch", "attach"),
];

/// The verb that `word` was probably meant to be; `--version` for that.
#[must_use]
pub fn verb_like(word: &str) -> Option<&'static str> {
    if let Some((_, verb)) = ALIASES.iter().find(|(alias, _)| *alias == word) {
        return Some(verb);
    }
    let verbs = VERBS.into_iter().filter(|verb| !HIDDEN.contains(verb));
    // Two letters in the wrong order, or one too many.
    let is_slip = |verb: &&str| verb.len() > 2 && strsim::osa_distance(word, verb) == 1;
    if let Some(verb) = verbs.clone().find(is_slip) {
        return Some(verb);
    }
    verbs
        .map(|verb| (strsim::jaro_winkler(word, verb), verb))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, verb)| verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_was_meant_for_a_verb_is_known() {
        for (word, verb) in [
            ("sya", "say"),
            ("kill", "stop"),
            ("ls", "ps"),
            ("list", "ps"),
            ("version", "--version"),
            ("atach", "attach"),
            ("docter", "doctor"),
        ] {
            assert_eq!(verb_like(word), Some(verb), "{word}");
        }
        for word in ["claude", "my-agent", ""] {
            assert_eq!(verb_like(word), None, "{word}");
        }
    }
}

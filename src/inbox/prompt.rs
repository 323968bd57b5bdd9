//! Mentions become prompts: the sentences that agentchattr's agents know.
//! Pure.

use std::collections::HashSet;

use crate::types::mention::{Mention, Place};
use crate::types::text::one_line;

/// Characters of a prompt that a hub may give word for word, and of the places
/// that a sentence names: with what follows, what can be typed at once.
const LONGEST: usize = 22 * 1024;

/// What is typed for the first of some mentions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) text: String,
    /// So many of them it speaks of.
    pub(super) covers: usize,
}

/// The prompt for the first of these mentions, and for those after it that one
/// sentence can name as well: a hub's own prompt stands alone.
pub(super) fn first<'a>(mentions: impl IntoIterator<Item = &'a Mention>) -> Option<Prompt> {
    let mut mentions = mentions.into_iter();
    let first = mentions.next()?;
    if let Some(text) = first.prompt.as_deref().map(harmless)
        && !text.is_empty()
    {
        return Some(Prompt { text, covers: 1 });
    }
    let plain = mentions.take_while(|mention| mention.prompt.is_none());
    Some(sentence(std::iter::once(first).chain(plain)))
}

/// Names every place once, in the order of the mentions; as many as there is
/// room for.
fn sentence<'a>(mentions: impl Iterator<Item = &'a Mention>) -> Prompt {
    let mut known = HashSet::new();
    let mut names: Vec<String> = Vec::new();
    let (mut covers, mut length, mut jobs) = (0, 0, true);
    for mention in mentions {
        if !known.contains(&mention.place) {
            let name = match &mention.place {
                Place::Channel(channel) => format!("#{channel}"),
                Place::Job(id) => format!("job_id={id}"),
                Place::Somewhere => "all channels".into(),
            };
            length += name.len() + ", ".len();
            if length > LONGEST {
                break;
            }
            known.insert(&mention.place);
            names.push(name);
        }
        jobs &= matches!(mention.place, Place::Job(_));
        covers += 1;
    }
    let names = match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    };
    let place = if jobs { " in a job thread" } else { "" };
    let text = format!(
        "use mcp to read {names} - you're mentioned{place}, take appropriate action and respond"
    );
    Prompt { text, covers }
}

/// A hub's own prompt as one line that an agent reads as words: a first
/// character that is none (`!`, `/`, `#`, `@` …) would make a command of it.
fn harmless(text: &str) -> String {
    let line = one_line(text, LONGEST);
    if line.starts_with(|c: char| !c.is_alphanumeric()) {
        format!("from the chat: {line}")
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64) -> Mention {
        Mention {
            place: Place::Job(id),
            prompt: None,
        }
    }

    fn custom(text: &str) -> Mention {
        Mention {
            prompt: Some(text.into()),
            ..Mention::in_channel("dev")
        }
    }

    #[test]
    fn a_prompt_names_every_place_once_in_order() {
        let channel = Mention::in_channel;
        let general =
            "use mcp to read #general - you're mentioned, take appropriate action and respond";
        for (mentions, text) in [
            (&[channel("general")][..], general),
            (&[channel("general"), channel("general")], general),
            (
                &[
                    channel("dev"),
                    channel("general"),
                    channel("dev"),
                    channel("ops"),
                ],
                "use mcp to read #dev, #general and #ops - you're mentioned, take appropriate action and respond",
            ),
            (
                &[job(7)],
                "use mcp to read job_id=7 - you're mentioned in a job thread, take appropriate action and respond",
            ),
            (
                &[channel("dev"), job(7)],
                "use mcp to read #dev and job_id=7 - you're mentioned, take appropriate action and respond",
            ),
            (
                &[channel("x\r!id\r")],
                "use mcp to read all channels - you're mentioned, take appropriate action and respond",
            ),
        ] {
            let prompt = first(mentions).expect("a prompt");
            assert_eq!(prompt.text, text);
            assert_eq!(prompt.covers, mentions.len());
        }
        assert_eq!(first([]), None);
    }

    #[test]
    fn a_prompt_is_never_too_long_to_be_typed() {
        let all: Vec<Mention> = (0..10_000).map(job).collect();
        let (mut rest, mut named) = (&all[..], Vec::new());
        while let Some(prompt) = first(rest) {
            assert!(prompt.text.len() < LONGEST + 100, "{}", prompt.text.len());
            let words = prompt.text.split([' ', ',']);
            named
                .extend(words.filter_map(|word| word.strip_prefix("job_id=")?.parse::<u64>().ok()));
            rest = &rest[prompt.covers..];
        }
        assert!(named.into_iter().eq(0..10_000));
    }

    #[test]
    fn a_prompt_of_the_hub_stands_alone() {
        let plain = Mention::in_channel("dev");
        let all = [plain.clone(), plain.clone(), custom("propose a job"), plain];
        let mut rest = &all[..];
        let mut said = Vec::new();
        while let Some(prompt) = first(rest) {
            rest = &rest[prompt.covers..];
            said.push((prompt.covers, prompt.text.starts_with("propose")));
        }
        assert_eq!(said, [(2, false), (1, true), (1, false)]);
    }

    #[test]
    fn a_prompt_of_the_hub_is_words_and_no_command() {
        for (text, typed) in [
            ("plain\nwords", "plain words"),
            ("!rm -rf /", "from the chat: !rm -rf /"),
            ("\r/quit\r", "from the chat: /quit"),
            ("\x1b[201~!id", "from the chat: [201~!id"),
            ("\u{200b}!id", "from the chat: !id"),
        ] {
            assert_eq!(first([&custom(text)]).expect("a prompt").text, typed);
        }
        // What is nothing is a mention all the same.
        let empty = first([&custom("\x1b")]).expect("a prompt");
        assert!(empty.text.starts_with("use mcp to read #dev"));
        let long = first([&custom(&"x".repeat(LONGEST + 9))]).expect("a prompt");
        assert_eq!(long.text.len(), LONGEST);
    }
}

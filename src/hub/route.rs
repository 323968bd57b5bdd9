//! Whom a message wakes. Pure.
//!
//! The rules are agentchattr's: `@name` in any case, `@all` for who is
//! online, the base of a family for its instances where none bears the base
//! itself; never the sender. Messages from agent to agent are counted in each
//! channel, and stopped until a human speaks.

use super::registry::{name_of, slot_of};
use crate::types::identity::{AgentName, InstanceName};

/// An instance that may be mentioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: InstanceName,
    pub(super) base: AgentName,
    /// There, or expected back any moment.
    pub(super) online: bool,
}

/// Who wrote the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author<'a> {
    Human,
    Agent(&'a InstanceName),
}

/// Messages of agents that woke agents in one channel, since a human spoke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hops {
    pub(super) count: u32,
    pub(super) paused: bool,
}

/// What follows from a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Routed {
    /// To be prompted, in the order of their mentions.
    pub(super) targets: Vec<InstanceName>,
    /// Mentioned names of agents that nobody bears.
    pub(super) absent: Vec<Absent>,
    /// Mentioned words that are nobody's, as they were written.
    pub(super) unknown: Vec<String>,
    pub(super) hops: Hops,
    /// The loop guard stopped the channel with this very message.
    pub(super) stopped: bool,
}

/// A name of an agent that no instance bears yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Absent {
    pub(super) base: AgentName,
    pub(super) slot: u32,
    pub(super) name: InstanceName,
}

/// Routes one message. `bases` are the agents that are known, whether they are
/// registered or not.
pub(super) fn route(
    text: &str,
    author: Author<'_>,
    known: &[Known],
    bases: &[AgentName],
    hops: Hops,
    max_hops: u32,
) -> Routed {
    let mut routed = Routed {
        hops,
        ..Routed::default()
    };
    for word in mentions(text) {
        match find(word, known, bases) {
            Found::Instances(found) => routed.targets.extend(found.into_iter().cloned()),
            Found::Absent(absent) => routed.absent.push(absent),
            Found::Nobody => routed.unknown.push(word.to_owned()),
        }
    }
    keep_first(&mut routed.targets);
    keep_first(&mut routed.absent);
    keep_first(&mut routed.unknown);
    match author {
        Author::Human => routed.hops = Hops::default(),
        Author::Agent(sender) => {
            routed.targets.retain(|target| target != sender);
            if !routed.targets.is_empty() || !routed.absent.is_empty() {
                guard(&mut routed, max_hops);
            }
        }
    }
    routed
}

/// Counts one hop between agents; too many stop the channel, said once.
fn guard(routed: &mut Routed, max_hops: u32) {
    let hops = &mut routed.hops;
    if !hops.paused {
        hops.count += 1;
        hops.paused = hops.count > max_hops;
        routed.stopped = hops.paused;
    }
    if hops.paused {
        routed.targets.clear();
        routed.absent.clear();
    }
}

enum Found<'a> {
    Instances(Vec<&'a InstanceName>),
    Absent(Absent),
    Nobody,
}

fn find<'a>(word: &str, known: &'a [Known], bases: &'a [AgentName]) -> Found<'a> {
    let names = |filter: &dyn Fn(&Known) -> bool| -> Vec<&'a InstanceName> {
        known
            .iter()
            .filter(|one| filter(one))
            .map(|one| &one.name)
            .collect()
    };
    if ["all", "both"].iter().any(|all| is(all, word)) {
        return Found::Instances(names(&|one| one.online));
    }
    let exact = names(&|one| is(one.name.as_str(), word));
    if !exact.is_empty() {
        return Found::Instances(exact);
    }
    let Some((base, slot)) = bases
        .iter()
        .find_map(|base| Some((base, slot_of(base, word)?)))
    else {
        return Found::Nobody;
    };
    let absent = || match name_of(base, slot) {
        Some(name) => Found::Absent(Absent {
            base: base.clone(),
            slot,
            name,
        }),
        None => Found::Nobody,
    };
    if !is(base.as_str(), word) {
        return absent();
    }
    let family = |one: &Known| is(one.base.as_str(), word);
    let online = names(&|one| family(one) && one.online);
    if !online.is_empty() {
        return Found::Instances(online);
    }
    let offline = names(&family);
    if offline.is_empty() {
        absent()
    } else {
        Found::Instances(offline)
    }
}

fn is(name: &str, word: &str) -> bool {
    name.eq_ignore_ascii_case(word)
}

/// The words after each `@`: as long as a name can be, so that `@claude-2` is
/// never read as `@claude`. An `@` inside a word is an address.
fn mentions(text: &str) -> impl Iterator<Item = &str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices('@').filter_map(move |(at, _)| {
        let inside = text[..at].chars().next_back().is_some_and(letter);
        let word = &text[at + 1..];
        let end = word.find(|c| !letter(c)).unwrap_or(word.len());
        (!inside && end > 0).then(|| &word[..end])
    })
}

fn keep_first<T: PartialEq + Clone>(list: &mut Vec<T>) {
    let mut seen = Vec::new();
    list.retain(|item| {
        let new = !seen.contains(item);
        if new {
            seen.push(item.clone());
        }
        new
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUMAN: Author<'_> = Author::Human;

    fn known(name: &str, base: &str, online: bool) -> Known {
        Known {
            name: name.parse().expect("a name"),
            base: base.parse().expect("a base"),
            online,
        }
    }

    fn bases() -> Vec<AgentName> {
        ["claude", "codex", "gemini"]
            .map(|base| base.parse().expect("a base"))
            .into()
    }

    fn people() -> Vec<Known> {
        vec![
            known("claude", "claude", true),
            known("claude-2", "claude", true),
            known("codex-2", "codex", true),
            known("codex-3", "codex", false),
        ]
    }

    fn targets(text: &str, author: Author<'_>) -> Vec<String> {
        route(text, author, &people(), &bases(), Hops::default(), 4)
            .targets
            .into_iter()
            .map(String::from)
            .collect()
    }

    #[test]
    fn mentions_wake_whom_they_name() {
        for (text, woken) in [
            ("hello", &[][..]),
            ("@claude hi", &["claude"]),
            ("hi @CLAUDE.", &["claude"]),
            ("(@claude)", &["claude"]),
            ("@claude's turn", &["claude"]),
            ("@claude-2", &["claude-2"]),
            ("@claude-", &[]),
            ("@claude-22 @claudette", &[]),
            ("@claude-2 then @claude, @claude-2", &["claude-2", "claude"]),
            ("@codex", &["codex-2"]),
            ("@codex-3", &["codex-3"]),
            ("@all", &["claude", "claude-2", "codex-2"]),
            ("@Both", &["claude", "claude-2", "codex-2"]),
            ("mail bob@claude.ai", &[]),
            ("@@claude", &["claude"]),
            ("@ claude", &[]),
            ("@gemini", &[]),
            ("ü@claude", &["claude"]),
        ] {
            assert_eq!(targets(text, HUMAN), woken, "{text}");
        }
    }

    #[test]
    fn nobody_wakes_itself() {
        let me = "codex-2".parse().expect("a name");
        assert_eq!(
            targets("@all @codex-2", Author::Agent(&me)),
            ["claude", "claude-2"]
        );
        assert_eq!(targets("@codex", Author::Agent(&me)), [""; 0]);
    }

    #[test]
    fn a_family_without_anyone_online_is_asked_to_wait() {
        let people = [known("codex-3", "codex", false)];
        let routed = route("@codex", HUMAN, &people, &bases(), Hops::default(), 4);
        assert_eq!(routed.targets.len(), 1);
        assert_eq!(routed.absent, []);
    }

    #[test]
    fn a_base_that_nobody_bears_is_absent() {
        let routed = route(
            "@gemini @gemini",
            HUMAN,
            &people(),
            &bases(),
            Hops::default(),
            4,
        );
        assert_eq!(routed.absent, [absent("gemini", 1, "gemini")]);
        assert_eq!(routed.targets, []);
    }

    fn absent(base: &str, slot: u32, name: &str) -> Absent {
        Absent {
            base: base.parse().expect("a base"),
            slot,
            name: name.parse().expect("a name"),
        }
    }

    #[test]
    fn a_name_of_a_known_agent_is_absent_and_any_other_word_is_unknown() {
        let text = "@claude-7 @Gemini-2 @nobody @claude-music @claude-01 @codex-99 bob@x.org";
        let routed = route(text, HUMAN, &people(), &bases(), Hops::default(), 4);
        let names = [
            absent("claude", 7, "claude-7"),
            absent("gemini", 2, "gemini-2"),
        ];
        assert_eq!(routed.absent, names);
        let words = ["nobody", "claude-music", "claude-01", "codex-99"];
        assert_eq!(routed.unknown, words);
    }

    #[test]
    fn agents_among_themselves_are_stopped_until_a_human_speaks() {
        let me = "claude".parse().expect("a name");
        let step = |hops, author, text| route(text, author, &people(), &bases(), hops, 2);
        let mut hops = Hops::default();
        for count in 1..=2 {
            let routed = step(hops, Author::Agent(&me), "@codex-2 go on");
            assert_eq!((routed.targets.len(), routed.stopped), (1, false));
            hops = routed.hops;
            assert_eq!(hops.count, count);
        }
        let silent = step(hops, Author::Agent(&me), "no mention is no hop");
        assert_eq!(silent.hops, hops);
        for stopped in [true, false] {
            let routed = step(hops, Author::Agent(&me), "@codex-2 go on");
            assert_eq!((routed.targets.len(), routed.stopped), (0, stopped));
            hops = routed.hops;
        }
        let human = step(hops, HUMAN, "/continue");
        assert_eq!(human.hops, Hops::default());
        assert_eq!(
            step(human.hops, Author::Agent(&me), "@codex-2")
                .targets
                .len(),
            1
        );
    }
}

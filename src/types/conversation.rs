//! Which of its conversations an agent is told to have. Pure.

/// The place of a conversation's id among an agent's arguments.
pub const ID: &str = "{uuid}";

/// How an agent is told, by arguments of its own; empty where it cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// To go on with the last one in its directory.
    pub last: Vec<String>,
    /// To begin one that has this id.
    pub new: Vec<String>,
    /// To go on with the one that has this id.
    pub known: Vec<String>,
}

/// What the lives of one session talk about.
#[derive(Debug)]
pub struct Conversation {
    ways: Ways,
    /// The user's arguments say what to talk about, at every life.
    is_users: bool,
    /// The id, where we chose it.
    id: Option<String>,
}

impl Conversation {
    /// That of an agent with these arguments of the configuration and the user.
    pub fn new<'a>(ways: Ways, args: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let is_users = args.into_iter().any(|arg| ways.are_meant_by(arg));
        Self {
            ways,
            is_users,
            id: None,
        }
    }

    /// True if the user's arguments say what to talk about.
    #[must_use]
    pub fn is_users(&self) -> bool {
        self.is_users
    }

    /// The id that we chose, if we did.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The arguments that begin another one, `id` if we may choose.
    pub fn begin(&mut self, id: String) -> Vec<String> {
        if self.is_users || self.ways.new.is_empty() {
            self.id = None;
            return Vec::new();
        }
        let words = with(&self.ways.new, &id);
        self.id = Some(id);
        words
    }

    /// The arguments that go on with it. None if there is no way, or if the
    /// last one in the directory, where that is all that can be named, may be
    /// the `twin`'s: another session of the agent there.
    #[must_use]
    pub fn go_on(&self, twin: bool) -> Option<Vec<String>> {
        match &self.id {
            _ if self.is_users => None,
            Some(id) => Some(with(&self.ways.known, id)),
            None if twin => None,
            None => self.last(),
        }
    }

    /// The arguments that go on with the last one in the directory.
    #[must_use]
    pub fn last(&self) -> Option<Vec<String>> {
        let can = !self.is_users && !self.ways.last.is_empty();
        can.then(|| self.ways.last.clone())
    }
}

impl Ways {
    /// True if an argument says what to talk about, as one of these does, or
    /// as `-c` and `-r`, which agents that have ids call two of them.
    fn are_meant_by(&self, arg: &[u8]) -> bool {
        let name = arg.split(|byte| *byte == b'=').next().unwrap_or_default();
        let ours = [&self.last, &self.new, &self.known].into_iter().flatten();
        let mut names = ours
            .filter(|word| word.starts_with('-'))
            .filter_map(|word| word.split('=').next());
        let is_short = !self.new.is_empty() && (name == b"-c" || name == b"-r");
        is_short || names.any(|own| own.as_bytes() == name)
    }
}

fn with(words: &[String], id: &str) -> Vec<String> {
    words.iter().map(|word| word.replace(ID, id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn claude() -> Ways {
        Ways {
            last: words("--continue"),
            new: words("--session-id {uuid}"),
            known: words("--resume={uuid}"),
        }
    }

    fn codex() -> Ways {
        Ways {
            last: words("resume --last"),
            ..Ways::default()
        }
    }

    fn of(ways: Ways, args: &str) -> Conversation {
        let args = words(args);
        Conversation::new(ways, args.iter().map(String::as_bytes))
    }

    #[test]
    fn an_id_of_ours_is_gone_on_with_whoever_else_is_there() {
        let mut talk = of(claude(), "--model opus");
        assert_eq!(talk.begin("u1".into()), words("--session-id u1"));
        for twin in [false, true] {
            assert_eq!(talk.go_on(twin), Some(words("--resume=u1")));
        }
        assert_eq!(talk.begin("u2".into()), words("--session-id u2"));
        assert_eq!(talk.go_on(true), Some(words("--resume=u2")));
    }

    #[test]
    fn without_an_id_the_last_one_is_gone_on_with_unless_it_may_be_anothers() {
        let mut talk = of(codex(), "-c model=o5");
        assert!(talk.begin("u1".into()).is_empty());
        assert_eq!(talk.go_on(false), Some(words("resume --last")));
        assert_eq!(talk.go_on(true), None);
        // Taken up with `--resume`, it has no id of ours either.
        let talk = of(claude(), "");
        assert_eq!(talk.last(), Some(words("--continue")));
        assert_eq!(talk.go_on(false), talk.last());
        assert_eq!(of(Ways::default(), "").go_on(false), None);
    }

    #[test]
    fn what_the_user_says_of_conversations_stands() {
        for args in [
            "--continue",
            "-c",
            "--model x -r abc",
            "--resume=abc",
            "--session-id abc",
        ] {
            let mut talk = of(claude(), args);
            assert!(talk.is_users(), "{args}");
            assert!(talk.begin("u1".into()).is_empty(), "{args}");
            assert_eq!((talk.go_on(false), talk.last()), (None, None), "{args}");
        }
        for (ways, args) in [(claude(), "--resumed -C resume"), (codex(), "-c x -r")] {
            assert!(!of(ways, args).is_users(), "{args}");
        }
        assert!(of(codex(), "--last").is_users());
    }
}

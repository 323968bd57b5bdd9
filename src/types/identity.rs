//! Who a session is: its id, its name on the hub, and the tokens that prove it.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// A secret: never shown by `Debug`, and without `Display`, so that every
/// place that lets one out can be found by its call of [`Token::expose`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// 128 random bits in hex, as agentchattr issues them.
    ///
    /// # Panics
    /// If the system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        Self(hex(&random::<16>()))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True if `other` is this secret; takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("****")
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Token {}

/// A word that is safe in a path, a URL, a mention and a terminal: letters,
/// digits, `-` and `_`, not starting with `-`, at most 64 of them.
fn is_word(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(word)
}

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadWord;

            fn try_from(text: String) -> Result<Self, BadWord> {
                if is_word(&text) { Ok(Self(text)) } else { Err(BadWord { what: $what, text }) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadWord;

            fn from_str(text: &str) -> Result<Self, BadWord> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The slot that a name means in the family of `base`: 1 for `claude`, N for
/// `claude-N`; None for a name of another kind.
#[must_use]
pub fn slot(base: &str, name: &str) -> Option<u32> {
    let rest = name.strip_prefix(base)?;
    if rest.is_empty() {
        return Some(1);
    }
    let number = rest.strip_prefix('-')?;
    // Not `+1`, nor `01`, which is another name.
    let is_plain = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
    number.parse().ok().filter(|_| is_plain)
}

/// A name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no {what}: it takes 1 to 64 letters, digits, `-` and `_`, and does not start with `-`"
)]
pub struct BadWord {
    what: &'static str,
    text: String,
}

word!(
    /// The name of a configured agent, `claude`: the base of its instances.
    AgentName, "agent name"
);
word!(
    /// The name of one registered instance, `claude-2`: unique on the hub.
    InstanceName, "instance name"
);
word!(
    /// The name of a member of a team, in its file.
    MemberName, "session name"
);
word!(
    /// The id of one session: twelve hex digits, for life.
    SessionId, "session id"
);

/// The name of an MCP server, `agentchattr`: a segment of the proxy's paths
/// and the key of its entry in an agent's settings. Projects name theirs as
/// they like: 1 to 128 characters, none of them a control character. Whoever
/// cannot write one refuses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

impl ServerName {
    /// A name that nobody else has.
    ///
    /// # Panics
    /// If the system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        Self(hex(&random::<8>()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for letters, digits, `-` and `_`: what every agent takes.
    #[must_use]
    pub fn is_slug(&self) -> bool {
        is_word(&self.0)
    }

    /// The name as a segment of a URL's path.
    #[must_use]
    pub fn segment(&self) -> String {
        percent_encoding::utf8_percent_encode(&self.0, SEGMENT).to_string()
    }

    /// The name that a segment of a URL's path spells.
    #[must_use]
    pub fn from_segment(segment: &str) -> Option<Self> {
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
        decoded.ok()?.parse().ok()
    }
}

/// All but letters, digits and these.
const SEGMENT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// A server's name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no server name: it takes 1 to 128 characters, none of them a control character")]
pub struct BadServerName(String);

impl TryFrom<String> for ServerName {
    type Error = BadServerName;

    fn try_from(text: String) -> Result<Self, BadServerName> {
        let fits = (1..=128).contains(&text.chars().count());
        // Clients take the dots for directories.
        if fits && !text.contains(char::is_control) && text != "." && text != ".." {
            Ok(Self(text))
        } else {
            Err(BadServerName(text))
        }
    }
}

impl std::str::FromStr for ServerName {
    type Err = BadServerName;

    fn from_str(text: &str) -> Result<Self, BadServerName> {
        text.to_owned().try_into()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SessionId {
    /// A new id; short, because it is part of a socket's path.
    #[must_use]
    pub fn random() -> Self {
        Self(hex(&random::<6>()))
    }
}

/// An instance's name and the token that speaks for it, as the hub issued them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub name: InstanceName,
    pub token: Token,
}

#[expect(
    clippy::expect_used,
    reason = "a system without random numbers can run nothing of ours"
)]
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    bytes
}

/// A random id as RFC 9562 writes it, version 4.
///
/// # Panics
/// If the system has no random numbers.
#[must_use]
pub fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_itself() {
        let identity = Identity {
            name: "claude".parse().expect("a name"),
            token: Token::new("sesame"),
        };
        assert!(!format!("{identity:?} {:#?}", identity.token).contains("sesame"));
        assert_eq!(identity.token.expose(), "sesame");
    }

    #[test]
    fn tokens_are_compared_whole() {
        let token = Token::new("abcd");
        assert!(token.matches(b"abcd"));
        for other in [&b"abc"[..], b"abcde", b"abce", b""] {
            assert!(!token.matches(other), "{other:?}");
        }
    }

    #[test]
    fn random_tokens_differ_and_are_32_hex_digits() {
        let (a, b) = (Token::random(), Token::random());
        assert_ne!(a, b);
        assert_eq!(a.expose().len(), 32);
        assert!(a.expose().bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_servers_name_survives_a_path() {
        for (name, segment) in [
            ("chat", "chat"),
            ("my server", "my%20server"),
            ("context7.com/x", "context7.com%2Fx"),
            ("é%", "%C3%A9%25"),
        ] {
            let name: ServerName = name.parse().expect(name);
            assert_eq!(name.segment(), segment);
            assert_eq!(ServerName::from_segment(segment), Some(name));
        }
        for bad in ["", ".", "..", "a\nb", &"x".repeat(129)] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad:?}");
        }
        assert_eq!(ServerName::from_segment("%ff"), None);
        assert_eq!(ServerName::from_segment("%0a"), None);
    }

    #[test]
    fn a_name_means_a_slot() {
        for (name, meant) in [
            ("claude", Some(1)),
            ("claude-1", Some(1)),
            ("claude-12", Some(12)),
            ("claude-0", None),
            ("claude-02", None),
            ("claude-+2", None),
            ("claude-", None),
            ("claude2", None),
            ("claude-music", None),
            ("bob", None),
            ("Claude", None),
            ("claude-99999999999", None),
        ] {
            assert_eq!(slot("claude", name), meant, "{name}");
        }
    }

    #[test]
    fn names_are_words() {
        for good in ["claude", "claude-2", "My_agent", "7"] {
            assert!(good.parse::<InstanceName>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a b", "a/b", "a.b", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad:?}");
        }
    }
}

//! Whose process may answer at a port of this machine.

use std::fmt;
use std::str::FromStr;

/// Whose process may answer at a port of this machine. Our own user's always
/// may.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Owner {
    /// Nobody else's.
    #[default]
    Us,
    /// Also that of the user with this id.
    Id(u32),
    /// Also that of the user with this name.
    Name(String),
    /// Anybody's: also one that cannot be looked up, as in a container.
    Anyone,
}

/// A text that names no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no user: give a user's name, a user id, or `*` for any")]
pub struct BadOwner(String);

impl FromStr for Owner {
    type Err = BadOwner;

    fn from_str(text: &str) -> Result<Self, BadOwner> {
        let is_name = |text: &str| {
            let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != ':' && c != '*';
            !text.is_empty() && text.len() <= 256 && text.chars().all(is_plain)
        };
        match text {
            "*" => Ok(Self::Anyone),
            text if text.bytes().all(|b| b.is_ascii_digit()) => text
                .parse()
                .map(Self::Id)
                .map_err(|_| BadOwner(text.to_owned())),
            text if is_name(text) => Ok(Self::Name(text.to_owned())),
            text => Err(BadOwner(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = BadOwner;

    fn try_from(text: String) -> Result<Self, BadOwner> {
        text.parse()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Us => f.write_str("us"),
            Self::Id(id) => write!(f, "uid {id}"),
            Self::Name(name) => write!(f, "user `{name}`"),
            Self::Anyone => f.write_str("anybody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_a_name_an_id_or_anybody() {
        for (text, owner) in [
            ("bob", Some(Owner::Name("bob".into()))),
            ("1001", Some(Owner::Id(1001))),
            ("*", Some(Owner::Anyone)),
            ("us", Some(Owner::Name("us".into()))),
            ("", None),
            ("a b", None),
            ("b*", None),
            ("99999999999", None),
        ] {
            assert_eq!(text.parse().ok(), owner, "{text:?}");
        }
    }
}

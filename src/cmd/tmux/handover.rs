//! A launch that is handed over from outside of tmux to what runs inside. Pure.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::paths::Env;

/// What a launch inside tmux takes over from outside. It goes over a socket of
/// this user's: an environment holds secrets, and a tmux server has its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handover {
    pub(super) cwd: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) env: Env,
}

impl Handover {
    /// Directory, count of arguments, arguments, variables: each ends with a
    /// NUL, which none of them can hold.
    pub(super) fn encode(&self) -> Vec<u8> {
        let count = self.args.len().to_string();
        let head = [self.cwd.as_os_str(), OsStr::new(&count)];
        let args = self.args.iter().map(OsString::as_os_str);
        let mut bytes = Vec::new();
        for word in head.into_iter().chain(args) {
            bytes.extend_from_slice(word.as_bytes());
            bytes.push(0);
        }
        for (name, value) in &self.env {
            let parts = [name.as_bytes(), b"=", value.as_bytes(), b"\0"];
            bytes.extend(parts.concat());
        }
        bytes
    }

    /// None: it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let cwd = PathBuf::from(word(words.next()?));
        let count: usize = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let args: Vec<OsString> = words.by_ref().take(count).map(word).collect();
        let pair = |bytes: &[u8]| {
            // A name may begin with the sign, and has to end with one.
            let at = bytes.iter().skip(1).position(|byte| *byte == b'=')? + 1;
            Some((word(&bytes[..at]), word(&bytes[at + 1..])))
        };
        let env: Option<BTreeMap<_, _>> = words.map(pair).collect();
        (args.len() == count).then_some(Self {
            cwd,
            args,
            env: env?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handover_arrives_as_it_was() {
        let odd = OsString::from_vec(vec![0xff, b'=']);
        let env = [("A", "b=c"), ("=D", ""), ("E", "x\ny")];
        let whole = Handover {
            cwd: "/a b".into(),
            args: vec!["claude".into(), OsString::new(), odd],
            env: env.map(|(name, value)| (name.into(), value.into())).into(),
        };
        assert_eq!(Handover::decode(&whole.encode()).as_ref(), Some(&whole));
        let bare = Handover {
            args: Vec::new(),
            env: Env::new(),
            ..whole
        };
        assert_eq!(Handover::decode(&bare.encode()), Some(bare));
        for bad in ["", "/", "/\0x\0", "/\x002\0a\0", "/\x000\0novalue\0"] {
            assert_eq!(Handover::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}

//! Paths in a journal: text where they are UTF-8, else their bytes. A home
//! directory may have any name. Pure.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One path as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Raw {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for Raw {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<Raw> for PathBuf {
    fn from(raw: Raw) -> Self {
        match raw {
            Raw::Text(text) => Self::from(text),
            Raw::Bytes(bytes) => Self::from(OsString::from_vec(bytes)),
        }
    }
}

pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    Raw::from(path).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Raw::deserialize(deserializer).map(PathBuf::from)
}

/// The same for a list of paths.
pub(super) mod list {
    use super::{Deserialize, Deserializer, PathBuf, Raw, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        paths: &[PathBuf],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let raw: Vec<Raw> = paths.iter().map(|path| path.as_path().into()).collect();
        raw.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let raw: Vec<Raw> = Vec::deserialize(deserializer)?;
        Ok(raw.into_iter().map(PathBuf::from).collect())
    }
}

/// The same for a list of paths that may be absent.
pub(super) mod option {
    use super::{Deserialize, Deserializer, PathBuf, Raw, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes the field")]
    pub(in super::super) fn serialize<S: Serializer>(
        paths: &Option<Vec<PathBuf>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let raw = paths.as_ref().map(|paths| {
            let raw = paths.iter().map(|path| Raw::from(path.as_path()));
            raw.collect::<Vec<_>>()
        });
        raw.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<PathBuf>>, D::Error> {
        let raw: Option<Vec<Raw>> = Option::deserialize(deserializer)?;
        Ok(raw.map(|raw| raw.into_iter().map(PathBuf::from).collect()))
    }
}

//! A message from the server on its way to the agent: one line, in memory
//! while it is short, else in a file without a name.
//!
//! It must be whole before it is written, because others are waiting for the
//! same pipe, and half a line could not be taken back.

use std::fs::File;
use std::io::{self, Seek, Write};

use tempfile::{SpooledData, SpooledTempFile};

/// What is kept in memory of one message.
const MOST_IN_MEMORY: usize = 1024 * 1024;

/// A message of which more may come.
#[derive(Debug)]
pub(super) struct Spool(SpooledTempFile);

/// A whole message, without a line feed in it or after it.
#[derive(Debug)]
pub(super) enum Whole {
    Memory(Vec<u8>),
    File(File),
    /// The end of a line that is being written, its line feed included.
    Rest(Vec<u8>),
}

impl Spool {
    pub(super) fn new() -> Self {
        Self(SpooledTempFile::new(MOST_IN_MEMORY))
    }

    /// Adds a piece. JSON has line ends between its tokens alone, where a
    /// blank means the same.
    ///
    /// # Errors
    /// If the file cannot be made or written.
    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        if memchr::memchr2(b'\n', b'\r', piece).is_none() {
            return self.0.write_all(piece);
        }
        let mut piece = piece.to_vec();
        for byte in &mut piece {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        self.0.write_all(&piece)
    }

    /// The message; None if there is nothing in it.
    ///
    /// # Errors
    /// If the file cannot be read from its start.
    pub(super) fn finish(self) -> io::Result<Option<Whole>> {
        match self.0.into_inner() {
            SpooledData::InMemory(bytes) => {
                let bytes = bytes.into_inner();
                let is_empty = bytes.trim_ascii().is_empty();
                Ok((!is_empty).then_some(Whole::Memory(bytes)))
            }
            SpooledData::OnDisk(mut file) => {
                file.rewind()?;
                Ok(Some(Whole::File(file)))
            }
        }
    }
}

impl Whole {
    /// The text, unless it is too long to look into.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::File(_) | Self::Rest(_) => None,
        }
    }

    /// Writes the line.
    ///
    /// # Errors
    /// If the reader is gone, or the file cannot be read.
    pub(super) fn write(self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Memory(mut bytes) => {
                bytes.push(b'\n');
                out.write_all(&bytes)?;
            }
            Self::Rest(bytes) => out.write_all(&bytes)?,
            Self::File(mut file) => {
                io::copy(&mut file, out)?;
                out.write_all(b"\n")?;
            }
        }
        out.flush()
    }
}

impl From<String> for Whole {
    fn from(text: String) -> Self {
        Self::Memory(text.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pieces: &[&[u8]]) -> Option<(bool, Vec<u8>)> {
        let mut spool = Spool::new();
        for piece in pieces {
            spool.push(piece).expect("kept");
        }
        let whole = spool.finish().expect("read")?;
        let (short, mut line) = (whole.text().is_some(), Vec::new());
        whole.write(&mut line).expect("written");
        Some((short, line))
    }

    #[test]
    fn a_message_is_one_line_however_long_it_is() {
        for (pieces, text) in [
            (&[&b"{\"a\":1}"[..]][..], Some("{\"a\":1}\n")),
            (
                &[b"{\n", b"\r\n\"a\": \"b\\n\"\n}"],
                Some("{   \"a\": \"b\\n\" }\n"),
            ),
            (&[], None),
            (&[b" \n"], None),
        ] {
            let expected = text.map(|text| (true, text.as_bytes().to_vec()));
            assert_eq!(line(pieces), expected);
        }
        let long = vec![b'x'; MOST_IN_MEMORY];
        let (short, text) = line(&[&long, b"\n", &long]).expect("a line");
        assert!(!short);
        assert_eq!(text, [&long[..], b" ", &long, b"\n"].concat());
    }
}

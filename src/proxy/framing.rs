//! Where the body of an HTTP/1.1 message ends (RFC 9112, 6 and 7). Pure.
//!
//! A body crosses the proxy in the framing it came in, so all that is needed
//! is its end. What a lenient reader might read differently is refused: bare
//! line feeds, signs, sizes of more than 15 hex digits.

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunks, and where in them we are.
    Chunked(Chunk),
    /// Everything until the connection ends: answers only.
    UntilClose,
}

/// A position in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size.
    Size {
        value: u64,
        digits: u8,
    },
    /// In the extension after a size, this many bytes into it.
    Extension {
        size: u64,
        length: u16,
    },
    SizeLf {
        size: u64,
    },
    /// This many bytes of content.
    Data(u64),
    DataCr,
    DataLf,
    /// In the trailers: bytes so far, and whether a line has begun.
    Trailer {
        length: u16,
        begun: bool,
    },
    TrailerLf {
        length: u16,
        begun: bool,
    },
    End,
}

/// A chunked body that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is malformed")]
pub(super) struct BadChunk;

const LONGEST_EXTENSION: u16 = 1024;
const LONGEST_TRAILERS: u16 = 8192;

impl Framing {
    pub(super) const EMPTY: Self = Self::Length(0);
    pub(super) const CHUNKED: Self = Self::Chunked(Chunk::Size {
        value: 0,
        digits: 0,
    });

    /// True if nothing is to come.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::End))
    }

    /// What brings a chunked body to a place where a chunk may begin, if
    /// anything short of content does.
    pub(super) fn to_chunk(self) -> Option<&'static [u8]> {
        match self {
            Self::Chunked(Chunk::Size { digits: 0, .. }) => Some(b""),
            Self::Chunked(Chunk::DataCr) => Some(b"\r\n"),
            Self::Chunked(Chunk::DataLf) => Some(b"\n"),
            _ => None,
        }
    }

    /// Takes what belongs to the body from the front of `input`: returns how
    /// many bytes that are, and hands the content among them to `content`.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        mut content: impl FnMut(&[u8]),
    ) -> Result<usize, BadChunk> {
        match self {
            Self::Length(left) => {
                let n = at_most(input, *left);
                content(&input[..n]);
                *left -= n as u64;
                Ok(n)
            }
            Self::UntilClose => {
                content(input);
                Ok(input.len())
            }
            Self::Chunked(chunk) => {
                let mut at = 0;
                while at < input.len() && *chunk != Chunk::End {
                    if let Chunk::Data(left) = chunk {
                        let n = at_most(&input[at..], *left);
                        content(&input[at..at + n]);
                        at += n;
                        *left -= n as u64;
                        if *left == 0 {
                            *chunk = Chunk::DataCr;
                        }
                    } else {
                        *chunk = chunk.after(input[at])?;
                        at += 1;
                    }
                }
                Ok(at)
            }
        }
    }
}

impl Chunk {
    /// The position after one byte that is not content.
    fn after(self, byte: u8) -> Result<Self, BadChunk> {
        let text = !byte.is_ascii_control() || byte == b'\t';
        Ok(match (self, byte) {
            (Self::Size { value, digits }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
                Self::Size {
                    value: value << 4 | u64::from((byte as char).to_digit(16).unwrap_or(0)),
                    digits: digits + 1,
                }
            }
            (
                Self::Size {
                    value: size,
                    digits: 1..,
                }
                | Self::Extension { size, .. },
                b'\r',
            ) => Self::SizeLf { size },
            (
                Self::Size {
                    value: size,
                    digits: 1..,
                },
                b';' | b' ' | b'\t',
            ) => Self::Extension { size, length: 0 },
            (Self::Extension { size, length }, _) if text && length < LONGEST_EXTENSION => {
                Self::Extension {
                    size,
                    length: length + 1,
                }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer {
                length: 0,
                begun: false,
            },
            (Self::SizeLf { size }, b'\n') => Self::Data(size),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size {
                value: 0,
                digits: 0,
            },
            (Self::Trailer { length, begun }, b'\r') => Self::TrailerLf { length, begun },
            (Self::Trailer { length, .. }, _) if text && length < LONGEST_TRAILERS => {
                Self::Trailer {
                    length: length + 1,
                    begun: true,
                }
            }
            (Self::TrailerLf { begun: false, .. }, b'\n') => Self::End,
            (Self::TrailerLf { length, .. }, b'\n') => Self::Trailer {
                length,
                begun: false,
            },
            _ => return Err(BadChunk),
        })
    }
}

fn at_most(input: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(input.len(), |left| left.min(input.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::dice::Dice;

    /// Feeds `pieces`: the content, the raw bytes taken, and whether all is there.
    fn read<'a>(
        mut framing: Framing,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        let (mut content, mut taken) = (Vec::new(), 0);
        for piece in pieces {
            let n = framing.take(piece, |bytes| content.extend_from_slice(bytes))?;
            taken += n;
            if n < piece.len() {
                break;
            }
        }
        Ok((content, taken, framing.is_done()))
    }

    #[test]
    fn chunks_end_where_the_standard_says() {
        for (input, content, left) in [
            ("0\r\n\r\n", "", ""),
            ("3\r\nabc\r\n0\r\n\r\nPOST", "abc", "POST"),
            (
                "00A;name=\"v\"\r\n0123456789\r\n0;x\r\n\r\n",
                "0123456789",
                "",
            ),
            (
                "1 ;a\r\nx\r\n0\r\nTrailer: y\r\nB: c\r\n\r\nnext",
                "x",
                "next",
            ),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ] {
            let read = read(Framing::CHUNKED, std::iter::once(input.as_bytes()));
            let all = (content.as_bytes().to_vec(), input.len() - left.len(), true);
            assert_eq!(read, Ok(all), "{input:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for input in [
            "\r\n",
            "3\nabc\n0\n\n",
            "+3\r\nabc\r\n",
            "-1\r\n",
            "0x3\r\nabc",
            " 3\r\nabc",
            "3\r\nabcd\r\n",
            "3\r\nabc0\r\n\r\n",
            "3;a\nb\r\nabc",
            "3;a\rb\r\nabc",
            "1000000000000000\r\n",
            "0\r\nA: b\nC: d\r\n\r\n",
            "0\r\n\n",
            &format!("1;{}\r\n", "x".repeat(2000)),
            &format!("0\r\n{}\r\n", "x".repeat(9000)),
        ] {
            let read = read(Framing::CHUNKED, std::iter::once(input.as_bytes()));
            assert_eq!(read, Err(BadChunk), "{input:?}");
        }
    }

    #[test]
    fn lengths_count_and_closes_take_all() {
        let bytes = || [&b"ab"[..], b"cd", b"ef"].into_iter();
        let five = read(Framing::Length(5), bytes());
        assert_eq!(five, Ok((b"abcde".to_vec(), 5, true)));
        let all = read(Framing::UntilClose, bytes());
        assert_eq!(all, Ok((b"abcdef".to_vec(), 6, false)));
    }

    #[test]
    fn any_split_reads_the_same() {
        let mut dice = Dice::new(1);
        for _ in 0..2000 {
            let mut wire = Vec::new();
            let mut content = Vec::new();
            for _ in 0..dice.below(5) {
                let piece: Vec<u8> = (0..=dice.below(40)).map(|_| dice.byte()).collect();
                let extension = ["", ";a", ";a=\"b c\"", " "][dice.below(4)];
                wire.extend(format!("{:x}{extension}\r\n", piece.len()).bytes());
                wire.extend(&piece);
                wire.extend(b"\r\n");
                content.extend(piece);
            }
            wire.extend(["0\r\n\r\n", "0\r\nA: b\r\n\r\n"][dice.below(2)].bytes());
            let all = (content, wire.len(), true);
            let pieces = dice.split(&wire);
            assert_eq!(read(Framing::CHUNKED, pieces.into_iter()), Ok(all));
        }
    }
}

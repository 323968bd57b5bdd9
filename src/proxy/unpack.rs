//! Content codings: answers that we read are unpacked, whatever we asked for.
//! Pure.

use std::io::Write;

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};

/// A content coding that servers use unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// Of zlib, as RFC 9110 has it, or raw, as some servers have it.
    Deflate,
    Brotli,
}

/// A body that does not unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// How much is unpacked at a time: a small piece may become a thousand times
/// as long.
const STEP: usize = 4 * 1024;
/// The buffer of a brotli stream.
const BROTLI_ROOM: usize = 4 * 1024;

impl Coding {
    /// The coding of this name, as `Content-Encoding` has it.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let is = |other: &str| name.trim_ascii().eq_ignore_ascii_case(other.as_bytes());
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("deflate") {
            Some(Self::Deflate)
        } else if is("br") {
            Some(Self::Brotli)
        } else {
            None
        }
    }

    /// All of a body, unless it is longer than `longest`.
    pub(super) fn unpack(self, body: &[u8], longest: usize) -> Result<Vec<u8>, Malformed> {
        let (mut unpacker, mut out) = (Unpacker::new(Some(self)), Vec::new());
        for piece in body.chunks(STEP) {
            unpacker.feed(piece, &mut out)?;
            if out.len() > longest {
                return Err(Malformed);
            }
        }
        Ok(out)
    }
}

/// Unpacks a body piece by piece, as it comes.
pub(super) enum Unpacker {
    Plain,
    Gzip(GzDecoder<Vec<u8>>),
    /// The first byte tells which it is.
    Deflate,
    Zlib(ZlibDecoder<Vec<u8>>),
    Raw(DeflateDecoder<Vec<u8>>),
    Brotli(Box<DecompressorWriter<Vec<u8>>>),
}

impl Unpacker {
    pub(super) fn new(coding: Option<Coding>) -> Self {
        match coding {
            None => Self::Plain,
            Some(Coding::Gzip) => Self::Gzip(GzDecoder::new(Vec::new())),
            Some(Coding::Deflate) => Self::Deflate,
            Some(Coding::Brotli) => {
                Self::Brotli(Box::new(DecompressorWriter::new(Vec::new(), BROTLI_ROOM)))
            }
        }
    }

    /// Adds what `piece` unpacks to.
    pub(super) fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if let (Self::Deflate, Some(first)) = (&*self, piece.first()) {
            // The method of zlib; a raw block never begins like that.
            *self = if first & 0x0f == 8 {
                Self::Zlib(ZlibDecoder::new(Vec::new()))
            } else {
                Self::Raw(DeflateDecoder::new(Vec::new()))
            };
        }
        let unpacked = match self {
            Self::Plain => {
                out.extend_from_slice(piece);
                return Ok(());
            }
            Self::Deflate => return Ok(()),
            Self::Gzip(io) => write(io, piece).map(|()| io.get_mut()),
            Self::Zlib(io) => write(io, piece).map(|()| io.get_mut()),
            Self::Raw(io) => write(io, piece).map(|()| io.get_mut()),
            Self::Brotli(io) => write(io, piece).map(|()| io.get_mut()),
        };
        out.append(unpacked.map_err(|_| Malformed)?);
        Ok(())
    }
}

fn write(io: &mut impl Write, piece: &[u8]) -> std::io::Result<()> {
    io.write_all(piece)?;
    io.flush()
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    /// `{"jsonrpc":"2.0"}` as a brotli stream of one stored block.
    fn brotli(text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len() - 1).expect("short");
        // WBITS 16, not the last, four nibbles of length, stored.
        let bits = length << 4 | 1 << 20;
        let mut out = bits.to_le_bytes()[..3].to_vec();
        out.extend_from_slice(text);
        out.push(3);
        out
    }

    #[test]
    fn every_coding_unpacks_in_pieces_of_any_size() {
        let text = br#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).expect("room");
        zlib.write_all(text).expect("room");
        raw.write_all(text).expect("room");
        for (name, packed) in [
            ("gzip", gzip.finish().expect("done")),
            ("Deflate", zlib.finish().expect("done")),
            ("deflate", raw.finish().expect("done")),
            ("br", brotli(text)),
        ] {
            let coding = Coding::of(name.as_bytes()).expect(name);
            assert_eq!(
                coding.unpack(&packed, 100).as_deref(),
                Ok(&text[..]),
                "{name}"
            );
            assert_eq!(coding.unpack(&packed, 10), Err(Malformed), "{name}");
            let (mut unpacker, mut out) = (Unpacker::new(Some(coding)), Vec::new());
            for byte in packed.chunks(1) {
                unpacker.feed(byte, &mut out).expect(name);
            }
            assert_eq!(out, text, "{name}");
        }
        assert_eq!(Coding::Gzip.unpack(b"no gzip at all", 100), Err(Malformed));
        assert_eq!(Coding::of(b"zstd"), None);
    }
}

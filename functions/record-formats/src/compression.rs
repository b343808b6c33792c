//! Decompresses values that are compressed once more inside Kafka's own compression, up to a size.

use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// The largest window of a zstd frame that is accepted, as RFC 8878 recommends. zstd's levels up to 19 use at most this.
const MAX_ZSTD_WINDOW: u64 = 8 * 1024 * 1024;

/// The start of what snappy-java's streams (xerial) write: a marker, then two version numbers of four bytes.
const XERIAL_MARKER: &[u8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_LEN: usize = XERIAL_MARKER.len() + 8;

/// The start of Snappy's framing format.
const SNAPPY_FRAME_MARKER: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// No Snappy block holds more than this many bytes for each of its own: a copy of 64 bytes takes three.
const MAX_SNAPPY_RATIO: usize = 22;

/// How a value is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952), of one member or several.
    Gzip,
    /// zlib (RFC 1950), as Glue's serializers write it.
    Zlib,
    /// Snappy: a raw block, the framing format, or the framing of snappy-java (xerial). The first bytes say which.
    Snappy,
    /// zstd (RFC 8878), without a dictionary.
    Zstd,
}

/// A value can't be decompressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The bytes are not compressed in this way, or damaged.
    #[error("value is not {compression:?}, or damaged")]
    Damaged {
        /// What the value should be.
        compression: Compression,
        /// What the decompressor reports.
        #[source]
        source: io::Error,
    },
    /// The value would be larger than the limit.
    #[error("value has more than {0} bytes when decompressed")]
    TooLarge(usize),
}

/// Decompresses a value of at most `max_bytes`. The bytes must be compressed to their end.
pub fn decompress(
    compression: Compression,
    bytes: &[u8],
    max_bytes: usize,
) -> Result<Vec<u8>, CompressionError> {
    let mut value = Vec::new();
    let mut limited = Limited { value: &mut value, max_bytes };
    let result = match compression {
        Compression::Gzip => limited.read(MultiGzDecoder::new(bytes)),
        Compression::Zlib => zlib(bytes, &mut limited),
        Compression::Snappy => snappy(bytes, &mut limited),
        Compression::Zstd => zstd(bytes, &mut limited),
    };
    match result {
        Ok(()) => Ok(value),
        Err(Failure::TooLarge) => Err(CompressionError::TooLarge(max_bytes)),
        Err(Failure::Damaged(source)) => Err(CompressionError::Damaged { compression, source }),
    }
}

enum Failure {
    Damaged(io::Error),
    TooLarge,
}

fn damaged(reason: &'static str) -> Failure {
    Failure::Damaged(io::Error::new(io::ErrorKind::InvalidData, reason))
}

/// A value that grows up to a limit.
struct Limited<'v> {
    value: &'v mut Vec<u8>,
    max_bytes: usize,
}

impl Limited<'_> {
    fn left(&self) -> usize {
        self.max_bytes.saturating_sub(self.value.len())
    }

    fn read(&mut self, reader: impl Read) -> Result<(), Failure> {
        let left = self.left();
        // One byte more than there may be shows that there is more.
        let read = reader.take(left as u64 + 1).read_to_end(self.value).map_err(Failure::Damaged)?;
        if read > left { Err(Failure::TooLarge) } else { Ok(()) }
    }
}

fn zlib(bytes: &[u8], limited: &mut Limited<'_>) -> Result<(), Failure> {
    let mut decoder = ZlibDecoder::new(bytes);
    limited.read(&mut decoder)?;
    if decoder.total_in() != bytes.len() as u64 {
        return Err(damaged("bytes follow the compressed value"));
    }
    Ok(())
}

fn snappy(bytes: &[u8], limited: &mut Limited<'_>) -> Result<(), Failure> {
    if bytes.starts_with(XERIAL_MARKER) {
        let blocks = bytes.get(XERIAL_HEADER_LEN..).ok_or_else(|| damaged("the header is cut off"))?;
        return xerial_blocks(blocks, limited);
    }
    if bytes.starts_with(SNAPPY_FRAME_MARKER) {
        return limited.read(snap::read::FrameDecoder::new(bytes));
    }
    snappy_block(bytes, limited)
}

/// Blocks of Snappy, each behind its length in four bytes.
fn xerial_blocks(mut bytes: &[u8], limited: &mut Limited<'_>) -> Result<(), Failure> {
    while !bytes.is_empty() {
        let block = bytes
            .split_first_chunk()
            .and_then(|(len, rest)| rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?));
        let (block, rest) = block.ok_or_else(|| damaged("a block is cut off"))?;
        snappy_block(block, limited)?;
        bytes = rest;
    }
    Ok(())
}

fn snappy_block(block: &[u8], limited: &mut Limited<'_>) -> Result<(), Failure> {
    let len = snap::raw::decompress_len(block).map_err(|error| Failure::Damaged(error.into()))?;
    if len > limited.left() {
        return Err(Failure::TooLarge);
    }
    if len / MAX_SNAPPY_RATIO > block.len() {
        return Err(damaged("the block claims more than it can hold"));
    }
    let start = limited.value.len();
    limited.value.resize(start + len, 0);
    let target = limited.value.get_mut(start..).unwrap_or_default();
    let written = snap::raw::Decoder::new().decompress(block, target);
    match written.map_err(|error| Failure::Damaged(error.into()))? {
        written if written == len => Ok(()),
        _ => Err(damaged("the block holds less than it claims")),
    }
}

fn zstd(mut bytes: &[u8], limited: &mut Limited<'_>) -> Result<(), Failure> {
    if bytes.is_empty() {
        return Err(damaged("there is no frame"));
    }
    while !bytes.is_empty() {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_ZSTD_WINDOW);
        match StreamingDecoder::new_with_decoder(&mut bytes, decoder) {
            Ok(frame) => limited.read(frame)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let rest = usize::try_from(length).ok().and_then(|length| bytes.get(length..));
                bytes = rest.ok_or_else(|| damaged("a frame to skip is cut off"))?;
            }
            Err(error) => return Err(Failure::Damaged(io::Error::new(io::ErrorKind::InvalidData, error))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression as Level;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const MAX: usize = 1024 * 1024;

    fn gzip(value: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(value).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(value: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Level::fast());
        encoder.write_all(value).unwrap();
        encoder.finish().unwrap()
    }

    fn snappy_frames(value: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(value).unwrap();
        let stream = encoder.into_inner().unwrap();
        // The encoder leaves the marker out when nothing follows it.
        if stream.is_empty() { SNAPPY_FRAME_MARKER.to_vec() } else { stream }
    }

    fn snappy_block(value: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(value).unwrap()
    }

    fn xerial(value: &[u8]) -> Vec<u8> {
        let mut stream = [XERIAL_MARKER, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for part in value.chunks(32 * 1024) {
            let block = snappy_block(part);
            stream.extend((block.len() as u32).to_be_bytes());
            stream.extend(block);
        }
        stream
    }

    fn zstd(value: &[u8]) -> Vec<u8> {
        compress_to_vec(value, CompressionLevel::Fastest)
    }

    fn all(value: &[u8]) -> [(Compression, Vec<u8>); 6] {
        [
            (Compression::Gzip, gzip(value)),
            (Compression::Zlib, zlib(value)),
            (Compression::Snappy, snappy_frames(value)),
            (Compression::Snappy, snappy_block(value)),
            (Compression::Snappy, xerial(value)),
            (Compression::Zstd, zstd(value)),
        ]
    }

    #[test]
    fn a_value_is_what_it_was_before_it_was_compressed() {
        for value in [&b""[..], b"{}", &[b'a'; 100_000], &(0..=255).cycle().take(70_000).collect::<Vec<u8>>()]
        {
            for (compression, bytes) in all(value) {
                let decompressed = decompress(compression, &bytes, MAX);
                assert!(decompressed.is_ok_and(|it| it == value), "{compression:?} of {} bytes", value.len());
            }
        }
    }

    #[test]
    fn a_value_of_exactly_the_limit_is_whole_and_a_larger_one_an_error() {
        let value = [b'x'; 70_000];
        for (compression, bytes) in all(&value) {
            assert_eq!(decompress(compression, &bytes, value.len()).unwrap(), value);
            let error = decompress(compression, &bytes, value.len() - 1).unwrap_err();
            assert!(matches!(error, CompressionError::TooLarge(69_999)), "{compression:?}: {error:?}");
        }
    }

    #[test]
    fn ten_megabytes_in_few_bytes_are_an_error_at_the_limit() {
        for (compression, bytes) in all(&vec![0; 10 * 1024 * 1024]) {
            let error = decompress(compression, &bytes, MAX).unwrap_err();
            assert!(matches!(error, CompressionError::TooLarge(MAX)), "{compression:?}: {error:?}");
        }
    }

    #[test]
    fn a_snappy_length_that_no_block_can_hold_allocates_nothing() {
        let error = decompress(Compression::Snappy, &[0x80, 0x80, 0x40, 0], MAX).unwrap_err();
        assert!(matches!(error, CompressionError::Damaged { .. }), "{error:?}");
    }

    #[test]
    fn damaged_and_cut_values_are_errors() {
        let value: Vec<u8> = (0..2000_u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        for (compression, bytes) in all(&value) {
            for cut in
                (0..bytes.len()).step_by(97).filter(|cut| !ends_a_snappy_part(compression, &bytes[..*cut]))
            {
                assert!(decompress(compression, &bytes[..cut], MAX).is_err(), "{compression:?} cut to {cut}");
            }
            assert!(decompress(compression, b"no compression at all", MAX).is_err());
        }
    }

    /// A framed stream has no end of its own: cut between two parts, it is a shorter stream.
    fn ends_a_snappy_part(compression: Compression, bytes: &[u8]) -> bool {
        compression == Compression::Snappy
            && decompress(compression, bytes, MAX).is_ok_and(|it| it.len() % 65_536 == 0)
    }

    #[test]
    fn members_and_frames_behind_each_other_are_one_value() {
        let gzips = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(decompress(Compression::Gzip, &gzips, MAX).unwrap(), b"one two");
        let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
        let frames = [&zstd(b"one ")[..], skipped, &zstd(b"two")].concat();
        assert_eq!(decompress(Compression::Zstd, &frames, MAX).unwrap(), b"one two");
    }
}

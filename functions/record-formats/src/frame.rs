//! Reads the frames in which schema registries' serializers put a record's schema id.
//!
//! | frame | bytes | page |
//! |---|---|---|
//! | Confluent | 0x00, the id in four bytes, the body | <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format> |
//! | Confluent, in a header | the body; header `__value_schema_id`: 0x01 and a GUID of 16 bytes (or 0x00 and an id) | the same |
//! | Glue | 0x03, 0x00 or 0x05 (zlib), a UUID of 16 bytes, the body | <https://github.com/awslabs/aws-glue-schema-registry> |
//!
//! Of a Protobuf record the message type is in front of the body, or behind the id in the header. Only the schema says that it is one.

use std::borrow::Cow;
use std::fmt;

use crate::compression::{Compression, CompressionError, decompress};

/// The header that has the schema id of a record's value, in Confluent's newer form.
pub const VALUE_SCHEMA_ID_HEADER: &str = "__value_schema_id";
/// The header that has the schema id of a record's key, in Confluent's newer form.
pub const KEY_SCHEMA_ID_HEADER: &str = "__key_schema_id";

const CONFLUENT_ID: u8 = 0;
const CONFLUENT_GUID: u8 = 1;
const GLUE_VERSION: u8 = 3;
const GLUE_PLAIN: u8 = 0;
const GLUE_ZLIB: u8 = 5;

/// Which schema a record was written with. Its text is the number, or the UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// An id of a registry with Confluent's API.
    Confluent(u32),
    /// A schema's GUID in a registry with Confluent's API.
    ConfluentGuid([u8; 16]),
    /// A schema version's id in Glue.
    Glue([u8; 16]),
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confluent(id) => id.fmt(f),
            Self::ConfluentGuid(id) | Self::Glue(id) => {
                for (i, byte) in id.iter().enumerate() {
                    let hyphen = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{hyphen}{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

/// A value or key without its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The schema that it was written with.
    pub id: SchemaId,
    /// What is behind the id in the header: the message indexes, if the schema is Protobuf. `None` if the id was in front of the
    /// body: then the indexes are too.
    pub message_indexes: Option<&'a [u8]>,
    /// The value: Avro, Protobuf (perhaps behind its message indexes) or JSON. Owned if it was compressed.
    pub body: Cow<'a, [u8]>,
}

/// A frame was begun that can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A schema id header has neither an id nor a GUID.
    #[error("the schema id header is neither 0x00 and four bytes nor 0x01 and sixteen")]
    SchemaIdHeader,
    /// The body in Glue's frame can't be decompressed.
    #[error("the body in Glue's frame can't be decompressed")]
    Body(#[from] CompressionError),
}

/// Reads the frame of a value (or key), given the header that may have its schema id. `Ok(None)`: the bytes are in no frame.
///
/// JSON and UTF-8 text are never taken for a frame: a frame begins with a control character. A header counts more than the first bytes.
/// `max_bytes` bounds the decompressed body.
pub fn read<'a>(
    bytes: &'a [u8],
    schema_id_header: Option<&'a [u8]>,
    max_bytes: usize,
) -> Result<Option<Framed<'a>>, FrameError> {
    if let Some(header) = schema_id_header {
        let (id, rest) =
            confluent_id(header).or_else(|| confluent_guid(header)).ok_or(FrameError::SchemaIdHeader)?;
        return Ok(Some(Framed { id, message_indexes: Some(rest), body: Cow::Borrowed(bytes) }));
    }
    if let Some((id, body)) = confluent_id(bytes) {
        return Ok(Some(Framed { id, message_indexes: None, body: Cow::Borrowed(body) }));
    }
    glue(bytes, max_bytes)
}

fn confluent_id(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (id, rest) = bytes.strip_prefix(&[CONFLUENT_ID])?.split_first_chunk()?;
    Some((SchemaId::Confluent(u32::from_be_bytes(*id)), rest))
}

fn confluent_guid(bytes: &[u8]) -> Option<(SchemaId, &[u8])> {
    let (id, rest) = bytes.strip_prefix(&[CONFLUENT_GUID])?.split_first_chunk()?;
    Some((SchemaId::ConfluentGuid(*id), rest))
}

fn glue(bytes: &[u8], max_bytes: usize) -> Result<Option<Framed<'_>>, FrameError> {
    let [GLUE_VERSION, compression @ (GLUE_PLAIN | GLUE_ZLIB), rest @ ..] = bytes else { return Ok(None) };
    let Some((id, body)) = rest.split_first_chunk() else { return Ok(None) };
    let body = match *compression {
        GLUE_ZLIB => Cow::Owned(decompress(Compression::Zlib, body, max_bytes)?),
        _ => Cow::Borrowed(body),
    };
    Ok(Some(Framed { id: SchemaId::Glue(*id), message_indexes: None, body }))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const UUID: [u8; 16] = *b"\x8a\x7f\x02\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd";

    fn frame(bytes: &[u8]) -> Option<Framed<'_>> {
        read(bytes, None, 100).unwrap()
    }

    #[test]
    fn confluents_frame_is_a_zero_and_four_bytes() {
        let framed = frame(b"\0\0\0\x01\x02body").unwrap();
        assert_eq!(framed.id, SchemaId::Confluent(258));
        assert_eq!(framed.id.to_string(), "258");
        assert_eq!((framed.message_indexes, &*framed.body), (None, &b"body"[..]));
        assert_eq!(&*frame(b"\0\0\0\0\x01").unwrap().body, b"", "a body can be empty");
    }

    #[test]
    fn a_header_has_the_guid_and_what_follows_it() {
        let header = [&[1][..], &UUID, &[2, 4]].concat();
        let framed = read(b"\0\0\0\0\x01", Some(&header), 100).unwrap().unwrap();
        assert_eq!(framed.id, SchemaId::ConfluentGuid(UUID));
        assert_eq!(framed.id.to_string(), "8a7f0211-2233-4455-6677-8899aabbccdd");
        assert_eq!(framed.message_indexes, Some(&[2, 4][..]));
        assert_eq!(&*framed.body, b"\0\0\0\0\x01", "the body has no frame of its own");
        let framed = read(b"body", Some(&[0, 0, 0, 0, 7]), 100).unwrap().unwrap();
        assert_eq!((framed.id, &*framed.body), (SchemaId::Confluent(7), &b"body"[..]));
    }

    #[test]
    fn a_header_without_an_id_is_an_error() {
        for header in [&b""[..], b"\0\0\0\0", b"\x02abcdabcdabcdabcd", b"\x01short"] {
            assert!(matches!(read(b"{}", Some(header), 100), Err(FrameError::SchemaIdHeader)), "{header:?}");
        }
    }

    #[test]
    fn glues_frame_is_18_bytes_and_may_be_compressed() {
        let plain = [&[3, 0][..], &UUID, b"body"].concat();
        assert_eq!(frame(&plain).unwrap().id, SchemaId::Glue(UUID));
        assert_eq!(&*frame(&plain).unwrap().body, b"body");
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[b'b'; 100]).unwrap();
        let compressed = [&[3, 5][..], &UUID, &encoder.finish().unwrap()].concat();
        assert_eq!(&*frame(&compressed).unwrap().body, [b'b'; 100]);
        assert!(matches!(read(&compressed, None, 99), Err(FrameError::Body(CompressionError::TooLarge(99)))));
        assert!(matches!(read(&[&compressed[..], b"x"].concat(), None, 100), Err(FrameError::Body(_))));
    }

    #[test]
    fn what_is_in_no_frame_is_not_taken_for_one() {
        for bytes in
            [&b""[..], b"{}", b" {}", b"text", b"\0\0\0\0", b"\x03\x00short", b"\x03\x01abcdabcdabcdabcd"]
        {
            assert_eq!(frame(bytes), None, "{bytes:?}");
        }
    }
}

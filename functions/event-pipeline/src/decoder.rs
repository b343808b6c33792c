//! Takes keys and values out of compression and of a registry's frame, and writes them as JSON by their schemas.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use record_formats::compression::{Compression, decompress};
use record_formats::frame::{self, Framed, SchemaId};
use record_formats::key::{self, Primitive};
use record_formats::limits::Limits;
use record_formats::notes::Notes;
use record_formats::schema::{Schema, SchemaType};

use crate::event::SchemaMetadata;
use crate::formats::{KeyFormat, TopicFormats, ValueCompression, ValueFormat};

/// What is known of the registry's schemas: a compiled schema, or why an id has none. An id that is missing is not known yet.
pub type KnownSchemas = HashMap<SchemaId, Result<Arc<Schema>, Arc<str>>>;

/// What a value or a key turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// JSON was appended.
    Json(Notes),
    /// It is in no frame, so nothing was appended: these bytes are read as they are.
    Plain,
    /// Its schema is not known yet.
    Missing(SchemaId),
    /// It can't be decoded, for this reason.
    Failed(String),
}

/// A value or a key to decode.
pub(crate) struct Encoded<'a> {
    pub(crate) bytes: &'a [u8],
    /// The header that has the schema id.
    pub(crate) header: Option<&'a [u8]>,
    /// The mapping's schema metadata, as JSON text.
    pub(crate) metadata: Option<&'a [u8]>,
}

/// Decodes by what is known of a registry's schemas.
pub(crate) struct Decoder<'s> {
    /// `None` if there is no registry.
    pub(crate) schemas: Option<&'s KnownSchemas>,
    pub(crate) max_bytes: usize,
}

/// Decompresses a value as its topic says.
pub(crate) fn decompressed(
    compression: ValueCompression,
    bytes: &[u8],
    max_bytes: usize,
) -> Result<Cow<'_, [u8]>, String> {
    let compression = match compression {
        ValueCompression::None => return Ok(Cow::Borrowed(bytes)),
        ValueCompression::Gzip => Compression::Gzip,
        ValueCompression::Snappy => Compression::Snappy,
        ValueCompression::Zstd => Compression::Zstd,
        ValueCompression::Auto if bytes.starts_with(b"\x1f\x8b\x08") => Compression::Gzip,
        ValueCompression::Auto if bytes.starts_with(b"\x28\xb5\x2f\xfd") => Compression::Zstd,
        ValueCompression::Auto
            if bytes.starts_with(b"\xff\x06\x00\x00sNaPpY") || bytes.starts_with(b"\x82SNAPPY\0") =>
        {
            Compression::Snappy
        }
        ValueCompression::Auto => return Ok(Cow::Borrowed(bytes)),
    };
    decompress(compression, bytes, max_bytes).map(Cow::Owned).map_err(|error| with_causes(&error))
}

/// Whether the bytes look as if a serializer with a registry wrote them: for a hint where there is no registry.
pub(crate) fn looks_framed(bytes: &[u8]) -> bool {
    matches!(frame::read(bytes, None, 0), Ok(Some(Framed { id: SchemaId::Confluent(1..=0xff_ffff), body, .. })) if !body.is_empty())
        || matches!(bytes, [3, 0 | 5, rest @ ..] if rest.len() > 16)
}

impl Decoder<'_> {
    /// Appends a value as JSON, and sets `id` to the schema that it names.
    pub(crate) fn value(
        &self,
        format: ValueFormat,
        value: &Encoded<'_>,
        id: &mut Option<String>,
        json: &mut Vec<u8>,
    ) -> Decoded {
        let expected = match format {
            ValueFormat::Json | ValueFormat::Text => return Decoded::Plain,
            ValueFormat::Auto => None,
            ValueFormat::Avro => Some(SchemaType::Avro),
            ValueFormat::Protobuf => Some(SchemaType::Protobuf),
            ValueFormat::JsonSchema => Some(SchemaType::Json),
        };
        if expected.is_none() && self.schemas.is_none() {
            return Decoded::Plain;
        }
        let framed = match self.framed(value, id) {
            Ok(Some(framed)) => framed,
            Ok(None) => {
                return match expected {
                    None | Some(SchemaType::Json) => Decoded::Plain,
                    // What the mapping has decoded already.
                    Some(_) if value.metadata.is_some() => Decoded::Plain,
                    Some(expected) => Decoded::Failed(not_framed(expected)),
                };
            }
            Err(reason) => return Decoded::Failed(reason),
        };
        self.by_schema(expected, &framed, id, json)
    }

    /// Appends a key as text: a number's, a UUID's, a string's, or JSON. `Plain` if it is text or bytes already.
    pub(crate) fn key(
        &self,
        format: KeyFormat,
        key: &Encoded<'_>,
        id: &mut Option<String>,
        text: &mut Vec<u8>,
    ) -> Decoded {
        let mut json = Vec::new();
        let decoded = match format {
            KeyFormat::Text | KeyFormat::Base64 => return Decoded::Plain,
            KeyFormat::Long => primitive(Primitive::Long, key.bytes, &mut json),
            KeyFormat::Int => primitive(Primitive::Int, key.bytes, &mut json),
            KeyFormat::Uuid => primitive(Primitive::Uuid, key.bytes, &mut json),
            KeyFormat::Json => self.framed_key(SchemaType::Json, key, id, &mut json),
            KeyFormat::Avro => self.framed_key(SchemaType::Avro, key, id, &mut json),
            KeyFormat::Protobuf => self.framed_key(SchemaType::Protobuf, key, id, &mut json),
        };
        let (json, notes) = match decoded {
            Decoded::Json(notes) => (json.as_slice(), notes),
            Decoded::Plain => (key.bytes, Notes::default()),
            other => return other,
        };
        match serde_json::from_slice::<&serde_json::value::RawValue>(json) {
            Ok(value) => append_compact(text, value.get()),
            Err(error) => return Decoded::Failed(format!("the key is not JSON: {error}")),
        }
        Decoded::Json(notes)
    }

    fn framed_key(
        &self,
        expected: SchemaType,
        key: &Encoded<'_>,
        id: &mut Option<String>,
        json: &mut Vec<u8>,
    ) -> Decoded {
        match self.framed(key, id) {
            Ok(Some(framed)) => self.by_schema(Some(expected), &framed, id, json),
            Ok(None) if expected == SchemaType::Json || key.metadata.is_some() => Decoded::Plain,
            Ok(None) => Decoded::Failed(not_framed(expected)),
            Err(reason) => Decoded::Failed(reason),
        }
    }

    /// The value without its frame, which can be its first bytes, a header, or the mapping's metadata.
    fn framed<'a>(&self, value: &Encoded<'a>, id: &mut Option<String>) -> Result<Option<Framed<'a>>, String> {
        if let Some(metadata) = value.metadata {
            let metadata = SchemaMetadata::read(metadata);
            *id = metadata.schema_id.as_deref().map(str::to_owned);
            // The mapping has taken the frame off, and perhaps decoded the rest.
            let is_binary = matches!(metadata.data_format.as_deref(), Some("AVRO" | "PROTOBUF"));
            if !is_binary || self.schemas.is_none() || is_json(value.bytes) {
                return Ok(None);
            }
            let Some(id) = metadata.schema_id.as_deref().and_then(parse_id) else { return Ok(None) };
            return Ok(Some(Framed { id, message_indexes: None, body: Cow::Borrowed(value.bytes) }));
        }
        let framed =
            frame::read(value.bytes, value.header, self.max_bytes).map_err(|error| with_causes(&error))?;
        // Registries begin with 1: this is a number of Kafka's own serializers.
        Ok(framed.filter(|framed| framed.id != SchemaId::Confluent(0)))
    }

    fn by_schema(
        &self,
        expected: Option<SchemaType>,
        framed: &Framed<'_>,
        id: &mut Option<String>,
        json: &mut Vec<u8>,
    ) -> Decoded {
        let id_text = framed.id.to_string();
        let limits = Limits { max_json_bytes: self.max_bytes, ..Limits::default() };
        *id = Some(id_text.clone());
        if expected == Some(SchemaType::Json) {
            if framed.body.len() > self.max_bytes {
                return Decoded::Failed(format!("more than {} bytes of JSON", self.max_bytes));
            }
            json.extend_from_slice(&framed.body);
            return Decoded::Json(Notes::default());
        }
        let schema = match self.schemas.and_then(|schemas| schemas.get(&framed.id)) {
            Some(Ok(schema)) => schema,
            Some(Err(reason)) => return Decoded::Failed(reason.as_ref().to_owned()),
            None if self.schemas.is_some() => return Decoded::Missing(framed.id),
            None => {
                return Decoded::Failed(format!("no registry is configured that has the schema {id_text}"));
            }
        };
        if let Some(expected) = expected.filter(|expected| *expected != schema.schema_type()) {
            let (found, expected) = (schema.schema_type().name(), expected.name());
            return Decoded::Failed(format!(
                "the schema {id_text} is {found}, and the topic's format is {expected}"
            ));
        }
        match schema.append_json(framed, &limits, json) {
            Ok(notes) => Decoded::Json(notes),
            Err(error) => Decoded::Failed(format!("the bytes do not fit the schema {id_text}: {error}")),
        }
    }
}

impl TopicFormats {
    /// Whether a value is more than JSON or text in base64, whose first character is `first`. Cheap: it is asked of every record.
    #[inline(always)]
    pub(crate) fn may_be_encoded(
        self,
        first: Option<u8>,
        has_registry: HasRegistry,
        is_marked: IsMarked,
    ) -> bool {
        if self.compression != ValueCompression::None {
            return true;
        }
        match self.value {
            ValueFormat::Json => false,
            // A frame begins with 0 or 3, which is `A` in base64.
            ValueFormat::Auto => {
                first == Some(b'A') || (has_registry == HasRegistry::Yes && is_marked == IsMarked::Yes)
            }
            ValueFormat::Text | ValueFormat::Avro | ValueFormat::Protobuf | ValueFormat::JsonSchema => true,
        }
    }
}

/// Whether there is a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HasRegistry {
    Yes,
    No,
}

/// Whether a header or the mapping's metadata names the value's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsMarked {
    Yes,
    No,
}

fn not_framed(expected: SchemaType) -> String {
    format!("the bytes are in no frame of a schema registry, and the topic's format is {}", expected.name())
}

fn primitive(primitive: Primitive, bytes: &[u8], json: &mut Vec<u8>) -> Decoded {
    match key::append_json(primitive, bytes, json) {
        Ok(()) => Decoded::Json(Notes::default()),
        Err(error) => Decoded::Failed(format!("the key is no {primitive:?}: {error}")),
    }
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// The id that the mapping's metadata names: a number of Confluent's API, or a UUID of Glue.
fn parse_id(text: &str) -> Option<SchemaId> {
    if let Ok(id) = text.parse() {
        return Some(SchemaId::Confluent(id));
    }
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(SchemaId::Glue(number.to_be_bytes()))
}

/// Appends a JSON value without its white space; a string without its quotes and escapes.
fn append_compact(out: &mut Vec<u8>, json: &str) {
    if json.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(json)
    {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let (mut is_string, mut is_escaped) = (false, false);
    out.extend(json.bytes().filter(|byte| {
        if is_string {
            is_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            return true;
        }
        is_string = *byte == b'"';
        !byte.is_ascii_whitespace()
    }));
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_compact_and_a_string_is_its_text() {
        let compact = |json| {
            let mut out = Vec::new();
            append_compact(&mut out, json);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(compact("{ \"a b\" : [1, \"\\\" x\"] }"), r#"{"a b":[1,"\" x"]}"#);
        assert_eq!(compact(r#""a\"b""#), r#"a"b"#);
        assert_eq!(compact(" 17"), "17");
    }

    #[test]
    fn an_id_of_the_mapping_is_a_number_or_a_uuid() {
        assert_eq!(parse_id("17"), Some(SchemaId::Confluent(17)));
        let uuid = parse_id("8a7f0211-2233-4455-6677-8899aabbccdd").unwrap();
        assert_eq!(uuid.to_string(), "8a7f0211-2233-4455-6677-8899aabbccdd");
        assert_eq!(parse_id("a1b2c3d4-5678-90ab-cdef-EXAMPLE11111"), None);
    }

    #[test]
    fn a_number_of_kafkas_serializers_is_in_no_frame() {
        assert!(!looks_framed(&42_i64.to_be_bytes()));
        assert!(looks_framed(b"\0\0\0\0\x05body"));
        let decoder = Decoder { schemas: Some(&HashMap::new()), max_bytes: 100 };
        let decode = |bytes: &[u8]| {
            let value = Encoded { bytes, header: None, metadata: None };
            decoder.value(ValueFormat::Auto, &value, &mut None, &mut Vec::new())
        };
        assert_eq!(decode(&42_i64.to_be_bytes()), Decoded::Plain);
        assert_eq!(decode(b"\0\0\0\0\x05body"), Decoded::Missing(SchemaId::Confluent(5)));
    }
}

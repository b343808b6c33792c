//! Takes keys and values out of their frame by the schemas of a registry. Pure: the schemas are its caller's to fetch.
//!
//! The rules are those of <https://docs.aws.amazon.com/lambda/latest/dg/services-consume-kafka-events.html>: what is validated
//! becomes JSON, or its own bytes without the schema's id, and the event says which schema it was.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use record_formats::frame::{self, Framed, SchemaId};
use record_formats::limits::Limits;
use record_formats::schema::{Schema, SchemaSource, SchemaType};

use crate::causes::with_causes;
use crate::event::{MAX_PAYLOAD, PartSchema};
use crate::json_schema::JsonSchema;
use crate::record::Rejection;
use crate::registry_config::{EventRecordFormat, Validated};

/// A schema that is ready to decode.
#[derive(Debug)]
pub struct CompiledSchema {
    schema: Schema,
    /// Validates JSON, whose records are not decoded.
    json: Option<JsonSchema>,
}

/// What the registry says of a schema's id.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The schema.
    Found(Arc<CompiledSchema>),
    /// There is none, and why.
    NotFound(String),
    /// There is one that can't be used, and why.
    Unusable(String),
}

/// Decodes the records of one mapping by the schemas that it was given.
#[derive(Debug)]
pub struct Decoder {
    format: EventRecordFormat,
    validated: Validated,
    schemas: BTreeMap<u32, Lookup>,
}

/// A key or a value for the event.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Its bytes in the event; `None` is null.
    pub bytes: Option<Cow<'a, [u8]>>,
    /// As filters see it, if that is not its bytes in the event.
    pub json: Option<Vec<u8>>,
    /// The schema that it was validated by.
    pub schema: Option<PartSchema>,
}

/// What becomes of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// It passes.
    Passed {
        /// The key.
        key: Part<'a>,
        /// The value.
        value: Part<'a>,
    },
    /// It goes to the destination.
    Rejected {
        /// Lambda's name for the reason.
        rejection: Rejection,
        /// The reason.
        reason: String,
    },
    /// This schema has to be fetched first.
    Needs(u32),
}

enum Stop {
    Rejected(Rejection, String),
    Needs(u32),
}

impl CompiledSchema {
    /// Compiles a schema as the registry holds it.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn compile(source: &SchemaSource) -> Result<Self, String> {
        let schema = Schema::compile(source).map_err(|error| with_causes(&error))?;
        let json = match source.schema_type {
            SchemaType::Json => Some(JsonSchema::compile(source).map_err(|error| with_causes(&error))?),
            SchemaType::Avro | SchemaType::Protobuf => None,
        };
        Ok(Self { schema, json })
    }

    /// The JSON of a key or value.
    fn json(&self, framed: &Framed<'_>) -> Result<Vec<u8>, String> {
        let mut json = Vec::new();
        self.schema
            .append_json(framed, &Limits::default(), &mut json)
            .map_err(|error| with_causes(&error))?;
        if let Some(schema) = &self.json {
            schema.validate(&json).map_err(|error| with_causes(&error))?;
        }
        Ok(json)
    }
}

impl Decoder {
    /// Makes a decoder without schemas.
    #[must_use]
    pub fn new(format: EventRecordFormat, validated: Validated) -> Self {
        Self { format, validated, schemas: BTreeMap::new() }
    }

    /// Takes what the registry says of a schema.
    pub fn learn(&mut self, id: u32, lookup: Lookup) {
        self.schemas.insert(id, lookup);
    }

    /// Forgets a schema that was not found, so that it is looked up again: it may be registered later.
    pub fn forget_unknown(&mut self, id: u32) {
        if !matches!(self.schemas.get(&id), Some(Lookup::Found(_))) {
            self.schemas.remove(&id);
        }
    }

    /// Decodes a record, whose schemas may have to be learnt first. A null key or value passes: there is nothing to validate.
    #[must_use]
    pub fn decode<'a>(&self, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Decoded<'a> {
        let (of_key, of_value) = match self.validated {
            Validated::Key => (true, false),
            Validated::Value => (false, true),
            Validated::KeyAndValue => (true, true),
        };
        let part = |name: &str, bytes: Option<&'a [u8]>, is_validated: bool| match bytes {
            Some(bytes) if is_validated => self.part(name, bytes),
            _ => Ok(Part { bytes: bytes.map(Cow::Borrowed), json: None, schema: None }),
        };
        let parts = part("key", key, of_key)
            .and_then(|key| part("value", value, of_value).map(|value| Decoded::Passed { key, value }));
        parts.unwrap_or_else(|stop| match stop {
            Stop::Rejected(rejection, reason) => Decoded::Rejected { rejection, reason },
            Stop::Needs(id) => Decoded::Needs(id),
        })
    }

    fn part<'a>(&self, name: &str, bytes: &'a [u8]) -> Result<Part<'a>, Stop> {
        let rejected =
            |reason: String| Stop::Rejected(Rejection::DeserializationError, format!("the {name} {reason}"));
        let framed = frame::read(bytes, None, MAX_PAYLOAD)
            .map_err(|error| rejected(format!("can't be read: {}", with_causes(&error))))?
            .ok_or_else(|| rejected("does not begin with 0x00 and the id of a schema".to_owned()))?;
        let SchemaId::Confluent(id) = framed.id else {
            return Err(rejected(format!("has an id of another kind of registry: {}", framed.id)));
        };
        let schema = match self.schemas.get(&id).ok_or(Stop::Needs(id))? {
            Lookup::Found(schema) => schema,
            Lookup::NotFound(reason) => {
                let reason =
                    format!("the {name} has the schema {id}, which the registry does not have: {reason}");
                return Err(Stop::Rejected(Rejection::SchemaNotFound, reason));
            }
            Lookup::Unusable(reason) => {
                return Err(rejected(format!("has the schema {id}, which can't be used: {reason}")));
            }
        };
        let json =
            schema.json(&framed).map_err(|reason| rejected(format!("does not fit schema {id}: {reason}")))?;
        let of = PartSchema { data_format: schema.schema.schema_type().name(), id };
        Ok(match self.format {
            EventRecordFormat::Json => Part { bytes: Some(Cow::Owned(json)), json: None, schema: Some(of) },
            EventRecordFormat::Source => {
                Part { bytes: Some(framed.body), json: Some(json), schema: Some(of) }
            }
        })
    }
}

impl Part<'_> {
    /// The bytes that filters see.
    #[must_use]
    pub fn filtered(&self) -> Option<&[u8]> {
        self.json.as_deref().or(self.bytes.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// `{"order_id": "o-1", "total": 2}` by [`AVRO`].
    const ORDER: &[u8] = b"\0\0\0\0\x07\x06o-1\x04";
    const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
        {"name": "order_id", "type": "string"}, {"name": "total", "type": "long"}]}"#;

    fn found(schema_type: SchemaType, text: &str) -> Lookup {
        let source = SchemaSource { schema_type, text: text.to_owned(), references: Vec::new() };
        Lookup::Found(Arc::new(CompiledSchema::compile(&source).unwrap()))
    }

    fn decoder(format: EventRecordFormat, validated: Validated) -> Decoder {
        let mut decoder = Decoder::new(format, validated);
        decoder.learn(7, found(SchemaType::Avro, AVRO));
        decoder.learn(8, found(SchemaType::Json, r#"{"type": "object", "required": ["order_id"]}"#));
        decoder
    }

    fn json() -> Decoder {
        decoder(EventRecordFormat::Json, Validated::Value)
    }

    fn value_of(decoder: &Decoder, bytes: &[u8]) -> (Vec<u8>, PartSchema) {
        match decoder.decode(None, Some(bytes)) {
            Decoded::Passed { value, .. } => (value.bytes.unwrap().into_owned(), value.schema.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn rejected(decoder: &Decoder, key: Option<&[u8]>, value: &[u8]) -> (Rejection, String) {
        match decoder.decode(key, Some(value)) {
            Decoded::Rejected { rejection, reason } => (rejection, reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_value_becomes_json_and_names_its_schema() {
        let schema = PartSchema { data_format: "AVRO", id: 7 };
        assert_eq!(value_of(&json(), ORDER), (br#"{"order_id":"o-1","total":2}"#.to_vec(), schema));
        let schema = PartSchema { data_format: "JSON", id: 8 };
        assert_eq!(
            value_of(&json(), b"\0\0\0\0\x08{\"order_id\": 1}"),
            (b"{\"order_id\": 1}".to_vec(), schema)
        );
    }

    #[test]
    fn source_is_the_same_bytes_without_the_id_and_filters_see_json() {
        let decoder = decoder(EventRecordFormat::Source, Validated::Value);
        let Decoded::Passed { value, .. } = decoder.decode(None, Some(ORDER)) else { panic!("passes") };
        assert_eq!(value.bytes.as_deref(), Some(&b"\x06o-1\x04"[..]));
        assert_eq!(value.filtered(), Some(&br#"{"order_id":"o-1","total":2}"#[..]));
        assert_eq!(value.schema, Some(PartSchema { data_format: "AVRO", id: 7 }));
    }

    #[test]
    fn only_what_is_named_is_validated() {
        let plain = Part { bytes: Some(Cow::Borrowed(&b"text"[..])), json: None, schema: None };
        match json().decode(Some(b"text"), Some(ORDER)) {
            Decoded::Passed { key, value } => {
                assert_eq!(key, plain);
                assert!(value.schema.is_some());
            }
            other => panic!("{other:?}"),
        }
        match decoder(EventRecordFormat::Json, Validated::Key).decode(Some(ORDER), Some(b"text")) {
            Decoded::Passed { key, value } => {
                assert_eq!((key.schema.is_some(), value), (true, plain));
            }
            other => panic!("{other:?}"),
        }
        let both = decoder(EventRecordFormat::Json, Validated::KeyAndValue);
        assert!(matches!(both.decode(Some(ORDER), Some(ORDER)), Decoded::Passed { .. }));
        let (rejection, reason) = rejected(&both, Some(b"text"), ORDER);
        assert_eq!(rejection, Rejection::DeserializationError);
        assert_eq!(reason, "the key does not begin with 0x00 and the id of a schema");
    }

    proptest! {
        #[test]
        fn any_bytes_pass_as_json_or_are_rejected_with_a_reason(
            schema in prop_oneof![Just(7_u8), Just(8), any::<u8>()],
            body in vec(any::<u8>(), 0..40),
        ) {
            let value = [&[0, 0, 0, 0, schema], body.as_slice()].concat();
            match json().decode(None, Some(&value)) {
                Decoded::Passed { value, .. } => {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&value.bytes.unwrap()).is_ok());
                }
                Decoded::Rejected { reason, .. } => prop_assert!(reason.contains("does not fit schema")),
                Decoded::Needs(id) => prop_assert!(id == u32::from(schema) && id != 7 && id != 8),
            }
        }
    }

    #[test]
    fn a_null_passes() {
        let both = decoder(EventRecordFormat::Json, Validated::KeyAndValue);
        let null = || Part { bytes: None, json: None, schema: None };
        assert_eq!(both.decode(None, None), Decoded::Passed { key: null(), value: null() });
    }

    #[test]
    fn what_does_not_fit_is_rejected_with_the_reason() {
        for (value, expected) in [
            (&b""[..], "the value does not begin with 0x00 and the id of a schema"),
            (b"{\"order_id\": 1}", "the value does not begin with 0x00 and the id of a schema"),
            (b"\0\0\0\0", "the value does not begin with 0x00 and the id of a schema"),
            (b"\0\0\0\0\x07\x06o", "the value does not fit schema 7: "),
            (b"\0\0\0\0\x07\x06o-1\x04\x04", "the value does not fit schema 7: "),
            (
                b"\0\0\0\0\x08{\"total\": 1}",
                "the value does not fit schema 8: at ``: \"order_id\" is a required property",
            ),
            (b"\0\0\0\0\x08{", "the value does not fit schema 8: the value is not JSON"),
            (b"\x03\x000123456789abcdef", "the value has an id of another kind of registry: 30313233-"),
        ] {
            let (rejection, reason) = rejected(&json(), None, value);
            assert_eq!(rejection, Rejection::DeserializationError, "{reason}");
            assert!(reason.starts_with(expected), "{reason}");
        }
    }

    #[test]
    fn a_schema_is_asked_for_once_and_one_that_was_not_found_again() {
        let mut decoder = json();
        let value = b"\0\0\0\0\x09\x02a";
        assert_eq!(decoder.decode(None, Some(value)), Decoded::Needs(9));
        decoder.learn(9, Lookup::NotFound("40403".into()));
        let (rejection, reason) = rejected(&decoder, None, value);
        assert_eq!(rejection, Rejection::SchemaNotFound);
        assert!(reason.ends_with("schema 9, which the registry does not have: 40403"), "{reason}");
        decoder.forget_unknown(9);
        assert_eq!(decoder.decode(None, Some(value)), Decoded::Needs(9));
        decoder.learn(9, found(SchemaType::Avro, r#""string""#));
        decoder.forget_unknown(9);
        assert_eq!(value_of(&decoder, value).0, br#""a""#);
        decoder.learn(10, Lookup::Unusable("no type".into()));
        let (rejection, reason) = rejected(&decoder, None, b"\0\0\0\0\x0a\x02a");
        assert_eq!(rejection, Rejection::DeserializationError);
        assert_eq!(reason, "the value has the schema 10, which can't be used: no type");
    }
}

//! Reads a record's value and key by the formats of its topic, and keeps what that gives besides the value's JSON.

use std::mem;
use std::sync::Arc;

use record_formats::frame::SchemaId;
use record_formats::notes::Notes;

use crate::append::{Value, append_decoded, append_json_string, append_member};
use crate::debezium::Change;
use crate::decoder::{Decoded, Decoder, Encoded, KnownSchemas, decompressed, looks_framed};
use crate::event::{KafkaRecord, RecordError, SchemaMetadata};
use crate::formats::{KeyFormat, SchemaFailures, TopicFormats, ValueFormat};
use crate::headers::Headers;
use crate::nearly_json::{DUPLICATE_KEY, NONFINITE};
use crate::payload::{SCHEMA_FAILURE, TimesAround, UNKNOWN_FIELDS};
use crate::settings::Settings;
use crate::write_error::shortened;

/// What decoding the last record gave besides its JSON. The buffers are kept from one record to the next.
#[derive(Debug)]
pub(crate) struct Decoding {
    /// What is known of the registry's schemas; `None` if there is no registry.
    schemas: Option<Arc<KnownSchemas>>,
    /// Bytes that a decompressed value and the JSON of a decoded one may have.
    max_bytes: usize,
    /// The value as it came.
    raw: Vec<u8>,
    value_schema: Option<String>,
    key_schema: Option<String>,
    /// Why the key or the value could not be decoded.
    failure: Option<String>,
    /// Schemas that are not known yet.
    missing: Vec<SchemaId>,
    /// The value of `debezium`, and the change's time as JSON text.
    debezium: Vec<u8>,
    change_time: Option<Vec<u8>>,
    key: Key,
    /// Of all records so far: values that look framed and that no registry was there for.
    n_unread_frames: usize,
}

/// What was appended of a value.
#[derive(Debug)]
pub(crate) enum ReadValue {
    /// JSON, or other bytes to be read as they are.
    Appended(Notes),
    /// Text that is not to be read, because its topic says so.
    Text,
    /// Nothing that counts: the value can't be decoded, or its schema is not known yet.
    Undecoded,
}

/// How the key is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Key {
    /// As text, or base64 where it is not UTF-8.
    #[default]
    AsItCame,
    /// As this text.
    Text(String),
    /// As base64.
    Base64,
}

impl Decoding {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            schemas: None,
            max_bytes,
            raw: Vec::new(),
            value_schema: None,
            key_schema: None,
            failure: None,
            missing: Vec::new(),
            debezium: Vec::new(),
            change_time: None,
            key: Key::AsItCame,
            n_unread_frames: 0,
        }
    }

    pub(crate) fn schemas(&self) -> Option<&Arc<KnownSchemas>> {
        self.schemas.as_ref()
    }

    pub(crate) fn set_schemas(&mut self, schemas: Option<Arc<KnownSchemas>>) {
        self.schemas = schemas;
    }

    /// Schemas that the last record needs and that are not known yet.
    pub(crate) fn missing_schemas(&self) -> &[SchemaId] {
        &self.missing
    }

    /// Why the last record could not be decoded.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The value of `debezium`; empty if the last record is no change event.
    pub(crate) fn debezium(&self) -> &[u8] {
        &self.debezium
    }

    pub(crate) fn n_unread_frames(&self) -> usize {
        self.n_unread_frames
    }

    /// Forgets the last record.
    pub(crate) fn clear(&mut self) {
        self.raw.clear();
        self.missing.clear();
        self.debezium.clear();
        self.value_schema = None;
        self.key_schema = None;
        self.failure = None;
        self.change_time = None;
        self.key = Key::AsItCame;
    }

    /// Appends a value that may be compressed or in a frame to `body`. `header` names its schema.
    ///
    /// # Errors
    /// [`RecordError::Value`] when the value is not base64.
    pub(crate) fn read_value(
        &mut self,
        formats: TopicFormats,
        record: &KafkaRecord<'_>,
        header: Option<&[u8]>,
        body: &mut Vec<u8>,
    ) -> Result<ReadValue, RecordError> {
        let mut raw = mem::take(&mut self.raw);
        let read = match record.value.map(|value| append_decoded(&mut raw, value)) {
            Some(Ok(())) => Ok(self.read_bytes(
                formats,
                Encoded { bytes: &raw, header, metadata: record.value_schema },
                body,
            )),
            _ => Err(RecordError::Value),
        };
        self.raw = raw;
        read
    }

    fn read_bytes(&mut self, formats: TopicFormats, value: Encoded<'_>, body: &mut Vec<u8>) -> ReadValue {
        let bytes = match decompressed(formats.compression, value.bytes, self.max_bytes) {
            Ok(bytes) => bytes,
            Err(reason) => return self.undecoded(reason),
        };
        let value = Encoded { bytes: &bytes, ..value };
        let decoder = Decoder { schemas: self.schemas.as_deref(), max_bytes: self.max_bytes };
        match decoder.value(formats.value, &value, &mut self.value_schema, body) {
            Decoded::Json(notes) => ReadValue::Appended(notes),
            Decoded::Plain if formats.value == ValueFormat::Text && std::str::from_utf8(&bytes).is_ok() => {
                body.extend_from_slice(&bytes);
                ReadValue::Text
            }
            Decoded::Plain => {
                if formats.value == ValueFormat::Auto && self.schemas.is_none() && looks_framed(&bytes) {
                    self.n_unread_frames += 1;
                }
                body.extend_from_slice(&bytes);
                ReadValue::Appended(Notes::default())
            }
            Decoded::Missing(id) => {
                self.missing.push(id);
                ReadValue::Undecoded
            }
            Decoded::Failed(reason) => self.undecoded(reason),
        }
    }

    fn undecoded(&mut self, reason: String) -> ReadValue {
        self.fail(reason);
        ReadValue::Undecoded
    }

    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    /// Takes the value's schema id from the mapping's metadata, where the value itself names none.
    pub(crate) fn read_value_metadata(&mut self, record: &KafkaRecord<'_>) {
        if let Some(metadata) = record.value_schema.filter(|_| self.value_schema.is_none()) {
            self.value_schema = SchemaMetadata::read(metadata).schema_id.map(Into::into);
        }
    }

    /// Reads the key. `header` names its schema.
    pub(crate) fn read_key(
        &mut self,
        format: KeyFormat,
        record: &KafkaRecord<'_>,
        header: Option<&[u8]>,
        tags: &mut Vec<&'static str>,
    ) {
        if let Some(metadata) = record.key_schema {
            self.key_schema = SchemaMetadata::read(metadata).schema_id.map(Into::into);
        }
        match format {
            KeyFormat::Text => return,
            KeyFormat::Base64 => {
                self.key = Key::Base64;
                return;
            }
            KeyFormat::Json
            | KeyFormat::Avro
            | KeyFormat::Protobuf
            | KeyFormat::Long
            | KeyFormat::Int
            | KeyFormat::Uuid => {}
        }
        let mut bytes = Vec::new();
        // What is not base64 is kept as the event has it.
        let Some(Ok(())) = record.key.map(|key| append_decoded(&mut bytes, key)) else { return };
        let decoder = Decoder { schemas: self.schemas.as_deref(), max_bytes: self.max_bytes };
        let key = Encoded { bytes: &bytes, header, metadata: record.key_schema };
        let mut text = Vec::new();
        match decoder.key(format, &key, &mut self.key_schema, &mut text) {
            Decoded::Json(notes) => {
                tag_notes(&notes, tags);
                self.key = String::from_utf8(text).map_or(Key::Base64, Key::Text);
            }
            Decoded::Plain => {}
            Decoded::Missing(id) => self.missing.push(id),
            Decoded::Failed(reason) => {
                self.key = Key::Base64;
                if !tags.contains(&SCHEMA_FAILURE) {
                    tags.push(SCHEMA_FAILURE);
                }
                self.fail(format!("key: {reason}"));
            }
        }
    }

    /// Whether the record that was read has a document.
    ///
    /// # Errors
    /// [`RecordError::MissingSchema`] when a schema is not known yet; [`RecordError::SchemaFailure`] when the record could
    /// not be decoded and `failures` makes it a dead letter.
    pub(crate) fn check(&self, failures: SchemaFailures) -> Result<(), RecordError> {
        if !self.missing.is_empty() {
            return Err(RecordError::MissingSchema);
        }
        if self.failure.is_some() && failures == SchemaFailures::DeadLetter {
            return Err(RecordError::SchemaFailure);
        }
        Ok(())
    }

    /// Leaves only the row of the change event that `body` has from `start` on; `None` if it is none.
    #[inline(never)]
    pub(crate) fn unwrap_change(&mut self, body: &mut Vec<u8>, start: usize) -> Option<()> {
        let text = body.get(start..).unwrap_or_default();
        let change = Change::find(text)?;
        change.append(text, &mut self.debezium);
        self.change_time =
            change.ts_ms.as_ref().and_then(|range| text.get(range.clone())).map(<[u8]>::to_vec);
        body.truncate(start + change.row.end);
        body.drain(start..start + change.row.start);
        Some(())
    }

    /// The times that are not in the payload, where the settings want them.
    pub(crate) fn times_around(&self, settings: &Settings, headers: &Headers) -> TimesAround<'_> {
        let is_wanted = |field: &str| settings.timestamp_fields.iter().any(|known| known == field);
        let before = self.change_time.as_deref().filter(|_| is_wanted("ts_ms"));
        let behind = headers.cloud_event_time().filter(|_| is_wanted("time"));
        let behind = behind.map(|time| {
            let mut quoted = Vec::new();
            append_json_string(&mut quoted, time);
            String::from_utf8_lossy(&quoted).into_owned()
        });
        TimesAround { before, behind }
    }

    /// Appends the members about schemas, each with a comma before it.
    pub(crate) fn append(&self, body: &mut Vec<u8>) {
        let members = [
            ("kafka_schema_id", &self.value_schema),
            ("kafka_key_schema_id", &self.key_schema),
            ("schema_failure", &self.failure),
        ];
        for (name, text) in members {
            if let Some(text) = text {
                append_member(body, name, Value::Text(shortened(text)));
            }
        }
    }
}

/// Adds the tags of what the JSON of a key or a value can't say, or says otherwise, unless they are there.
pub(crate) fn tag_notes(notes: &Notes, tags: &mut Vec<&'static str>) {
    let counts = [
        (notes.n_duplicate_keys, DUPLICATE_KEY),
        (notes.n_non_finite, NONFINITE),
        (notes.n_unknown_fields, UNKNOWN_FIELDS),
    ];
    for (n, tag) in counts {
        if n > 0 && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
}

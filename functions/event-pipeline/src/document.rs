//! Writes a record's action line and document into a bulk body: the payload's own bytes, with our fields behind them.
//!
//! The fields are those of the table "The document" in ARCHITECTURE.md. What writing them costs:
//!
//! - No tree. The payload is decoded from base64 straight into the body and read where it stands: once to see that it is
//!   UTF-8, once to validate it and to find the few members that matter.
//! - No copy of a payload that is a JSON object. Two kinds are moved within the body: one with a member that clashes with
//!   ours or holds tags that ours join (the bytes behind it close the gap, and the member is written again at the end),
//!   and one with white space before its brace. A payload that is text is copied once and written again with escapes; one
//!   that is binary is written as the base64 that it came as. The key is decoded aside and copied.
//! - No allocation per event, once the buffers have grown to the size of the events. Exceptions, each some allocations for
//!   the event that has it: an object key, a header name, a key or a value with a JSON escape (strings inside the payload
//!   may have them at no cost); an object of more than 48 keys; a header that is not read; a kept header that is not UTF-8;
//!   a change of partition, which an event has once for each of its lists.

use std::mem;
use std::sync::Arc;

use record_formats::frame::SchemaId;
use record_formats::notes::Notes;

use crate::address::{Address, PartitionActions, record_id};
use crate::append::{Value, append_decoded, append_json_string, append_member, append_name, append_number};
use crate::conflict_text::append_conflict_text;
use crate::debezium::Change;
use crate::decoder::{
    Decoded, Decoder, Encoded, HasRegistry, IsMarked, KnownSchemas, decompressed, looks_framed,
};
use crate::encoding::{Appended, Routing};
use crate::event::{KafkaRecord, RecordError, SchemaMetadata};
use crate::event_time;
use crate::extra::Extra;
use crate::formats::{KeyFormat, SchemaFailures, TopicFormats, Unwrap, ValueFormat};
use crate::header_list::header_texts;
use crate::headers::Headers;
use crate::index::IndexPrefix;
use crate::nearly_json::{DUPLICATE_KEY, NONFINITE};
use crate::origin::{
    append_identity, append_key_base64, append_record_time, append_record_time_and_key, service_name,
};
use crate::payload::{Payload, PayloadReader, SCHEMA_FAILURE, TimesAround, UNKNOWN_FIELDS};
use crate::rescue::{self, Rescue, RescueForm};
use crate::router::{self, Router};
use crate::rules::SaltedRules;
use crate::settings::Settings;
use crate::shaper::{Shaped, Shaper, Unshaped};
use crate::timestamp::Timestamp;
use crate::transform::RecordContext;
use crate::write_error::shortened;

/// Writes documents, keeping its buffers from one to the next.
#[derive(Debug)]
pub(crate) struct DocumentWriter {
    settings: Settings,
    payloads: PayloadReader,
    headers: Headers,
    partition: PartitionText,
    extra: Extra,
    /// Tags of every document, which its payload does not give.
    more_tags: Vec<&'static str>,
    tags: Vec<&'static str>,
    scratch: Vec<u8>,
    /// The form of documents that the cluster rejected in their usual form.
    rescue: Option<Rescue>,
    /// What is known of the registry's schemas; `None` if there is no registry.
    schemas: Option<Arc<KnownSchemas>>,
    decoding: Decoding,
    n_unread_frames: usize,
    /// Whether the last document has another form because no cluster reads its payload.
    is_too_deep: bool,
    /// What the rules of its topics do to a payload; `None` for topics without rules.
    shaper: Option<Box<Shaper>>,
    router: Option<Router>,
    /// What [`DocumentWriter::time`] read last.
    last_payload: Payload,
    /// The index prefix of the last document, where the record gave a part of it.
    routed: Option<IndexPrefix>,
}

/// What all records of a partition have in common, written once.
#[derive(Debug, Default)]
struct PartitionText {
    topic: String,
    partition: i64,
    /// The prefix of its indices, where records give no part of it.
    prefix: Option<IndexPrefix>,
    actions: PartitionActions,
    formats: Option<TopicFormats>,
    /// The document's fixed fields, up to the offset.
    fields: Vec<u8>,
}

/// What decoding the last record gave besides its JSON. The buffers are kept from one record to the next.
#[derive(Debug, Default)]
struct Decoding {
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
}

/// How the key is written.
#[derive(Debug, Default, PartialEq, Eq)]
enum Key {
    /// As text, or base64 where it is not UTF-8.
    #[default]
    AsItCame,
    /// As this text.
    Text(String),
    /// As base64.
    Base64,
}

impl Decoding {
    fn clear(&mut self) {
        let Self { raw, value_schema, key_schema, failure, missing, debezium, change_time, key } = self;
        raw.clear();
        missing.clear();
        debezium.clear();
        (*value_schema, *key_schema, *failure, *change_time, *key) = (None, None, None, None, Key::AsItCame);
    }

    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    /// Appends the members about schemas, each with a comma before it.
    fn append(&self, body: &mut Vec<u8>) {
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

impl DocumentWriter {
    /// Makes a writer of one document by the same settings, but in the form of `rescue`.
    pub(crate) fn rescuing(&self, rescue: Rescue) -> Self {
        let mut writer = Self::with_rescue(self.settings.clone(), Some(rescue));
        writer.set_schemas(self.schemas());
        writer
    }

    /// Makes a writer of the documents of topics that have these rules, where the settings of all topics are `settings`.
    pub(crate) fn shaping(settings: &Settings, salted: &SaltedRules) -> Self {
        Self::with_rescue(salted.rules.overrides.applied_to(settings), None).with_rules(salted)
    }

    /// The same writer, which shapes and routes by these rules.
    pub(crate) fn with_rules(mut self, salted: &SaltedRules) -> Self {
        let route = salted.rules.index.clone();
        self.router = route.map(|route| Router::new(route, &self.settings));
        self.shaper = Some(Box::new(Shaper::new(salted, self.settings.formats.max_bytes)));
        self
    }

    /// Makes a writer of documents that all have these tags too.
    pub(crate) fn tagging(settings: Settings, tags: Vec<&'static str>) -> Self {
        Self { more_tags: tags, ..Self::with_rescue(settings, None) }
    }

    fn with_rescue(settings: Settings, rescue: Option<Rescue>) -> Self {
        let moved = rescue.iter().flat_map(Rescue::fields);
        Self {
            payloads: PayloadReader::new(&settings, moved),
            settings,
            headers: Headers::default(),
            partition: PartitionText::default(),
            extra: Extra::default(),
            more_tags: Vec::new(),
            tags: Vec::new(),
            scratch: Vec::new(),
            rescue,
            schemas: None,
            decoding: Decoding::default(),
            n_unread_frames: 0,
            is_too_deep: false,
            shaper: None,
            router: None,
            last_payload: Payload::Tombstone,
            routed: None,
        }
    }

    /// The settings that documents are made by.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn schemas(&self) -> Option<Arc<KnownSchemas>> {
        self.schemas.clone()
    }

    pub(crate) fn set_schemas(&mut self, schemas: Option<Arc<KnownSchemas>>) {
        self.schemas = schemas;
    }

    pub(crate) fn missing_schemas(&self) -> &[SchemaId] {
        &self.decoding.missing
    }

    pub(crate) fn schema_failure(&self) -> Option<&str> {
        self.decoding.failure.as_deref()
    }

    pub(crate) fn transform_failure(&self) -> Option<&str> {
        self.shaper.as_ref()?.failure()
    }

    /// The index prefix of the document that was written last, if headers or the payload gave a part of it: there can be any number
    /// of such prefixes.
    pub(crate) fn routed(&self) -> Option<&IndexPrefix> {
        self.routed.as_ref()
    }

    pub(crate) fn n_unread_frames(&self) -> usize {
        self.n_unread_frames
    }

    /// Appends the action line and the document line of `record` to `body`.
    ///
    /// # Errors
    /// [`RecordError`] when the value is not base64, the headers are not JSON, or the record can't be decoded; nothing is
    /// appended then.
    pub(crate) fn append(
        &mut self,
        record: &KafkaRecord<'_>,
        routing: Routing,
        body: &mut Vec<u8>,
    ) -> Result<Appended, RecordError> {
        if self.drops(record) {
            return Ok(Appended::Dropped);
        }
        let start = body.len();
        self.is_too_deep = false;
        self.set_partition(record);
        let action = self.partition.actions.append(body, record);
        let document = body.len();
        self.tags.clear();
        self.tags.extend_from_slice(&self.more_tags);
        let payload = match self.read_shaped(record, body, document) {
            Ok(Some(payload)) => payload,
            not_written => {
                body.truncate(start);
                return not_written.map(|_| Appended::Dropped);
            }
        };
        let text = body.get_mut(document..).unwrap_or_default();
        if let Payload::Object(shape) = payload
            && shape.newlines
            && !self.rescue.as_ref().is_some_and(|rescue| rescue.form == RescueForm::Text)
        {
            // Line ends between tokens are white space, and a line of a bulk body can't hold any; as text they are escaped.
            text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        self.is_too_deep = payload == Payload::DeepObject;
        let text = body.get(document..).unwrap_or_default();
        let members = self.payloads.members(text);
        let around = times_around(&self.settings, &self.decoding, &self.headers);
        let time = self.payloads.time(&self.settings, &members, &around, record.timestamp_ms, &mut self.tags);
        let prefix = match &self.router {
            Some(_) => self.prefix(record, payload, body, document, routing),
            None => None,
        };
        let text = body.get(document..).unwrap_or_default();
        let members = self.payloads.members(text);
        let rescue = match payload {
            Payload::DeepObject => Some(Rescue::of_deep_object()),
            Payload::Object(_) => self.rescue.take(),
            Payload::Text
            | Payload::PlainText
            | Payload::Binary
            | Payload::Undecoded
            | Payload::Tombstone => None,
        };
        self.tags.extend(rescue.is_some().then_some(rescue::TAG));
        self.extra.collect(
            &members,
            &self.headers,
            &self.settings.header_fields,
            &self.tags,
            rescue.as_ref(),
            &self.decoding.debezium,
        );
        self.open_document(payload, rescue.as_ref(), record, body, document);
        self.append_fields(record, time, body);
        let action = match &prefix {
            Some(prefix) => action.with_prefix(body, prefix),
            None => action,
        };
        Ok(Appended::Document(action.fill_in(body, time)))
    }

    /// The form of the last document, where it is not the usual one although the cluster has not rejected it.
    pub(crate) fn rescue_of_last(&self) -> Option<Rescue> {
        self.is_too_deep.then(Rescue::of_deep_object)
    }

    /// Returns the address of the document of `record`, without writing it; `None` where it is dropped.
    ///
    /// # Errors
    /// [`RecordError`] when the record has no document.
    pub(crate) fn address(
        &mut self,
        record: &KafkaRecord<'_>,
    ) -> Result<Option<Address<'static>>, RecordError> {
        let Some(time) = self.time(record)? else { return Ok(None) };
        let mut text = mem::take(&mut self.scratch);
        let prefix = self.prefix(record, self.last_payload, &text, 0, Routing::Own);
        let prefix =
            prefix.as_ref().or(self.partition.prefix.as_ref()).unwrap_or(&self.settings.index_prefix);
        let address = Address::of_document(&self.settings, prefix, record, time);
        text.clear();
        self.scratch = text;
        Ok(Some(address))
    }

    /// The index of the document of `record`, whose time is `time`, where the record gives no part of its name.
    pub(crate) fn fallback_index(&self, topic: &str, time: Timestamp) -> String {
        let prefix = self.router.as_ref().map(|router| router.fallback(topic));
        prefix.as_ref().unwrap_or(&self.settings.index_prefix).daily(time)
    }

    /// Returns the time that the document of `record` has, without writing it; `None` where it is dropped.
    ///
    /// # Errors
    /// [`RecordError`] when the record has no document.
    pub(crate) fn time(&mut self, record: &KafkaRecord<'_>) -> Result<Option<Timestamp>, RecordError> {
        if self.drops(record) {
            return Ok(None);
        }
        self.set_partition(record);
        let mut text = mem::take(&mut self.scratch);
        text.clear();
        let read = self.read_shaped(record, &mut text, 0);
        self.scratch = text;
        let Some(payload) = read? else { return Ok(None) };
        self.last_payload = payload;
        let members = self.payloads.members(&self.scratch);
        let around = times_around(&self.settings, &self.decoding, &self.headers);
        Ok(Some(self.payloads.time(&self.settings, &members, &around, record.timestamp_ms, &mut self.tags)))
    }

    /// Returns the payload of `record` where it is a JSON object.
    pub(crate) fn object_payload(&mut self, record: &KafkaRecord<'_>) -> Option<Vec<u8>> {
        if self.drops(record) {
            return None;
        }
        self.set_partition(record);
        let mut text = Vec::new();
        match self.read_shaped(record, &mut text, 0).ok()?? {
            Payload::Object(_) => Some(text),
            Payload::DeepObject
            | Payload::Text
            | Payload::PlainText
            | Payload::Binary
            | Payload::Undecoded
            | Payload::Tombstone => None,
        }
    }

    /// Whether the rules of its topic drop `record` before it is read.
    fn drops(&mut self, record: &KafkaRecord<'_>) -> bool {
        let Some(shaper) = &mut self.shaper else { return false };
        shaper.clear();
        !shaper.keeps(|| record_id(record))
    }

    /// Reads a record as [`DocumentWriter::read_record`] does, and shapes its payload; `None` where the record is dropped.
    #[inline(always)]
    fn read_shaped(
        &mut self,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
        start: usize,
    ) -> Result<Option<Payload>, RecordError> {
        let payload = self.read_record(record, body, start)?;
        if self.shaper.is_none() { Ok(Some(payload)) } else { self.shape(record, payload, body, start) }
    }

    #[inline(never)]
    fn shape(
        &mut self,
        record: &KafkaRecord<'_>,
        payload: Payload,
        body: &mut Vec<u8>,
        start: usize,
    ) -> Result<Option<Payload>, RecordError> {
        let Self { shaper, payloads, tags, decoding, settings, .. } = self;
        let Some(shaper) = shaper else { return Ok(Some(payload)) };
        let unshaped = Unshaped { payload, body, start, base64: record.value };
        let shaped = shaper.shape(unshaped, payloads, tags, |use_context| {
            let headers = header_texts(record.headers);
            let mut key = Vec::new();
            let key = match &decoding.key {
                Key::AsItCame => {
                    let is_there = record.key.is_some_and(|base64| append_decoded(&mut key, base64).is_ok());
                    std::str::from_utf8(&key).ok().filter(|_| is_there)
                }
                Key::Text(text) => Some(text.as_str()),
                Key::Base64 => None,
            };
            use_context(&RecordContext {
                topic: record.topic,
                service_name: service_name(settings, record.topic),
                partition: record.partition,
                offset: record.offset,
                timestamp: event_time::indexable(record.timestamp_ms),
                key,
                headers: &headers,
            });
        });
        match shaped {
            Shaped::Payload(payload) => Ok(Some(payload)),
            Shaped::Dropped => Ok(None),
            Shaped::Failed => Err(RecordError::TransformFailure),
        }
    }

    /// The index prefix of a record whose shaped payload stands in `text` from `start` on, where it is not that of its partition.
    fn prefix(
        &mut self,
        record: &KafkaRecord<'_>,
        payload: Payload,
        text: &[u8],
        start: usize,
        routing: Routing,
    ) -> Option<IndexPrefix> {
        self.routed = None;
        let router = self.router.as_mut().filter(|router| router.is_open())?;
        if routing == Routing::Fallback {
            self.tags.push(router::OVERFLOW);
            return None;
        }
        let object = match payload {
            Payload::Object(shape) => text.get(start + shape.open..=start + shape.close),
            Payload::DeepObject => text.get(start..),
            Payload::Text
            | Payload::PlainText
            | Payload::Binary
            | Payload::Undecoded
            | Payload::Tombstone => None,
        };
        let prefix = router.prefix(record, object);
        if self.partition.prefix.as_ref() == Some(&prefix) {
            return None;
        }
        self.routed = Some(prefix.clone());
        Some(prefix)
    }

    /// Reads the headers, the key and the value of a record of the partition that was set, and appends the value's text to
    /// `body`, which has it from `start` on.
    fn read_record(
        &mut self,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
        start: usize,
    ) -> Result<Payload, RecordError> {
        let headers = self.headers.read(record.headers, &self.settings.header_fields);
        self.decoding.clear();
        let formats = *self.partition.formats.get_or_insert_with(|| self.settings.formats.of(record.topic));
        let payload = match record.value {
            None => self.payloads.read_null(&mut self.tags),
            Some(value) => {
                let first = value.plain().map_or(Some(b'A'), |base64| base64.first().copied());
                let has_registry = if self.schemas.is_some() { HasRegistry::Yes } else { HasRegistry::No };
                let is_marked = self.headers.value_schema().is_some() || record.value_schema.is_some();
                let is_marked = if is_marked { IsMarked::Yes } else { IsMarked::No };
                if formats.may_be_encoded(first, has_registry, is_marked) {
                    self.read_encoded(formats, record, body, start)?
                } else if append_decoded(body, value).is_err() {
                    return Err(RecordError::Value);
                } else {
                    self.payloads.read(body, start, &mut self.tags)
                }
            }
        };
        headers.map_err(|_| RecordError::Headers)?;
        if let Some(metadata) = record.value_schema.filter(|_| self.decoding.value_schema.is_none()) {
            self.decoding.value_schema = SchemaMetadata::read(metadata).schema_id.map(Into::into);
        }
        self.read_key(formats.key, record);
        if !self.decoding.missing.is_empty() {
            return Err(RecordError::MissingSchema);
        }
        if self.decoding.failure.is_some() && self.settings.formats.failures == SchemaFailures::DeadLetter {
            return Err(RecordError::SchemaFailure);
        }
        if formats.unwrap == Unwrap::Debezium && matches!(payload, Payload::Object(_)) {
            return Ok(self.unwrap_change(payload, body, start));
        }
        Ok(payload)
    }

    /// Reads a value that may be compressed or in a frame.
    #[inline(never)]
    fn read_encoded(
        &mut self,
        formats: TopicFormats,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
        start: usize,
    ) -> Result<Payload, RecordError> {
        let mut raw = mem::take(&mut self.decoding.raw);
        let read = match record.value.map(|value| append_decoded(&mut raw, value)) {
            Some(Ok(())) => Ok(self.read_raw(formats, record, &raw, body, start)),
            _ => Err(RecordError::Value),
        };
        self.decoding.raw = raw;
        read
    }

    fn read_raw(
        &mut self,
        formats: TopicFormats,
        record: &KafkaRecord<'_>,
        raw: &[u8],
        body: &mut Vec<u8>,
        start: usize,
    ) -> Payload {
        let max_bytes = self.settings.formats.max_bytes;
        let bytes = match decompressed(formats.compression, raw, max_bytes) {
            Ok(bytes) => bytes,
            Err(reason) => return self.undecoded(reason),
        };
        let decoder = Decoder { schemas: self.schemas.as_deref(), max_bytes };
        let value =
            Encoded { bytes: &bytes, header: self.headers.value_schema(), metadata: record.value_schema };
        match decoder.value(formats.value, &value, &mut self.decoding.value_schema, body) {
            Decoded::Json(notes) => {
                self.note(&notes);
                self.payloads.read(body, start, &mut self.tags)
            }
            Decoded::Plain if formats.value == ValueFormat::Text && std::str::from_utf8(&bytes).is_ok() => {
                body.extend_from_slice(&bytes);
                self.payloads.read_none(Payload::PlainText, &mut self.tags)
            }
            Decoded::Plain => {
                if formats.value == ValueFormat::Auto && self.schemas.is_none() && looks_framed(&bytes) {
                    self.n_unread_frames += 1;
                }
                body.extend_from_slice(&bytes);
                self.payloads.read(body, start, &mut self.tags)
            }
            Decoded::Missing(id) => {
                self.decoding.missing.push(id);
                Payload::Undecoded
            }
            Decoded::Failed(reason) => self.undecoded(reason),
        }
    }

    fn undecoded(&mut self, reason: String) -> Payload {
        self.decoding.fail(reason);
        self.payloads.read_none(Payload::Undecoded, &mut self.tags)
    }

    /// Tags what the JSON of a value says otherwise than the value.
    fn note(&mut self, notes: &Notes) {
        self.tags.extend((notes.n_duplicate_keys > 0).then_some(DUPLICATE_KEY));
        self.tags.extend((notes.n_non_finite > 0).then_some(NONFINITE));
        self.tags.extend((notes.n_unknown_fields > 0).then_some(UNKNOWN_FIELDS));
    }

    fn read_key(&mut self, format: KeyFormat, record: &KafkaRecord<'_>) {
        if let Some(metadata) = record.key_schema {
            self.decoding.key_schema = SchemaMetadata::read(metadata).schema_id.map(Into::into);
        }
        match format {
            KeyFormat::Text => return,
            KeyFormat::Base64 => {
                self.decoding.key = Key::Base64;
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
        let decoder =
            Decoder { schemas: self.schemas.as_deref(), max_bytes: self.settings.formats.max_bytes };
        let key = Encoded { bytes: &bytes, header: self.headers.key_schema(), metadata: record.key_schema };
        let mut text = Vec::new();
        match decoder.key(format, &key, &mut self.decoding.key_schema, &mut text) {
            Decoded::Json(_) => {
                let text = String::from_utf8(text);
                self.decoding.key = text.map_or(Key::Base64, Key::Text);
            }
            Decoded::Plain => {}
            Decoded::Missing(id) => self.decoding.missing.push(id),
            Decoded::Failed(reason) => {
                self.decoding.key = Key::Base64;
                if !self.tags.contains(&SCHEMA_FAILURE) {
                    self.tags.push(SCHEMA_FAILURE);
                }
                self.decoding.fail(format!("key: {reason}"));
            }
        }
    }

    /// Makes the row of a change event the payload.
    #[inline(never)]
    fn unwrap_change(&mut self, payload: Payload, body: &mut Vec<u8>, start: usize) -> Payload {
        let text = body.get(start..).unwrap_or_default();
        let Some(change) = Change::find(text) else { return payload };
        change.append(text, &mut self.decoding.debezium);
        self.decoding.change_time =
            change.ts_ms.as_ref().and_then(|range| text.get(range.clone())).map(<[u8]>::to_vec);
        body.truncate(start + change.row.end);
        body.drain(start..start + change.row.start);
        self.payloads.read_again(body.get(start..).unwrap_or_default())
    }

    fn set_partition(&mut self, record: &KafkaRecord<'_>) {
        let text = &mut self.partition;
        if !text.fields.is_empty() && text.topic == record.topic && text.partition == record.partition {
            return;
        }
        record.topic.clone_into(&mut text.topic);
        text.partition = record.partition;
        text.formats = Some(self.settings.formats.of(record.topic));
        let router = self.router.as_ref();
        let prefix =
            router.map_or_else(|| self.settings.index_prefix.clone(), |router| router.fallback(record.topic));
        text.actions.prepare(&self.settings, &prefix, record);
        text.prefix = Some(prefix);
        text.fields.clear();
        append_identity(&mut text.fields, &self.settings, record.topic);
        append_member(&mut text.fields, "kafka_partition", Value::Number(record.partition));
        append_name(&mut text.fields, "kafka_offset");
    }

    /// Makes the decoded payload the beginning of the document, up to where our fields go: ends with a brace or a comma.
    fn open_document(
        &mut self,
        payload: Payload,
        rescue: Option<&Rescue>,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
        document: usize,
    ) {
        match (payload, rescue.map(|rescue| &rescue.form)) {
            (Payload::Object(shape), Some(RescueForm::Payload)) => {
                self.keep_aside(body, document);
                let object = self.scratch.get(shape.open..=shape.close).unwrap_or_default();
                body.extend_from_slice(br#"{"conflict":"#);
                body.extend_from_slice(object);
                append_name(body, "conflict_text");
                append_conflict_text(body, object);
                body.push(b',');
            }
            (Payload::Object(_) | Payload::DeepObject, Some(RescueForm::Text))
            | (Payload::Text | Payload::PlainText | Payload::DeepObject, _) => {
                self.keep_aside(body, document);
                body.extend_from_slice(br#"{"message":"#);
                append_json_string(body, std::str::from_utf8(&self.scratch).unwrap_or_default());
                if !matches!(payload, Payload::Text | Payload::PlainText) && self.scratch.contains(&b'\\') {
                    append_name(body, "conflict_text");
                    append_conflict_text(body, &self.scratch);
                }
                body.push(b',');
            }
            (Payload::Object(shape), Some(RescueForm::Members(_)) | None) => {
                body.truncate(document + shape.close);
                for range in self.extra.removed.iter().rev() {
                    let after = skip_comma(body, document + range.end);
                    body.drain(document + range.start..after);
                }
                body.drain(document..document + shape.open);
                while body.last().is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b',') {
                    body.pop();
                }
                if body.len() > document + 1 {
                    body.push(b',');
                }
            }
            (Payload::Binary | Payload::Undecoded, _) => {
                body.truncate(document);
                body.extend_from_slice(br#"{"message_base64":""#);
                let base64 = record.value.map(|value| value.unescape()).unwrap_or_default();
                body.extend_from_slice(&base64);
                body.extend_from_slice(b"\",");
            }
            (Payload::Tombstone, _) => body.push(b'{'),
        }
    }

    /// Moves the document's text from the body into `scratch`.
    fn keep_aside(&mut self, body: &mut Vec<u8>, document: usize) {
        self.scratch.clear();
        self.scratch.extend_from_slice(body.get(document..).unwrap_or_default());
        body.truncate(document);
    }

    fn append_fields(&mut self, record: &KafkaRecord<'_>, time: Timestamp, body: &mut Vec<u8>) {
        body.extend_from_slice(br#""@timestamp":""#);
        body.extend_from_slice(&time.to_text());
        body.push(b'"');
        body.extend_from_slice(&self.partition.fields);
        append_number(body, record.offset);
        let key = match &self.decoding.key {
            Key::AsItCame => append_record_time_and_key(body, record, &mut self.scratch),
            Key::Text(text) => {
                append_record_time(body, record);
                append_member(body, "kafka_key", Value::Text(text));
                Some(text.as_str())
            }
            Key::Base64 => {
                append_record_time(body, record);
                append_key_base64(body, record);
                None
            }
        };
        self.decoding.append(body);
        body.extend_from_slice(&self.extra.fields);
        self.extra.append_event_text(body, key);
        body.extend_from_slice(b"}\n");
    }
}

/// The times that are not in the payload, where the settings want them.
fn times_around<'d>(settings: &Settings, decoding: &'d Decoding, headers: &Headers) -> TimesAround<'d> {
    let is_wanted = |field: &str| settings.timestamp_fields.iter().any(|known| known == field);
    let before = decoding.change_time.as_deref().filter(|_| is_wanted("ts_ms"));
    let behind = headers.cloud_event_time().filter(|_| is_wanted("time"));
    let behind = behind.map(|time| {
        let mut quoted = Vec::new();
        append_json_string(&mut quoted, time);
        String::from_utf8_lossy(&quoted).into_owned()
    });
    TimesAround { before, behind }
}

/// Position behind the comma that follows a member; `end` if it is the last one.
fn skip_comma(body: &[u8], end: usize) -> usize {
    let rest = body.get(end..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        Some(spaces) if rest.get(spaces) == Some(&b',') => end + spaces + 1,
        _ => end,
    }
}

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

use crate::address::{Address, PartitionActions, record_id};
use crate::append::{Value, append_decoded, append_json_string, append_member, append_name, append_number};
use crate::conflict_text::append_conflict_text;
use crate::decoder::{HasRegistry, IsMarked, KnownSchemas};
use crate::decoding::{Decoding, Key, ReadValue, tag_notes};
use crate::encoding::{Appended, Routing};
use crate::event::{KafkaRecord, RecordError};
use crate::event_time;
use crate::extra::Extra;
use crate::formats::{TopicFormats, Unwrap};
use crate::header_list::header_texts;
use crate::headers::Headers;
use crate::index::IndexPrefix;
use crate::origin::{
    append_identity, append_key_base64, append_record_time, append_record_time_and_key, service_name,
};
use crate::payload::{Payload, PayloadReader};
use crate::rescue::{self, Rescue, RescueForm};
use crate::router::Router;
use crate::routing::OVERFLOW;
use crate::rules::SaltedRules;
use crate::settings::Settings;
use crate::shaper::{Shaped, Shaper, Unshaped};
use crate::timestamp::Timestamp;
use crate::transform::RecordContext;

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
    decoding: Decoding,
    /// Whether the last document has another form because no cluster reads its payload.
    is_too_deep: bool,
    /// What the rules of its topics do to a payload; `None` for topics without rules.
    shaper: Option<Box<Shaper>>,
    router: Option<Router>,
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
            decoding: Decoding::new(settings.formats.max_bytes),
            settings,
            headers: Headers::default(),
            partition: PartitionText::default(),
            extra: Extra::default(),
            more_tags: Vec::new(),
            tags: Vec::new(),
            scratch: Vec::new(),
            rescue,
            is_too_deep: false,
            shaper: None,
            router: None,
            routed: None,
        }
    }

    /// The settings that documents are made by.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn schemas(&self) -> Option<Arc<KnownSchemas>> {
        self.decoding.schemas().cloned()
    }

    pub(crate) fn set_schemas(&mut self, schemas: Option<Arc<KnownSchemas>>) {
        self.decoding.set_schemas(schemas);
    }

    pub(crate) fn missing_schemas(&self) -> &[SchemaId] {
        self.decoding.missing_schemas()
    }

    pub(crate) fn schema_failure(&self) -> Option<&str> {
        self.decoding.failure()
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
        self.decoding.n_unread_frames()
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
        let around = self.decoding.times_around(&self.settings, &self.headers);
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
            self.decoding.debezium(),
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
        let place = self.place(record)?;
        Ok(place.map(|(time, prefix)| Address::of_document(&self.settings, &prefix, record, time)))
    }

    /// Returns the time of the document of `record` and the prefix of its index, without writing it; `None` where it is dropped.
    ///
    /// # Errors
    /// [`RecordError`] when the record has no document.
    pub(crate) fn place(
        &mut self,
        record: &KafkaRecord<'_>,
    ) -> Result<Option<(Timestamp, IndexPrefix)>, RecordError> {
        if self.drops(record) {
            return Ok(None);
        }
        self.set_partition(record);
        let mut text = mem::take(&mut self.scratch);
        text.clear();
        let read = self.read_shaped(record, &mut text, 0);
        let place = read.map(|payload| payload.map(|payload| self.place_of(record, payload, &text)));
        self.scratch = text;
        place
    }

    fn place_of(
        &mut self,
        record: &KafkaRecord<'_>,
        payload: Payload,
        text: &[u8],
    ) -> (Timestamp, IndexPrefix) {
        let members = self.payloads.members(text);
        let around = self.decoding.times_around(&self.settings, &self.headers);
        let time = self.payloads.time(&self.settings, &members, &around, record.timestamp_ms, &mut self.tags);
        let prefix = self.prefix(record, payload, text, 0, Routing::Own);
        let of_topic = || self.partition.prefix.clone().unwrap_or_else(|| self.settings.index_prefix.clone());
        (time, prefix.unwrap_or_else(of_topic))
    }

    /// The index of the document of `record`, whose time is `time`, where the record gives no part of its name.
    pub(crate) fn fallback_index(&self, topic: &str, time: Timestamp) -> String {
        let prefix = self.router.as_ref().map(|router| router.fallback(topic));
        prefix.as_ref().unwrap_or(&self.settings.index_prefix).daily(time)
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
    #[inline(always)]
    fn drops(&mut self, record: &KafkaRecord<'_>) -> bool {
        self.shaper.as_mut().is_some_and(|shaper| !keeps(shaper, record))
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
            let key = match decoding.key() {
                Key::AsItCame => {
                    let is_there = record.key.is_some_and(|base64| append_decoded(&mut key, base64).is_ok());
                    std::str::from_utf8(&key).ok().filter(|_| is_there)
                }
                Key::Text(text) => Some(text.as_str()),
                Key::Base64 => None,
            };
            use_context(&RecordContext {
                topic: record.topic,
                service_name: service_name(&settings.topic_suffix, record.topic),
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
    #[inline(never)]
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
            self.tags.push(OVERFLOW);
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
                let has_registry =
                    if self.decoding.schemas().is_some() { HasRegistry::Yes } else { HasRegistry::No };
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
        self.decoding.read_value_metadata(record);
        self.decoding.read_key(formats.key, record, self.headers.key_schema(), &mut self.tags);
        self.decoding.check(self.settings.formats.failures)?;
        if formats.unwrap == Unwrap::Debezium && matches!(payload, Payload::Object(_)) {
            return Ok(match self.decoding.unwrap_change(body, start) {
                Some(()) => self.payloads.read_again(body.get(start..).unwrap_or_default()),
                None => payload,
            });
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
        Ok(match self.decoding.read_value(formats, record, self.headers.value_schema(), body)? {
            ReadValue::Appended(notes) => {
                tag_notes(&notes, &mut self.tags);
                self.payloads.read(body, start, &mut self.tags)
            }
            ReadValue::Text => self.payloads.read_none(Payload::PlainText, &mut self.tags),
            ReadValue::Undecoded => self.payloads.read_none(Payload::Undecoded, &mut self.tags),
        })
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
        let key = match self.decoding.key() {
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

/// Whether `shaper` keeps a record, which it is about to shape.
#[inline(never)]
fn keeps(shaper: &mut Shaper, record: &KafkaRecord<'_>) -> bool {
    shaper.clear();
    shaper.keeps(|| record_id(record))
}

/// Position behind the comma that follows a member; `end` if it is the last one.
fn skip_comma(body: &[u8], end: usize) -> usize {
    let rest = body.get(end..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        Some(spaces) if rest.get(spaces) == Some(&b',') => end + spaces + 1,
        _ => end,
    }
}

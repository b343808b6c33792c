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

use crate::address::{ActionLine, PartitionActions};
use crate::append::{Value, append_decoded, append_json_string, append_member, append_name, append_number};
use crate::conflict_text::append_conflict_text;
use crate::event::{KafkaRecord, RecordError};
use crate::extra::Extra;
use crate::headers::Headers;
use crate::origin::{append_identity, append_record_time_and_key};
use crate::payload::{Payload, PayloadReader};
use crate::rescue::{self, Rescue, RescueForm};
use crate::settings::Settings;
use crate::timestamp::Timestamp;

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
    /// Whether the last document has another form because no cluster reads its payload.
    is_too_deep: bool,
}

/// What all records of a partition have in common, written once.
#[derive(Debug, Default)]
struct PartitionText {
    topic: String,
    partition: i64,
    actions: PartitionActions,
    /// The document's fixed fields, up to the offset.
    fields: Vec<u8>,
}

impl DocumentWriter {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with_rescue(settings, None)
    }

    /// Makes a writer of documents in the form of `rescue`.
    pub(crate) fn rescuing(settings: Settings, rescue: Rescue) -> Self {
        Self::with_rescue(settings, Some(rescue))
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
            is_too_deep: false,
        }
    }

    /// The settings that documents are made by.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Appends the action line and the document line of `record` to `body`.
    ///
    /// # Errors
    /// [`RecordError`] when the value is not base64, or the headers are not JSON; nothing is appended then.
    pub(crate) fn append(
        &mut self,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
    ) -> Result<ActionLine, RecordError> {
        let start = body.len();
        self.is_too_deep = false;
        self.set_partition(record);
        let action = self.partition.actions.append(body, record);
        let document = body.len();
        if let Some(value) = record.value
            && append_decoded(body, value).is_err()
        {
            body.truncate(start);
            return Err(RecordError::Value);
        }
        self.tags.clear();
        self.tags.extend_from_slice(&self.more_tags);
        let payload = match record.value {
            Some(_) => self.payloads.read(body, document, &mut self.tags),
            None => self.payloads.read_null(&mut self.tags),
        };
        let text = body.get_mut(document..).unwrap_or_default();
        if let Payload::Object(shape) = payload
            && shape.newlines
            && !self.rescue.as_ref().is_some_and(|rescue| rescue.form == RescueForm::Text)
        {
            // Line ends between tokens are white space, and a line of a bulk body can't hold any; as text they are escaped.
            text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        if self.headers.read(record.headers, &self.settings.header_fields).is_err() {
            body.truncate(start);
            return Err(RecordError::Headers);
        }
        self.is_too_deep = payload == Payload::DeepObject;
        let text = body.get(document..).unwrap_or_default();
        let members = self.payloads.members(text);
        let time = self.payloads.time(&self.settings, &members, record.timestamp_ms, &mut self.tags);
        let rescue = match payload {
            Payload::DeepObject => Some(Rescue::of_deep_object()),
            Payload::Object(_) => self.rescue.take(),
            Payload::Text | Payload::Binary | Payload::Tombstone => None,
        };
        self.tags.extend(rescue.is_some().then_some(rescue::TAG));
        self.extra.collect(
            &members,
            &self.headers,
            &self.settings.header_fields,
            &self.tags,
            rescue.as_ref(),
        );
        self.open_document(payload, rescue.as_ref(), record, body, document);
        self.append_fields(record, time, body);
        Ok(action.fill_in(body, time))
    }

    /// The form of the last document, where it is not the usual one although the cluster has not rejected it.
    pub(crate) fn rescue_of_last(&self) -> Option<Rescue> {
        self.is_too_deep.then(Rescue::of_deep_object)
    }

    /// Returns the time that the document of `record` has, without writing it.
    ///
    /// # Errors
    /// [`RecordError`] when the record has no document.
    pub(crate) fn time(&mut self, record: &KafkaRecord<'_>) -> Result<Timestamp, RecordError> {
        self.read_headers(record)?;
        self.scratch.clear();
        match record.value {
            Some(value) => {
                append_decoded(&mut self.scratch, value).map_err(|_| RecordError::Value)?;
                self.payloads.read(&mut self.scratch, 0, &mut self.tags);
            }
            None => {
                self.payloads.read_null(&mut self.tags);
            }
        }
        let members = self.payloads.members(&self.scratch);
        Ok(self.payloads.time(&self.settings, &members, record.timestamp_ms, &mut self.tags))
    }

    /// Returns the payload of `record` where it is a JSON object.
    pub(crate) fn object_payload(&mut self, record: &KafkaRecord<'_>) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        append_decoded(&mut text, record.value?).ok()?;
        match self.payloads.read(&mut text, 0, &mut self.tags) {
            Payload::Object(_) => Some(text),
            Payload::DeepObject | Payload::Text | Payload::Binary | Payload::Tombstone => None,
        }
    }

    fn read_headers(&mut self, record: &KafkaRecord<'_>) -> Result<(), RecordError> {
        self.headers.read(record.headers, &self.settings.header_fields).map_err(|_| RecordError::Headers)
    }

    fn set_partition(&mut self, record: &KafkaRecord<'_>) {
        let text = &mut self.partition;
        if !text.fields.is_empty() && text.topic == record.topic && text.partition == record.partition {
            return;
        }
        record.topic.clone_into(&mut text.topic);
        text.partition = record.partition;
        text.actions.prepare(&self.settings, record);
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
            | (Payload::Text | Payload::DeepObject, _) => {
                self.keep_aside(body, document);
                body.extend_from_slice(br#"{"message":"#);
                append_json_string(body, std::str::from_utf8(&self.scratch).unwrap_or_default());
                if payload != Payload::Text && self.scratch.contains(&b'\\') {
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
            (Payload::Binary, _) => {
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
        let key = append_record_time_and_key(body, record, &mut self.scratch);
        body.extend_from_slice(&self.extra.fields);
        self.extra.append_event_text(body, key);
        body.extend_from_slice(b"}\n");
    }
}

/// Position behind the comma that follows a member; `end` if it is the last one.
fn skip_comma(body: &[u8], end: usize) -> usize {
    let rest = body.get(end..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        Some(spaces) if rest.get(spaces) == Some(&b',') => end + spaces + 1,
        _ => end,
    }
}

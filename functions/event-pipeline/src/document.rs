//! Writes a record's action and document into a bulk body, the payload's own bytes spliced with our fields.
//!
//! The payload is decoded straight into the body and scanned where it stands. The fields are those of the table
//! "The document" in ARCHITECTURE.md.

use crate::address::{ActionLine, PartitionActions};
use crate::event::{KafkaRecord, RecordError};
use crate::extra::{Extra, Members, name_table};
use crate::headers::Headers;
use crate::object::{NameTable, ObjectScanner, ObjectShape};
use crate::origin::{append_identity, append_record_time_and_key};
use crate::settings::Settings;
use crate::text::{append_decoded, append_json_string, append_number};
use crate::timestamp::Timestamp;

/// Writes documents, keeping its buffers from one to the next.
#[derive(Debug)]
pub(crate) struct DocumentWriter {
    settings: Settings,
    names: NameTable,
    timestamp_names: Vec<usize>,
    scanner: ObjectScanner,
    headers: Headers,
    partition: PartitionText,
    extra: Extra,
    scratch: Vec<u8>,
}

/// What is the same for all records of a partition, written once.
#[derive(Debug, Default)]
struct PartitionText {
    topic: String,
    partition: i64,
    /// The action lines.
    actions: PartitionActions,
    /// The document's fixed fields, up to the offset.
    fields: Vec<u8>,
}

/// What a payload turned out to be.
enum Payload {
    Object(ObjectShape),
    Text,
    Binary,
    Tombstone,
}

impl Payload {
    fn tag(&self) -> Option<&'static str> {
        match self {
            Self::Object(_) => None,
            Self::Text | Self::Binary => Some("_jsonparsefailure"),
            Self::Tombstone => Some("_tombstone"),
        }
    }
}

impl DocumentWriter {
    /// Makes a writer for `settings`.
    pub(crate) fn new(settings: Settings) -> Self {
        let names = name_table(settings.timestamp_fields.iter().map(String::as_str));
        let timestamp_names =
            settings.timestamp_fields.iter().filter_map(|name| names.find(name.as_bytes())).collect();
        Self {
            settings,
            names,
            timestamp_names,
            scanner: ObjectScanner::default(),
            headers: Headers::default(),
            partition: PartitionText::default(),
            extra: Extra::default(),
            scratch: Vec::new(),
        }
    }

    /// The settings that documents are made by.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Appends the action line and the document line of `record` to `body`.
    ///
    /// # Errors
    /// [`RecordError::Value`] when the value is not base64; nothing is appended then.
    pub(crate) fn append(
        &mut self,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
    ) -> Result<ActionLine, RecordError> {
        let start = body.len();
        self.set_partition(record);
        let action = self.partition.actions.append(body, record);
        let document = body.len();
        if let Some(value) = record.value
            && append_decoded(body, value).is_err()
        {
            body.truncate(start);
            return Err(RecordError::Value);
        }
        let payload = self.scan(record, body.get(document..).unwrap_or_default());
        let text = body.get_mut(document..).unwrap_or_default();
        if let Payload::Object(shape) = payload
            && shape.newlines
        {
            // Line ends between tokens are white space; a bulk body can hold none inside a document.
            text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        self.headers.read(record.headers, &self.settings.header_fields);
        let members = Members { scanner: &self.scanner, text };
        let (time, time_tag) = self.choose_time(record, &members);
        let tags = [payload.tag(), time_tag];
        self.extra.collect(&members, &self.headers, &self.settings.header_fields, tags);
        self.open_document(&payload, record, body, document);
        self.append_fields(record, time, body);
        Ok(action.fill_in(body, time))
    }

    /// Returns the time that the document of `record` has, without writing it.
    ///
    /// # Errors
    /// [`RecordError::Value`] when the value is not base64.
    pub(crate) fn time(&mut self, record: &KafkaRecord<'_>) -> Result<Timestamp, RecordError> {
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        let decoded = record.value.map_or(Ok(()), |value| append_decoded(&mut text, value));
        self.scan(record, &text);
        let (time, _tag) = self.choose_time(record, &Members { scanner: &self.scanner, text: &text });
        self.scratch = text;
        decoded.map(|()| time).map_err(|_| RecordError::Value)
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
        text.fields.extend_from_slice(br#","kafka_partition":"#);
        append_number(&mut text.fields, record.partition);
        text.fields.extend_from_slice(br#","kafka_offset":"#);
    }

    /// Scans the payload; its members are at hand after this.
    fn scan(&mut self, record: &KafkaRecord<'_>, text: &[u8]) -> Payload {
        self.scanner.clear();
        if record.value.is_none() {
            return Payload::Tombstone;
        }
        // Whether text is ASCII is known faster than whether it is UTF-8, and most is.
        if !text.is_ascii() && std::str::from_utf8(text).is_err() {
            return Payload::Binary;
        }
        match self.scanner.scan(text, &self.names) {
            Ok(shape) => Payload::Object(shape),
            Err(_) => {
                self.scanner.clear();
                Payload::Text
            }
        }
    }

    /// The document's time, and a tag that says why it is not the event's own.
    fn choose_time(
        &self,
        record: &KafkaRecord<'_>,
        members: &Members<'_>,
    ) -> (Timestamp, Option<&'static str>) {
        let own = self.timestamp_names.iter().find_map(|name| Timestamp::from_json(members.get(*name)?));
        let kafka = record.timestamp_ms.and_then(Timestamp::from_kafka);
        match (own, kafka) {
            (Some(own), Some(kafka)) => {
                let later_ms = own.millis() - kafka.millis();
                if later_ms <= self.settings.max_future_ms && -later_ms <= self.settings.max_past_ms {
                    (own, None)
                } else {
                    (kafka, Some("_timestampoutofrange"))
                }
            }
            (Some(own), None) => (own, None),
            (None, Some(kafka)) => (kafka, None),
            (None, None) => (Timestamp::EPOCH, Some("_timestampmissing")),
        }
    }

    /// Writes the document up to where our fields go, a brace or a comma last.
    fn open_document(
        &mut self,
        payload: &Payload,
        record: &KafkaRecord<'_>,
        body: &mut Vec<u8>,
        document: usize,
    ) {
        match payload {
            Payload::Object(shape) => {
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
            Payload::Text => {
                self.scratch.clear();
                self.scratch.extend_from_slice(body.get(document..).unwrap_or_default());
                body.truncate(document);
                body.extend_from_slice(br#"{"message":"#);
                append_json_string(body, std::str::from_utf8(&self.scratch).unwrap_or_default());
                body.push(b',');
            }
            Payload::Binary => {
                body.truncate(document);
                body.extend_from_slice(br#"{"message_base64":""#);
                let base64 = record.value.map(|value| value.unescape()).unwrap_or_default();
                body.extend_from_slice(&base64);
                body.extend_from_slice(b"\",");
            }
            Payload::Tombstone => body.push(b'{'),
        }
    }

    fn append_fields(&mut self, record: &KafkaRecord<'_>, time: Timestamp, body: &mut Vec<u8>) {
        body.extend_from_slice(br#""@timestamp":""#);
        body.extend_from_slice(&time.to_text());
        body.extend_from_slice(b"\",");
        body.extend_from_slice(&self.partition.fields);
        append_number(body, record.offset);
        append_record_time_and_key(body, record, &mut self.scratch);
        body.extend_from_slice(&self.extra.fields);
        body.extend_from_slice(b"}\n");
    }
}

/// Position behind the comma that follows a member, or of what follows if it is the last one.
fn skip_comma(body: &[u8], end: usize) -> usize {
    let rest = body.get(end..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        Some(spaces) if rest.get(spaces) == Some(&b',') => end + spaces + 1,
        _ => end,
    }
}

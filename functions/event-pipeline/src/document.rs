//! Writes a record's action and document into a bulk body, the payload's own bytes spliced with our fields.
//!
//! The payload is decoded straight into the body and scanned where it stands. The fields are those of the table
//! "The document" in ARCHITECTURE.md.

use std::ops::Range;

use crate::envelope::{Record, RecordError};
use crate::headers::{Headers, TraceParent};
use crate::json::{NameTable, ObjectScanner, ObjectShape};
use crate::settings::{DocumentId, Settings};
use crate::text::{append_decoded, append_json_string, append_number};
use crate::timestamp::Timestamp;

/// Fields that every document has from us: a payload's member of that name goes to `original`.
const OURS: [&str; 13] = [
    "@timestamp",
    "service",
    "service_name",
    "environment",
    "platform",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "kafka_timestamp",
    "kafka_key",
    "kafka_key_base64",
    "kafka_headers",
    "original",
];
/// Fields that are ours in some documents only, and members that those are made from.
const OTHERS: [&str; 12] = [
    "trace",
    "span",
    "trace.id",
    "span.id",
    "correlation_id",
    "tags",
    "traceparent",
    "trace_id",
    "traceId",
    "span_id",
    "spanId",
    "correlationId",
];
/// Numbers of the names above in the encoder's table.
mod name {
    pub(super) const TRACE: usize = super::OURS.len();
    pub(super) const SPAN: usize = TRACE + 1;
    pub(super) const DOTTED_TRACE_ID: usize = TRACE + 2;
    pub(super) const DOTTED_SPAN_ID: usize = TRACE + 3;
    pub(super) const CORRELATION_ID: usize = TRACE + 4;
    pub(super) const TAGS: usize = TRACE + 5;
    pub(super) const TRACEPARENT: usize = TRACE + 6;
    pub(super) const TRACE_ID: [usize; 2] = [TRACE + 7, TRACE + 8];
    pub(super) const SPAN_ID: [usize; 2] = [TRACE + 9, TRACE + 10];
    pub(super) const CAMEL_CORRELATION_ID: usize = TRACE + 11;
}
const DAY_PLACEHOLDER: &[u8; 10] = b"0000.00.00";

/// Writes documents, keeping its buffers from one to the next.
#[derive(Debug)]
pub struct Encoder {
    settings: Settings,
    names: NameTable,
    timestamp_names: Vec<usize>,
    scanner: ObjectScanner,
    headers: Headers,
    partition: PartitionText,
    /// Our fields that not every document has, as JSON text: `,"trace":{…},"tags":[…]`.
    extra: Vec<u8>,
    /// Members of the payload that are taken out of it, in order.
    removed: Vec<Range<usize>>,
    scratch: Vec<u8>,
}

/// What is the same for all records of a partition, written once.
#[derive(Debug, Default)]
struct PartitionText {
    topic: String,
    partition: i64,
    /// The action line up to the day.
    action: Vec<u8>,
    /// The action line from behind the day to the offset.
    id: Vec<u8>,
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

/// Why the time of an event is not its own, as a tag on the document.
#[derive(Clone, Copy)]
enum TimeTag {
    None,
    OutOfRange,
    Missing,
}

impl Encoder {
    /// Makes an encoder for `settings`.
    pub fn new(settings: Settings) -> Self {
        let fields = settings.timestamp_fields.iter().map(String::as_str);
        let names = NameTable::new(OURS.into_iter().chain(OTHERS).chain(fields));
        let timestamp_names =
            settings.timestamp_fields.iter().filter_map(|name| names.find(name.as_bytes())).collect();
        Self {
            settings,
            names,
            timestamp_names,
            scanner: ObjectScanner::default(),
            headers: Headers::default(),
            partition: PartitionText::default(),
            extra: Vec::new(),
            removed: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The settings that this encoder works by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Appends the action line and the document line of `record` to `body`, and returns the document's time.
    ///
    /// # Errors
    /// [`RecordError::Value`] when the value is not base64; nothing is appended then.
    pub fn append(&mut self, record: &Record<'_>, body: &mut Vec<u8>) -> Result<Timestamp, RecordError> {
        let start = body.len();
        self.set_partition(record);
        body.extend_from_slice(&self.partition.action);
        let day = body.len();
        body.extend_from_slice(DAY_PLACEHOLDER);
        self.append_action_end(record, body);
        let document = body.len();
        if let Some(value) = record.value
            && append_decoded(body, value).is_err()
        {
            body.truncate(start);
            return Err(RecordError::Value);
        }
        let payload = self.inspect(record, body.get(document..).unwrap_or_default());
        let text = body.get_mut(document..).unwrap_or_default();
        if let Payload::Object(shape) = payload
            && shape.newlines
        {
            // Line ends between tokens are white space; a bulk body can hold none inside a document.
            text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        let (time, tag) = self.time(record, text);
        self.collect_extra(&payload, tag, text);
        self.open_document(&payload, record, body, document);
        self.append_fields(record, time, body);
        if let Some(slot) = body.get_mut(day..day + DAY_PLACEHOLDER.len()) {
            slot.copy_from_slice(&time.day());
        }
        Ok(time)
    }

    fn set_partition(&mut self, record: &Record<'_>) {
        let text = &mut self.partition;
        if !text.action.is_empty() && text.topic == record.topic && text.partition == record.partition {
            return;
        }
        record.topic.clone_into(&mut text.topic);
        text.partition = record.partition;
        text.action.clear();
        text.action.extend_from_slice(br#"{"create":{"_index":""#);
        text.action.extend_from_slice(self.settings.index_prefix.as_str().as_bytes());
        text.action.push(b'-');
        text.id.clear();
        text.id.extend_from_slice(br#"","_id":"#);
        append_json_string(&mut text.id, &format!("{}-{}-", record.topic, record.partition));
        text.id.pop();
        text.fields.clear();
        append_identity(&mut text.fields, &self.settings, record.topic);
        text.fields.extend_from_slice(br#","kafka_partition":"#);
        append_number(&mut text.fields, record.partition);
        text.fields.extend_from_slice(br#","kafka_offset":"#);
    }

    fn append_action_end(&self, record: &Record<'_>, body: &mut Vec<u8>) {
        match self.settings.document_id {
            DocumentId::Deterministic => {
                body.extend_from_slice(&self.partition.id);
                append_number(body, record.offset);
                body.push(b'-');
                append_number(body, record.timestamp_ms.unwrap_or(-1));
                body.extend_from_slice(b"\"}}\n");
            }
            DocumentId::Auto => body.extend_from_slice(b"\"}}\n"),
        }
    }

    /// Scans the payload; its members and the record's headers are at hand after this.
    fn inspect(&mut self, record: &Record<'_>, text: &[u8]) -> Payload {
        self.headers.read(record.headers, &self.settings.header_fields);
        self.scanner.clear();
        if record.value.is_none() {
            return Payload::Tombstone;
        }
        if std::str::from_utf8(text).is_err() {
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

    fn time(&self, record: &Record<'_>, text: &[u8]) -> (Timestamp, TimeTag) {
        let own = self.timestamp_names.iter().find_map(|name| {
            let member = self.scanner.member(*name)?;
            Timestamp::from_json(text.get(member.value.clone())?)
        });
        let kafka = record.timestamp_ms.and_then(Timestamp::from_kafka);
        match (own, kafka) {
            (Some(own), Some(kafka)) => {
                let later_ms = own.millis() - kafka.millis();
                if later_ms <= self.settings.max_future_ms && -later_ms <= self.settings.max_past_ms {
                    (own, TimeTag::None)
                } else {
                    (kafka, TimeTag::OutOfRange)
                }
            }
            (Some(own), None) => (own, TimeTag::None),
            (None, Some(kafka)) => (kafka, TimeTag::None),
            (None, None) => (Timestamp::EPOCH, TimeTag::Missing),
        }
    }

    /// Gathers the fields that not every document has in `extra`, and the members to be taken out in `removed`.
    fn collect_extra(&mut self, payload: &Payload, tag: TimeTag, text: &[u8]) {
        let Self { scanner, headers, extra, removed, scratch, settings, .. } = self;
        extra.clear();
        removed.clear();
        let members = Members { scanner, text };

        let trace = TraceFields::find(headers, &members);
        for (field, id) in [("trace", trace.trace_id), ("span", trace.span_id)] {
            if let Some(id) = id {
                extra.extend_from_slice(b",\"");
                extra.extend_from_slice(field.as_bytes());
                extra.extend_from_slice(br#"":{"id":"#);
                append_json_string(extra, id);
                extra.push(b'}');
            }
        }
        let correlation = headers.correlation_id();
        if let Some(id) = correlation {
            extra.extend_from_slice(br#","correlation_id":"#);
            append_json_string(extra, id);
        } else if members.get(name::CORRELATION_ID).is_none()
            && let Some(id @ [b'"' | b'-' | b'0'..=b'9', ..]) = members.get(name::CAMEL_CORRELATION_ID)
        {
            extra.extend_from_slice(br#","correlation_id":"#);
            extra.extend_from_slice(id);
        }
        append_kept_headers(extra, headers, &settings.header_fields);

        let tags = [
            match payload {
                Payload::Text | Payload::Binary => Some("_jsonparsefailure"),
                Payload::Tombstone => Some("_tombstone"),
                Payload::Object(_) => None,
            },
            match tag {
                TimeTag::None => None,
                TimeTag::OutOfRange => Some("_timestampoutofrange"),
                TimeTag::Missing => Some("_timestampmissing"),
            },
        ];
        let has_tags = tags.iter().any(Option::is_some);
        let mut tags_in_payload = None;

        scratch.clear();
        for member in scanner.members() {
            let value = text.get(member.value.clone()).unwrap_or_default();
            let is_object = value.first() == Some(&b'{');
            let clashes = match member.name {
                name::TRACE => trace.trace_id.is_some() || !is_object,
                name::SPAN => trace.span_id.is_some() || !is_object,
                name::DOTTED_TRACE_ID => trace.trace_id.is_some(),
                name::DOTTED_SPAN_ID => trace.span_id.is_some(),
                name::CORRELATION_ID => correlation.is_some(),
                name::TAGS if has_tags && matches!(value, [b'[' | b'"', ..]) => {
                    tags_in_payload = Some(value);
                    removed.push(member.key.start..member.value.end);
                    continue;
                }
                name::TAGS => has_tags,
                number => number < OURS.len(),
            };
            if clashes {
                removed.push(member.key.start..member.value.end);
                scratch.push(b',');
                scratch.extend_from_slice(text.get(member.key.clone()).unwrap_or_default());
                scratch.push(b':');
                scratch.extend_from_slice(value);
            }
        }
        if let Some(moved) = scratch.get(1..) {
            extra.extend_from_slice(br#","original":{"#);
            extra.extend_from_slice(moved);
            extra.push(b'}');
        }
        if has_tags {
            append_tags(extra, tags_in_payload, tags.into_iter().flatten());
        }
    }

    /// Writes the document up to where our fields go, a brace or a comma last.
    fn open_document(&mut self, payload: &Payload, record: &Record<'_>, body: &mut Vec<u8>, document: usize) {
        match payload {
            Payload::Object(shape) => {
                body.truncate(document + shape.close);
                for range in self.removed.iter().rev() {
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

    fn append_fields(&mut self, record: &Record<'_>, time: Timestamp, body: &mut Vec<u8>) {
        body.extend_from_slice(br#""@timestamp":""#);
        body.extend_from_slice(&time.to_text());
        body.extend_from_slice(b"\",");
        body.extend_from_slice(&self.partition.fields);
        append_number(body, record.offset);
        append_record_time_and_key(body, record, &mut self.scratch);
        body.extend_from_slice(&self.extra);
        body.extend_from_slice(b"}\n");
    }
}

/// Appends the fields that say where an event came from, without braces.
pub(crate) fn append_identity(out: &mut Vec<u8>, settings: &Settings, topic: &str) {
    let service_name = topic.strip_suffix(settings.topic_suffix.as_str()).unwrap_or(topic);
    for (i, (name, value)) in [
        ("service", topic),
        ("service_name", service_name),
        ("environment", &settings.environment),
        ("platform", &settings.platform),
        ("kafka_topic", topic),
    ]
    .into_iter()
    .enumerate()
    {
        out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        append_json_string(out, value);
    }
}

/// Appends the record's timestamp and key, each where it has one.
pub(crate) fn append_record_time_and_key(out: &mut Vec<u8>, record: &Record<'_>, scratch: &mut Vec<u8>) {
    if let Some(time) = record.timestamp_ms.and_then(Timestamp::from_kafka) {
        out.extend_from_slice(br#","kafka_timestamp":"#);
        append_number(out, time.millis());
    }
    let Some(key) = record.key else { return };
    scratch.clear();
    if append_decoded(scratch, key).is_err() {
        // Not base64 after all: kept as the event has it.
        scratch.extend_from_slice(&key.unescape());
    }
    match std::str::from_utf8(scratch) {
        Ok(text) => {
            out.extend_from_slice(br#","kafka_key":"#);
            append_json_string(out, text);
        }
        Err(_) => {
            out.extend_from_slice(br#","kafka_key_base64":""#);
            out.extend_from_slice(&key.unescape());
            out.push(b'"');
        }
    }
}

fn append_kept_headers(out: &mut Vec<u8>, headers: &Headers, names: &[String]) {
    let mut separator: &[u8] = br#","kafka_headers":{"#;
    for (number, value) in headers.kept() {
        let Some(name) = names.get(number) else { continue };
        out.extend_from_slice(separator);
        separator = b",";
        match std::str::from_utf8(value) {
            Ok(text) => {
                append_json_string(out, name);
                out.push(b':');
                append_json_string(out, text);
            }
            Err(_) => {
                append_json_string(out, &format!("{name}_base64"));
                out.push(b':');
                append_json_string(out, &base64_simd::STANDARD.encode_to_string(value));
            }
        }
    }
    if separator == b"," {
        out.push(b'}');
    }
}

/// Appends our tags behind those of the payload: an array's elements, or a single string.
fn append_tags<'t>(out: &mut Vec<u8>, own: Option<&[u8]>, tags: impl Iterator<Item = &'t str>) {
    out.extend_from_slice(br#","tags":["#);
    let own = match own {
        Some([b'[', elements @ .., b']']) => elements.trim_ascii(),
        Some(text) => text,
        None => b"",
    };
    out.extend_from_slice(own);
    let mut first = own.is_empty();
    for tag in tags {
        if !first {
            out.push(b',');
        }
        first = false;
        append_json_string(out, tag);
    }
    out.push(b']');
}

/// Position behind the comma that follows a member, or of what follows if it is the last one.
fn skip_comma(body: &[u8], end: usize) -> usize {
    let rest = body.get(end..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        Some(spaces) if rest.get(spaces) == Some(&b',') => end + spaces + 1,
        _ => end,
    }
}

/// A payload's members by the numbers of their names.
struct Members<'a> {
    scanner: &'a ObjectScanner,
    text: &'a [u8],
}

impl<'a> Members<'a> {
    fn get(&self, name: usize) -> Option<&'a [u8]> {
        self.text.get(self.scanner.member(name)?.value.clone())
    }

    /// The first of `names` whose value is a plain string, without its quotes.
    fn text(&self, names: &[usize]) -> Option<&'a str> {
        names.iter().find_map(|name| match self.get(*name)? {
            [b'"', text @ .., b'"'] if !text.is_empty() && !text.contains(&b'\\') => {
                std::str::from_utf8(text).ok()
            }
            _ => None,
        })
    }
}

/// Ids to be written as `trace.id` and `span.id`; `None` where the payload has its own there, or none is known.
#[derive(Default)]
struct TraceFields<'a> {
    trace_id: Option<&'a str>,
    span_id: Option<&'a str>,
}

impl<'a> TraceFields<'a> {
    fn find(headers: &'a Headers, members: &Members<'a>) -> Self {
        if let Some(TraceParent { trace_id, span_id }) = headers.traceparent() {
            return Self { trace_id: Some(trace_id), span_id: Some(span_id) };
        }
        if members.scanner.members().is_empty() {
            return Self::default();
        }
        let parent = members.text(&[name::TRACEPARENT]).and_then(TraceParent::parse);
        let unless_there = |id, object: usize, dotted: usize| {
            let there = members.get(dotted).is_some()
                || members.get(object).is_some_and(|value| value.starts_with(b"{"));
            if there { None } else { id }
        };
        let trace_id = parent.map(|p| p.trace_id).or_else(|| members.text(&name::TRACE_ID));
        let span_id = parent.map(|p| p.span_id).or_else(|| members.text(&name::SPAN_ID));
        Self {
            trace_id: unless_there(trace_id, name::TRACE, name::DOTTED_TRACE_ID),
            span_id: unless_there(span_id, name::SPAN, name::DOTTED_SPAN_ID),
        }
    }
}

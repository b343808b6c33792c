//! Makes the usual document of one that was written in another form: the payload is in its place again.
//!
//! The record is made again from the document, and the pipeline writes it as it writes any record. Whether a trace or a
//! correlation id was a header's or the payload's own can't be seen in a document, so each way is tried, until one gives the
//! document that is stored.

use std::borrow::Cow;

use thiserror::Error;

use crate::append::append_json_string;
use crate::embedded_json;
use crate::encoder::Encoder;
use crate::encoding::Routing;
use crate::event::KafkaRecord;
use crate::event_time;
use crate::formats::{ByTopic, Formats, KeyFormat, ValueFormat};
use crate::headers::TraceParent;
use crate::json::{JsonError, Scanner};
use crate::members::is_reserved;
use crate::nearly_json::{DUPLICATE_KEY, NONFINITE};
use crate::payload::{NOT_JSON, SCHEMA_FAILURE, TOMBSTONE, UNKNOWN_FIELDS};
use crate::rescue::{self, Rescue, RescueForm};
use crate::routing;
use crate::rules::Rules;
use crate::settings::Settings;
use crate::shaper;

/// Why a document can't be written in its usual form.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum RestoreError {
    /// The document is not JSON.
    #[error("the document is not a JSON object: {0}")]
    Json(#[from] JsonError),
    /// The fields that say what was moved are missing or have another form.
    #[error("the document is not as the pipeline wrote it: {0}")]
    Changed(&'static str),
    /// The usual form is the one that is stored.
    #[error(
        "the payload is nested deeper than 250 levels, which can crash a node: it stays text in `message`"
    )]
    TooDeep,
}

/// Returns the document, without an end of line, that the pipeline writes today for the record whose rescued document is
/// `source`, with the id `id`. Headers that are not in `source` are not in the result.
///
/// # Errors
/// [`RestoreError`] when `source` is not a rescued document, or has no other form.
pub fn restore(settings: &Settings, id: &str, source: &[u8]) -> Result<Vec<u8>, RestoreError> {
    let stored = Stored::read(id, source)?;
    let settings = stored.settings(settings);
    for rescue in stored.rescues() {
        for assumed in ASSUMPTIONS {
            let Some(record) = stored.record(&rescue.form, assumed) else { continue };
            let rescued = record.encode(|record, body| {
                Encoder::new(settings.clone()).append_rescued(record, &rescue, Routing::Own, body).is_ok()
            });
            if rescued.is_some_and(|rescued| stored.equals(&rescued)) {
                return stored.restored(&settings, &record);
            }
        }
    }
    Err(RestoreError::Changed("its fields are not those of its payload"))
}

/// Our tags, in the order in which a document has them behind its own.
const TAGS: [&str; 14] = [
    DUPLICATE_KEY,
    NONFINITE,
    UNKNOWN_FIELDS,
    SCHEMA_FAILURE,
    NOT_JSON,
    TOMBSTONE,
    embedded_json::NOT_PARSED,
    shaper::FAILED,
    shaper::ROUNDED,
    event_time::UNPARSED,
    event_time::OUT_OF_RANGE,
    event_time::MISSING,
    routing::OVERFLOW,
    rescue::TAG,
];

/// Fields that settings of today can change, that are no part of the payload, or that are made of the others in any order.
const NOT_COMPARED: [&str; 15] = [
    "@timestamp",
    "environment",
    "platform",
    "service_name",
    "kafka_headers",
    "kafka_timestamp",
    "tags",
    "conflict_reason",
    "conflict_text",
    "event_text",
    "kafka_schema_id",
    "kafka_key_schema_id",
    "schema_failure",
    "cloudevent",
    "debezium",
];

/// Fields that are made of what a document does not have, the record's headers and encoding: they stay as they are.
const CARRIED: [&str; 6] =
    ["kafka_headers", "kafka_schema_id", "kafka_key_schema_id", "schema_failure", "cloudevent", "debezium"];
/// Tags that are made of the record before it was shaped, which the payload does not show any more.
const VALUE_TAGS: [&str; 10] = [
    DUPLICATE_KEY,
    NONFINITE,
    UNKNOWN_FIELDS,
    SCHEMA_FAILURE,
    NOT_JSON,
    TOMBSTONE,
    embedded_json::NOT_PARSED,
    shaper::FAILED,
    shaper::ROUNDED,
    routing::OVERFLOW,
];

/// Which fields of a document are assumed to be of the record's headers.
#[derive(Debug, Clone, Copy)]
struct Assumed {
    is_trace_a_header: bool,
    is_correlation_a_header: bool,
}

const ASSUMPTIONS: [Assumed; 4] = [
    Assumed { is_trace_a_header: true, is_correlation_a_header: false },
    Assumed { is_trace_a_header: true, is_correlation_a_header: true },
    Assumed { is_trace_a_header: false, is_correlation_a_header: false },
    Assumed { is_trace_a_header: false, is_correlation_a_header: true },
];

/// A member of an object.
#[derive(Debug, Clone)]
struct Field<'a> {
    name: Cow<'a, str>,
    /// The name as it is written, with its quotes.
    key: &'a [u8],
    /// JSON text of the value.
    value: &'a [u8],
}

/// The members of the object `text`.
fn fields(text: &[u8]) -> Result<Vec<Field<'_>>, JsonError> {
    let mut fields = Vec::new();
    let mut scanner = Scanner::new(text);
    scanner.expect(b'{')?;
    let mut is_open = !scanner.take(b'}')?;
    while is_open {
        scanner.peek()?;
        let start = scanner.position();
        let name = match scanner.string()?.unescape() {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        };
        let key = scanner.slice(start..scanner.position());
        scanner.expect(b':')?;
        let value = scanner.value()?;
        fields.push(Field { name, key, value: scanner.slice(value) });
        is_open = scanner.take(b',')?;
        if !is_open {
            scanner.expect(b'}')?;
        }
    }
    scanner.end()?;
    Ok(fields)
}

/// A rescued document as it is stored.
#[derive(Debug)]
struct Stored<'a> {
    fields: Vec<Field<'a>>,
    topic: String,
    partition: i64,
    offset: i64,
    timestamp_ms: Option<i64>,
    /// Names of the members that were moved; `*` for the whole payload.
    moved: Vec<String>,
    reason: String,
    /// Tags that were made of the record's value, which the payload does not have any more.
    value_tags: Vec<&'static str>,
    /// The payload's own tags.
    own_tags: Vec<&'a [u8]>,
}

impl<'a> Stored<'a> {
    fn read(id: &str, source: &'a [u8]) -> Result<Self, RestoreError> {
        let fields = fields(source)?;
        let topic: String = parsed(&fields, "kafka_topic").ok_or(RestoreError::Changed("no kafka_topic"))?;
        let partition =
            parsed(&fields, "kafka_partition").ok_or(RestoreError::Changed("no kafka_partition"))?;
        let offset = parsed(&fields, "kafka_offset").ok_or(RestoreError::Changed("no kafka_offset"))?;
        let moved = parsed(&fields, "conflict_field").ok_or(RestoreError::Changed("no conflict_field"))?;
        let reason = parsed(&fields, "conflict_reason").ok_or(RestoreError::Changed("no conflict_reason"))?;
        // The id has the record's timestamp even where that can't be a date.
        let in_id = id.strip_prefix(&format!("{topic}-{partition}-{offset}-"));
        let timestamp_ms =
            in_id.and_then(|text| text.parse().ok()).or_else(|| parsed(&fields, "kafka_timestamp"));
        let tags = elements(value_of(&fields, "tags").unwrap_or_default())?;
        let our_tag = |tag: &[u8]| {
            TAGS.into_iter().find(|ours| serde_json::from_slice(tag).is_ok_and(|tag: String| tag == *ours))
        };
        let n_own = tags.iter().rposition(|tag| our_tag(tag).is_none()).map_or(0, |last| last + 1);
        let (own, ours) = tags.split_at(n_own);
        if !ours.iter().any(|tag| our_tag(tag) == Some(rescue::TAG)) {
            return Err(RestoreError::Changed("no tag _mappingconflict"));
        }
        let value_tags = ours.iter().filter_map(|tag| our_tag(tag));
        let value_tags = value_tags.filter(|tag| VALUE_TAGS.contains(tag)).collect();
        let own_tags = own.to_vec();
        Ok(Self { fields, topic, partition, offset, timestamp_ms, moved, reason, value_tags, own_tags })
    }

    /// The settings that the record which is made of the document is written by. The document was shaped by the rules of its topic
    /// when it was written first: of these, only settings are left.
    fn settings(&self, settings: &Settings) -> Settings {
        let own = settings.rules.of(&self.topic).map(|(_, rules)| rules.overrides.applied_to(settings));
        Settings {
            header_fields: Vec::new(),
            formats: self.formats(),
            rules: Rules::default(),
            ..own.unwrap_or_else(|| settings.clone())
        }
    }

    /// How the record that is made of the document is encoded: as JSON, whatever its topic says.
    fn formats(&self) -> Formats {
        let is_base64 = self.value("kafka_key_base64").is_some();
        Formats {
            value: ByTopic::all(ValueFormat::Json),
            key: ByTopic::all(if is_base64 { KeyFormat::Base64 } else { KeyFormat::Text }),
            ..Formats::default()
        }
    }

    /// The forms that the document can have been written in.
    fn rescues(&self) -> Vec<Rescue> {
        let whole = match self.moved.as_slice() {
            // With the whole payload its tags have moved too: tags of its own show that a member has the name `*`.
            [field] if field == "*" && self.own_tags.is_empty() => {
                vec![RescueForm::Payload, RescueForm::Text]
            }
            _ => Vec::new(),
        };
        // A member may have the name `*` without them.
        let forms = whole.into_iter().chain([RescueForm::Members(self.moved.clone())]);
        forms.map(|form| Rescue { form, reason: self.reason.clone() }).collect()
    }

    /// The record that was written in this form; `None` if it can't have been one under these assumptions.
    fn record(&self, form: &RescueForm, assumed: Assumed) -> Option<Record<'_>> {
        let mut headers = Headers::default();
        if assumed.is_trace_a_header {
            headers.push("traceparent", self.traceparent()?.as_bytes());
        }
        if assumed.is_correlation_a_header {
            match self.value("correlation_id_base64") {
                Some(base64) => {
                    let text: String = serde_json::from_slice(base64).ok()?;
                    headers.push("correlation_id", &base64_simd::STANDARD.decode_to_vec(text).ok()?);
                }
                None => headers
                    .push("correlation_id", parsed::<String>(&self.fields, "correlation_id")?.as_bytes()),
            }
        }
        let payload = match form {
            RescueForm::Members(_) => self.with_members_in_place(assumed)?,
            RescueForm::Payload => self.value("conflict")?.to_vec(),
            RescueForm::Text => parsed::<String>(&self.fields, "message")?.into_bytes(),
        };
        let key = match (self.value("kafka_key"), self.value("kafka_key_base64")) {
            (Some(_), _) => {
                let text: String = parsed(&self.fields, "kafka_key")?;
                Some(quoted_base64(text.as_bytes()))
            }
            (None, Some(base64)) => Some(base64.to_vec()),
            (None, None) => None,
        };
        Some(Record { stored: self, key, value: quoted_base64(&payload), headers: headers.json() })
    }

    /// The payload of which single members were moved.
    fn with_members_in_place(&self, assumed: Assumed) -> Option<Vec<u8>> {
        let mut members: Vec<Field<'_>> = Vec::new();
        let mut ours: Vec<Field<'_>> = Vec::new();
        for field in &self.fields {
            match &*field.name {
                "original" | "conflict" => members.extend(fields(field.value).ok()?),
                "tags" | "cloudevent" | "debezium" => {}
                "trace" | "span" if assumed.is_trace_a_header => {}
                "correlation_id"
                    if assumed.is_correlation_a_header && self.value("correlation_id_base64").is_none() => {}
                // They are the payload's own, or made from a member of another name, which gives the same.
                "trace" | "span" | "correlation_id" => ours.push(field.clone()),
                name if is_reserved(name) => {}
                _ => members.push(field.clone()),
            }
        }
        let tags = [b"[", self.own_tags.join(&b',').as_slice(), b"]"].concat();
        if !self.own_tags.is_empty() {
            ours.push(Field { name: "tags".into(), key: br#""tags""#, value: &tags });
        }
        ours.retain(|field| members.iter().all(|member| member.name != field.name));
        let members = members.iter().chain(&ours);
        let texts: Vec<_> =
            members.map(|Field { key, value, .. }| [key, b":".as_slice(), value].concat()).collect();
        Some([b"{", texts.join(&b',').as_slice(), b"}"].concat())
    }

    /// The trace context whose ids are `trace.id` and `span.id`, where those have nothing else in them.
    fn traceparent(&self) -> Option<String> {
        let id = |name| {
            let fields = fields(self.value(name)?).ok()?;
            let [Field { name, value, .. }] = fields.as_slice() else { return None };
            if name == "id" { serde_json::from_slice::<String>(value).ok() } else { None }
        };
        let text = format!("00-{}-{}-01", id("trace")?, id("span")?);
        TraceParent::parse(&text).is_some().then_some(text)
    }

    fn value(&self, name: &str) -> Option<&'a [u8]> {
        value_of(&self.fields, name)
    }

    /// Whether `rescued` is this document, but for what the settings of today change.
    fn equals(&self, rescued: &[u8]) -> bool {
        fields(rescued).is_ok_and(|theirs| are_equal(&self.fields, &theirs))
    }

    /// The usual document of `record`.
    fn restored(&self, settings: &Settings, record: &Record<'_>) -> Result<Vec<u8>, RestoreError> {
        let mut encoder = Encoder::with_tags(settings.clone(), self.value_tags.clone());
        let document = record.encode(|record, body| encoder.append(record, body).is_ok());
        let mut document = document.ok_or(RestoreError::Changed("it gives no record"))?;
        if encoder.rescue_of_last().is_some() {
            return Err(RestoreError::TooDeep);
        }
        let carried = || self.fields.iter().filter(|field| CARRIED.contains(&&*field.name));
        if carried().next().is_some() && document.pop() == Some(b'}') {
            for Field { key, value, .. } in carried() {
                document.push(b',');
                document.extend_from_slice(key);
                document.push(b':');
                document.extend_from_slice(value);
            }
            document.push(b'}');
        }
        // The time can be that of a header or of a change event, which are not in the payload.
        match (self.value("cloudevent").or(self.value("debezium")), self.value("@timestamp")) {
            (Some(_), Some(time)) => with_time(&document, time),
            _ => Ok(document),
        }
    }
}

/// The document with another `@timestamp`.
fn with_time(document: &[u8], time: &[u8]) -> Result<Vec<u8>, RestoreError> {
    let mut members = Vec::new();
    for Field { name, key, value } in fields(document)? {
        members.push([key, b":", if name == "@timestamp" { time } else { value }].concat());
    }
    Ok([b"{", members.join(&b',').as_slice(), b"}"].concat())
}

/// The parts of a record that were made from a document.
#[derive(Debug)]
struct Record<'a> {
    stored: &'a Stored<'a>,
    /// Base64 in quotes.
    key: Option<Vec<u8>>,
    /// Base64 in quotes.
    value: Vec<u8>,
    headers: Vec<u8>,
}

impl Record<'_> {
    /// The document line that `encode` writes for the record, without its end.
    fn encode(&self, encode: impl FnOnce(&KafkaRecord<'_>, &mut Vec<u8>) -> bool) -> Option<Vec<u8>> {
        let record = KafkaRecord {
            topic: &self.stored.topic,
            partition: self.stored.partition,
            offset: self.stored.offset,
            timestamp_ms: self.stored.timestamp_ms,
            key: self.key.as_ref().and_then(|key| Scanner::new(key).long_string().ok()),
            value: Scanner::new(&self.value).long_string().ok(),
            headers: Some(&self.headers),
            key_schema: None,
            value_schema: None,
        };
        let mut body = Vec::new();
        if !encode(&record, &mut body) {
            return None;
        }
        // The action line is first.
        let document = body.iter().position(|byte| *byte == b'\n')? + 1;
        let end = body.strip_suffix(b"\n")?.len();
        body.truncate(end);
        Some(body.split_off(document))
    }
}

/// Headers as the event source mapping delivers them.
#[derive(Debug, Default)]
struct Headers(Vec<Vec<u8>>);

impl Headers {
    fn push(&mut self, name: &str, value: &[u8]) {
        let bytes: Vec<_> = value.iter().map(u8::to_string).collect();
        self.0.push(format!(r#"{{"{name}":[{}]}}"#, bytes.join(",")).into_bytes());
    }

    fn json(&self) -> Vec<u8> {
        [b"[", self.0.join(&b',').as_slice(), b"]"].concat()
    }
}

fn quoted_base64(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::new();
    append_json_string(&mut quoted, &base64_simd::STANDARD.encode_to_string(bytes));
    quoted
}

fn value_of<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name == name).map(|field| field.value)
}

fn parsed<T: serde::de::DeserializeOwned>(fields: &[Field<'_>], name: &str) -> Option<T> {
    serde_json::from_slice(value_of(fields, name)?).ok()
}

/// The elements of the array `text`; none of what is not an array.
fn elements(text: &[u8]) -> Result<Vec<&[u8]>, JsonError> {
    let mut elements = Vec::new();
    if text.first() == Some(&b'[') {
        Scanner::new(text).array(|scanner| {
            let range = scanner.value()?;
            elements.push(scanner.slice(range));
            Ok::<_, JsonError>(())
        })?;
    }
    Ok(elements)
}

/// Whether two documents have the same fields, in whatever order, but for those that are not compared.
fn are_equal(ours: &[Field<'_>], theirs: &[Field<'_>]) -> bool {
    are_same(ours, theirs, &NOT_COMPARED, |name, ours, theirs| match name {
        "original" | "conflict" => are_moved_alike(ours, theirs),
        _ => are_equal_values(ours, theirs),
    })
}

fn are_moved_alike(ours: &[u8], theirs: &[u8]) -> bool {
    match (fields(ours), fields(theirs)) {
        (Ok(ours), Ok(theirs)) => {
            are_same(&ours, &theirs, &[], |_, ours, theirs| are_equal_values(ours, theirs))
        }
        _ => false,
    }
}

fn are_same(
    ours: &[Field<'_>],
    theirs: &[Field<'_>],
    ignored: &[&str],
    is_same: impl Fn(&str, &[u8], &[u8]) -> bool,
) -> bool {
    let (ours, theirs) = (sorted(ours, ignored), sorted(theirs, ignored));
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| {
            ours.name == theirs.name
                && (ours.value == theirs.value || is_same(&ours.name, ours.value, theirs.value))
        })
}

fn sorted<'f, 'a>(fields: &'f [Field<'a>], ignored: &[&str]) -> Vec<&'f Field<'a>> {
    let mut fields: Vec<_> = fields.iter().filter(|field| !ignored.contains(&&*field.name)).collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    fields
}

/// Whether two JSON texts are the same value. A reindex may have written it with other white space and escapes.
fn are_equal_values(ours: &[u8], theirs: &[u8]) -> bool {
    let value = |text| serde_json::from_slice::<serde_json::Value>(text);
    matches!((value(ours), value(theirs)), (Ok(ours), Ok(theirs)) if ours == theirs)
}

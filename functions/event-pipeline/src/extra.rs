//! Gathers the fields that only some documents have: trace, correlation, headers, clashes and tags.

use std::ops::Range;

use crate::headers::{Headers, TraceParent};
use crate::object::{NameTable, ObjectScanner};
use crate::text::append_json_string;

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

/// The table of the names that a payload is searched for: ours, those that ours are made from, and `more`.
pub(crate) fn name_table<'n>(more: impl Iterator<Item = &'n str>) -> NameTable {
    NameTable::new(OURS.into_iter().chain(OTHERS).chain(more))
}

/// Fields of one document. The buffers are kept from one document to the next.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// The fields as JSON text, each with a comma before it: `,"trace":{…},"tags":[…]`.
    pub(crate) fields: Vec<u8>,
    /// Members of the payload that are taken out of it, in order.
    pub(crate) removed: Vec<Range<usize>>,
    moved: Vec<u8>,
}

impl Extra {
    /// Gathers the fields of a document from its payload's members, its headers (`header_names` are the configured
    /// ones) and the tags that it is to have.
    pub(crate) fn collect(
        &mut self,
        members: &Members<'_>,
        headers: &Headers,
        header_names: &[String],
        tags: [Option<&str>; 2],
    ) {
        let Self { fields, removed, moved } = self;
        fields.clear();
        removed.clear();

        let trace = TraceFields::find(headers, members);
        for (field, id) in [("trace", trace.trace_id), ("span", trace.span_id)] {
            if let Some(id) = id {
                fields.extend_from_slice(b",\"");
                fields.extend_from_slice(field.as_bytes());
                fields.extend_from_slice(br#"":{"id":"#);
                append_json_string(fields, id);
                fields.push(b'}');
            }
        }
        let correlation = headers.correlation_id();
        if let Some(id) = correlation {
            fields.extend_from_slice(br#","correlation_id":"#);
            append_json_string(fields, id);
        } else if members.get(name::CORRELATION_ID).is_none()
            && let Some(id @ [b'"' | b'-' | b'0'..=b'9', ..]) = members.get(name::CAMEL_CORRELATION_ID)
        {
            fields.extend_from_slice(br#","correlation_id":"#);
            fields.extend_from_slice(id);
        }
        append_kept_headers(fields, headers, header_names);

        let has_tags = tags.iter().any(Option::is_some);
        let mut tags_in_payload = None;

        moved.clear();
        for member in members.scanner.members() {
            let value = members.text.get(member.value.clone()).unwrap_or_default();
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
                moved.push(b',');
                moved.extend_from_slice(members.text.get(member.key.clone()).unwrap_or_default());
                moved.push(b':');
                moved.extend_from_slice(value);
            }
        }
        if let Some(moved) = moved.get(1..) {
            fields.extend_from_slice(br#","original":{"#);
            fields.extend_from_slice(moved);
            fields.push(b'}');
        }
        if has_tags {
            append_tags(fields, tags_in_payload, tags.into_iter().flatten());
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

/// A payload's members by the numbers of their names.
pub(crate) struct Members<'a> {
    pub(crate) scanner: &'a ObjectScanner,
    pub(crate) text: &'a [u8],
}

impl<'a> Members<'a> {
    pub(crate) fn get(&self, name: usize) -> Option<&'a [u8]> {
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

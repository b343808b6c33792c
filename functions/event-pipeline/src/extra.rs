//! Gathers the fields that only some documents have: trace, correlation, headers, clashes and tags.

use std::ops::Range;

use crate::append::{Value, append_json_string, append_member, append_name};
use crate::headers::{Headers, TraceParent};
use crate::members::{Known, MemberName, Members};

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
                append_name(fields, field);
                fields.extend_from_slice(br#"{"id":"#);
                append_json_string(fields, id);
                fields.push(b'}');
            }
        }
        let correlation = headers.correlation_id();
        if let Some(id) = correlation {
            append_member(fields, "correlation_id", Value::Text(id));
        } else if members.get(Known::CorrelationId).is_none()
            && let Some(id @ [b'"' | b'-' | b'0'..=b'9', ..]) = members.get(Known::CamelCorrelationId)
        {
            append_member(fields, "correlation_id", Value::Json(id));
        }
        append_kept_headers(fields, headers, header_names);

        let has_tags = tags.iter().any(Option::is_some);
        let mut tags_in_payload = None;

        moved.clear();
        for member in members.scanner.members() {
            let value = members.text.get(member.value.clone()).unwrap_or_default();
            let is_object = value.first() == Some(&b'{');
            let clashes = match MemberName::of(member.name) {
                MemberName::Reserved => true,
                MemberName::Other => false,
                MemberName::Known(known) => match known {
                    Known::Trace => trace.trace_id.is_some() || !is_object,
                    Known::Span => trace.span_id.is_some() || !is_object,
                    Known::DottedTraceId => trace.trace_id.is_some(),
                    Known::DottedSpanId => trace.span_id.is_some(),
                    Known::CorrelationId => correlation.is_some(),
                    Known::Tags if has_tags && matches!(value, [b'[' | b'"', ..]) => {
                        tags_in_payload = Some(value);
                        removed.push(member.key.start..member.value.end);
                        continue;
                    }
                    Known::Tags => has_tags,
                    Known::Traceparent
                    | Known::SnakeTraceId
                    | Known::CamelTraceId
                    | Known::SnakeSpanId
                    | Known::CamelSpanId
                    | Known::CamelCorrelationId => false,
                },
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
            append_name(fields, "original");
            fields.push(b'{');
            fields.extend_from_slice(moved);
            fields.push(b'}');
        }
        if has_tags {
            append_tags(fields, tags_in_payload, tags.into_iter().flatten());
        }
    }
}

fn append_kept_headers(out: &mut Vec<u8>, headers: &Headers, names: &[String]) {
    let mut is_first = true;
    for (number, value) in headers.kept() {
        let Some(name) = names.get(number) else { continue };
        if is_first {
            append_name(out, "kafka_headers");
        }
        out.push(if is_first { b'{' } else { b',' });
        is_first = false;
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
    if !is_first {
        out.push(b'}');
    }
}

/// Appends our tags behind those of the payload: an array's elements, or a single string.
fn append_tags<'t>(out: &mut Vec<u8>, own: Option<&[u8]>, tags: impl Iterator<Item = &'t str>) {
    append_name(out, "tags");
    out.push(b'[');
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
        let parent = members.first_text(&[Known::Traceparent]).and_then(TraceParent::parse);
        let unless_there = |id, object: Known, dotted: Known| {
            let there = members.get(dotted).is_some()
                || members.get(object).is_some_and(|value| value.starts_with(b"{"));
            if there { None } else { id }
        };
        let trace_id = parent
            .map(|p| p.trace_id)
            .or_else(|| members.first_text(&[Known::SnakeTraceId, Known::CamelTraceId]));
        let span_id = parent
            .map(|p| p.span_id)
            .or_else(|| members.first_text(&[Known::SnakeSpanId, Known::CamelSpanId]));
        Self {
            trace_id: unless_there(trace_id, Known::Trace, Known::DottedTraceId),
            span_id: unless_there(span_id, Known::Span, Known::DottedSpanId),
        }
    }
}

//! Collects the fields that only some documents have: trace, correlation id, headers, clashing members and tags.

use std::borrow::Cow;
use std::ops::Range;

use crate::append::{Value, append_json_string, append_member, append_name};
use crate::conflict_text::append_conflict_text;
use crate::exact_field::id_has_words;
use crate::headers::{Headers, TraceParent};
use crate::members::{Known, MemberName, Members, is_reserved};
use crate::rescue::{Rescue, RescueForm};
use crate::unsearched_field::append_unsearched_texts;
use crate::write_error::shortened;

/// Fields of one document. The buffers are kept from one document to the next.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// The fields as JSON text, each with a comma before it: `,"trace":{…},"tags":[…]`.
    pub(crate) fields: Vec<u8>,
    /// Ranges of the payload's members that are removed from it, in order.
    pub(crate) removed: Vec<Range<usize>>,
    /// What goes to `event_text`, as JSON strings and numbers, each with a comma before it.
    words: Vec<u8>,
    /// Ranges of the payload's texts among them.
    texts: Vec<Range<usize>>,
    /// Members for `original`, each with a comma before it.
    moved: Vec<u8>,
    /// Members for `conflict`, each with a comma before it.
    conflicting: Vec<u8>,
}

impl Extra {
    /// Collects the fields of a document from the members of its payload, from its headers (`header_names` are the
    /// configured ones) and from the tags that it gets.
    pub(crate) fn collect(
        &mut self,
        members: &Members<'_>,
        headers: &Headers,
        header_names: &[String],
        tags: &[&str],
        rescue: Option<&Rescue>,
        debezium: &[u8],
    ) {
        let Self { fields, removed, words, texts, moved, conflicting } = self;
        fields.clear();
        words.clear();
        removed.clear();
        moved.clear();
        conflicting.clear();

        let trace = TraceFields::find(headers, members);
        for (field, id) in [("trace", &trace.trace_id), ("span", &trace.span_id)] {
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
            append_words(words, id);
        } else if members.get(Known::CorrelationId).is_none()
            && let Some(id @ [b'"' | b'-' | b'0'..=b'9', ..]) = members.get(Known::CamelCorrelationId)
        {
            append_member(fields, "correlation_id", Value::Json(id));
        }
        if let Some(id) = headers.binary_correlation_id() {
            append_member(
                fields,
                "correlation_id_base64",
                Value::Text(&base64_simd::STANDARD.encode_to_string(id)),
            );
        }
        append_kept_headers(fields, headers, header_names);
        append_cloud_event(fields, headers);
        if !debezium.is_empty() {
            append_member(fields, "debezium", Value::Json(debezium));
        }

        let has_tags = !tags.is_empty();
        let mut tags_in_payload = None;
        // Where the whole payload moves, its members stay together.
        let is_moved_whole =
            rescue.is_some_and(|rescue| matches!(rescue.form, RescueForm::Payload | RescueForm::Text));
        let in_place = if is_moved_whole { &[] } else { members.scanner.members() };
        if !is_moved_whole {
            let mut exact = members.scanner.exact_texts();
            if members.scanner.has_unsearched() {
                texts.clear();
                texts.extend_from_slice(exact);
                append_unsearched_texts(members.text, |name| is_moved(name, rescue), texts);
                texts.sort_unstable_by_key(|text| text.start);
                texts.dedup();
                exact = texts;
            }
            for text in exact {
                words.push(b',');
                words.extend_from_slice(members.text.get(text.clone()).unwrap_or_default());
            }
        }
        for member in in_place {
            let value = members.text.get(member.value.clone()).unwrap_or_default();
            let key = members.text.get(member.key.clone()).unwrap_or_default();
            if rescue.is_some_and(|rescue| rescue.moves(&unquoted(key))) {
                removed.push(member.key.start..member.value.end);
                append_raw_member(conflicting, key, value);
                continue;
            }
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
                    Known::CloudEvent => headers.is_cloud_event(),
                    Known::Debezium => !debezium.is_empty(),
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
                append_raw_member(moved, key, value);
            }
        }
        if let Some(rescue) = rescue {
            append_conflict(fields, rescue, conflicting);
        }
        if let Some(members) = moved.get(1..) {
            append_name(fields, "original");
            fields.push(b'{');
            fields.extend_from_slice(members);
            fields.push(b'}');
        }
        if has_tags {
            append_tags(fields, tags_in_payload, tags.iter().copied());
        }
    }

    /// Appends the words of exact fields: those of the last [`Extra::collect`], and of the record's key.
    pub(crate) fn append_event_text(&mut self, body: &mut Vec<u8>, key: Option<&str>) {
        if let Some(key) = key {
            append_words(&mut self.words, key);
        }
        if let Some(words) = self.words.get(1..) {
            append_name(body, "event_text");
            body.push(b'[');
            body.extend_from_slice(words);
            body.push(b']');
        }
    }
}

/// Appends a key or a correlation id if it has words that differ from the whole value.
fn append_words(out: &mut Vec<u8>, text: &str) {
    if id_has_words(text) {
        out.push(b',');
        append_json_string(out, text);
    }
}

/// Whether a member of that name is below another field, where free text finds it.
fn is_moved(name: &[u8], rescue: Option<&Rescue>) -> bool {
    std::str::from_utf8(name)
        .is_ok_and(|name| is_reserved(name) || rescue.is_some_and(|rescue| rescue.moves(name)))
}

/// The text of a key that stands in quotes.
fn unquoted(key: &[u8]) -> String {
    // A key with an unpaired surrogate is no text, and no field.
    serde_json::from_slice(key).unwrap_or_default()
}

fn append_raw_member(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(b',');
    out.extend_from_slice(key);
    out.push(b':');
    out.extend_from_slice(value);
}

/// Appends what was moved, as it was and as text, and why. `members`, each with a comma before it, are empty where the whole
/// payload moves: it stands in front then.
fn append_conflict(out: &mut Vec<u8>, rescue: &Rescue, members: &mut Vec<u8>) {
    if let Some(comma) = members.first_mut() {
        *comma = b'{';
        members.push(b'}');
        append_member(out, "conflict", Value::Json(members));
        append_name(out, "conflict_text");
        append_conflict_text(out, members);
    }
    append_name(out, "conflict_field");
    out.push(b'[');
    for (position, field) in rescue.fields().into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        append_json_string(out, field);
    }
    out.push(b']');
    append_member(out, "conflict_reason", Value::Text(shortened(&rescue.reason)));
}

fn append_kept_headers(out: &mut Vec<u8>, headers: &Headers, names: &[String]) {
    let kept = headers.kept().filter_map(|(number, value)| Some((names.get(number)?.as_str(), value)));
    append_header_texts(out, "kafka_headers", kept);
}

/// Appends the attributes of a CloudEvents event in binary mode.
fn append_cloud_event(out: &mut Vec<u8>, headers: &Headers) {
    append_header_texts(out, "cloudevent", headers.cloud_event());
}

/// Appends the member `member` with the values of headers, if there are any; one that is not UTF-8 as base64.
fn append_header_texts<'h>(
    out: &mut Vec<u8>,
    member: &str,
    values: impl Iterator<Item = (&'h str, &'h [u8])>,
) {
    let mut is_first = true;
    for (name, value) in values {
        if is_first {
            append_name(out, member);
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

/// Appends our tags behind those of the payload, which are an array or a single string.
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

/// The ids to write as `trace.id` and `span.id`; `None` where the payload has that field itself, or there is no id.
#[derive(Default)]
struct TraceFields<'a> {
    trace_id: Option<Cow<'a, str>>,
    span_id: Option<Cow<'a, str>>,
}

impl<'a> TraceFields<'a> {
    fn find(headers: &'a Headers, members: &Members<'a>) -> Self {
        if let Some(TraceParent { trace_id, span_id }) = headers.traceparent() {
            return Self { trace_id: Some(trace_id.into()), span_id: Some(span_id.into()) };
        }
        if members.scanner.members().is_empty() {
            return Self::default();
        }
        // A context with escapes is read aside: its ids are copied.
        let (parent_trace_id, parent_span_id) = match members.first_text(&[Known::Traceparent]) {
            Some(Cow::Borrowed(text)) => {
                TraceParent::parse(text).map(|p| (Cow::Borrowed(p.trace_id), Cow::Borrowed(p.span_id)))
            }
            Some(Cow::Owned(text)) => TraceParent::parse(&text)
                .map(|p| (Cow::Owned(p.trace_id.to_owned()), Cow::Owned(p.span_id.to_owned()))),
            None => None,
        }
        .unzip();
        let unless_there = |id, object: Known, dotted: Known| {
            let there = members.get(dotted).is_some()
                || members.get(object).is_some_and(|value| value.starts_with(b"{"));
            if there { None } else { id }
        };
        let trace_id =
            parent_trace_id.or_else(|| members.first_text(&[Known::SnakeTraceId, Known::CamelTraceId]));
        let span_id =
            parent_span_id.or_else(|| members.first_text(&[Known::SnakeSpanId, Known::CamelSpanId]));
        Self {
            trace_id: unless_there(trace_id, Known::Trace, Known::DottedTraceId),
            span_id: unless_there(span_id, Known::Span, Known::DottedSpanId),
        }
    }
}

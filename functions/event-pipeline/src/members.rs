//! Finds the members of a payload that the pipeline reads, or that have the name of one of our fields.

use std::borrow::Cow;

use crate::name_table::NameTable;
use crate::object::ObjectScanner;

/// Fields that every document may have from us, and names that the engines keep to themselves. A payload's member of that
/// name always goes to `original`.
const RESERVED: [&str; 45] = [
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
    "kafka_schema_id",
    "kafka_key_schema_id",
    "schema_failure",
    "original",
    "correlation_id_base64",
    "conflict",
    "conflict_field",
    "conflict_reason",
    "conflict_text",
    "event_text",
    // Metadata of OpenSearch and Elasticsearch: refused in a document, or with an effect of its own, such as that of
    // `_doc_count` on counts, https://docs.opensearch.org/latest/mappings/metadata-fields/index/.
    "_id",
    "_index",
    "_type",
    "_uid",
    "_all",
    "_source",
    "_routing",
    "_parent",
    "_doc_count",
    "_field_names",
    "_ignored",
    "_ignored_source",
    "_inference_fields",
    "_seq_no",
    "_primary_term",
    "_version",
    "_size",
    "_nested_path",
    "_tier",
    "_tsid",
    "_feature",
    "_meta",
    "_data_stream_timestamp",
];

/// Whether a payload's member of that name always goes to `original`.
pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// A member that is ours in some documents only, or that such a field is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Trace,
    Span,
    DottedTraceId,
    DottedSpanId,
    CorrelationId,
    Tags,
    Traceparent,
    SnakeTraceId,
    CamelTraceId,
    SnakeSpanId,
    CamelSpanId,
    CamelCorrelationId,
    CloudEvent,
    Debezium,
}

/// Every [`Known`] with its name, in the order of the enum.
const KNOWN: [(Known, &str); 14] = [
    (Known::Trace, "trace"),
    (Known::Span, "span"),
    (Known::DottedTraceId, "trace.id"),
    (Known::DottedSpanId, "span.id"),
    (Known::CorrelationId, "correlation_id"),
    (Known::Tags, "tags"),
    (Known::Traceparent, "traceparent"),
    (Known::SnakeTraceId, "trace_id"),
    (Known::CamelTraceId, "traceId"),
    (Known::SnakeSpanId, "span_id"),
    (Known::CamelSpanId, "spanId"),
    (Known::CamelCorrelationId, "correlationId"),
    (Known::CloudEvent, "cloudevent"),
    (Known::Debezium, "debezium"),
];

/// What the name of a member means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberName {
    /// A field that is always ours.
    Reserved,
    /// One that we treat by itself.
    Known(Known),
    /// One that is only searched for, such as a configured timestamp field.
    Other,
}

impl MemberName {
    /// Returns what the name with this number in [`name_table`] means.
    pub(crate) fn of(number: usize) -> Self {
        match number.checked_sub(RESERVED.len()) {
            None => Self::Reserved,
            Some(place) => KNOWN.get(place).map_or(Self::Other, |(known, _)| Self::Known(*known)),
        }
    }
}

impl Known {
    /// The number of its name in [`name_table`].
    fn number(self) -> usize {
        RESERVED.len() + self as usize
    }
}

/// Makes the table of the names that a payload is searched for: the reserved ones, the known ones, and `more`.
pub(crate) fn name_table<'n>(more: impl Iterator<Item = &'n str>) -> NameTable {
    NameTable::new(RESERVED.into_iter().chain(KNOWN.map(|(_, name)| name)).chain(more))
}

/// The members that a scan of `text` found.
pub(crate) struct Members<'a> {
    pub(crate) scanner: &'a ObjectScanner,
    pub(crate) text: &'a [u8],
}

impl<'a> Members<'a> {
    /// The JSON text of a member's value.
    pub(crate) fn get(&self, known: Known) -> Option<&'a [u8]> {
        self.value(known.number())
    }

    /// The JSON text of the value of the member whose name has this number in [`name_table`].
    pub(crate) fn value(&self, number: usize) -> Option<&'a [u8]> {
        self.text.get(self.scanner.member(number)?.value.clone())
    }

    /// The first of `names` whose value is a string with something in it.
    pub(crate) fn first_text(&self, names: &[Known]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| match self.get(*name)? {
            [b'"', b'"'] => None,
            [b'"', text @ .., b'"'] if !text.contains(&b'\\') => {
                std::str::from_utf8(text).ok().map(Cow::Borrowed)
            }
            quoted @ [b'"', ..] => serde_json::from_slice(quoted).ok().map(Cow::Owned),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_number_and_a_number_by_its_name() {
        let table = name_table(["eventTime", "tags"].into_iter());
        for (known, name) in KNOWN {
            assert_eq!(table.find(name.as_bytes()), Some(known.number()), "{name}");
            assert_eq!(MemberName::of(known.number()), MemberName::Known(known), "{name}");
        }
        for name in RESERVED {
            assert_eq!(table.find(name.as_bytes()).map(MemberName::of), Some(MemberName::Reserved), "{name}");
        }
        assert_eq!(table.find(b"eventTime").map(MemberName::of), Some(MemberName::Other));
    }
}

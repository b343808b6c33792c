//! Reads the headers of a record that documents have: trace context, correlation id and the configured ones.

use std::ops::Range;

use record_formats::frame::{KEY_SCHEMA_ID_HEADER, VALUE_SCHEMA_ID_HEADER};

use crate::header_bytes::read_byte_array;
use crate::json::{JsonError, Scanner};

/// Names of headers with a correlation id, compared without regard to case.
const CORRELATION: [&str; 4] = ["x-correlation-id", "correlation-id", "correlation_id", "correlationid"];
/// Name of the header with the W3C trace context, <https://www.w3.org/TR/trace-context/#traceparent-header>.
const TRACEPARENT: &str = "traceparent";

/// What the headers of a CloudEvents event in binary mode begin with,
/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md#32-binary-content-mode>.
const CLOUD_EVENT: &[u8] = b"ce_";
const CONTENT_TYPE: &str = "content-type";
/// What the content type of an event in structured mode begins with: the event itself has the attributes.
const STRUCTURED: &[u8] = b"application/cloudevents";

/// Trace and parent id of a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceParent<'a> {
    pub(crate) trace_id: &'a str,
    pub(crate) span_id: &'a str,
}

impl<'a> TraceParent<'a> {
    /// Parses `version-traceid-parentid-flags`; `None` if the specification calls it invalid.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (version, trace_id, span_id, flags) =
            (text.get(..2)?, text.get(3..35)?, text.get(36..52)?, text.get(53..55)?);
        let bytes = text.as_bytes();
        let dash = |place: usize| bytes.get(place) == Some(&b'-');
        let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_zero = |part: &str| part.bytes().all(|b| b == b'0');
        let valid = [2, 35, 52].into_iter().all(dash)
            && [version, trace_id, span_id, flags].into_iter().all(is_hex)
            && version != "ff"
            && !is_zero(trace_id)
            && !is_zero(span_id);
        valid.then_some(Self { trace_id, span_id })
    }
}

/// The headers of one record. Its buffers are kept from one record to the next.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    bytes: Vec<u8>,
    traceparent: Option<Range<usize>>,
    correlation_id: Option<Range<usize>>,
    content_type: Option<Range<usize>>,
    /// Names and values of the attributes of a CloudEvents event in binary mode.
    cloud_event: Vec<(Range<usize>, Range<usize>)>,
    value_schema: Option<Range<usize>>,
    key_schema: Option<Range<usize>>,
    /// The value of each configured name.
    kept: Vec<Option<Range<usize>>>,
}

impl Headers {
    /// Reads `[{"name": [bytes]}, …]`. Of several headers with one name the last one counts, as in Kafka's
    /// `Headers.lastHeader`. A header whose value is null or not a list of bytes is ignored.
    ///
    /// # Errors
    /// [`JsonError`] when the list is not JSON, which reading the event does not find out.
    pub(crate) fn read(&mut self, headers: Option<&[u8]>, keep: &[String]) -> Result<(), JsonError> {
        self.bytes.clear();
        (self.traceparent, self.correlation_id, self.content_type) = (None, None, None);
        (self.value_schema, self.key_schema) = (None, None);
        self.cloud_event.clear();
        self.kept.clear();
        self.kept.resize(keep.len(), None);
        let Some(text) = headers else { return Ok(()) };
        let mut scanner = Scanner::new(text);
        scanner.array(|scanner| {
            if scanner.peek()? != b'{' {
                return scanner.value().map(drop);
            }
            scanner.object(|scanner, name| {
                let name = name.unescape();
                let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(&name);
                let is_traceparent = is(TRACEPARENT);
                let is_correlation = CORRELATION.into_iter().any(is);
                let kept = keep.iter().position(|known| is(known));
                let is_special = is(CONTENT_TYPE) || is(VALUE_SCHEMA_ID_HEADER) || is(KEY_SCHEMA_ID_HEADER);
                let attribute = attribute(&name);
                if !is_traceparent && !is_correlation && !is_special && kept.is_none() && attribute.is_none()
                {
                    return scanner.value().map(drop);
                }
                let start = self.bytes.len();
                if !read_byte_array(scanner, &mut self.bytes)? {
                    self.bytes.truncate(start);
                    return Ok(());
                }
                let value = start..self.bytes.len();
                if is_special {
                    let slot = match name.first() {
                        Some(b'c' | b'C') => &mut self.content_type,
                        _ if is(KEY_SCHEMA_ID_HEADER) => &mut self.key_schema,
                        _ => &mut self.value_schema,
                    };
                    *slot = Some(value.clone());
                }
                if let Some(attribute) = attribute {
                    self.note_attribute(attribute, value.clone());
                }
                if let Some(slot) = kept.and_then(|kept| self.kept.get_mut(kept)) {
                    *slot = Some(value.clone());
                }
                if is_traceparent {
                    self.traceparent = Some(value);
                } else if is_correlation && !value.is_empty() {
                    self.correlation_id = Some(value);
                }
                Ok(())
            })
        })?;
        scanner.end()
    }

    /// Notes an attribute. Its name goes behind its value.
    fn note_attribute(&mut self, name: &[u8], value: Range<usize>) {
        let start = self.bytes.len();
        self.bytes.extend(name.iter().map(u8::to_ascii_lowercase));
        let name = start..self.bytes.len();
        let bytes = &self.bytes;
        self.cloud_event.retain(|(other, _)| bytes.get(other.clone()) != bytes.get(name.clone()));
        self.cloud_event.push((name, value));
    }

    /// Whether the record is a CloudEvents event in binary mode.
    pub(crate) fn is_cloud_event(&self) -> bool {
        let is_structured = || {
            let content_type = self.content_type.as_ref().map(|range| self.bytes(range)).unwrap_or_default();
            content_type.get(..STRUCTURED.len()).is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED))
        };
        !self.cloud_event.is_empty() && !is_structured()
    }

    /// The attributes of a CloudEvents event in binary mode, each with its name in lower case; the content type is
    /// `datacontenttype`. None of any other record.
    pub(crate) fn cloud_event(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let content_type = self.content_type.as_ref().map(|range| ("datacontenttype", self.bytes(range)));
        let is_cloud_event = self.is_cloud_event();
        let attributes = self.cloud_event.iter().filter_map(move |(name, value)| {
            let name = std::str::from_utf8(self.bytes(name)).ok()?;
            (name != "datacontenttype" || content_type.is_none()).then(|| (name, self.bytes(value)))
        });
        attributes.chain(content_type).filter(move |_| is_cloud_event)
    }

    /// The attribute `time` of a CloudEvents event in binary mode.
    pub(crate) fn cloud_event_time(&self) -> Option<&str> {
        let (_, value) = self.cloud_event().find(|(name, _)| *name == "time")?;
        std::str::from_utf8(value).ok()
    }

    /// The header that names the schema of the value.
    pub(crate) fn value_schema(&self) -> Option<&[u8]> {
        self.value_schema.as_ref().map(|range| self.bytes(range))
    }

    /// The header that names the schema of the key.
    pub(crate) fn key_schema(&self) -> Option<&[u8]> {
        self.key_schema.as_ref().map(|range| self.bytes(range))
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn text(&self, range: &Option<Range<usize>>) -> Option<&str> {
        std::str::from_utf8(self.bytes(range.as_ref()?)).ok()
    }

    /// The trace context, if there is a valid one.
    pub(crate) fn traceparent(&self) -> Option<TraceParent<'_>> {
        TraceParent::parse(self.text(&self.traceparent)?)
    }

    /// The correlation id, if there is one that is text.
    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.text(&self.correlation_id)
    }

    /// The correlation id where it is not UTF-8.
    pub(crate) fn binary_correlation_id(&self) -> Option<&[u8]> {
        let bytes = self.bytes(self.correlation_id.as_ref()?);
        std::str::from_utf8(bytes).is_err().then_some(bytes)
    }

    /// The configured headers that the record has, each with its position among the configured names.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.kept.iter().enumerate().filter_map(|(i, range)| Some((i, self.bytes(range.as_ref()?))))
    }
}

/// The name of the attribute that a header of this name has: letters and digits, as CloudEvents names them.
fn attribute(header: &[u8]) -> Option<&[u8]> {
    let (start, name) = header.split_at_checked(CLOUD_EVENT.len())?;
    let is_attribute = start.eq_ignore_ascii_case(CLOUD_EVENT)
        && !name.is_empty()
        && name.iter().all(u8::is_ascii_alphanumeric);
    is_attribute.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, keep: &[&str]) -> Headers {
        let mut headers = Headers::default();
        let keep: Vec<String> = keep.iter().map(|name| (*name).to_owned()).collect();
        headers.read(Some(json.as_bytes()), &keep).unwrap();
        headers
    }

    #[test]
    fn bytes_are_read_signed_and_unsigned() {
        let headers =
            read(r#"[{"a":[195,169]},{"B":[-61,-87]},{"c":[300]},{"d":null}]"#, &["a", "b", "c", "d"]);
        assert_eq!(headers.kept().collect::<Vec<_>>(), [(0, "é".as_bytes()), (1, "é".as_bytes())]);
    }

    #[test]
    fn the_attributes_of_an_event_in_binary_mode_are_read() {
        let all = |json| {
            let headers = read(json, &[]);
            let attributes = headers
                .cloud_event()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
            attributes.collect::<Vec<_>>()
        };
        let binary =
            r#"[{"ce_id":[49]},{"CE_Id":[50]},{"ce_a.b":[51]},{"ce_":[52]},{"content-type":[97]},{"x":[1]}]"#;
        assert_eq!(all(binary), ["id=2", "datacontenttype=a"]);
        assert_eq!(all(r#"[{"ce_datacontenttype":[49]},{"Content-Type":[50]}]"#), ["datacontenttype=2"]);
        assert_eq!(all(r#"[{"content-type":[50]}]"#), [""; 0]);
        let structured: Vec<_> = b"Application/CloudEvents+json".iter().map(u8::to_string).collect();
        let structured = format!(r#"[{{"ce_id":[49]}},{{"content-type":[{}]}}]"#, structured.join(","));
        assert_eq!(all(&structured), [""; 0]);
    }

    #[test]
    fn the_last_of_several_headers_counts() {
        let headers = read(r#"[{"X-Correlation-Id":[49]},{"correlation_id":[50]}]"#, &[]);
        assert_eq!(headers.correlation_id(), Some("2"));
    }

    #[test]
    fn a_list_that_is_not_json_is_refused() {
        for json in
            [r#"[{"a":[1 2]}]"#, r#"[{"a":[01]}]"#, "[{\"a\":\"\n\"}]", r#"[{"a":[1]},]"#, "[{]}]", "[1]]"]
        {
            let read = Headers::default().read(Some(json.as_bytes()), &["a".to_owned()]);
            assert!(read.is_err(), "{json}");
        }
    }

    #[test]
    fn only_a_valid_traceparent_counts() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parsed = TraceParent::parse(valid).unwrap();
        assert_eq!(
            (parsed.trace_id, parsed.span_id),
            ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
        );
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }
}

//! Decides which records the function gets, by the mapping's FilterCriteria.
//!
//! The rules for values that are not JSON are those of <https://docs.aws.amazon.com/lambda/latest/dg/kafka-filtering.html>:
//! where a record's data is JSON and its pattern is for plain text or the other way round, or the data is not UTF-8, that
//! part of the pattern is not applied and the rest decides.

use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::{Value, json};

use crate::pattern::{Node, Pattern, PatternError};

/// The patterns of a mapping. Without any, every record passes.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

/// The parts of a record that patterns can match.
#[derive(Clone, Copy, Debug)]
pub struct Filterable<'a> {
    /// The record's topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// A record's key or value, as a pattern sees it.
enum Data {
    /// The record has none.
    Absent,
    /// An object or a list.
    Json(Value),
    /// Any other text.
    Plain(Value),
    /// It is not UTF-8.
    Binary,
}

impl Filter {
    /// Parses the patterns of a mapping.
    ///
    /// # Errors
    /// When one of them can't be used.
    pub fn parse(patterns: &[String]) -> Result<Self, PatternError> {
        Ok(Self { patterns: patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()? })
    }

    /// Whether the function gets a consumed record.
    #[must_use]
    pub fn passes(&self, message: &BorrowedMessage<'_>) -> bool {
        self.patterns.is_empty()
            || self.passes_record(Filterable {
                topic: message.topic(),
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp(),
                key: message.key(),
                value: message.payload(),
            })
    }

    /// Whether the function gets a record.
    #[must_use]
    pub fn passes_record(&self, record: Filterable<'_>) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let (key, value) = (Data::read(record.key), Data::read(record.value));
        self.patterns.iter().any(|pattern| {
            pattern.matches_with(&mut |name, node| match name {
                "key" => key.matches(node),
                "value" => value.matches(node),
                "topic" => node.matches(Some(&json!(record.topic))),
                "partition" => node.matches(Some(&json!(record.partition))),
                "offset" => node.matches(Some(&json!(record.offset))),
                "timestamp" => node.matches(Some(&json!(record.timestamp.to_millis().unwrap_or(-1)))),
                _ => node.matches(None),
            })
        })
    }
}

impl Data {
    fn read(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return Self::Absent };
        let Ok(text) = str::from_utf8(bytes) else { return Self::Binary };
        match serde_json::from_str(text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => Self::Json(value),
            _ => Self::Plain(Value::String(text.to_owned())),
        }
    }

    fn matches(&self, node: &Node) -> bool {
        match (self, node) {
            (Self::Absent, node) => node.matches(None),
            (Self::Json(value), Node::Nested(_)) => node.matches(Some(value)),
            (Self::Plain(text), Node::AnyOf(_)) => node.matches(Some(text)),
            (Self::Json(_), Node::AnyOf(_)) | (Self::Plain(_), Node::Nested(_)) | (Self::Binary, _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(patterns: &[&str], key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
        Filter::parse(&patterns).unwrap().passes_record(Filterable {
            topic: "order.events",
            partition: 2,
            offset: 7,
            timestamp: Timestamp::CreateTime(1_000),
            key,
            value,
        })
    }

    fn value_passes(pattern: &str, value: &str) -> bool {
        passes(&[pattern], None, Some(value.as_bytes()))
    }

    #[test]
    fn without_patterns_everything_passes() {
        assert!(passes(&[], None, None));
    }

    #[test]
    fn json_values_are_matched_by_their_fields() {
        let pattern = r#"{"value":{"device_ID":[{"prefix":"AB"}]}}"#;
        assert!(value_passes(pattern, r#"{"device_ID":"AB1234","session":{}}"#));
        assert!(!value_passes(pattern, r#"{"device_ID":"CD1234"}"#));
        assert!(!value_passes(pattern, "{}"));
    }

    #[test]
    fn plain_values_are_matched_by_their_text() {
        let pattern = r#"{"value":[{"anything-but":["error"]}]}"#;
        assert!(!value_passes(pattern, "error"));
        assert!(value_passes(pattern, "fine"));
    }

    #[test]
    fn a_pattern_for_the_other_kind_of_data_is_not_applied() {
        assert!(value_passes(r#"{"value":{"a":[1]}}"#, "plain"));
        assert!(value_passes(r#"{"value":["plain"]}"#, r#"{"a":1}"#));
        assert!(passes(&[r#"{"value":["plain"]}"#], None, Some(&[0xff, 0xfe])));
        // The rest of the pattern is.
        assert!(!value_passes(r#"{"value":{"a":[1]},"partition":[3]}"#, "plain"));
        assert!(value_passes(r#"{"value":{"a":[1]},"partition":[2]}"#, "plain"));
    }

    #[test]
    fn a_tombstone_has_no_value() {
        assert!(!passes(&[r#"{"value":{"a":[1]}}"#], None, None));
        assert!(passes(&[r#"{"value":[{"exists":false}]}"#], None, None));
        assert!(passes(&[r#"{"value":{"a":[{"exists":false}]}}"#], None, None));
    }

    #[test]
    fn keys_can_be_filtered_on() {
        assert!(passes(&[r#"{"key":[{"prefix":"ord-"}]}"#], Some(b"ord-1"), Some(b"{}")));
        assert!(!passes(&[r#"{"key":[{"prefix":"ord-"}]}"#], Some(b"sku-1"), Some(b"{}")));
        assert!(!passes(&[r#"{"key":[{"prefix":"ord-"}]}"#], None, Some(b"{}")));
    }

    #[test]
    fn one_of_several_filters_is_enough() {
        let patterns = [r#"{"value":{"a":[1]}}"#, r#"{"value":{"b":[2]}}"#];
        assert!(passes(&patterns, None, Some(br#"{"b":2}"#)));
        assert!(!passes(&patterns, None, Some(br#"{"b":3}"#)));
    }
}

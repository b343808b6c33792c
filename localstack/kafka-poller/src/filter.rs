//! Decides which records the function gets, by the mapping's FilterCriteria.
//!
//! Patterns are about the record's `value` alone, and the rules for values that are not JSON are those of
//! <https://docs.aws.amazon.com/lambda/latest/dg/kafka-filtering.html>: where a value is JSON and its pattern is for plain text or
//! the other way round, or the value is not UTF-8, the pattern is not applied.

use serde_json::Value;

use crate::pattern::{Node, Pattern, PatternError};

/// The patterns of a mapping. Without any, every record passes.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

/// Why a mapping's filter can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// It is about something else than the value.
    #[error("filter pattern: Kafka event source mappings filter on `value` alone, not on `{name}`")]
    NotTheValue {
        /// What the pattern names.
        name: String,
    },
}

/// A record's value, as a pattern sees it.
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
    pub fn parse(patterns: &[String]) -> Result<Self, FilterError> {
        let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
        let mut names = patterns.iter().flat_map(Pattern::names);
        match names.find(|name| *name != "value") {
            Some(name) => Err(FilterError::NotTheValue { name: name.to_owned() }),
            None => Ok(Self { patterns }),
        }
    }

    /// Whether the function gets a record with this value; `None` is a tombstone.
    #[must_use]
    pub fn passes_value(&self, value: Option<&[u8]>) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let value = Data::read(value);
        self.patterns.iter().any(|pattern| pattern.matches_with(&mut |_, node| value.matches(node)))
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

    fn parse(patterns: &[&str]) -> Result<Filter, FilterError> {
        Filter::parse(&patterns.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    fn passes(patterns: &[&str], value: Option<&[u8]>) -> bool {
        parse(patterns).unwrap().passes_value(value)
    }

    fn value_passes(pattern: &str, value: &str) -> bool {
        passes(&[pattern], Some(value.as_bytes()))
    }

    #[test]
    fn without_patterns_everything_passes() {
        assert!(passes(&[], None));
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
        assert!(passes(&[r#"{"value":["plain"]}"#], Some(&[0xff, 0xfe])));
    }

    #[test]
    fn a_tombstone_has_no_value() {
        assert!(!passes(&[r#"{"value":{"a":[1]}}"#], None));
        assert!(passes(&[r#"{"value":[{"exists":false}]}"#], None));
        assert!(passes(&[r#"{"value":{"a":[{"exists":false}]}}"#], None));
    }

    #[test]
    fn a_pattern_for_anything_but_the_value_is_refused() {
        for (pattern, name) in [
            (r#"{"key":[{"prefix":"ord-"}]}"#, "key"),
            (r#"{"value":{"a":[1]},"partition":[3]}"#, "partition"),
            (r#"{"$or":[{"value":{"a":[1]}},{"topic":["x"]}]}"#, "topic"),
        ] {
            let error = parse(&[pattern]).unwrap_err().to_string();
            assert!(error.ends_with(&format!("filter on `value` alone, not on `{name}`")), "{error}");
        }
        let either = r#"{"$or":[{"value":{"key":[1]}},{"value":{"topic":[2]}}]}"#;
        assert!(value_passes(either, r#"{"topic":2}"#) && !value_passes(either, r#"{"topic":1}"#));
    }

    #[test]
    fn one_of_several_filters_is_enough() {
        let patterns = [r#"{"value":{"a":[1]}}"#, r#"{"value":{"b":[2]}}"#];
        assert!(passes(&patterns, Some(br#"{"b":2}"#)));
        assert!(!passes(&patterns, Some(br#"{"b":3}"#)));
    }
}

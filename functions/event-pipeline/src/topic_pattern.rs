//! Patterns of topic names, in which `*` stands for any characters.

use std::fmt;

use thiserror::Error;

/// A pattern of topic names. Without a `*` it is one topic's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicPattern(String);

/// The pattern has characters that no topic has, or none at all.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{0}` is no topic: a topic has letters, digits, `.`, `_` and `-`, and `*` stands for any of them")]
pub struct TopicPatternError(pub String);

impl TopicPattern {
    /// Reads a pattern, such as `payments.*`.
    ///
    /// # Errors
    /// [`TopicPatternError`]
    pub fn parse(text: &str) -> Result<Self, TopicPatternError> {
        let text = text.trim();
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
        if text.is_empty() || !text.chars().all(is_allowed) {
            return Err(TopicPatternError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `topic` is one that the pattern says.
    pub fn matches(&self, topic: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else { return self.0 == topic };
        let Some(mut topic) = topic.strip_prefix(start) else { return false };
        let mut parts = rest.split('*').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return topic.ends_with(part);
            }
            let Some(found) = topic.find(part) else { return false };
            topic = topic.get(found + part.len()..).unwrap_or_default();
        }
        true
    }

    /// Whether every topic that `other` matches is one that this matches too.
    pub fn covers(&self, other: &Self) -> bool {
        // No topic has a `*`, so one in `other` that is read as a character is matched by a `*` of this alone.
        self.matches(&other.0)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> TopicPattern {
        TopicPattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (text, topic, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.x", false),
            ("*", "", true),
            ("orders.*", "orders.", true),
            ("*.orders", "x.orders", true),
            ("*.orders", "x.orders.y", false),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "a.c.b", false),
            ("ab*ba", "aba", false),
            ("a*", "a", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("*.events", "order.events", true),
            ("*a*a", "a", false),
            ("a", "A", false),
        ] {
            assert_eq!(pattern(text).matches(topic), expected, "{text} {topic}");
        }
    }

    #[test]
    fn characters_that_no_topic_has_are_refused() {
        for text in ["", " ", "a b", "a/b", "[ab]", "a?", "é"] {
            assert!(TopicPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_those_that_match_no_other_topics() {
        for (wide, narrow, expected) in [
            ("*", "*", true),
            ("*", "a", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.*", true),
            ("a.*", "a*", false),
            ("a.b", "a.*", false),
            ("a*c", "a*b*c", true),
            ("a*b*c", "a*c", false),
            ("*a*", "*ba*", true),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
        }
    }

    proptest! {
        #[test]
        fn what_a_pattern_covers_it_matches(wide in "[ab*]{1,5}", narrow in "[ab*]{1,5}", topic in "[ab]{0,6}") {
            let (wide, narrow) = (pattern(&wide), pattern(&narrow));
            prop_assert!(!wide.covers(&narrow) || !narrow.matches(&topic) || wide.matches(&topic));
        }
    }
}

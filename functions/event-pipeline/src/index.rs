//! Names of daily indices.

use thiserror::Error;

use crate::timestamp::Timestamp;

/// The prefix of a daily index's name, `<prefix>-YYYY.MM.DD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPrefix(String);

/// Bytes of the longest prefix. Index names have at most 255, of which the day takes 11.
pub(crate) const MAX_PREFIX: usize = 244;

/// Whether no index's name can have this character.
pub(crate) fn is_bad_character(character: char) -> bool {
    character.is_whitespace() || character.is_control() || r#",:"*+/\|?#><"#.contains(character)
}

/// The character that `name` begins with, if no index's name can begin with it.
pub(crate) fn has_bad_start(name: &str) -> Option<char> {
    name.chars().next().filter(|first| matches!(first, '_' | '-' | '+' | '.'))
}

/// Says why a text can't be a prefix.
///
/// The rules are those of
/// <https://docs.opensearch.org/latest/api-reference/index-apis/create-index/#index-naming-restrictions>.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IndexPrefixError {
    /// The text is empty.
    #[error("index prefix is empty: give a name such as `microservices`")]
    Empty,
    /// Index names must be lowercase.
    #[error("index prefix `{0}` must be lowercase")]
    NotLowercase(String),
    /// The cluster does not accept names that begin with one of these.
    #[error("index prefix `{0}` must not begin with `_`, `-`, `+` or `.`")]
    BadStart(String),
    /// Index names can't hold some characters.
    #[error(
        r#"index prefix `{0}` must not contain spaces, control characters or any of , : " * + / \ | ? # > <"#
    )]
    BadCharacter(String),
    /// Index names have at most 255 bytes, of which the day takes 11.
    #[error("index prefix `{0}` is longer than 244 bytes")]
    TooLong(String),
}

impl IndexPrefix {
    /// Checks `text` against the cluster's rules for index names.
    pub fn parse(text: &str) -> Result<Self, IndexPrefixError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(IndexPrefixError::Empty);
        }
        if text.chars().any(char::is_uppercase) {
            return Err(IndexPrefixError::NotLowercase(text.to_owned()));
        }
        if has_bad_start(text).is_some() {
            return Err(IndexPrefixError::BadStart(text.to_owned()));
        }
        if text.contains(is_bad_character) {
            return Err(IndexPrefixError::BadCharacter(text.to_owned()));
        }
        if text.len() > MAX_PREFIX {
            return Err(IndexPrefixError::TooLong(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The prefix without the day.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the index of `time`'s UTC day.
    pub fn daily(&self, time: Timestamp) -> String {
        let day = time.day();
        format!("{}-{}", self.0, String::from_utf8_lossy(&day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_named_after_the_utc_day() {
        let prefix = IndexPrefix::parse("microservices").unwrap();
        assert_eq!(
            prefix.daily(Timestamp::from_millis(1_772_360_430_123).unwrap()),
            "microservices-2026.03.01"
        );
    }

    #[test]
    fn prefixes_that_the_cluster_refuses_are_refused() {
        assert_eq!(IndexPrefix::parse(" "), Err(IndexPrefixError::Empty));
        assert_eq!(
            IndexPrefix::parse("Foo").unwrap_err().to_string(),
            "index prefix `Foo` must be lowercase"
        );
        assert_eq!(IndexPrefix::parse("_foo"), Err(IndexPrefixError::BadStart("_foo".into())));
        assert_eq!(IndexPrefix::parse("a b"), Err(IndexPrefixError::BadCharacter("a b".into())));
        assert_eq!(IndexPrefix::parse("a*"), Err(IndexPrefixError::BadCharacter("a*".into())));
        assert!(IndexPrefix::parse(&"a".repeat(245)).is_err());
    }
}

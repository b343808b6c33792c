//! How the keys and values of each topic are encoded.

use thiserror::Error;

use crate::topic_pattern::{TopicPattern, TopicPatternError};

/// How a value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueFormat {
    /// What its first bytes, its headers or the mapping's schema metadata say; JSON or text where they say nothing.
    Auto,
    /// JSON, or what the pipeline makes of other text and bytes. Never in a frame.
    Json,
    /// Avro in a registry's frame.
    Avro,
    /// Protobuf in a registry's frame.
    Protobuf,
    /// JSON in a registry's frame. The registry is not asked: JSON can be read without its schema.
    JsonSchema,
    /// Text that is not read, even if it is JSON.
    Text,
}

/// How a key is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// Text, or base64 where it is not UTF-8.
    Text,
    /// JSON, in a registry's frame or not.
    Json,
    /// Avro in a registry's frame.
    Avro,
    /// Protobuf in a registry's frame.
    Protobuf,
    /// Eight bytes of Kafka's `LongSerializer`.
    Long,
    /// Four bytes of Kafka's `IntegerSerializer`.
    Int,
    /// A UUID, as text or as sixteen bytes.
    Uuid,
    /// Bytes, kept as base64 even if they are text.
    Base64,
}

/// How a value is compressed, besides Kafka's own compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueCompression {
    /// It is not.
    None,
    /// gzip, zstd or a Snappy stream where the first bytes are theirs; not compressed otherwise.
    Auto,
    /// gzip.
    Gzip,
    /// Snappy: a block, or a stream.
    Snappy,
    /// zstd.
    Zstd,
}

/// What becomes of a record whose bytes or schema can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFailures {
    /// It is indexed with its value as base64, with a tag and the reason.
    Index,
    /// It becomes a dead letter, which can be replayed.
    DeadLetter,
}

/// Whether events are taken out of what a tool wraps around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwrap {
    /// They stay as they are.
    None,
    /// A change event of Debezium becomes the row that it is about.
    Debezium,
}

impl ValueFormat {
    /// Words of `VALUE_FORMAT` and of `format`.
    pub const WORDS: [(&str, Self); 6] = [
        ("auto", Self::Auto),
        ("json", Self::Json),
        ("avro", Self::Avro),
        ("protobuf", Self::Protobuf),
        ("json-schema", Self::JsonSchema),
        ("text", Self::Text),
    ];
}

impl KeyFormat {
    /// Words of `KEY_FORMAT` and of `key_format`.
    pub const WORDS: [(&str, Self); 8] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("avro", Self::Avro),
        ("protobuf", Self::Protobuf),
        ("long", Self::Long),
        ("int", Self::Int),
        ("uuid", Self::Uuid),
        ("base64", Self::Base64),
    ];
}

impl ValueCompression {
    /// Words of `VALUE_COMPRESSION` and of `compression`.
    pub const WORDS: [(&str, Self); 5] = [
        ("none", Self::None),
        ("auto", Self::Auto),
        ("gzip", Self::Gzip),
        ("snappy", Self::Snappy),
        ("zstd", Self::Zstd),
    ];
}

impl Unwrap {
    /// Words of `UNWRAP` and of `unwrap`.
    pub const WORDS: [(&str, Self); 2] = [("none", Self::None), ("debezium", Self::Debezium)];
}

/// A setting that topics can have a value of their own of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByTopic<T> {
    default: T,
    /// In order: the first pattern that a topic matches counts.
    patterns: Vec<(TopicPattern, T)>,
}

/// Why a setting by topic can't be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ByTopicError {
    /// The word is none of those that the setting has.
    #[error("`{word}` is not one of {known}")]
    Word {
        /// What was given.
        word: String,
        /// What can be given.
        known: String,
    },
    /// Two elements without a topic.
    #[error("there are two values without a topic, `{0}` and `{1}`")]
    TwoDefaults(String, String),
    /// A pattern is none.
    #[error(transparent)]
    Topic(#[from] TopicPatternError),
}

impl<T: Copy> ByTopic<T> {
    /// The same for every topic.
    pub fn all(value: T) -> Self {
        Self { default: value, patterns: Vec::new() }
    }

    /// Reads `avro`, or `auto,orders.*=avro,payments=protobuf`: an element without a topic is that of all other topics,
    /// `default` where there is none. `*` stands for any characters, and the first pattern that matches counts.
    ///
    /// # Errors
    /// [`ByTopicError`]
    pub fn parse(text: &str, default: T, words: &[(&str, T)]) -> Result<Self, ByTopicError> {
        let value = |word: &str| {
            let known = words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
            known.map(|(_, value)| *value).ok_or_else(|| {
                let known: Vec<_> = words.iter().map(|(known, _)| format!("`{known}`")).collect();
                ByTopicError::Word { word: word.to_owned(), known: known.join(", ") }
            })
        };
        let mut by_topic = Self::all(default);
        let mut first_default: Option<&str> = None;
        for element in text.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            match element.split_once('=') {
                Some((topic, word)) => {
                    let pattern = TopicPattern::parse(topic)?;
                    by_topic.patterns.push((pattern, value(word.trim())?));
                }
                None => {
                    if let Some(first) = first_default.replace(element) {
                        return Err(ByTopicError::TwoDefaults(first.to_owned(), element.to_owned()));
                    }
                    by_topic.default = value(element)?;
                }
            }
        }
        Ok(by_topic)
    }

    /// The value of `topic`.
    pub fn of(&self, topic: &str) -> T {
        let own = self.patterns.iter().find(|(pattern, _)| pattern.matches(topic));
        own.map_or(self.default, |(_, value)| *value)
    }

    /// The values that topics can have.
    pub fn values(&self) -> impl Iterator<Item = T> {
        std::iter::once(self.default).chain(self.patterns.iter().map(|(_, value)| *value))
    }
}

/// How the records of all topics are encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formats {
    /// Their values.
    pub value: ByTopic<ValueFormat>,
    /// Their keys.
    pub key: ByTopic<KeyFormat>,
    /// How their values are compressed.
    pub compression: ByTopic<ValueCompression>,
    /// Bytes of the largest value once it is decompressed, and of its JSON.
    pub max_bytes: usize,
    /// What becomes of those that can't be decoded.
    pub failures: SchemaFailures,
    /// What values are wrapped in.
    pub unwrap: ByTopic<Unwrap>,
}

impl Default for Formats {
    fn default() -> Self {
        Self {
            value: ByTopic::all(ValueFormat::Auto),
            key: ByTopic::all(KeyFormat::Text),
            compression: ByTopic::all(ValueCompression::None),
            max_bytes: 5 * 1024 * 1024,
            failures: SchemaFailures::Index,
            unwrap: ByTopic::all(Unwrap::None),
        }
    }
}

impl Formats {
    /// Whether a topic can have keys or values that only a registry's schemas can read, by its own setting.
    pub fn need_a_registry(&self) -> bool {
        self.value.values().any(|format| matches!(format, ValueFormat::Avro | ValueFormat::Protobuf))
            || self.key.values().any(|format| matches!(format, KeyFormat::Avro | KeyFormat::Protobuf))
    }

    /// How the records of one topic are encoded.
    pub(crate) fn of(&self, topic: &str) -> TopicFormats {
        TopicFormats {
            value: self.value.of(topic),
            key: self.key.of(topic),
            compression: self.compression.of(topic),
            unwrap: self.unwrap.of(topic),
        }
    }
}

/// How the records of one topic are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TopicFormats {
    pub(crate) value: ValueFormat,
    pub(crate) key: KeyFormat,
    pub(crate) compression: ValueCompression,
    pub(crate) unwrap: Unwrap,
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [(&str, u8); 3] = [("auto", 0), ("avro", 1), ("json", 2)];

    fn parse(text: &str) -> Result<ByTopic<u8>, ByTopicError> {
        ByTopic::parse(text, 0, &WORDS)
    }

    #[test]
    fn the_first_pattern_that_a_topic_matches_counts() {
        let by_topic = parse(" orders.*=avro , *.dead=json,JSON, orders.new=json").unwrap();
        for (topic, expected) in
            [("orders.new", 1), ("orders.dead", 1), ("x.dead", 2), ("orders", 2), ("payments.events", 2)]
        {
            assert_eq!(by_topic.of(topic), expected, "{topic}");
        }
        assert_eq!(parse("orders=avro").unwrap().of("payments"), 0);
        assert_eq!(parse("avro").unwrap(), ByTopic::all(1));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |text| parse(text).unwrap_err().to_string();
        assert_eq!(error("xml"), "`xml` is not one of `auto`, `avro`, `json`");
        assert_eq!(error("a=xml"), "`xml` is not one of `auto`, `avro`, `json`");
        assert_eq!(error("auto,avro"), "there are two values without a topic, `auto` and `avro`");
        assert!(error("a b=avro").starts_with("`a b` is no topic"));
        assert!(error("=avro").starts_with("`` is no topic"));
    }
}

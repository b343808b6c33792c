//! The part of a function's configuration that decides how records are indexed.

use std::time::Duration;

use event_pipeline::bulk::BulkLimits;
use event_pipeline::formats::{
    ByTopic, ByTopicError, Formats, KeyFormat, SchemaFailures, Unwrap, ValueCompression, ValueFormat,
};
use event_pipeline::index::IndexPrefix;
use event_pipeline::settings::{DocumentId, Settings};
use lambda_support::registry::RegistryConfig;
use lambda_support::search::SearchConfig;
use lambda_support::variables::{ConfigError, Variables};
use thiserror::Error;

/// Settings of the cluster, the documents and the bulk requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The cluster and its credentials.
    pub search: SearchConfig,
    /// How records become documents.
    pub settings: Settings,
    /// How large a bulk request gets.
    pub limits: BulkLimits,
    /// The schema registry and its credentials, if there is one.
    pub registry: Option<RegistryConfig>,
}

impl Config {
    /// Reads the configuration by `lookup`, which returns a variable's text by its name.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn parse(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(lookup);
        let config = Self::read(&mut variables);
        variables.finish(config)
    }

    /// Reads the configuration from `variables`, for a function with variables of its own. `variables` collects what is
    /// wrong.
    pub fn read(variables: &mut Variables<'_>) -> Option<Self> {
        let defaults = Settings::default();
        let default_limits = BulkLimits::default();
        let registry = RegistryConfig::read(variables);
        let settings = Settings {
            index_prefix: variables.parse_or("INDEX_PREFIX", defaults.index_prefix, IndexPrefix::parse),
            dead_letter_prefix: variables.parse_or(
                "DEAD_LETTER_PREFIX",
                defaults.dead_letter_prefix,
                IndexPrefix::parse,
            ),
            environment: variables.text("ENVIRONMENT").unwrap_or(defaults.environment),
            platform: variables.text("PLATFORM").unwrap_or(defaults.platform),
            topic_suffix: variables.text("TOPIC_SUFFIX").unwrap_or(defaults.topic_suffix),
            timestamp_fields: variables.list_or("TIMESTAMP_FIELDS", defaults.timestamp_fields),
            timestamp_zone: variables.parse_or("TIMESTAMP_ZONE", defaults.timestamp_zone, str::parse),
            max_past_ms: variables.parse_or("TIMESTAMP_MAX_PAST", defaults.max_past_ms, span_ms),
            max_future_ms: variables.parse_or("TIMESTAMP_MAX_FUTURE", defaults.max_future_ms, span_ms),
            header_fields: variables.list_or("HEADER_FIELDS", defaults.header_fields),
            document_id: variables.one_of_or(
                "DOCUMENT_ID",
                defaults.document_id,
                &[("deterministic", DocumentId::Deterministic), ("auto", DocumentId::Auto)],
            ),
            formats: read_formats(variables),
            rules: defaults.rules,
        };
        if settings.index_prefix == settings.dead_letter_prefix {
            variables.problem(
                "DEAD_LETTER_PREFIX",
                "the same as INDEX_PREFIX: dead letters need their own indices",
            );
        }
        let kept = &settings.header_fields;
        if let Some(name) = kept.iter().find(|name| kept.contains(&format!("{name}_base64"))) {
            let what = format!(
                "`{name}` and `{name}_base64` would be one field: the second is where bytes of the first go"
            );
            variables.problem("HEADER_FIELDS", what);
        }
        if settings.formats.need_a_registry() && registry.is_none() {
            variables.problem(
                "SCHEMA_REGISTRY_URL",
                "not set: VALUE_FORMAT or KEY_FORMAT has `avro` or `protobuf`, which only a registry's schemas can read",
            );
        }
        let limits = BulkLimits {
            max_bytes: variables.parse_or("BULK_MAX_BYTES", default_limits.max_bytes, bytes),
            max_operations: variables.parse_or("BULK_MAX_OPERATIONS", default_limits.max_operations, count),
        };
        let search = SearchConfig::read(variables)?;
        Some(Self { search, settings, limits, registry })
    }
}

fn read_formats(variables: &mut Variables<'_>) -> Formats {
    let defaults = Formats::default();
    Formats {
        value: by_topic(variables, "VALUE_FORMAT", defaults.value, ValueFormat::Auto, &ValueFormat::WORDS),
        key: by_topic(variables, "KEY_FORMAT", defaults.key, KeyFormat::Text, &KeyFormat::WORDS),
        compression: by_topic(
            variables,
            "VALUE_COMPRESSION",
            defaults.compression,
            ValueCompression::None,
            &ValueCompression::WORDS,
        ),
        max_bytes: variables.parse_or("VALUE_MAX_BYTES", defaults.max_bytes, bytes),
        failures: variables.one_of_or(
            "SCHEMA_FAILURES",
            defaults.failures,
            &[("index", SchemaFailures::Index), ("dead-letter", SchemaFailures::DeadLetter)],
        ),
        unwrap: by_topic(variables, "UNWRAP", defaults.unwrap, Unwrap::None, &Unwrap::WORDS),
    }
}

fn by_topic<T: Copy>(
    variables: &mut Variables<'_>,
    name: &str,
    unset: ByTopic<T>,
    default: T,
    words: &[(&str, T)],
) -> ByTopic<T> {
    let parse = |text: &str| -> Result<ByTopic<T>, ByTopicError> { ByTopic::parse(text, default, words) };
    variables.parse_or(name, unset, parse)
}

/// Why the text of a variable is not a value.
#[derive(Debug, Error)]
enum ValueError {
    #[error("`{text}` is not a span such as `30d` or `12h`: {source}")]
    Span { text: String, source: humantime::DurationError },
    #[error("`{0}` is too long")]
    TooLong(String),
    #[error("`{text}` is not a size such as `5MiB`: {reason}")]
    Size { text: String, reason: String },
    #[error("`{0}` is not between 1 byte and 2 GiB")]
    SizeOutOfRange(String),
    #[error("`{0}` is not a whole number from 1 on")]
    Count(String),
}

fn span_ms(text: &str) -> Result<i64, ValueError> {
    let span: Duration = humantime::parse_duration(text)
        .map_err(|source| ValueError::Span { text: text.to_owned(), source })?;
    i64::try_from(span.as_millis()).map_err(|_| ValueError::TooLong(text.to_owned()))
}

/// Elasticsearch and OpenSearch take at most 2 GiB in a request; `http.max_content_length` is 100 MB by default.
fn bytes(text: &str) -> Result<usize, ValueError> {
    // The error of bytesize is a text.
    let size: bytesize::ByteSize =
        text.parse().map_err(|reason| ValueError::Size { text: text.to_owned(), reason })?;
    match usize::try_from(size.as_u64()) {
        Ok(bytes @ 1..=0x7fff_ffff) => Ok(bytes),
        _ => Err(ValueError::SizeOutOfRange(text.to_owned())),
    }
}

fn count(text: &str) -> Result<usize, ValueError> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(ValueError::Count(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use event_pipeline::rules::Rules;
    use testing::environment::lookup;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(&lookup(pairs.iter().copied()))
    }

    #[test]
    fn the_endpoint_alone_gives_the_documented_defaults() {
        let config = parse(&[("SEARCH_ENDPOINT", "http://localhost:9200")]).unwrap();
        assert_eq!(config.settings, Settings::default());
        assert_eq!(config.limits, BulkLimits { max_bytes: 5 << 20, max_operations: 5000 });
        assert_eq!((config.settings.max_past_ms, config.settings.max_future_ms), (2_592_000_000, 86_400_000));
    }

    #[test]
    fn every_variable_is_read() {
        let config = parse(&[
            ("SEARCH_ENDPOINT", "http://localhost:9200"),
            ("INDEX_PREFIX", "events"),
            ("DEAD_LETTER_PREFIX", "lost"),
            ("ENVIRONMENT", "prod"),
            ("PLATFORM", "shop"),
            ("TOPIC_SUFFIX", "-v1"),
            ("TIMESTAMP_FIELDS", "at, when"),
            ("TIMESTAMP_ZONE", "Europe/Paris"),
            ("TIMESTAMP_MAX_PAST", "1h"),
            ("TIMESTAMP_MAX_FUTURE", "5m"),
            ("HEADER_FIELDS", "tenant"),
            ("DOCUMENT_ID", "auto"),
            ("BULK_MAX_BYTES", "1MiB"),
            ("SCHEMA_REGISTRY_URL", "http://registry:8081"),
            ("VALUE_FORMAT", "json,orders.*=avro"),
            ("KEY_FORMAT", "long"),
            ("VALUE_COMPRESSION", "zstd,a=none"),
            ("VALUE_MAX_BYTES", "1MiB"),
            ("SCHEMA_FAILURES", "dead-letter"),
            ("UNWRAP", "cdc.*=debezium"),
            ("BULK_MAX_OPERATIONS", "10"),
        ])
        .unwrap();
        let expected = Settings {
            index_prefix: IndexPrefix::parse("events").unwrap(),
            dead_letter_prefix: IndexPrefix::parse("lost").unwrap(),
            environment: "prod".into(),
            platform: "shop".into(),
            topic_suffix: "-v1".into(),
            timestamp_fields: vec!["at".into(), "when".into()],
            timestamp_zone: "Europe/Paris".parse().unwrap(),
            max_past_ms: 3_600_000,
            max_future_ms: 300_000,
            header_fields: vec!["tenant".into()],
            document_id: DocumentId::Auto,
            formats: Formats {
                value: ByTopic::parse("json,orders.*=avro", ValueFormat::Auto, &ValueFormat::WORDS).unwrap(),
                key: ByTopic::all(KeyFormat::Long),
                compression: ByTopic::parse("zstd,a=none", ValueCompression::None, &ValueCompression::WORDS)
                    .unwrap(),
                max_bytes: 1 << 20,
                failures: SchemaFailures::DeadLetter,
                unwrap: ByTopic::parse("cdc.*=debezium", Unwrap::None, &Unwrap::WORDS).unwrap(),
            },
            rules: Rules::default(),
        };
        assert!(config.registry.is_some());
        assert_eq!(config.settings, expected);
        assert_eq!(config.limits, BulkLimits { max_bytes: 1 << 20, max_operations: 10 });
    }

    #[test]
    fn every_bad_variable_is_reported_at_once() {
        let error = parse(&[
            ("INDEX_PREFIX", "Foo"),
            ("TIMESTAMP_MAX_PAST", "long"),
            ("DOCUMENT_ID", "random"),
            ("BULK_MAX_BYTES", "0"),
            ("BULK_MAX_OPERATIONS", "many"),
            ("VALUE_FORMAT", "xml"),
            ("KEY_FORMAT", "a=avro"),
        ])
        .unwrap_err();
        let named: Vec<_> = error.0.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(
            named,
            [
                "INDEX_PREFIX",
                "TIMESTAMP_MAX_PAST",
                "DOCUMENT_ID",
                "VALUE_FORMAT",
                "SCHEMA_REGISTRY_URL",
                "BULK_MAX_BYTES",
                "BULK_MAX_OPERATIONS",
                "SEARCH_ENDPOINT"
            ]
        );
        assert_eq!(error.0[0], "INDEX_PREFIX: index prefix `Foo` must be lowercase");
    }

    #[test]
    fn kept_headers_never_share_a_field() {
        for names in ["tenant,tenant_base64", "tenant_base64,tenant", "a,tenant_base64,b,tenant"] {
            let pairs = [("SEARCH_ENDPOINT", "http://x"), ("HEADER_FIELDS", names)];
            assert!(parse(&pairs).unwrap_err().to_string().contains("HEADER_FIELDS"), "{names}");
        }
    }

    #[test]
    fn dead_letters_have_their_own_indices() {
        let pairs = [("SEARCH_ENDPOINT", "http://x"), ("INDEX_PREFIX", "a"), ("DEAD_LETTER_PREFIX", "a")];
        assert!(parse(&pairs).unwrap_err().to_string().contains("DEAD_LETTER_PREFIX"));
    }
}

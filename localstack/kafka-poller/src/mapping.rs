//! Parses event source mappings as `ListEventSourceMappings` returns them.

use std::time::Duration;

use serde::Deserialize;

use crate::registry_config::{self, RegistryConfig, RegistryConfigError};
use crate::secret::Access;

/// Lambda's default batch size for Kafka.
const DEFAULT_BATCH_SIZE: usize = 100;
/// Lambda's default batching window for Kafka, used when the mapping sets none.
const DEFAULT_WINDOW: Duration = Duration::from_millis(500);
/// With an on-failure destination, Lambda turns infinite retries into this many.
const RETRIES_BEFORE_DESTINATION: u32 = 10;

/// A mapping as the API returns it. Unknown fields are ignored.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Configuration {
    /// The mapping's id.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// `Enabled`, `Disabled` or a transitional state.
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    function_arn: String,
    event_source_arn: Option<String>,
    self_managed_event_source: Option<SelfManagedEventSource>,
    #[serde(default)]
    topics: Vec<String>,
    batch_size: Option<usize>,
    maximum_batching_window_in_seconds: Option<u64>,
    starting_position: Option<String>,
    starting_position_timestamp: Option<f64>,
    self_managed_kafka_event_source_config: Option<KafkaConfig>,
    amazon_managed_kafka_event_source_config: Option<KafkaConfig>,
    #[serde(default)]
    source_access_configurations: Option<Vec<Access>>,
    #[serde(default)]
    function_response_types: Option<Vec<String>>,
    maximum_retry_attempts: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    destination_config: Option<DestinationConfig>,
    filter_criteria: Option<FilterCriteria>,
    provisioned_poller_config: Option<ProvisionedPollers>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct SelfManagedEventSource {
    endpoints: Endpoints,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Endpoints {
    #[serde(rename = "KAFKA_BOOTSTRAP_SERVERS", default)]
    kafka_bootstrap_servers: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct KafkaConfig {
    consumer_group_id: Option<String>,
    schema_registry_config: Option<registry_config::Configuration>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    on_failure: Option<OnFailure>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct OnFailure {
    destination: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct FilterCriteria {
    #[serde(default)]
    filters: Vec<FilterPattern>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct FilterPattern {
    pattern: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct ProvisionedPollers {
    maximum_pollers: Option<usize>,
}

/// A Kafka mapping, with Lambda's defaults for what it does not set.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The mapping's id.
    pub uuid: String,
    /// The function that is invoked.
    pub function_arn: String,
    /// Where the records come from.
    pub source: Source,
    /// The one topic of the mapping.
    pub topic: String,
    /// The Kafka consumer group.
    pub group_id: String,
    /// The most records in a batch.
    pub batch_size: usize,
    /// How long records are gathered for a batch.
    pub window: Duration,
    /// Where a new consumer group begins.
    pub starting_position: StartingPosition,
    /// How to authenticate to the brokers.
    pub source_access: Vec<Access>,
    /// Whether the function's response names the records that failed.
    pub batch_failures: BatchFailures,
    /// What to do with records whose invocation fails.
    pub retries: RetryPolicy,
    /// Where discarded records go: an ARN or `kafka://topic`.
    pub destination: Option<String>,
    /// EventBridge patterns; a record must match one of them, if there are any.
    pub filters: Vec<String>,
    /// The most invocations at once, if the mapping limits them.
    pub maximum_pollers: Option<usize>,
    /// The registry by whose schemas keys and values are validated, if there is one.
    pub registry: Option<RegistryConfig>,
}

/// The kind of Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The mapping contains the brokers.
    SelfManaged {
        /// HOST:PORT of each.
        bootstrap_servers: Vec<String>,
    },
    /// Amazon MSK. The brokers are not in the mapping.
    Msk {
        /// The cluster.
        cluster_arn: String,
    },
}

/// Where a consumer group without offsets begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// The oldest record.
    TrimHorizon,
    /// Records written from now on.
    Latest,
    /// The first record at or after this time, in milliseconds since the epoch.
    AtTimestamp(i64),
}

/// Whether the function's response names failed records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFailures {
    /// Any response that is not an error is a success.
    Ignored,
    /// `ReportBatchItemFailures`: the response names the records that failed.
    Reported,
}

/// What to do with records whose invocation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries after the first invocation; `None` is unlimited.
    pub max_retries: Option<u32>,
    /// The age from which on a record is not sent any more; `None` is unlimited.
    pub max_age_ms: Option<i64>,
    /// Whether a batch that fails is retried in two halves.
    pub split: SplitOnError,
}

/// `BisectBatchOnFunctionError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitOnError {
    /// The batch is retried as it is.
    No,
    /// The batch is retried in two halves.
    Halves,
}

/// Why a mapping can't be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MappingError {
    /// Lambda accepts exactly one topic.
    #[error("mapping {uuid} names {n_topics} topics; a Kafka event source mapping reads exactly one")]
    Topics {
        /// The mapping's id.
        uuid: String,
        /// How many it names.
        n_topics: usize,
    },
    /// A property has a value that Lambda does not accept.
    #[error("mapping {uuid} has {property} `{value}`; expected {expected}")]
    Property {
        /// The mapping's id.
        uuid: String,
        /// The property.
        property: &'static str,
        /// Its value.
        value: String,
        /// The values that it may have.
        expected: &'static str,
    },
    /// The schema registry can't be served.
    #[error("mapping {uuid}: {source}")]
    Registry {
        /// The mapping's id.
        uuid: String,
        /// Why.
        #[source]
        source: RegistryConfigError,
    },
}

impl Mapping {
    /// Parses a Kafka mapping; `None` if `configuration` maps another kind of source.
    ///
    /// # Errors
    /// When the mapping has a setting that can't be served.
    pub fn parse(configuration: &Configuration) -> Option<Result<Self, MappingError>> {
        let source = match (&configuration.self_managed_event_source, &configuration.event_source_arn) {
            (Some(source), _) => {
                Source::SelfManaged { bootstrap_servers: source.endpoints.kafka_bootstrap_servers.clone() }
            }
            (None, Some(arn)) if arn.split(':').nth(2) == Some("kafka") => {
                Source::Msk { cluster_arn: arn.clone() }
            }
            _ => return None,
        };
        Some(Self::with_source(configuration, source))
    }

    fn with_source(configuration: &Configuration, source: Source) -> Result<Self, MappingError> {
        let uuid = &configuration.uuid;
        let [topic] = configuration.topics.as_slice() else {
            return Err(MappingError::Topics { uuid: uuid.clone(), n_topics: configuration.topics.len() });
        };
        let destination = configuration
            .destination_config
            .as_ref()
            .and_then(|config| config.on_failure.as_ref()?.destination.clone())
            .filter(|destination| !destination.is_empty());
        let kafka_config = match source {
            Source::SelfManaged { .. } => &configuration.self_managed_kafka_event_source_config,
            Source::Msk { .. } => &configuration.amazon_managed_kafka_event_source_config,
        };
        let group_id = kafka_config.as_ref().and_then(|config| config.consumer_group_id.clone());
        let registry = kafka_config
            .as_ref()
            .and_then(|config| config.schema_registry_config.as_ref())
            .and_then(RegistryConfig::parse)
            .transpose()
            .map_err(|source| MappingError::Registry { uuid: uuid.clone(), source })?;
        let reported = configuration
            .function_response_types
            .iter()
            .flatten()
            .any(|response_type| response_type == "ReportBatchItemFailures");
        Ok(Self {
            uuid: uuid.clone(),
            function_arn: configuration.function_arn.clone(),
            source,
            topic: topic.clone(),
            group_id: group_id.unwrap_or_else(|| uuid.clone()),
            batch_size: configuration.batch_size.unwrap_or(DEFAULT_BATCH_SIZE).clamp(1, 10_000),
            window: configuration
                .maximum_batching_window_in_seconds
                .map_or(DEFAULT_WINDOW, Duration::from_secs),
            starting_position: starting_position(configuration)?,
            source_access: configuration.source_access_configurations.clone().unwrap_or_default(),
            batch_failures: if reported { BatchFailures::Reported } else { BatchFailures::Ignored },
            retries: retry_policy(configuration, destination.is_some()),
            destination,
            filters: configuration
                .filter_criteria
                .iter()
                .flat_map(|criteria| &criteria.filters)
                .filter_map(|filter| filter.pattern.clone())
                .collect(),
            maximum_pollers: configuration
                .provisioned_poller_config
                .as_ref()
                .and_then(|config| config.maximum_pollers),
            registry,
        })
    }
}

fn starting_position(configuration: &Configuration) -> Result<StartingPosition, MappingError> {
    let property = |value: &str, expected| MappingError::Property {
        uuid: configuration.uuid.clone(),
        property: "StartingPosition",
        value: value.to_owned(),
        expected,
    };
    match configuration.starting_position.as_deref() {
        Some("TRIM_HORIZON") | None => Ok(StartingPosition::TrimHorizon),
        Some("LATEST") => Ok(StartingPosition::Latest),
        Some("AT_TIMESTAMP") => {
            let Some(seconds) = configuration.starting_position_timestamp else {
                return Err(property("AT_TIMESTAMP", "a StartingPositionTimestamp with it"));
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "`as` saturates, and the API's times are small"
            )]
            let timestamp_ms = (seconds * 1_000.0).round() as i64;
            Ok(StartingPosition::AtTimestamp(timestamp_ms))
        }
        Some(other) => Err(property(other, "TRIM_HORIZON, LATEST or AT_TIMESTAMP")),
    }
}

fn retry_policy(configuration: &Configuration, has_destination: bool) -> RetryPolicy {
    // -1 means unlimited, for both.
    let max_retries = configuration.maximum_retry_attempts.and_then(|retries| u32::try_from(retries).ok());
    let max_age_ms = configuration
        .maximum_record_age_in_seconds
        .filter(|age| *age > 0)
        .map(|age| age.saturating_mul(1_000));
    RetryPolicy {
        max_retries: max_retries.or(has_destination.then_some(RETRIES_BEFORE_DESTINATION)),
        max_age_ms,
        split: if configuration.bisect_batch_on_function_error == Some(true) {
            SplitOnError::Halves
        } else {
            SplitOnError::No
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(mut value: Value, more: Value) -> Result<Mapping, MappingError> {
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Mapping::parse(&serde_json::from_value(value).unwrap()).expect("a Kafka mapping")
    }

    fn self_managed() -> Value {
        json!({"UUID": "u-1", "State": "Enabled", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "Topics": ["order.events"],
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092", "b:9092"]}}})
    }

    #[test]
    fn a_mapping_without_settings_has_lambdas_defaults() {
        let expected = Mapping {
            uuid: "u-1".into(),
            function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".into(),
            source: Source::SelfManaged { bootstrap_servers: vec!["a:9092".into(), "b:9092".into()] },
            topic: "order.events".into(),
            group_id: "u-1".into(),
            batch_size: 100,
            window: Duration::from_millis(500),
            starting_position: StartingPosition::TrimHorizon,
            source_access: vec![],
            batch_failures: BatchFailures::Ignored,
            retries: RetryPolicy { max_retries: None, max_age_ms: None, split: SplitOnError::No },
            destination: None,
            filters: vec![],
            maximum_pollers: None,
            registry: None,
        };
        assert_eq!(read(self_managed(), json!({})), Ok(expected.clone()));
        let unset = json!({"MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": -1, "FunctionResponseTypes": [],
            "DestinationConfig": {"OnFailure": {}}, "BisectBatchOnFunctionError": false,
            "SourceAccessConfigurations": [], "FilterCriteria": {"Filters": []}});
        assert_eq!(read(self_managed(), unset), Ok(expected));
    }

    #[test]
    fn every_property_is_parsed() {
        let set = json!({"BatchSize": 500, "MaximumBatchingWindowInSeconds": 5, "StartingPosition": "AT_TIMESTAMP",
            "StartingPositionTimestamp": 1764000000.25,
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "orders"},
            "FunctionResponseTypes": ["ReportBatchItemFailures"], "MaximumRetryAttempts": 3,
            "MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": true,
            "DestinationConfig": {"OnFailure": {"Destination": "kafka://failed"}},
            "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "arn:secret"}],
            "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
            "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 4}});
        let mapping = read(self_managed(), set).unwrap();
        assert_eq!((mapping.batch_size, mapping.window), (500, Duration::from_secs(5)));
        assert_eq!(mapping.starting_position, StartingPosition::AtTimestamp(1_764_000_000_250));
        assert_eq!(mapping.group_id, "orders");
        assert_eq!(mapping.batch_failures, BatchFailures::Reported);
        assert_eq!(
            mapping.retries,
            RetryPolicy { max_retries: Some(3), max_age_ms: Some(60_000), split: SplitOnError::Halves }
        );
        assert_eq!(mapping.destination.as_deref(), Some("kafka://failed"));
        assert_eq!(mapping.source_access, [Access { kind: "BASIC_AUTH".into(), uri: "arn:secret".into() }]);
        assert_eq!((mapping.filters, mapping.maximum_pollers), (vec!["{}".to_owned()], Some(4)));
    }

    #[test]
    fn with_a_destination_unlimited_retries_are_ten() {
        let destination =
            json!({"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:0:q"}}});
        assert_eq!(read(self_managed(), destination).unwrap().retries.max_retries, Some(10));
    }

    #[test]
    fn msk_mappings_are_recognised_by_their_arn_and_others_are_ignored() {
        let of = |arn: &str| {
            let value = json!({"UUID": "u", "EventSourceArn": arn, "Topics": ["t"],
                "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}});
            Mapping::parse(&serde_json::from_value(value).unwrap())
        };
        let mapping = of("arn:aws:kafka:us-east-1:0:cluster/c/1").unwrap().unwrap();
        assert_eq!(
            mapping.source,
            Source::Msk { cluster_arn: "arn:aws:kafka:us-east-1:0:cluster/c/1".into() }
        );
        assert_eq!(mapping.group_id, "g");
        assert!(of("arn:aws:sqs:us-east-1:0:queue").is_none());
    }

    #[test]
    fn a_mapping_that_cannot_be_served_is_an_error() {
        let error = read(self_managed(), json!({"Topics": ["a", "b"]})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "mapping u-1 names 2 topics; a Kafka event source mapping reads exactly one"
        );
        let error = read(self_managed(), json!({"StartingPosition": "AT_TIMESTAMP"})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "mapping u-1 has StartingPosition `AT_TIMESTAMP`; expected a StartingPositionTimestamp with it"
        );
    }
}

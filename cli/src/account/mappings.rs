//! The event source mappings of a function: which topics it reads, as which consumer group, and where a mapping sends what it gives up.

use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::aws_api::{Aws, AwsError};

/// A mapping of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its id.
    pub uuid: String,
    /// The topic.
    pub topic: String,
    /// Its consumer group.
    pub group: String,
    /// The function, with its alias or version.
    pub function_arn: String,
    /// The ARN of its on-failure destination, or `kafka://TOPIC`.
    pub destination: Option<String>,
    /// Whether the mapping decodes records by a schema registry, so that the function gets other bytes than Kafka has.
    pub decodes: bool,
    /// Whether the mapping has an event filter, which drops records without a trace.
    pub filters: bool,
    /// Where it reads.
    pub kafka: KafkaSource,
}

/// The brokers of a mapping, and how it logs in to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaSource {
    /// `HOST:PORT` of self-managed brokers.
    pub bootstrap: Vec<String>,
    /// ARN of the MSK cluster, or of the managed VPC connection to it.
    pub cluster_arn: Option<String>,
    /// Logins, certificates and networks.
    pub access: Vec<Access>,
}

/// A kind of access, such as `SASL_SCRAM_512_AUTH`, and where its secret is:
/// <https://docs.aws.amazon.com/lambda/latest/api/API_SourceAccessConfiguration.html>.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Access {
    /// The kind.
    #[serde(rename = "Type")]
    pub kind: String,
    /// ARN of a secret, or a subnet or security group.
    #[serde(rename = "URI")]
    pub uri: String,
}

/// Why the mappings are not known.
#[derive(Debug, Error)]
pub enum MappingsError {
    /// Lambda can't be asked.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The response has another form.
    #[error("Lambda's list of event source mappings does not have the documented form: {0}")]
    List(#[source] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    event_source_mappings: Vec<Listed>,
    next_marker: Option<String>,
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(rename = "UUID")]
    uuid: String,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    function_arn: String,
    event_source_arn: Option<String>,
    self_managed_event_source: Option<SelfManaged>,
    source_access_configurations: Option<Vec<Access>>,
    self_managed_kafka_event_source_config: Option<KafkaConfig>,
    amazon_managed_kafka_event_source_config: Option<KafkaConfig>,
    destination_config: Option<DestinationConfig>,
    filter_criteria: Option<FilterCriteria>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SelfManaged {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Deserialize, Default)]
struct Endpoints {
    #[serde(rename = "KAFKA_BOOTSTRAP_SERVERS", default)]
    bootstrap: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KafkaConfig {
    consumer_group_id: Option<String>,
    schema_registry_config: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    on_failure: Option<OnFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnFailure {
    destination: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterCriteria {
    #[serde(default)]
    filters: Vec<Value>,
}

/// The mappings of topics to the function of this name, whatever its alias or version.
///
/// # Errors
/// [`MappingsError`]
pub async fn mappings(aws: &Aws, function: &str) -> Result<Vec<Mapping>, MappingsError> {
    let mut found = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let body = aws.event_source_mappings(marker.as_deref()).await?;
        let page: Page = serde_json::from_slice(&body).map_err(MappingsError::List)?;
        found.extend(page.event_source_mappings.into_iter().filter_map(|listed| listed.of(function)));
        match page.next_marker {
            Some(next) if !next.is_empty() && marker.as_ref() != Some(&next) => marker = Some(next),
            _ => return Ok(found),
        }
    }
}

impl Listed {
    /// The mapping, if it is of a topic and of the function.
    fn of(self, function: &str) -> Option<Mapping> {
        // arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
        let is_of_function = self.function_arn.split(':').nth(6) == Some(function);
        let topic = self.topics.into_iter().next().filter(|_| is_of_function)?;
        let kafka =
            self.self_managed_kafka_event_source_config.or(self.amazon_managed_kafka_event_source_config);
        let (group, registry) =
            kafka.map_or((None, None), |kafka| (kafka.consumer_group_id, kafka.schema_registry_config));
        Some(Mapping {
            group: group.unwrap_or_else(|| self.uuid.clone()),
            uuid: self.uuid,
            topic,
            function_arn: self.function_arn,
            destination: self
                .destination_config
                .and_then(|config| config.on_failure)
                .and_then(|failure| failure.destination)
                .filter(|destination| !destination.is_empty()),
            decodes: registry.is_some_and(|registry| registry.as_object().is_some_and(|it| !it.is_empty())),
            filters: self.filter_criteria.is_some_and(|criteria| !criteria.filters.is_empty()),
            kafka: KafkaSource {
                bootstrap: self
                    .self_managed_event_source
                    .map(|it| it.endpoints.bootstrap)
                    .unwrap_or_default(),
                cluster_arn: self.event_source_arn,
                access: self.source_access_configurations.unwrap_or_default(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(value: Value) -> Listed {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_mapping_names_its_group_and_its_destination() {
        let mapping = listed(json!({
            "UUID": "u-1",
            "Topics": ["order.events"],
            "FunctionArn": "arn:aws:lambda:eu-west-1:1:function:index:live",
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"},
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b1:9096", "b2:9096"]}},
            "SourceAccessConfigurations": [{"Type": "SASL_SCRAM_512_AUTH", "URI": "arn:s"}],
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
            "FilterCriteria": {"Filters": [{"Pattern": "{}"}]},
        }));
        let expected = Mapping {
            uuid: "u-1".into(),
            topic: "order.events".into(),
            group: "g".into(),
            function_arn: "arn:aws:lambda:eu-west-1:1:function:index:live".into(),
            destination: Some("arn:aws:s3:::failed".into()),
            decodes: false,
            filters: true,
            kafka: KafkaSource {
                bootstrap: vec!["b1:9096".into(), "b2:9096".into()],
                cluster_arn: None,
                access: vec![Access { kind: "SASL_SCRAM_512_AUTH".into(), uri: "arn:s".into() }],
            },
        };
        assert_eq!(mapping.of("index"), Some(expected));
    }

    #[test]
    fn a_mapping_of_another_function_or_of_a_queue_is_none_of_them() {
        let arn = "arn:aws:lambda:eu-west-1:1:function:index-events";
        assert_eq!(listed(json!({"UUID": "u", "Topics": ["t"], "FunctionArn": arn})).of("index"), None);
        assert_eq!(listed(json!({"UUID": "u", "FunctionArn": arn})).of("index-events"), None);
        let managed = listed(json!({
            "UUID": "u",
            "Topics": ["t"],
            "FunctionArn": arn,
            "SourceAccessConfigurations": null,
            "EventSourceArn": "arn:aws:kafka:r:1:cluster/c/u",
            "AmazonManagedKafkaEventSourceConfig": {"SchemaRegistryConfig": {"SchemaRegistryURI": "x"}},
        }));
        let managed = managed.of("index-events").unwrap();
        assert_eq!((managed.group.as_str(), managed.decodes, managed.filters), ("u", true, false));
        assert_eq!(managed.kafka.cluster_arn.as_deref(), Some("arn:aws:kafka:r:1:cluster/c/u"));
    }
}

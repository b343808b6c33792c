//! Parses the schema registry of a mapping, `SchemaRegistryConfig`.
//!
//! See <https://docs.aws.amazon.com/lambda/latest/api/API_KafkaSchemaRegistryConfig.html>.

use serde::Deserialize;

use crate::secret::Access;

/// A registry as the API returns it. Unknown members are ignored.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub struct Configuration {
    #[serde(rename = "SchemaRegistryURI")]
    schema_registry_uri: Option<String>,
    event_record_format: Option<String>,
    access_configs: Option<Vec<Access>>,
    schema_validation_configs: Option<Vec<SchemaValidation>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct SchemaValidation {
    attribute: Option<String>,
}

/// The registry by whose schemas a mapping's keys and values are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Where its API is.
    pub url: String,
    /// How to log in to it.
    pub access: Vec<Access>,
    /// What the function gets of what is validated.
    pub format: EventRecordFormat,
    /// Which parts of a record are validated.
    pub validated: Validated,
}

/// What the function gets of a validated key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventRecordFormat {
    /// JSON text.
    Json,
    /// The bytes behind the schema's id.
    Source,
}

/// Which parts of a record are validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validated {
    /// The key alone.
    Key,
    /// The value alone.
    Value,
    /// Both.
    KeyAndValue,
}

/// Why a registry can't be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegistryConfigError {
    /// Glue is a service of AWS.
    #[error(
        "SchemaRegistryURI names the Glue registry {arn}, which only AWS serves; here, give the URL of a registry with Confluent's \
         API, such as the local stack's server schema-registry"
    )]
    Glue {
        /// The registry.
        arn: String,
    },
    /// A member has a value that Lambda does not accept.
    #[error("SchemaRegistryConfig has {member} `{value}`; expected {expected}")]
    Member {
        /// The member.
        member: &'static str,
        /// Its value.
        value: String,
        /// The values that it may have.
        expected: &'static str,
    },
}

impl RegistryConfig {
    /// Parses a registry; `None` if none is configured.
    #[must_use]
    pub fn parse(configuration: &Configuration) -> Option<Result<Self, RegistryConfigError>> {
        let uri = configuration.schema_registry_uri.as_deref()?;
        Some(Self::with_uri(configuration, uri))
    }

    fn with_uri(configuration: &Configuration, uri: &str) -> Result<Self, RegistryConfigError> {
        let member = |member, value: &str, expected| RegistryConfigError::Member {
            member,
            value: value.to_owned(),
            expected,
        };
        if uri.starts_with("arn:") {
            return Err(RegistryConfigError::Glue { arn: uri.to_owned() });
        }
        let format = match configuration.event_record_format.as_deref() {
            Some("JSON") => EventRecordFormat::Json,
            Some("SOURCE") => EventRecordFormat::Source,
            other => return Err(member("EventRecordFormat", other.unwrap_or("nothing"), "JSON or SOURCE")),
        };
        let attributes: Vec<&str> = configuration
            .schema_validation_configs
            .iter()
            .flatten()
            .map(|config| config.attribute.as_deref().unwrap_or("nothing"))
            .collect();
        if let Some(other) = attributes.iter().find(|attribute| !["KEY", "VALUE"].contains(attribute)) {
            return Err(member("SchemaValidationConfigs", other, "KEY or VALUE"));
        }
        let validated = match (attributes.contains(&"KEY"), attributes.contains(&"VALUE")) {
            (true, true) => Validated::KeyAndValue,
            (true, false) => Validated::Key,
            (false, true) => Validated::Value,
            (false, false) => return Err(member("SchemaValidationConfigs", "nothing", "KEY or VALUE")),
        };
        let access = configuration.access_configs.clone().unwrap_or_default();
        Ok(Self { url: uri.to_owned(), access, format, validated })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Option<Result<RegistryConfig, RegistryConfigError>> {
        RegistryConfig::parse(&serde_json::from_value(value).unwrap())
    }

    fn refused(value: Value) -> String {
        read(value).unwrap().unwrap_err().to_string()
    }

    #[test]
    fn every_member_is_parsed() {
        let registry = json!({"SchemaRegistryURI": "http://registry:8081", "EventRecordFormat": "SOURCE",
            "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": "arn:secret"}],
            "SchemaValidationConfigs": [{"Attribute": "VALUE"}, {"Attribute": "KEY"}]});
        let expected = RegistryConfig {
            url: "http://registry:8081".into(),
            access: vec![Access { kind: "BASIC_AUTH".into(), uri: "arn:secret".into() }],
            format: EventRecordFormat::Source,
            validated: Validated::KeyAndValue,
        };
        assert_eq!(read(registry), Some(Ok(expected)));
        assert_eq!(read(json!({})), None, "an empty one is how Lambda removes it");
    }

    #[test]
    fn a_glue_registry_is_refused_with_what_can_be_used_here() {
        let arn = "arn:aws:glue:us-east-1:123456789012:registry/events";
        let error = refused(json!({"SchemaRegistryURI": arn, "EventRecordFormat": "JSON",
            "SchemaValidationConfigs": [{"Attribute": "VALUE"}]}));
        assert!(error.contains(arn) && error.contains("which only AWS serves"), "{error}");
        assert!(error.contains("server schema-registry"), "{error}");
    }

    #[test]
    fn what_lambda_does_not_accept_is_refused() {
        let with = |format: Value, validation: Value| json!({"SchemaRegistryURI": "http://r", "EventRecordFormat": format, "SchemaValidationConfigs": validation});
        let value = json!([{"Attribute": "VALUE"}]);
        for (registry, expected) in [
            (with(json!("AVRO"), value.clone()), "EventRecordFormat `AVRO`; expected JSON or SOURCE"),
            (with(Value::Null, value), "EventRecordFormat `nothing`; expected JSON or SOURCE"),
            (with(json!("JSON"), json!([])), "SchemaValidationConfigs `nothing`; expected KEY or VALUE"),
            (with(json!("JSON"), json!([{"Attribute": "HEADERS"}])), "`HEADERS`; expected KEY or VALUE"),
        ] {
            let error = refused(registry);
            assert!(error.ends_with(expected), "{error}");
        }
    }
}

//! The configuration of a run: the cluster, and its settings.

use lambda_support::search::SearchConfig;
use lambda_support::variables::{ConfigError, Variables};
use serde_json::{Map, Value};

use crate::administrator::read_search;
use crate::settings::{PROPERTIES, SettingNames, Settings, read_settings, variable_of};

/// Properties that CloudFormation itself needs, and three that only make it run the function again when they change: another
/// cluster, new code, other rules of topics.
const CLOUDFORMATION_PROPERTIES: [&str; 5] =
    ["ServiceToken", "ServiceTimeout", "Cluster", "FunctionVersion", "PipelineLayer"];

/// A cluster and what it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How to connect to the cluster as its administrator.
    pub search: SearchConfig,
    /// The desired state of the cluster.
    pub settings: Settings,
}

impl Config {
    /// Reads the environment variables of the command line by `lookup`.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn of_command_line(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(lookup);
        let settings = read_settings(&mut variables, SettingNames::Variables);
        let search = read_search(&mut variables);
        check_dashboards(&mut variables, search.as_ref(), &settings, "DASHBOARDS_ENDPOINT");
        variables.finish(search.map(|search| Self { search, settings }))
    }

    /// Reads the properties of a custom resource. Properties that are missing, and `SEARCH_…`, come from the function's
    /// environment by `lookup`.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad property and variable.
    pub fn of_custom_resource(
        properties: &Map<String, Value>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        // Settings are read by the names of properties, the connection by the names of variables.
        let both = |name: &str| {
            if !PROPERTIES.contains(&name) {
                return lookup(name);
            }
            let property = properties.get(name).and_then(text).filter(|text| !text.trim().is_empty());
            property.or_else(|| lookup(&variable_of(name)))
        };
        let mut variables = Variables::new(&both);
        for (name, value) in properties {
            if CLOUDFORMATION_PROPERTIES.contains(&name.as_str()) {
                continue;
            }
            if !PROPERTIES.contains(&name.as_str()) {
                variables.problem(name, format!("unknown; the properties are {}", PROPERTIES.join(", ")));
            } else if text(value).is_none() {
                variables.problem(name, "must be a text, a number or a list of texts");
            }
        }
        let settings = read_settings(&mut variables, SettingNames::Properties);
        let search = SearchConfig::read(&mut variables);
        check_dashboards(&mut variables, search.as_ref(), &settings, "DashboardsEndpoint");
        variables.finish(search.map(|search| Self { search, settings }))
    }
}

/// Records a problem of the setting `name` if Dashboards, which takes the cluster's credentials, would get them unencrypted.
fn check_dashboards(
    variables: &mut Variables<'_>,
    search: Option<&SearchConfig>,
    settings: &Settings,
    name: &str,
) {
    if let (Some(search), Some(endpoint)) = (search, &settings.dashboards_endpoint)
        && let Err(error) = search.check_encryption(endpoint)
    {
        variables.problem(name, error);
    }
}

/// Returns a property as text. CloudFormation sends every value as text; other callers of the function may send numbers.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(elements) => {
            let elements: Option<Vec<_>> =
                elements.iter().map(|element| element.as_str().map(str::to_owned)).collect();
            elements.map(|elements| elements.join(","))
        }
        Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testing::environment::lookup;

    use super::*;
    use crate::settings::{DeleteData, FunctionAuth};
    use crate::values::{Codec, Replicas};

    fn of_variables(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::of_command_line(&lookup(pairs.iter().copied()))
    }

    fn of_properties(properties: &Value) -> Result<Config, ConfigError> {
        let Value::Object(properties) = properties else { panic!("an object") };
        Config::of_custom_resource(properties, &|name| match name {
            "SEARCH_ENDPOINT" => Some("https://search.example.com".into()),
            "SHARDS" => Some("7".into()),
            _ => None,
        })
    }

    #[test]
    fn dashboards_gets_no_credentials_that_others_can_read() {
        let with_dashboards = |endpoint| {
            of_variables(&[
                ("SEARCH_ENDPOINT", "https://x"),
                ("SEARCH_API_KEY", "hunter2"),
                ("DASHBOARDS_ENDPOINT", endpoint),
            ])
        };
        let error = with_dashboards("http://dashboards:5601").unwrap_err().to_string();
        assert!(
            error.contains("DASHBOARDS_ENDPOINT: `http://dashboards:5601/` is not encrypted")
                && !error.contains("hunter2"),
            "{error}"
        );
        assert!(with_dashboards("https://dashboards:5601").is_ok());
        let of_role = of_properties(&json!({"DashboardsEndpoint": "http://dashboards:5601"}));
        assert!(of_role.is_ok(), "nothing is sent");
    }

    #[test]
    fn defaults_apply_without_settings() {
        let settings = of_variables(&[("SEARCH_ENDPOINT", "http://x")]).unwrap().settings;
        assert_eq!(settings.index_prefix, "microservices");
        assert_eq!(settings.dead_letter_prefix, "dead-letters-microservices");
        assert_eq!((settings.retention_days, settings.dead_letter_retention_days), (90, 30));
        assert_eq!((settings.replicas, settings.codec), (Replicas::Auto, Codec::Auto));
        assert_eq!((settings.function_auth, settings.delete_data), (FunctionAuth::None, DeleteData::No));
    }

    #[test]
    fn properties_may_be_texts_or_numbers_and_override_the_environment() {
        let config = of_properties(&json!({
            "ServiceToken": "arn:aws:lambda:eu-west-1:1:function:f", "ServiceTimeout": 600, "RetentionDays": 7,
            "IndexPrefix": "shop", "Replicas": "2", "ReaderBackendRoles": ["a", "b"], "DeleteData": true, "Codec": "",
        }));
        let settings = config.unwrap().settings;
        assert_eq!(settings.retention_days, 7);
        assert_eq!(settings.dead_letter_prefix, "dead-letters-shop");
        assert_eq!(settings.replicas, Replicas::Number(2));
        assert_eq!(settings.reader_backend_roles, ["a", "b"]);
        assert_eq!(settings.delete_data, DeleteData::Yes);
        assert_eq!(settings.shards, 7, "from the environment");
        assert_eq!(of_properties(&json!({"Shards": 3})).unwrap().settings.shards, 3);
    }

    #[test]
    fn every_problem_is_reported_at_once_under_the_name_that_was_given() {
        let error = of_properties(&json!({
            "RetentionDay": "7", "RetentionDays": "0", "IndexPrefix": "Shop", "RefreshInterval": "10", "Replicas": "x",
            "Codec": "best compression", "WriterRoleArn": "writer", "WriterSecretId": "s", "ReplayerSecretId": "s",
            "DashboardsEndpoint": "ftp://x", "Shards": {"n": 1},
        }));
        let text = error.unwrap_err().to_string();
        for expected in [
            "RetentionDay: unknown; the properties are IndexPrefix, ",
            "RetentionDays: `0` is not a whole number from 2 to 36500",
            "IndexPrefix: index prefix `Shop` must be lowercase",
            "RefreshInterval: `10` is not a span",
            "Replicas: `x` is not a whole number from 0 to 20, or `auto`",
            "Codec: `best compression` is not a codec",
            "WriterRoleArn: `writer` is not the ARN",
            "ReplayerSecretId: the writer's secret",
            "WriterSecretId: set, but the functions log in with neither",
            "DashboardsEndpoint: `ftp://x` must begin with",
            "Shards: must be a text",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let error =
            of_variables(&[("RETENTION_DAYS", "x"), ("SEARCH_ENGINE", "solr")]).unwrap_err().to_string();
        for expected in ["- RETENTION_DAYS: `x`", "- SEARCH_ENGINE: `solr`", "- SEARCH_ENDPOINT: not set"] {
            assert!(error.contains(expected), "{expected}\n{error}");
        }
    }

    #[test]
    fn events_and_dead_letters_never_match_each_others_pattern() {
        for (index, dead_letters) in [("a", "a"), ("a", "a-letters"), ("dead-a", "dead")] {
            let error = of_properties(&json!({"IndexPrefix": index, "DeadLetterPrefix": dead_letters}));
            assert!(error.unwrap_err().to_string().contains("Prefix: "), "{index} {dead_letters}");
        }
        assert!(of_properties(&json!({"IndexPrefix": "a", "DeadLetterPrefix": "ab"})).is_ok());
    }

    #[test]
    fn indices_must_be_merged_before_they_are_deleted() {
        let error = of_properties(&json!({"RetentionDays": "2", "ForceMergeAfterDays": "2"})).unwrap_err();
        assert!(error.to_string().contains("ForceMergeAfterDays: 2 is not below the 2 days"), "{error}");
        assert_eq!(of_properties(&json!({"RetentionDays": 2})).unwrap().settings.force_merge_after_days, 1);
    }
}

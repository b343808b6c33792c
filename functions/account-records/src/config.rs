//! The function's own variables. Those of the function that indexes it reads by Lambda's API.

use std::path::PathBuf;

use kafka_to_search::since;
use kafka_to_search::variables::{VariableTexts, is_of_connections};
use lambda_support::variables::{ConfigError, Variables};
use serde::Deserialize;
use thiserror::Error;

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountConfig {
    /// Name of the function that indexes.
    pub index_function: String,
    /// From when on records are counted, unless the event says something else.
    pub since: String,
    /// `HOST:PORT` of the brokers, comma-separated, where they are not those of the mappings.
    pub bootstrap: Option<String>,
    /// Properties of librdkafka, which take the place of those that the mappings' logins give.
    pub properties: Vec<(String, String)>,
    /// The file with the rules of topics.
    pub pipeline_file: Option<PathBuf>,
    /// ARN of the layer version that this file is from.
    pub pipeline_layer: Option<String>,
    /// Variables of the cluster and the registry, which take the place of the indexing function's.
    own: VariableTexts,
}

#[derive(Debug, Error)]
#[error("`{0}` is not NAME=VALUE")]
struct NoProperty(String);

/// The part of a function's configuration that an account needs:
/// <https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html>.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(default)]
    environment: Environment,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    #[serde(default)]
    variables: VariableTexts,
    error: Option<EnvironmentError>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EnvironmentError {
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Layer {
    arn: String,
}

/// Why the indexing function's configuration can't be used.
#[derive(Debug, Error)]
pub enum DeployedError {
    /// It does not have the documented form.
    #[error("the configuration of the function {function} does not have the documented form: {source}")]
    Form {
        /// The function.
        function: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Lambda does not show its variables.
    #[error(
        "Lambda does not show the variables of the function {function}: {message}: let the role of this function decrypt with their \
         key (EnvironmentKmsKeyArn)"
    )]
    Encrypted {
        /// The function.
        function: String,
        /// Lambda's reason.
        message: String,
    },
    /// It works by other rules than this function knows.
    #[error(
        "the function {function} has not the layer {layer} with the rules of topics, but {layers}: deploy this function again with \
         the output PipelineLayerArn of its stack"
    )]
    OtherRules {
        /// The function.
        function: String,
        /// This function's layer.
        layer: String,
        /// Those of the function.
        layers: String,
    },
    /// It works by rules that this function does not know.
    #[error(
        "the function {function} has rules of topics (PIPELINE_FILE), and this function has none: set PipelineLayerArn to the output \
         of this name of its stack"
    )]
    NoRules {
        /// The function.
        function: String,
    },
    /// Variables have bad values.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl AccountConfig {
    /// Reads the configuration from all variables of the environment.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn parse(all: &VariableTexts) -> Result<Self, ConfigError> {
        let lookup = |name: &str| all.get(name).cloned();
        let mut variables = Variables::new(&lookup);
        let index_function = variables.text("INDEX_FUNCTION");
        if index_function.is_none() {
            variables.problem("INDEX_FUNCTION", "not set: give the name of the function that indexes");
        }
        let since = variables
            .parse_or("ACCOUNT_SINCE", "2h".to_owned(), |text| since::parse(text).map(|since| since.text));
        let properties = variables.parse_or("KAFKA_PROPERTIES", Vec::new(), properties);
        let own = all.iter().filter(|(name, _)| is_of_connections(name));
        let config = index_function.map(|index_function| Self {
            index_function,
            since,
            bootstrap: variables.text("KAFKA_BOOTSTRAP_SERVERS"),
            properties,
            pipeline_file: variables.text("PIPELINE_FILE").map(PathBuf::from),
            pipeline_layer: variables.text("PIPELINE_LAYER_ARN"),
            own: own.map(|(name, text)| (name.clone(), text.clone())).collect(),
        });
        variables.finish(config)
    }

    /// Reads the settings of the function that indexes from its configuration, as Lambda gives it in JSON. How to connect to the cluster
    /// and the registry is this function's own affair where it has variables for that.
    ///
    /// # Errors
    /// [`DeployedError`]
    pub fn deployed(&self, configuration: &[u8]) -> Result<indexing::config::Config, DeployedError> {
        let function = || self.index_function.clone();
        let Configuration { environment, layers } = serde_json::from_slice(configuration)
            .map_err(|source| DeployedError::Form { function: function(), source })?;
        if let Some(error) = environment.error {
            return Err(DeployedError::Encrypted { function: function(), message: error.message });
        }
        let variables = environment.variables;
        let has_rules = variables.get("PIPELINE_FILE").is_some_and(|path| !path.trim().is_empty());
        if has_rules && self.pipeline_file.is_none() {
            return Err(DeployedError::NoRules { function: function() });
        }
        if let Some(layer) = self.pipeline_layer.as_ref().filter(|_| has_rules)
            && !layers.iter().any(|each| each.arn == *layer)
        {
            let arns: Vec<String> = layers.into_iter().map(|layer| layer.arn).collect();
            return Err(DeployedError::OtherRules {
                function: function(),
                layer: layer.clone(),
                layers: if arns.is_empty() { "none".into() } else { arns.join(", ") },
            });
        }
        let lookup = |name: &str| match name {
            "PIPELINE_FILE" => None,
            _ => self.own.get(name).or_else(|| variables.get(name)).cloned(),
        };
        Ok(indexing::config::Config::parse(&lookup)?)
    }
}

fn properties(text: &str) -> Result<Vec<(String, String)>, NoProperty> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').ok_or_else(|| NoProperty(text.to_owned()))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use event_pipeline::index::IndexPrefix;
    use serde_json::{Value, json};

    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> VariableTexts {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn config(pairs: &[(&str, &str)]) -> AccountConfig {
        let mut all = texts(pairs);
        all.insert("INDEX_FUNCTION".into(), "index".into());
        AccountConfig::parse(&all).unwrap()
    }

    fn deployed(own: &[(&str, &str)], configuration: &Value) -> Result<indexing::config::Config, String> {
        config(own).deployed(configuration.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_function_that_indexes_is_enough() {
        let expected = AccountConfig {
            index_function: "index".into(),
            since: "2h".into(),
            bootstrap: None,
            properties: Vec::new(),
            pipeline_file: None,
            pipeline_layer: None,
            own: VariableTexts::new(),
        };
        assert_eq!(config(&[]), expected);
        let all = config(&[
            ("ACCOUNT_SINCE", "48h"),
            ("KAFKA_BOOTSTRAP_SERVERS", "b:1"),
            ("KAFKA_PROPERTIES", "security.protocol=SSL, client.rack=a"),
            ("SEARCH_AUTH", "basic"),
            ("HOME", "/"),
        ]);
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(all.properties, [pair("security.protocol", "SSL"), pair("client.rack", "a")]);
        assert_eq!((all.since.as_str(), all.bootstrap.as_deref()), ("48h", Some("b:1")));
        assert_eq!(all.own, texts(&[("SEARCH_AUTH", "basic")]));
    }

    #[test]
    fn every_bad_variable_is_reported_with_what_to_set() {
        let error = AccountConfig::parse(&texts(&[("ACCOUNT_SINCE", "soon"), ("KAFKA_PROPERTIES", "acks")]));
        let error = error.unwrap_err().to_string();
        for part in [
            "- INDEX_FUNCTION: not set: give the name of the function that indexes",
            "- ACCOUNT_SINCE: neither a span such as 24h",
            "- KAFKA_PROPERTIES: `acks` is not NAME=VALUE",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_settings_are_those_of_the_function_that_indexes_and_the_login_is_its_own() {
        let configuration = json!({"Environment": {"Variables": {
            "INDEX_PREFIX": "events", "SEARCH_ENDPOINT": "http://theirs:9200", "SEARCH_AUTH": "none"}}});
        let theirs = deployed(&[], &configuration).unwrap();
        assert_eq!(theirs.settings.index_prefix, IndexPrefix::parse("events").unwrap());
        let ours = deployed(&[("SEARCH_ENDPOINT", "http://ours:9200")], &configuration).unwrap();
        assert_ne!(ours.search, theirs.search);
        assert_eq!(ours.settings, theirs.settings);
    }

    #[test]
    fn rules_that_are_not_those_of_the_function_are_an_error_that_says_what_to_set() {
        let configuration = json!({
            "Environment": {"Variables": {
                "SEARCH_ENDPOINT": "http://s:9200", "PIPELINE_FILE": "/opt/pipeline.yaml"}},
            "Layers": [{"Arn": "arn:layer:3"}],
        });
        let error = deployed(&[], &configuration).unwrap_err();
        assert!(error.contains("set PipelineLayerArn to the output"), "{error}");
        let own = |layer| [("PIPELINE_FILE", "/opt/pipeline.yaml"), ("PIPELINE_LAYER_ARN", layer)];
        let error = deployed(&own("arn:layer:2"), &configuration).unwrap_err();
        assert!(error.contains("not the layer arn:layer:2") && error.contains("but arn:layer:3"), "{error}");
        assert!(deployed(&own("arn:layer:3"), &configuration).is_ok());
    }

    #[test]
    fn variables_that_lambda_does_not_show_are_an_error() {
        let configuration =
            json!({"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "no key"}}});
        let error = deployed(&[], &configuration).unwrap_err();
        assert!(error.contains("does not show the variables of the function index: no key"), "{error}");
    }
}

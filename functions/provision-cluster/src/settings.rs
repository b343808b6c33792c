//! Settings: properties of the custom resource, and environment variables of the command line. Every problem is told at
//! once.

use std::fmt::Display;

use event_pipeline::index::IndexPrefix;
use lambda_support::search::SearchConfig;
use lambda_support::variables::{ConfigError, Variables};
use search_client::endpoint::Endpoint;
use search_client::engine::Engine;
use serde_json::{Map, Value};

/// Every setting, as a property of the custom resource; the variable of the command line is the same in upper case, its
/// words apart by underscores. The last two tell what is done, not what the cluster is to be.
pub const PROPERTIES: [&str; 19] = [
    "IndexPrefix",
    "DeadLetterPrefix",
    "RetentionDays",
    "DeadLetterRetentionDays",
    "ForceMergeAfterDays",
    "SilenceMinutes",
    "Shards",
    "Replicas",
    "RefreshInterval",
    "Codec",
    "FunctionAuth",
    "WriterSecretId",
    "ReplayerSecretId",
    "WriterRoleArn",
    "ReplayerRoleArn",
    "ReaderBackendRoles",
    "DashboardsEndpoint",
    "CredentialRevision",
    "DeleteData",
];

/// Properties that CloudFormation itself needs, and two whose change alone is to run the function again: another cluster,
/// new code.
const CLOUDFORMATION_PROPERTIES: [&str; 4] = ["ServiceToken", "ServiceTimeout", "Cluster", "FunctionVersion"];

/// What is to be done to which cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The cluster, and its administrator's credential.
    pub search: SearchConfig,
    /// What it is to hold.
    pub settings: Settings,
}

/// What the cluster is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The product; `None` asks the cluster.
    pub engine: Option<Engine>,
    /// Daily indices are `<prefix>-YYYY.MM.DD`. It also names all that is made.
    pub index_prefix: String,
    /// The same of the dead letters.
    pub dead_letter_prefix: String,
    /// Daily indices are deleted at this age.
    pub retention_days: u32,
    /// Indices of dead letters are deleted at this age.
    pub dead_letter_retention_days: u32,
    /// Daily indices are merged to one segment at this age.
    pub force_merge_after_days: u32,
    /// A service without events for so long is reported.
    pub silence_minutes: u32,
    /// Primary shards of a daily index.
    pub shards: u32,
    /// Copies of each shard.
    pub replicas: Replicas,
    /// How soon what is written can be found.
    pub refresh_interval: String,
    /// How stored documents are compressed.
    pub codec: Codec,
    /// How the functions log in.
    pub function_auth: FunctionAuth,
    /// Secret that the writer's credential is stored in.
    pub writer_secret_id: Option<String>,
    /// Secret that the replayer's credential is stored in.
    pub replayer_secret_id: Option<String>,
    /// IAM role of index-events.
    pub writer_role_arn: Option<String>,
    /// IAM role of replay-dead-letters.
    pub replayer_role_arn: Option<String>,
    /// Groups of people who may read.
    pub reader_backend_roles: Vec<String>,
    /// URL of OpenSearch Dashboards or Kibana.
    pub dashboards_endpoint: Option<Endpoint>,
    /// A credential that was made under another revision is made anew.
    pub credential_revision: Option<String>,
    /// Whether deleting takes the data too.
    pub delete_data: DeleteData,
}

/// Copies of each shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// One if there is a second node, else none.
    Auto,
    /// So many.
    Number(u32),
}

/// Compression of stored documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Codec {
    /// `zstd_no_dict` where an OpenSearch has it, else `best_compression`.
    Auto,
    /// This one.
    Named(String),
}

/// How the functions log in to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionAuth {
    /// They don't.
    None,
    /// As a user with a password.
    Basic,
    /// With an API key.
    ApiKey,
    /// With signatures of their IAM roles.
    SigV4,
}

/// What becomes of the data when all is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteData {
    /// Indices stay, with the templates and the lifecycle that they need.
    No,
    /// They are deleted.
    Yes,
}

/// The forms that names of settings have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Properties,
    Variables,
}

impl Names {
    fn of(self, property: &str) -> String {
        match self {
            Self::Properties => property.to_owned(),
            Self::Variables => variable_of(property),
        }
    }
}

/// Name of the environment variable of a property: `RETENTION_DAYS` of `RetentionDays`.
pub fn variable_of(property: &str) -> String {
    let mut name = String::new();
    for (position, letter) in property.char_indices() {
        if position > 0 && letter.is_uppercase() {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    name
}

impl Config {
    /// Reads environment variables by `lookup`, as the command line does.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn of_command_line(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(lookup);
        let settings = read(&mut variables, Names::Variables);
        let search = SearchConfig::read_for_command_line(&mut variables);
        variables.finish(search.map(|search| Self { search, settings }))
    }

    /// Reads the properties of a custom resource, and by `lookup` the function's environment: `SEARCH_…`, and what the
    /// properties leave out.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad property and variable.
    pub fn of_custom_resource(
        properties: &Map<String, Value>,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        // The settings are asked for as properties, the way to the cluster as variables.
        let both = |name: &str| {
            if !PROPERTIES.contains(&name) {
                return lookup(name);
            }
            let given = properties.get(name).and_then(text).filter(|text| !text.trim().is_empty());
            given.or_else(|| lookup(&variable_of(name)))
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
        let settings = read(&mut variables, Names::Properties);
        let search = SearchConfig::read(&mut variables);
        variables.finish(search.map(|search| Self { search, settings }))
    }
}

impl Settings {
    /// Reads the settings alone from environment variables, for what needs no cluster.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn of_command_line(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(lookup);
        let settings = read(&mut variables, Names::Variables);
        variables.finish(Some(settings))
    }
}

/// CloudFormation sends texts, whatever a template's value was; tools that call the function may send numbers.
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

fn read(variables: &mut Variables<'_>, names: Names) -> Settings {
    let name = |property: &str| names.of(property);
    let engine = variables.one_of_or(
        "SEARCH_ENGINE",
        None,
        &[
            ("auto", None),
            ("opensearch", Some(Engine::OpenSearch)),
            ("elasticsearch", Some(Engine::Elasticsearch)),
        ],
    );
    let index_prefix = variables.parse_or(&name("IndexPrefix"), "microservices".to_owned(), prefix);
    let dead_letter_prefix =
        variables.parse_or(&name("DeadLetterPrefix"), format!("dead-letters-{index_prefix}"), prefix);
    // At least two, so that an index can be merged before.
    let retention_days = variables.parse_or(&name("RetentionDays"), 90, |text| number(text, 2, 36_500));
    let settings = Settings {
        engine,
        retention_days,
        dead_letter_retention_days: variables
            .parse_or(&name("DeadLetterRetentionDays"), 30, |text| number(text, 1, 36_500)),
        force_merge_after_days: variables.parse_or(
            &name("ForceMergeAfterDays"),
            2.min(retention_days - 1),
            |text| number(text, 1, 36_500),
        ),
        silence_minutes: variables.parse_or(&name("SilenceMinutes"), 15, |text| number(text, 1, 1_440)),
        shards: variables.parse_or(&name("Shards"), 1, |text| number(text, 1, 1_024)),
        replicas: variables.parse_or(&name("Replicas"), Replicas::Auto, replicas),
        refresh_interval: variables.parse_or(&name("RefreshInterval"), "10s".to_owned(), interval),
        codec: variables.parse_or(&name("Codec"), Codec::Auto, codec),
        function_auth: variables.one_of_or(
            &name("FunctionAuth"),
            FunctionAuth::None,
            &[
                ("none", FunctionAuth::None),
                ("basic", FunctionAuth::Basic),
                ("api_key", FunctionAuth::ApiKey),
                ("sigv4", FunctionAuth::SigV4),
            ],
        ),
        writer_secret_id: variables.text(&name("WriterSecretId")),
        replayer_secret_id: variables.text(&name("ReplayerSecretId")),
        writer_role_arn: role_arn(variables, &name("WriterRoleArn")),
        replayer_role_arn: role_arn(variables, &name("ReplayerRoleArn")),
        reader_backend_roles: variables.list_or(&name("ReaderBackendRoles"), Vec::new()),
        dashboards_endpoint: variables
            .parse_or(&name("DashboardsEndpoint"), None, |text| Endpoint::parse(text).map(Some)),
        credential_revision: variables.text(&name("CredentialRevision")),
        delete_data: variables.one_of_or(
            &name("DeleteData"),
            DeleteData::No,
            &[("false", DeleteData::No), ("true", DeleteData::Yes)],
        ),
        index_prefix,
        dead_letter_prefix,
    };
    check_together(&settings, variables, names);
    settings
}

/// Problems of settings with each other.
fn check_together(settings: &Settings, variables: &mut Variables<'_>, names: Names) {
    let mut problem = |property: &str, what: &dyn Display| variables.problem(&names.of(property), what);
    let (index, letters) = (&settings.index_prefix, &settings.dead_letter_prefix);
    if index == letters {
        problem("DeadLetterPrefix", &"the same as the index prefix: dead letters need indices of their own");
    } else if letters.starts_with(&format!("{index}-")) {
        problem(
            "DeadLetterPrefix",
            &format!("`{letters}` is matched by `{index}-*`, the pattern of the events' indices"),
        );
    } else if index.starts_with(&format!("{letters}-")) {
        problem("IndexPrefix", &format!("`{index}` is matched by `{letters}-*`, the dead letters' pattern"));
    }
    if settings.force_merge_after_days >= settings.retention_days {
        problem(
            "ForceMergeAfterDays",
            &format!(
                "{} is not below the {} days after which indices are deleted",
                settings.force_merge_after_days, settings.retention_days
            ),
        );
    }
    if settings.writer_secret_id.is_some() && settings.writer_secret_id == settings.replayer_secret_id {
        problem("ReplayerSecretId", &"the writer's secret: each function needs a credential of its own");
    }
    let takes_secret = matches!(settings.function_auth, FunctionAuth::Basic | FunctionAuth::ApiKey);
    for (property, given) in [
        ("WriterSecretId", settings.writer_secret_id.is_some()),
        ("ReplayerSecretId", settings.replayer_secret_id.is_some()),
    ] {
        if given && !takes_secret {
            problem(property, &"set, but the functions log in with neither `basic` nor `api_key`");
        }
    }
}

/// A prefix that may also stand in names of roles and users, and in a URL as it is.
fn prefix(text: &str) -> Result<String, String> {
    let prefix = IndexPrefix::parse(text).map_err(|error| error.to_string())?;
    if !prefix.as_str().bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-')) {
        return Err(format!("`{text}` may have letters a to z, digits, `_`, `.` and `-`"));
    }
    if prefix.as_str().len() > 64 {
        return Err(format!(
            "`{text}` is longer than 64 characters: names of users and policies begin with it"
        ));
    }
    Ok(prefix.as_str().to_owned())
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a whole number from {least} to {most}")),
    }
}

fn replicas(text: &str) -> Result<Replicas, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Replicas::Auto);
    }
    number(text, 0, 20).map(Replicas::Number).map_err(|error| format!("{error}, or `auto`"))
}

fn interval(text: &str) -> Result<String, String> {
    let number =
        text.strip_suffix("ms").or_else(|| text.strip_suffix('s')).or_else(|| text.strip_suffix('m'));
    let is_span = number.is_some_and(|number| {
        (1..=6).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit()) && number != "0"
    });
    if is_span || text == "-1" {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not a span such as `10s` or `500ms`, or `-1` for never"))
}

fn codec(text: &str) -> Result<Codec, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(Codec::Auto);
    }
    if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        return Err(format!(
            "`{text}` is not a codec such as `best_compression` or `zstd_no_dict`, or `auto`"
        ));
    }
    Ok(Codec::Named(text.to_owned()))
}

fn role_arn(variables: &mut Variables<'_>, name: &str) -> Option<String> {
    variables.parse_or(name, None, |text| {
        if text.starts_with("arn:") && text.contains(":role/") {
            return Ok(Some(text.to_owned()));
        }
        Err(format!("`{text}` is not the ARN of an IAM role"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_variables(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::of_command_line(&|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
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
    fn without_settings_the_defaults_hold() {
        let settings = of_variables(&[("SEARCH_ENDPOINT", "http://x")]).unwrap().settings;
        assert_eq!(settings.index_prefix, "microservices");
        assert_eq!(settings.dead_letter_prefix, "dead-letters-microservices");
        assert_eq!((settings.retention_days, settings.dead_letter_retention_days), (90, 30));
        assert_eq!((settings.replicas, settings.codec), (Replicas::Auto, Codec::Auto));
        assert_eq!((settings.function_auth, settings.delete_data), (FunctionAuth::None, DeleteData::No));
    }

    #[test]
    fn properties_come_as_texts_or_numbers_and_win_over_the_environment() {
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
        assert_eq!(settings.shards, 7, "of the environment");
        assert_eq!(of_properties(&json!({"Shards": 3})).unwrap().settings.shards, 3);
    }

    #[test]
    fn every_problem_is_told_at_once_under_the_name_that_was_given() {
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
    fn indices_of_one_kind_never_match_the_pattern_of_the_other() {
        for (index, letters) in [("a", "a"), ("a", "a-letters"), ("dead-a", "dead")] {
            let error = of_properties(&json!({"IndexPrefix": index, "DeadLetterPrefix": letters}));
            assert!(error.unwrap_err().to_string().contains("Prefix: "), "{index} {letters}");
        }
        assert!(of_properties(&json!({"IndexPrefix": "a", "DeadLetterPrefix": "ab"})).is_ok());
    }

    #[test]
    fn indices_are_merged_before_they_are_deleted() {
        let error = of_properties(&json!({"RetentionDays": "2", "ForceMergeAfterDays": "2"})).unwrap_err();
        assert!(error.to_string().contains("ForceMergeAfterDays: 2 is not below the 2 days"), "{error}");
        assert_eq!(of_properties(&json!({"RetentionDays": 2})).unwrap().settings.force_merge_after_days, 1);
    }

    #[test]
    fn the_readme_explains_every_property() {
        let readme = include_str!("../README.md");
        let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        for property in PROPERTIES {
            assert!(rows.iter().any(|row| row.contains(&format!("`{property}`"))), "{property}");
        }
    }

    #[test]
    fn a_propertys_variable_is_its_name_in_upper_case() {
        assert_eq!(variable_of("DeadLetterRetentionDays"), "DEAD_LETTER_RETENTION_DAYS");
        assert_eq!(variable_of("Codec"), "CODEC");
    }
}

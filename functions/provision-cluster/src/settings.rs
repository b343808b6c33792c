//! Settings: what the cluster is to hold, as properties of the custom resource or variables of the command line.

use std::fmt::Display;

use lambda_support::variables::{ConfigError, Variables};
use search_client::endpoint::Endpoint;
use search_client::engine::Engine;

use crate::event_indices::{IndexPattern, read_routed};
use crate::values::{Codec, Replicas, codec, interval, number, prefix, replicas, role_arn};

/// Every setting, as a property of the custom resource. [`variable_of`] gives its variable. The last two control the run,
/// not what the cluster holds.
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

/// The variable with the path of the rules of topics, for the function and the command line.
pub const PIPELINE_FILE: &str = "PIPELINE_FILE";

/// What the cluster is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The product; `None` detects it.
    pub engine: Option<Engine>,
    /// Prefix of the daily indices `<prefix>-YYYY.MM.DD`, and of the names of everything that is created.
    pub index_prefix: String,
    /// Indices that the rules of topics route events to, besides those of the prefix.
    pub routed_indices: Vec<IndexPattern>,
    /// Prefix of the dead-letter indices.
    pub dead_letter_prefix: String,
    /// Daily indices are deleted at this age.
    pub retention_days: u32,
    /// Dead-letter indices are deleted at this age.
    pub dead_letter_retention_days: u32,
    /// Daily indices are merged to one segment at this age.
    pub force_merge_after_days: u32,
    /// A service without events for this time raises an alert.
    pub silence_minutes: u32,
    /// Primary shards of a daily index.
    pub shards: u32,
    /// Copies of each shard.
    pub replicas: Replicas,
    /// How soon a written document can be found.
    pub refresh_interval: String,
    /// How stored documents are compressed.
    pub codec: Codec,
    /// How the functions log in.
    pub function_auth: FunctionAuth,
    /// Id of the secret for the writer's credential.
    pub writer_secret_id: Option<String>,
    /// Id of the secret for the replayer's credential.
    pub replayer_secret_id: Option<String>,
    /// IAM role of index-events.
    pub writer_role_arn: Option<String>,
    /// IAM role of replay-dead-letters.
    pub replayer_role_arn: Option<String>,
    /// Backend roles of people who may read.
    pub reader_backend_roles: Vec<String>,
    /// URL of OpenSearch Dashboards or Kibana.
    pub dashboards_endpoint: Option<Endpoint>,
    /// Credentials of another revision are replaced.
    pub credential_revision: Option<String>,
    /// Whether `delete` removes the data too.
    pub delete_data: DeleteData,
}

/// How the functions log in to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionAuth {
    /// Without a credential.
    None,
    /// As a user with a password.
    Basic,
    /// With an API key.
    ApiKey,
    /// With requests signed by their IAM roles.
    SigV4,
}

/// Whether `delete` removes the data too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteData {
    /// Indices stay, with the templates and the lifecycle that they need.
    No,
    /// Indices are deleted, then their templates and lifecycle.
    Yes,
}

/// How settings are named where they are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingNames {
    Properties,
    Variables,
}

impl SettingNames {
    fn of(self, property: &str) -> String {
        match self {
            Self::Properties => property.to_owned(),
            Self::Variables => variable_of(property),
        }
    }
}

/// Returns the environment variable of a property: `RETENTION_DAYS` for `RetentionDays`.
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

impl Settings {
    /// Returns the patterns of the events' indices, the prefix's own first.
    pub fn event_indices(&self) -> Vec<IndexPattern> {
        let own = IndexPattern::daily(&self.index_prefix);
        std::iter::once(own).chain(self.routed_indices.iter().cloned()).collect()
    }

    /// Returns the patterns of the events' indices as the cluster takes them.
    pub fn event_patterns(&self) -> Vec<String> {
        self.event_indices().iter().map(IndexPattern::text).collect()
    }

    /// Reads the settings alone from environment variables, for commands that need no cluster.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn of_command_line(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut variables = Variables::new(lookup);
        let settings = read_settings(&mut variables, SettingNames::Variables);
        variables.finish(Some(settings))
    }
}

/// Reads the settings under their names in `variables`, and records their problems.
pub(crate) fn read_settings(variables: &mut Variables<'_>, names: SettingNames) -> Settings {
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
    let routed_indices =
        variables.parse_or(PIPELINE_FILE, Vec::new(), |path| read_routed(path, &index_prefix));
    // At least two days, so that an index can be merged before it is deleted.
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
        writer_role_arn: optional_role_arn(variables, &name("WriterRoleArn")),
        replayer_role_arn: optional_role_arn(variables, &name("ReplayerRoleArn")),
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
        routed_indices,
        dead_letter_prefix,
    };
    check_together(&settings, variables, names);
    settings
}

/// Records problems of settings that do not go together.
fn check_together(settings: &Settings, variables: &mut Variables<'_>, names: SettingNames) {
    let mut problem = |property: &str, what: &dyn Display| variables.problem(&names.of(property), what);
    let (index, dead_letters) = (&settings.index_prefix, &settings.dead_letter_prefix);
    if index == dead_letters {
        problem("DeadLetterPrefix", &"the same as the index prefix: dead letters need indices of their own");
    } else if dead_letters.starts_with(&format!("{index}-")) {
        problem(
            "DeadLetterPrefix",
            &format!("`{dead_letters}` is matched by `{index}-*`, the pattern of the events' indices"),
        );
    } else if index.starts_with(&format!("{dead_letters}-")) {
        problem(
            "IndexPrefix",
            &format!("`{index}` is matched by `{dead_letters}-*`, the dead letters' pattern"),
        );
    }
    // Not a setting's name: the file has it under `index`.
    for pattern in &settings.routed_indices {
        let of_dead_letters = format!("{dead_letters}-");
        if of_dead_letters.starts_with(pattern.fixed()) || pattern.fixed().starts_with(&of_dead_letters) {
            variables.problem(
                PIPELINE_FILE,
                format!(
                    "events are routed to indices `{}`, which are those of the dead letters, `{dead_letters}-*`: name others",
                    pattern.text()
                ),
            );
        }
    }
    let mut problem = |property: &str, what: &dyn Display| variables.problem(&names.of(property), what);
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

fn optional_role_arn(variables: &mut Variables<'_>, name: &str) -> Option<String> {
    variables.parse_or(name, None, |text| role_arn(text).map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_documents_every_property() {
        let readme = include_str!("../README.md");
        let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        for property in PROPERTIES {
            assert!(rows.iter().any(|row| row.contains(&format!("`{property}`"))), "{property}");
        }
    }

    #[test]
    fn the_variable_of_a_property_is_its_name_in_upper_case() {
        assert_eq!(variable_of("DeadLetterRetentionDays"), "DEAD_LETTER_RETENTION_DAYS");
        assert_eq!(variable_of("Codec"), "CODEC");
    }
}

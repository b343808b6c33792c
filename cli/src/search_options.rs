//! Which cluster a command asks, and in which indices it looks.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use event_pipeline::settings::Settings;
use indexing::config::Config;
use lambda_support::variables::ConfigError;

use crate::pipeline::{self, DEFAULT_FILE};
use crate::variables::{VariableTexts, is_of_connections};

/// The cluster and its indices.
#[derive(Debug, Clone, Default, Args)]
pub struct SearchOptions {
    /// URL of the cluster, instead of SEARCH_ENDPOINT
    #[arg(long)]
    pub search: Option<String>,
    /// Pattern of indices that events are in so far, besides those of INDEX_PREFIX, of the file of rules and of infra/pipeline.yaml.
    /// Repeatable
    #[arg(long = "index", value_name = "PATTERN")]
    pub indices: Vec<String>,
}

impl SearchOptions {
    /// The configuration: the function's settings by the file of variables, and how to connect by it and the environment.
    ///
    /// # Errors
    /// [`ConfigError`] with every bad variable.
    pub fn config(&self, variables: &VariableTexts) -> Result<Config, ConfigError> {
        let lookup = |name: &str| match (name, &self.search) {
            ("SEARCH_ENDPOINT", Some(url)) => Some(url.clone()),
            ("SEARCH_DOMAIN", Some(_)) | ("PIPELINE_FILE", _) => None,
            _ => {
                let environment = || std::env::var(name).ok().filter(|_| is_of_connections(name));
                variables.get(name).cloned().or_else(environment)
            }
        };
        Config::parse(&lookup)
    }

    /// Patterns of the indices that events or their dead letters may be in so far.
    pub fn index_patterns(
        &self,
        settings: &Settings,
        of_file: impl IntoIterator<Item = String>,
    ) -> BTreeSet<String> {
        let mut patterns =
            deployed_patterns(settings, of_file.into_iter().chain(self.indices.iter().cloned()));
        // What is deployed is likely to be that. One that can't be read has no part here.
        if let Ok(file) = pipeline::load(Path::new(DEFAULT_FILE)) {
            patterns.extend(file.index_patterns());
        }
        patterns
    }
}

/// Patterns of the indices that a function with `settings` writes events or their dead letters to; `of_rules` are those of its rules.
pub fn deployed_patterns(
    settings: &Settings,
    of_rules: impl IntoIterator<Item = String>,
) -> BTreeSet<String> {
    let own = [&settings.index_prefix, &settings.dead_letter_prefix];
    of_rules.into_iter().chain(own.map(|prefix| format!("{}-*", prefix.as_str()))).collect()
}

//! What a command works with: the function's settings, read from files.

use std::path::{Path, PathBuf};

use clap::Args;
use event_pipeline::rules::{MissingSalt, Rules};
use event_pipeline::salt::{SaltError, Salts};
use event_pipeline::settings::Settings;
use indexing::config::Config;
use lambda_support::variables::ConfigError;
use thiserror::Error;

use crate::pipeline::{self, DEFAULT_FILE, PipelineError};
use crate::variables::{self, VariableTexts, VariablesError};

/// Where the settings are.
#[derive(Debug, Clone, Args)]
pub struct SetupOptions {
    /// The function's variables: lines `NAME=value`, or what `aws lambda get-function-configuration` prints. By default none are
    /// set, whatever this shell has
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// The rules of topics. By default infra/pipeline.yaml, where there is one
    #[arg(long, value_name = "FILE")]
    pub pipeline: Option<PathBuf>,
}

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How records become documents.
    pub settings: Settings,
    /// Stand-ins for the salts of the rules.
    pub salts: Salts,
    /// Whether the function asks a schema registry.
    pub has_registry: bool,
    /// The file with the rules; `None` if there are no rules.
    pub pipeline: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file with the variables has another form.
    #[error("{}: {source}", path.display())]
    Variables {
        /// The file.
        path: PathBuf,
        /// Why.
        source: VariablesError,
    },
    /// Variables have bad values.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The rules can't be read.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A stand-in for a salt is not one.
    #[error("a stand-in for a salt is none: {0}")]
    Salt(#[from] SaltError),
    /// A salt is missing.
    #[error(transparent)]
    MissingSalt(#[from] MissingSalt),
}

/// Reads the text of a file.
///
/// # Errors
/// [`SetupError::Read`], which names the file.
pub fn read_text(path: &Path) -> Result<String, SetupError> {
    std::fs::read_to_string(path).map_err(|source| SetupError::Read { path: path.to_owned(), source })
}

impl SetupOptions {
    /// Reads the variables.
    ///
    /// # Errors
    /// [`SetupError`]
    pub fn variables(&self) -> Result<VariableTexts, SetupError> {
        let Some(path) = &self.env_file else { return Ok(VariableTexts::new()) };
        variables::parse(&read_text(path)?)
            .map_err(|source| SetupError::Variables { path: path.clone(), source })
    }

    /// The file with the rules; `None` if there are no rules.
    pub fn pipeline(&self) -> Option<PathBuf> {
        let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists());
        self.pipeline.clone().or_else(default)
    }

    /// Reads the settings of the function, with the rules of topics.
    ///
    /// # Errors
    /// [`SetupError`]
    pub fn load(&self) -> Result<Setup, SetupError> {
        setup(&self.variables()?, self.pipeline())
    }
}

/// The settings that `variables` give, with the rules in the file `pipeline`.
///
/// # Errors
/// [`SetupError`]
pub fn setup(variables: &VariableTexts, pipeline: Option<PathBuf>) -> Result<Setup, SetupError> {
    let mut settings = settings(variables)?;
    let mut salts = Salts::new();
    if let Some(path) = &pipeline {
        (settings.rules, salts, _) = rules(path)?;
    }
    Ok(Setup { settings, salts, has_registry: has_registry(variables), pipeline })
}

/// The rules in the file at `path`, the stand-ins for their salts, and the patterns of the indices that they write to.
///
/// # Errors
/// [`SetupError`]
pub fn rules(path: &Path) -> Result<(Rules, Salts, Vec<String>), SetupError> {
    let file = pipeline::load(path)?;
    let (salts, patterns) = (pipeline::stand_in_salts(&file)?, file.index_patterns());
    Ok((file.rules(&salts)?, salts, patterns))
}

/// The settings that `variables` give. How the function connects to its cluster and its registry does not matter here.
///
/// # Errors
/// [`SetupError::Config`] with every bad variable.
pub fn settings(variables: &VariableTexts) -> Result<Settings, SetupError> {
    let lookup = |name: &str| match name {
        "SEARCH_ENDPOINT" => Some("http://localhost:9200".to_owned()),
        "SCHEMA_REGISTRY_URL" => Some("http://localhost:8081".to_owned()),
        "PIPELINE_FILE" => None,
        _ if name.starts_with("SEARCH_") || name.starts_with("SCHEMA_REGISTRY_") => None,
        _ => variables.get(name).cloned(),
    };
    Ok(Config::parse(&lookup)?.settings)
}

/// Whether the function with these variables asks a schema registry.
fn has_registry(variables: &VariableTexts) -> bool {
    let is_set = |name| variables.get(name).is_some_and(|text: &String| !text.trim().is_empty());
    is_set("SCHEMA_REGISTRY_URL") || is_set("SCHEMA_REGISTRY_AUTH")
}

#[cfg(test)]
mod tests {
    use event_pipeline::index::IndexPrefix;

    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> VariableTexts {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_variables_of_a_deployed_function_give_its_settings() {
        let variables = texts(&[
            ("INDEX_PREFIX", "events"),
            ("VALUE_FORMAT", "avro"),
            ("SEARCH_DOMAIN", "ours"),
            ("SEARCH_AUTH", "sigv4"),
            ("SCHEMA_REGISTRY_AUTH", "glue"),
        ]);
        let settings = settings(&variables).unwrap();
        assert_eq!(settings.index_prefix, IndexPrefix::parse("events").unwrap());
        assert!(has_registry(&variables));
        assert!(!has_registry(&texts(&[("SCHEMA_REGISTRY_URL", " ")])));
    }

    #[test]
    fn every_bad_variable_is_reported() {
        let error = settings(&texts(&[("INDEX_PREFIX", "A"), ("DOCUMENT_ID", "x")])).unwrap_err().to_string();
        assert!(error.contains("INDEX_PREFIX: ") && error.contains("DOCUMENT_ID: "), "{error}");
    }
}

//! Reads the file with the rules of topics, and the salts that it names, at the start of a function.

use std::io;
use std::path::PathBuf;

use event_pipeline::rules::{MissingSalt, TopicRules};
use event_pipeline::salt::{Salt, SaltError, Salts};
use event_pipeline::transform::TransformCompiler;
use lambda_support::secrets::{SecretStore, StoreError};
use pipeline_file::{PipelineFile, PipelineFileError};
use thiserror::Error;

use crate::config::Config;

/// Why the rules of topics can't be used. The text names the variable, and the place in the file.
#[derive(Debug, Error)]
pub enum RulesError {
    /// The file is not there, or can't be read.
    #[error(
        "PIPELINE_FILE: `{}` can't be read: {source}: leave the variable out for no rules, or give the function the layer with \
         the file", path.display()
    )]
    Read {
        /// Where the file should be.
        path: PathBuf,
        /// Why it can't be read.
        source: io::Error,
    },
    /// The file has problems.
    #[error("PIPELINE_FILE: the file is not valid:{}", list(&source.lines(path)))]
    File {
        /// Where the file is.
        path: PathBuf,
        /// Its problems.
        source: PipelineFileError,
    },
    /// The file does not go with the variables.
    #[error("PIPELINE_FILE: `{}` does not go with the variables:{}", path.display(), list(problems))]
    Variables {
        /// Where the file is.
        path: PathBuf,
        /// What does not.
        problems: Vec<String>,
    },
    /// A secret can't be read.
    #[error("PIPELINE_FILE: {0}")]
    Store(#[from] StoreError),
    /// A secret does not exist, or has no value.
    #[error("PIPELINE_FILE: the secret `{0}`, a salt, does not exist or has no value")]
    NoSalt(String),
    /// A secret is no salt.
    #[error("PIPELINE_FILE: the secret `{name}` is no salt: {source}")]
    Salt {
        /// Name of the secret.
        name: String,
        /// Why it is none.
        source: SaltError,
    },
    /// A salt was not read.
    #[error("PIPELINE_FILE: {0}")]
    MissingSalt(#[from] MissingSalt),
}

fn list(problems: &[String]) -> String {
    problems.iter().map(|problem| format!("\n- {problem}")).collect()
}

/// Returns `config` with the rules of the file that `PIPELINE_FILE` names; as it is where there is no such file. `compiler` compiles
/// the scripts in it, and `secrets` has the salts.
///
/// # Errors
/// [`RulesError`]
pub async fn with_rules(
    mut config: Config,
    compiler: &dyn TransformCompiler,
    secrets: &dyn SecretStore,
) -> Result<Config, RulesError> {
    let Some(path) = config.pipeline_file.clone() else { return Ok(config) };
    let text =
        std::fs::read_to_string(&path).map_err(|source| RulesError::Read { path: path.clone(), source })?;
    let file = pipeline_file::parse(&text, compiler)
        .map_err(|source| RulesError::File { path: path.clone(), source })?;
    let problems: Vec<String> = file.topics.iter().flat_map(|rules| problems_with(&config, rules)).collect();
    if !problems.is_empty() {
        return Err(RulesError::Variables { path, problems });
    }
    let salts = read_salts(&file, secrets).await?;
    config.settings.rules = file.rules(&salts)?;
    Ok(config)
}

/// What of `rules` does not go with `config`.
fn problems_with(config: &Config, rules: &TopicRules) -> Vec<String> {
    let mut problems = Vec::new();
    let settings = &config.settings;
    let dead_letters = &settings.dead_letter_prefix;
    if rules.index.as_ref().is_some_and(|index| index.can_be_of(dead_letters)) {
        problems.push(format!(
            "the index of `{}` can be one of DEAD_LETTER_PREFIX, `{}`: dead letters need their own indices",
            rules.pattern,
            dead_letters.as_str()
        ));
    }
    if config.registry.is_none() && rules.overrides.applied_to(settings).formats.need_a_registry() {
        problems.push(format!(
            "the records of `{}` are Avro or Protobuf, which only a registry's schemas can read: set SCHEMA_REGISTRY_URL",
            rules.pattern
        ));
    }
    problems
}

async fn read_salts(file: &PipelineFile, secrets: &dyn SecretStore) -> Result<Salts, RulesError> {
    let mut salts = Salts::new();
    for name in file.salts() {
        let text = secrets.read(&name).await?;
        let text = text.ok_or_else(|| RulesError::NoSalt(name.clone()))?;
        let salt = Salt::parse(text.expose());
        let salt = salt.map_err(|source| RulesError::Salt { name: name.clone(), source })?;
        salts.insert(name, salt);
    }
    Ok(salts)
}

#[cfg(test)]
mod tests {
    use lambda_support::secrets::StoreFuture;
    use pipeline_file::NoScripts;
    use search_client::auth::Secret;
    use testing::environment::lookup;

    use super::*;

    struct Secrets;

    impl SecretStore for Secrets {
        fn read<'s>(&'s self, id: &'s str) -> StoreFuture<'s, Option<Secret>> {
            Box::pin(async move {
                match id {
                    "good" => Ok(Some(Secret::new("0123456789abcdef"))),
                    "short" => Ok(Some(Secret::new("hunter2"))),
                    "binary" => Err(StoreError::Binary(id.to_owned())),
                    _ => Ok(None),
                }
            })
        }

        fn write<'s>(&'s self, _id: &'s str, _text: &'s Secret) -> StoreFuture<'s, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    async fn load(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipeline.yaml");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let pairs = [("SEARCH_ENDPOINT", "http://localhost:9200"), ("PIPELINE_FILE", path)];
        let config = Config::parse(&lookup(pairs)).unwrap();
        let loaded = with_rules(config, &NoScripts, &Secrets).await;
        loaded.map_err(|error| error.to_string().replace(path, "FILE"))
    }

    #[tokio::test]
    async fn the_rules_of_the_file_are_those_of_the_settings() {
        let config = load("topics: [{match: 'a.*', index: p, hash: {x: good}}]").await.unwrap();
        assert!(config.settings.rules.of("a.b").is_some() && config.settings.rules.of("b").is_none());
        let config = Config::parse(&lookup([("SEARCH_ENDPOINT", "http://localhost:9200")])).unwrap();
        let loaded = with_rules(config.clone(), &NoScripts, &Secrets).await.unwrap();
        assert_eq!(loaded, config, "without the variable there are no rules");
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_with_its_place() {
        for (text, expected) in [
            (
                "topics:\n- match: a\n  sample: 2\n- mach: a\n",
                "PIPELINE_FILE: the file is not valid:\n\
                 - FILE:3:11: topics[0].sample: `2` is not between 0 and 1: `0.1` keeps a tenth of the records\n\
                 - FILE:4:3: topics[1].mach: there is no key `mach`: write `match`\n\
                 - FILE:4:3: topics[1]: there is no `match`: name the topics, such as `match: \"payments.*\"`",
            ),
            (
                "topics: [{match: a, index: 'dead-{topic}', format: avro}]",
                "PIPELINE_FILE: `FILE` does not go with the variables:\n\
                 - the index of `a` can be one of DEAD_LETTER_PREFIX, `dead-letters-microservices`: dead letters need their own indices\n\
                 - the records of `a` are Avro or Protobuf, which only a registry's schemas can read: set SCHEMA_REGISTRY_URL",
            ),
            (
                "topics: [{match: a, hash: {x: none}}]",
                "PIPELINE_FILE: the secret `none`, a salt, does not exist or has no value",
            ),
            (
                "topics: [{match: a, hash: {x: short}}]",
                "PIPELINE_FILE: the secret `short` is no salt: it has 7 bytes, and a salt has at least 16: `openssl rand -hex 32` makes one",
            ),
            ("topics: [{match: a, hash: {x: binary}}]", "PIPELINE_FILE: the secret `binary` is binary"),
        ] {
            assert_eq!(load(text).await.unwrap_err(), expected);
        }
        let pairs = [("SEARCH_ENDPOINT", "http://localhost:9200"), ("PIPELINE_FILE", "/none/pipeline.yaml")];
        let config = Config::parse(&lookup(pairs)).unwrap();
        let error = with_rules(config, &NoScripts, &Secrets).await.unwrap_err().to_string();
        assert!(error.starts_with("PIPELINE_FILE: `/none/pipeline.yaml` can't be read: "), "{error}");
    }
}

//! The salts of the rules: real ones from a file or from Secrets Manager, or stand-ins.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use event_pipeline::salt::{Salt, SaltError, Salts};
use lambda_support::secrets::{SecretStore, StoreError};
use pipeline_file::PipelineFile;
use thiserror::Error;

use crate::pipeline::stand_in_salts;
use crate::setup::{SetupError, read_text};

/// Where the real salts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaltSource {
    /// A file of YAML or JSON: `name of the secret: salt`.
    File(PathBuf),
    /// Secrets Manager, as the functions read them.
    SecretsManager,
}

impl FromStr for SaltSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "secrets-manager" { Self::SecretsManager } else { Self::File(text.into()) })
    }
}

/// Why there are no salts.
#[derive(Debug, Error)]
pub enum SaltsError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] SetupError),
    /// The file has another form. The parser's own text may quote a salt, so it is left out.
    #[error("{}{}: not a map of texts, `name of the secret: \"salt\"`", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where, from 1 on.
        line: Option<usize>,
    },
    /// Secrets Manager does not give one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A salt is not there.
    #[error("--salts has no `{0}`, which the rules name as a salt")]
    Missing(String),
    /// A text is no salt.
    #[error("`{name}` of --salts is no salt: {source}")]
    Salt {
        /// Its name.
        name: String,
        /// Why it is none.
        source: SaltError,
    },
}

impl SaltsError {
    fn form(path: &Path, error: &serde_yaml_ng::Error) -> Self {
        Self::Form { path: path.to_owned(), line: error.location().map(|location| location.line()) }
    }
}

/// Reads the salts that `file` names from `source`; stand-ins if there is none.
///
/// # Errors
/// [`SaltsError`]
pub async fn salts(
    file: &PipelineFile,
    source: Option<&SaltSource>,
    secrets: &dyn SecretStore,
) -> Result<Salts, SaltsError> {
    let texts = match source {
        None => return Ok(stand_in_salts(file).map_err(SetupError::from)?),
        Some(SaltSource::File(path)) => {
            let parsed = serde_yaml_ng::from_str::<BTreeMap<String, String>>(&read_text(path)?);
            Some(parsed.map_err(|error| SaltsError::form(path, &error))?)
        }
        Some(SaltSource::SecretsManager) => None,
    };
    let mut salts = Salts::new();
    for name in file.salts() {
        let text = match &texts {
            Some(texts) => texts.get(&name).cloned(),
            None => secrets.read(&name).await?.map(|secret| secret.expose().to_owned()),
        };
        let text = text.ok_or_else(|| SaltsError::Missing(name.clone()))?;
        let salt = Salt::parse(&text).map_err(|source| SaltsError::Salt { name: name.clone(), source })?;
        salts.insert(name, salt);
    }
    Ok(salts)
}

#[cfg(test)]
mod tests {
    use lambda_support::aws::secrets_manager;
    use pipeline_file::NoScripts;

    use super::*;

    const NAMES: [&str; 2] =
        ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:a/b-AbCdEf", "my/salt"];

    fn read(text: &str) -> Result<Salts, SaltsError> {
        let rules = format!("topics: [{{match: a, hash: {{x: '{}', y: '{}'}}}}]", NAMES[0], NAMES[1]);
        let file = pipeline_file::parse(&rules, &NoScripts).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("salts");
        std::fs::write(&path, text).unwrap();
        let source: SaltSource = path.to_str().unwrap().parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(salts(&file, Some(&source), secrets_manager().as_ref()))
    }

    #[test]
    fn salts_of_a_file_have_the_names_of_the_rules() {
        let [first, second] = NAMES;
        let lines = format!("{first}: 0123456789abcdef\n# mine\n{second}: fedcba9876543210=\n");
        let json = format!(r#"{{"{first}": "0123456789abcdef", "{second}": "fedcba9876543210="}}"#);
        let expected = Salts::from([
            (first.to_owned(), Salt::parse("0123456789abcdef").unwrap()),
            (second.to_owned(), Salt::parse("fedcba9876543210=").unwrap()),
        ]);
        assert_eq!(read(&lines).unwrap(), expected);
        assert_eq!(read(&json).unwrap(), expected);
    }

    #[test]
    fn a_salt_that_is_missing_or_too_short_is_named_and_never_shown() {
        let [first, second] = NAMES;
        let error = |text: String| read(&text).unwrap_err().to_string();
        let missing = format!("--salts has no `{second}`, which the rules name as a salt");
        assert_eq!(error(format!("{first}: 0123456789abcdef\n")), missing);
        let short = error(format!("{first}: 0123456789abcdef\n{second}: hunter2\n"));
        assert!(short.starts_with("`my/salt` of --salts is no salt: it has 7 bytes"), "{short}");
        assert!(!short.contains("hunter2"));
        let form = error(format!("{first}: 0123456789abcdef\n{second}: [hunter2]\n"));
        assert!(form.ends_with(":2: not a map of texts, `name of the secret: \"salt\"`"), "{form}");
    }

    #[test]
    fn secrets_manager_is_a_word_and_anything_else_a_file() {
        assert_eq!("secrets-manager".parse(), Ok(SaltSource::SecretsManager));
        assert_eq!("./secrets-manager".parse(), Ok(SaltSource::File("./secrets-manager".into())));
    }
}

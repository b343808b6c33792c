//! The file with the rules of topics.

use std::path::{Path, PathBuf};

use event_pipeline::salt::{Salt, SaltError, Salts};
use pipeline_file::{PipelineFile, PipelineFileError};
use thiserror::Error;
use vrl_transform::VrlCompiler;

/// The file that is read where none is named.
pub const DEFAULT_FILE: &str = "infra/pipeline.yaml";

/// Why there are no rules.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has problems.
    #[error("{}", source.lines(path).join("\n"))]
    Problems {
        /// The file.
        path: PathBuf,
        /// All of them.
        source: PipelineFileError,
    },
}

/// Reads the rules in the file at `path`.
///
/// # Errors
/// [`PipelineError`]
pub fn load(path: &Path) -> Result<PipelineFile, PipelineError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| PipelineError::Read { path: path.to_owned(), source })?;
    pipeline_file::parse(&text, &VrlCompiler::new())
        .map_err(|source| PipelineError::Problems { path: path.to_owned(), source })
}

/// Salts that take the place of the file's, which are secrets: the same in each run, so that tests have the same hashes.
///
/// # Errors
/// None is too short.
pub fn stand_in_salts(file: &PipelineFile) -> Result<Salts, SaltError> {
    let salt = |name: String| Ok((name.clone(), Salt::parse(&format!("stand-in for the salt {name}"))?));
    file.salts().into_iter().map(salt).collect()
}

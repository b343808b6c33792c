//! `check`: every problem of the file with the rules, and of the variables.

use std::io::{self, Write};

use clap::Args;
use thiserror::Error;

use crate::exit::Exit;
use crate::pipeline::{DEFAULT_FILE, PipelineError};
use crate::setup::{SetupError, SetupOptions};

/// Report every problem of the file with the rules of topics, with its line and fix. Status: 0 none, 1 some, 2 there is no such
/// file
#[derive(Debug, Args)]
pub struct CheckOptions {
    #[command(flatten)]
    setup: SetupOptions,
}

/// Why nothing could be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// A file can't be read.
    #[error(transparent)]
    Setup(SetupError),
    /// The output can't be written.
    #[error("standard output: {0}")]
    Write(#[from] io::Error),
}

/// Checks the file, and writes its problems to `out`, one a line.
///
/// # Errors
/// [`CheckError`]
pub fn run(options: &CheckOptions, out: &mut dyn Write) -> Result<Exit, CheckError> {
    match options.setup.load() {
        Ok(setup) => {
            match &setup.pipeline {
                None => writeln!(out, "{DEFAULT_FILE} is not there: no topic has rules")?,
                Some(path) => {
                    let n = setup.settings.rules.iter().count();
                    let patterns = if n == 1 { "pattern" } else { "patterns" };
                    writeln!(out, "{}: no problems, rules for {n} {patterns} of topics", path.display())?;
                }
            }
            Ok(Exit::Success)
        }
        Err(problems @ (SetupError::Pipeline(PipelineError::Problems { .. }) | SetupError::Config(_))) => {
            writeln!(out, "{problems}")?;
            Ok(Exit::Found)
        }
        Err(error) => Err(CheckError::Setup(error)),
    }
}

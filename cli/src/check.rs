//! `check`: every problem of the file with the rules, and of the variables.

use std::io::{self, Write};

use clap::Args;
use thiserror::Error;

use crate::exit::Exit;
use crate::pipeline::{DEFAULT_FILE, PipelineError};
use crate::setup::{SetupError, SetupOptions, rules, settings};

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
    let variables = options.setup.variables().map_err(CheckError::Setup)?;
    let of_variables = settings(&variables).err().map(|error| error.to_string());
    let pipeline = options.setup.pipeline();
    let of_rules = match &pipeline {
        None => format!("{DEFAULT_FILE} is not there: no topic has rules"),
        Some(path) => match rules(path) {
            Ok((rules, ..)) => {
                let n = rules.iter().count();
                let patterns = if n == 1 { "pattern" } else { "patterns" };
                format!("{}: no problems, rules for {n} {patterns} of topics", path.display())
            }
            Err(problems @ SetupError::Pipeline(PipelineError::Problems { .. })) => {
                write_lines(of_variables.into_iter().chain([problems.to_string()]), out)?;
                return Ok(Exit::Found);
            }
            Err(error) => return Err(CheckError::Setup(error)),
        },
    };
    let exit = if of_variables.is_some() { Exit::Found } else { Exit::Success };
    write_lines(of_variables.into_iter().chain([of_rules]), out)?;
    Ok(exit)
}

fn write_lines(lines: impl Iterator<Item = String>, out: &mut dyn Write) -> io::Result<()> {
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

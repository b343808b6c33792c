//! The command line.

use std::io::Write;

use clap::{Parser, Subcommand};
use thiserror::Error;

use crate::exit::Exit;
use crate::try_events::{self, TryError, TryOptions};

/// Tries, tests, checks and simulates what the functions make of Kafka records.
#[derive(Debug, Parser)]
#[command(name = "kafka-to-search", version, about)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Try(TryOptions),
}

/// Why a command could not do its work.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Of `try`.
    #[error(transparent)]
    Try(#[from] TryError),
}

impl CommandLine {
    /// Runs the command, and writes its output to `out`.
    ///
    /// # Errors
    /// [`CommandError`] when it could not do its work.
    pub fn run(&self, out: &mut dyn Write) -> Result<Exit, CommandError> {
        match &self.command {
            Command::Try(options) => Ok(try_events::run(options, out)?),
        }
    }
}

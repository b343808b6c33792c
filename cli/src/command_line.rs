//! The command line.

use std::io::Write;

use clap::{Parser, Subcommand};
use thiserror::Error;

#[cfg(feature = "simulate")]
use crate::account::{self, AccountCommandError, AccountOptions};
use crate::check::{self, CheckError, CheckOptions};
use crate::exit::Exit;
use crate::plan::{self, PlanError, PlanOptions};
#[cfg(feature = "simulate")]
use crate::simulate::{self, SimulateError, SimulateOptions};
use crate::test_cases::{self, TestError, TestOptions};
use crate::try_events::{self, TryError, TryOptions};

/// Tries, tests, checks and simulates what the functions make of Kafka records, and accounts for each of them.
#[derive(Debug, Parser)]
#[command(name = "kafka-to-search", version, about)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Try(TryOptions),
    Check(CheckOptions),
    Test(TestOptions),
    Plan(PlanOptions),
    #[cfg(feature = "simulate")]
    Simulate(Box<SimulateOptions>),
    #[cfg(feature = "simulate")]
    Account(Box<AccountOptions>),
}

/// Why a command could not do its work.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Of `try`.
    #[error(transparent)]
    Try(#[from] TryError),
    /// Of `check`.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Of `test`.
    #[error(transparent)]
    Test(#[from] TestError),
    /// Of `plan`.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Of `simulate`.
    #[cfg(feature = "simulate")]
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// Of `account`.
    #[cfg(feature = "simulate")]
    #[error(transparent)]
    Account(#[from] AccountCommandError),
}

impl CommandLine {
    /// Runs the command, and writes its output to `out`.
    ///
    /// # Errors
    /// [`CommandError`] when it could not do its work.
    pub fn run(&self, out: &mut dyn Write) -> Result<Exit, CommandError> {
        match &self.command {
            Command::Try(options) => Ok(try_events::run(options, out)?),
            Command::Check(options) => Ok(check::run(options, out)?),
            Command::Test(options) => Ok(test_cases::run(options, out)?),
            Command::Plan(options) => Ok(plan::run(options, out)?),
            #[cfg(feature = "simulate")]
            Command::Simulate(options) => Ok(simulate::run(options, out)?),
            #[cfg(feature = "simulate")]
            Command::Account(options) => Ok(account::run(options, out)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_of_no_command_contradict_each_other() {
        CommandLine::command().debug_assert();
    }
}

//! How a command ends.

use std::process::ExitCode;

/// How a command ends, when it could do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing is wrong.
    Success,
    /// It found something: problems of a file, cases that fail.
    Found,
    /// It was stopped before its end, and has removed what it had made.
    Interrupted,
}

impl From<Exit> for ExitCode {
    /// The status. 2 is of a command that could not do its work, as of clap's errors.
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Found => Self::from(1),
            Exit::Interrupted => Self::from(130),
        }
    }
}
